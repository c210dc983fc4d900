"""The offline teacher as translator: it knows the bundled English rows and their human translations, by content.

A text that it does not know comes back as it is, in English, which the checks of a translation turn down.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from pydantic import BaseModel, ConfigDict, ValidationError

from ultralink.errors import RecipeError
from ultralink.offline_teacher.misdeeds import Misdeed, Misdeeds, spoilt
from ultralink.offline_teacher.reading import TranslationTask
from ultralink.pool.formats import read
from ultralink.pool.recipe import Format, Source
from ultralink.pool.row import EnglishRow, Kind
from ultralink.prompts import Pair, TranslationStep
from ultralink.recipe import INCLUDE, Translation, configured_languages, load_recipe
from ultralink.translation.back import Faithfulness
from ultralink.translation.masks import Span
from ultralink.translation.texts import English, Part, Texts, parts_of

SAMPLES = INCLUDE / "samples"
_SOURCES = {
    "chats_sharegpt": (Kind.CHAT, Format.SHAREGPT),
    "chats_ultrachat": (Kind.CHAT, Format.ULTRACHAT),
    "math_metamath": (Kind.MATH, Format.METAMATH),
    "code_oss_instruct": (Kind.CODE, Format.OSS_INSTRUCT),
    "code_evol_instruct": (Kind.CODE, Format.EVOL_INSTRUCT),
}
_OTHER = {"zh": "ru", "ru": "zh", "fr": "es", "es": "fr"}


@dataclass(frozen=True, slots=True)
class Phrasebook:
    """Masked English texts and their masked translations, both ways; a text may have several."""

    there: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    back: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, english: str, translation: str) -> None:
        """Learn one pair."""
        self.there[english.strip()].append(translation.strip())
        self.back[translation.strip()].append(english.strip())

    def translated(self, text: str) -> str | None:
        """The translation of a masked English text, if it is known."""
        return next(iter(self.there.get(text.strip(), ())), None)

    def english(self, text: str) -> str | None:
        """The English of a masked translation, if it is known."""
        return next(iter(self.back.get(text.strip(), ())), None)

    def knows(self, pair: Pair) -> bool:
        """Whether this is a translation of that text."""
        same = pair.source.strip() == pair.translation.strip()  # of placeholders alone
        return same or pair.translation.strip() in self.there.get(pair.source.strip(), ())


def translate(task: TranslationTask, misdeeds: Misdeeds) -> BaseModel:
    """The answer to ``task``; only translations into another language can be spoilt."""
    book = phrasebook(task.language)
    match task.step:
        case TranslationStep.BACK:
            return English(english=[book.english(text) or text for text in task.texts])
        case TranslationStep.JUDGE:
            return _judged(task.pairs, book)
        case _:
            return Texts(texts=_translated(task, book, misdeeds.draw(task.content)))


def _translated(task: TranslationTask, book: Phrasebook, misdeed: Misdeed | None) -> list[str]:
    texts = [book.translated(text) or text for text in task.texts]
    if misdeed is None:
        return texts
    other = phrasebook(_OTHER.get(task.language, "fr"))
    elsewhere = [other.translated(text) or text for text in task.texts]
    return spoilt(misdeed, texts, elsewhere, task.language)


def _judged(pairs: Sequence[Pair], book: Phrasebook) -> Faithfulness:
    """Faithful is what a human has written, word for word: it understands nothing else."""
    unknown = next((pair for pair in pairs if not book.knows(pair)), None)
    if unknown is None:
        return Faithfulness(faithful=True, problem="", quote="")
    quote = unknown.translation.strip().split("\n")[0][:80]
    return Faithfulness(faithful=False, problem="It is not the translation that I know.", quote=quote)


# --- what it knows ----------------------------------------------------------------------------


class _Human(BaseModel):
    """A line of a file of human translations: the texts of one English row, in the order of its messages."""

    model_config = ConfigDict(extra="forbid")

    row: int
    messages: list[str]


@cache
def phrasebook(language: str) -> Phrasebook:
    """All bundled texts that are translated into ``language``.

    Raises RecipeError for its recipe, and for a file that does not fit the English rows.
    """
    book = Phrasebook()
    is_here = language in configured_languages()  # else its recipe is elsewhere, as in a test
    rules = load_recipe(language).translation if is_here else None
    if rules is None:
        return book
    for name in _SOURCES:
        humans = human_texts(language, name)
        for row in english_rows(name):
            if row.row in humans:
                _learn(book, row, humans[row.row], rules)
    return book


def english_rows(name: str) -> Iterator[EnglishRow]:
    """The well-formed rows of a bundled file."""
    kind, form = _SOURCES[name]
    path = SAMPLES / "english" / f"{name}.jsonl"
    source = Source(name=name, kind=kind, format=form, path=str(path), licence="own", url="https://example.org")
    return (row for row in read(source) if isinstance(row, EnglishRow))


def human_texts(language: str, name: str) -> Mapping[int, list[str]]:
    """The translated texts of a bundled file by the number of their row. Raises RecipeError: file and line."""
    path = SAMPLES / "translations" / language / f"{name}.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    found = {}
    for number, line in enumerate(lines, 1):
        try:
            human = _Human.model_validate_json(line)
        except ValidationError as problem:
            raise RecipeError(f"{path}, line {number}: no translation of a row: {problem}") from problem
        found[human.row] = human.messages
    return found


def _learn(book: Phrasebook, row: EnglishRow, messages: Sequence[str], rules: Translation) -> None:
    if len(messages) != len(row.messages):
        found = f"{len(messages)} translated texts, but the English row has {len(row.messages)}"
        raise RecipeError(f"{SAMPLES / 'translations'}: {row.source}, row {row.row}: {found}")
    for part, human in zip(parts_of(row, rules), messages, strict=True):
        book.add(part.masked.text, masked_like(part, _without_endings(part, human, rules.answer_phrase)))


def _without_endings(part: Part, human: str, phrase: str) -> str:
    """``human`` up to the first of its lines that state the answer, if the English has such."""
    answer = r"\s".join(map(re.escape, phrase.split()))  # the blanks of a file may be no-break ones
    stated = ["####" if ending.startswith("####") else answer for ending in part.endings]
    starts = [match.start() for each in stated for match in list(re.finditer(each, human))[-1:]]
    return human[: min(starts)].rstrip() if starts else human


def masked_like(part: Part, human: str) -> str:
    """``human`` with the placeholders of the English text for the same pieces, found by what they hold."""
    pieces: list[tuple[int, int, int]] = []  # start, end, number of the placeholder
    spans = list(enumerate(part.masked.spans, 1))
    for number, span in sorted(spans, key=lambda each: -len(each[1].text)):  # a short one may be in a longer one
        start = _free(human, span, pieces)
        if start >= 0:
            pieces.append((start, start + len(span.text), number))
    masked, end = "", 0
    for start, stop, number in sorted(pieces):
        masked += f"{human[end:start]}⟦{number}⟧"
        end = stop
    return masked + human[end:]


def _free(human: str, span: Span, taken: Sequence[tuple[int, int, int]]) -> int:
    """Where ``span`` stands first outside of what is taken; -1: nowhere."""
    start = human.find(span.text)
    while start >= 0 and any(begin < start + len(span.text) and start < end for begin, end, _ in taken):
        start = human.find(span.text, start + 1)
    return start
