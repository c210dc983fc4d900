"""Pricing a night: its stages in a dry run, on real input where there is some, else on made-up rows."""

from __future__ import annotations

import asyncio
import json
import math
import random
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from ultralink.errors import (
    DumpError,
    NothingNew,
    PoolChanged,
    SelectionEmpty,
    TimeUnknown,
    WikiRefused,
    WikiUnreachable,
)
from ultralink.pool.row import EnglishRow, Kind
from ultralink.pool.rows import stored
from ultralink.schemas import ARTICLES, CHOICE, PASSAGES, SELECTION
from ultralink.stages.calibrate import calibrate
from ultralink.stages.choose import choose_rows
from ultralink.stages.edition import complete_editions
from ultralink.stages.extract import extract
from ultralink.stages.generate import generate
from ultralink.stages.night import Night
from ultralink.stages.partition import Built
from ultralink.stages.select import select
from ultralink.stages.translate import translate_rows
from ultralink.store import Part, Store
from ultralink.teacher.endpoint import Endpoint
from ultralink.teacher.request import Message
from ultralink.tokens import count_tokens
from ultralink.wikipedia.article import Article, Passage
from ultralink.wikipedia.rows import passage_row

NOBODY = Endpoint("http://nobody.invalid")  # a dry run asks nobody
SAID = 100  # made-up rows of a kind that are looked at; of more of them, these tell the price

# cl100k tokens of a made-up row: question and answer of each exchange. A turn of the published data set has 88 and 290
# on average (paper, table 2); math and code are those of the bundled samples, rounded.
_EXCHANGES = {Kind.CHAT: [(88, 290)] * 2, Kind.MATH: [(60, 150)], Kind.CODE: [(120, 320)]}
_WORDS = ("river", "stone", "market", "winter", "bridge", "garden", "candle", "village", "needle", "anchor")


@dataclass(frozen=True)
class Line:
    """What one step would ask and pay. ``free``: answers that are in the journal already."""

    what: str
    rows: int
    about: str
    calls: int = 0
    free: int = 0
    tokens: int = 0
    cost_usd: float = 0.0
    unpriced: int = 0

    def plus(self, other: Line) -> Line:
        """The sum of both; rows are left as they are."""
        return replace(
            self,
            calls=self.calls + other.calls,
            free=self.free + other.free,
            tokens=self.tokens + other.tokens,
            cost_usd=self.cost_usd + other.cost_usd,
            unpriced=self.unpriced + other.unpriced,
        )

    def times(self, factor: float) -> Line:
        """The same of ``factor`` times as many rows."""
        return replace(
            self,
            calls=round((self.calls + self.free) * factor),
            free=0,
            tokens=round(self.tokens * factor),
            cost_usd=self.cost_usd * factor,
            unpriced=round(self.unpriced * factor),
        )


@dataclass(frozen=True)
class Priced:
    """A night's price by step. ``notes`` say what it rests on."""

    dialogues: tuple[Line, ...]
    english: tuple[Line, ...]
    notes: tuple[str, ...]

    @property
    def lines(self) -> tuple[Line, ...]:
        """All steps."""
        return (*self.dialogues, *self.english)

    @property
    def total(self) -> Line:
        """The sum of all steps."""
        total = Line("in all", sum(line.rows for line in self.lines), "")
        for line in self.lines:
            total = total.plus(line)
        return total


def price(night: Night, say: Callable[[str], None], *, made_up: bool = False) -> Priced:
    """The price of a dry run's ``night``; ``made_up``: no wiki and no pool is read.

    It writes what a dry run does, into the store's folder of rehearsals; made-up rows are in a folder that goes again.
    """
    pricing = _Pricing(night, say)
    return Priced(tuple(pricing.dialogues(made_up)), tuple(pricing.english(made_up)), tuple(pricing.notes))


class _Pricing:
    """One night on its way to a price."""

    def __init__(self, night: Night, say: Callable[[str], None]) -> None:
        self._night, self._say = night, say
        self.notes: list[str] = []

    # --- dialogues --------------------------------------------------------------------------------

    def dialogues(self, made_up: bool) -> list[Line]:
        """The judge's measurement and the dialogues."""
        if not self._night.articles:
            return []
        if made_up:
            return self._imagined_dialogues()
        try:
            self._say("Choosing articles ...")
            select(self._night)
            for shard in range(self._night.shards):
                self._say(f"Reading articles, shard {shard + 1} of {self._night.shards} ...")
                extract(self._night, shard)
        except NothingNew as reason:
            self.notes.append(str(reason))
            return []
        except (SelectionEmpty, DumpError, WikiRefused, WikiUnreachable, TimeUnknown) as error:
            self.notes.append(f"Dialogues are priced with made-up passages, because there are no articles: {error}")
            return self._imagined_dialogues()
        chosen = _rows([self._night.part(SELECTION)])
        passages, articles = _rows(self._night.parts(PASSAGES)), _rows(self._night.parts(ARTICLES))
        about = f"passages of {articles:,} articles, {chosen:,} chosen"
        return [self._calibration(self._night), self._generated(self._night, passages, about)]

    def _imagined_dialogues(self) -> list[Line]:
        low, high = self._night.recipe.wikipedia.document_tokens, self._night.recipe.wikipedia.passage_tokens
        length = (high.min + high.max) // 2
        per_article = math.sqrt(max(low.min, 1) * low.max) / length
        passages = max(1, round(self._night.articles * per_article))
        self.notes.append(
            f"{self._night.articles:,} articles are taken for {passages:,} made-up passages of {length:,} tokens: "
            f"{per_article:.1f} of an article of {per_article * length:,.0f} tokens"
        )
        said = min(passages, SAID)
        with _imagined(self._night) as night:
            night.part(PASSAGES).write((passage_row(each) for each in _passages(said, length)), "made up")
            line = self._generated(night, said, "made-up passages")
        return [self._calibration(self._night), replace(line.times(passages / said), rows=passages)]

    def _calibration(self, night: Night) -> Line:
        built = asyncio.run(calibrate(night, NOBODY))
        return _counted(night.store, "measuring the judge", 0, "once per change of the judge", [built])

    def _generated(self, night: Night, passages: int, about: str) -> Line:
        built = []
        for shard in range(night.shards):
            self._say(f"Counting calls of the dialogues, shard {shard + 1} of {night.shards} ...")
            built.append(asyncio.run(generate(night, shard, NOBODY)))
        return _counted(night.store, "dialogues", passages, about, built)

    # --- English rows -----------------------------------------------------------------------------

    def english(self, made_up: bool) -> list[Line]:
        """One line for each kind of rows that is translated."""
        night = self._night
        if night.recipe.translation is None:
            self.notes.append(
                f"The recipe of {night.language!r} has no section translation: English rows cost nothing."
            )
            return []
        if not any(night.rows.values()):
            return []
        if made_up or not complete_editions(night.store):
            if not made_up:
                self.notes.append("English rows are made up, because the store has no English pool yet.")
            return self._imagined_english()
        try:
            self._say("Choosing English rows ...")
            choose_rows(night)
        except (NothingNew, PoolChanged) as reason:
            self.notes.append(str(reason))
            return []
        counts = dict.fromkeys(Kind, 0)
        for row in night.part(CHOICE).rows(["kind"]):
            counts[Kind(str(row["kind"]))] += 1
        return [self._translated(night, kind, counts[kind], "rows of the pool") for kind in Kind if counts[kind]]

    def _imagined_english(self) -> list[Line]:
        lines = []
        for kind in Kind:
            wanted = self._night.rows.get(kind, 0)
            said = min(wanted, SAID)
            if not said:
                continue
            length = sum(map(sum, _EXCHANGES[kind]))
            with _imagined(self._night) as night:
                rows = (
                    {**stored(row), "position": at, "edition": "made up"} for at, row in enumerate(_english(kind, said))
                )
                night.part(CHOICE).write(rows, "made up")
                line = self._translated(night, kind, said, f"made-up rows of {length} tokens")
            lines.append(replace(line.times(wanted / said), rows=wanted))
        return lines

    def _translated(self, night: Night, kind: Kind, rows: int, about: str) -> Line:
        built = []
        for shard in range(night.translated_shards):
            self._say(f"Counting calls of the {kind} rows, shard {shard + 1} of {night.translated_shards} ...")
            built.append(asyncio.run(translate_rows(night, kind, shard, NOBODY)))
        return _counted(night.store, kind.value, rows, about, built)


def _rows(parts: Iterable[Part]) -> int:
    return sum(stamp.rows for part in parts if (stamp := part.stamp()))


def _counted(store: Store, what: str, rows: int, about: str, built: Iterable[Built]) -> Line:
    """The sum of what the tasks of a dry run left on the store."""
    line = Line(what, rows, about)
    for each in built:
        text = store.read_text(each.outputs[0])
        counts = json.loads(text or "{}")
        line = line.plus(
            Line(what, 0, "", counts["calls"], counts["free"], counts["tokens"], counts["cost_usd"], counts["unpriced"])
        )
    return line


# --- made-up rows -----------------------------------------------------------------------------------


@contextmanager
def _imagined(night: Night) -> Iterator[Night]:
    """The night with one shard in a store of its own, which is gone after the block."""
    with tempfile.TemporaryDirectory(prefix="ultralink-plan-") as folder:
        yield replace(night, store=Store.at(folder), shards=1)


def _text(seed: str, tokens: int) -> str:
    """Words of a token each, in another order for each seed: else a provider's cache would know the text."""
    return " ".join(random.Random(seed).choices(_WORDS, k=tokens))


def _passages(number: int, tokens: int) -> Iterator[Passage]:
    made = datetime(2026, 1, 1, tzinfo=UTC)
    for page in range(number):
        text = _text(f"passage {page}", tokens)
        article = Article(page, 1, f"Made up {page}", "", "", made, text, tokens, 1.0, ())
        yield Passage(f"{page}-1-0", article, 0, 0, len(text), text, count_tokens(text))


def _english(kind: Kind, number: int) -> Iterator[EnglishRow]:
    for row in range(number):
        said = []
        for turn, (asked, answered) in enumerate(_EXCHANGES[kind]):
            said += [Message("user", _text(f"{kind} {row} {turn} asked", asked))]
            said += [Message("assistant", _text(f"{kind} {row} {turn} answered", answered))]
        yield EnglishRow(f"made-up-{row}", kind, tuple(said), "made_up", row + 1, "", "", "")
