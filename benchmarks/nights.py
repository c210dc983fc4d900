"""One night of one language: its rows and what is planted among them, in blocks of Arrow columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from benchmarks.conversations import ITEMS, Conversations, evaluation_items, generator, places_from, shape, spoken
from benchmarks.edits import edited
from benchmarks.lexicon import TOPICS, WORDS, Ints, lexicon, tokens_per_unit
from benchmarks.planted import STAGE, SUBSETS, Kind, Layout, Place, Role, is_article

from ultralink.schemas import MESSAGES, REJECTS, SAMPLES, SOURCE, TEACHER, Stage

VERSION = 1  # changes when the same seed makes another store
BLOCK = 256  # rows that are drawn together, and a row group: as stages write them

REJECTED = 0.06
MODEL, FINGERPRINT = "made-up-teacher", "f1b715931dcd6e48"
DATASETS = {"chat_specific": "ultrachat", "chat_agnostic": "sharegpt", "math": "metamath", "code": "magicoder"}
LICENCES = {"chat_specific": "MIT", "chat_agnostic": "CC0-1.0", "math": "MIT", "code": "Apache-2.0"}
GATES = (("language", "other language"), ("leak", "speaks of the text"), ("length", "too short"), ("numbers", "differ"))
CATEGORIES = 200


class Said(NamedTuple):
    """Rows of messages as texts: ``turns`` per row, two texts per turn."""

    turns: Ints
    texts: pa.StringArray


@dataclass(frozen=True)
class Night:
    """One night of one language: its rows, in blocks."""

    layout: Layout
    language: str
    number: int

    @property
    def date(self) -> str:
        """The partition date."""
        return self.layout.date(self.number)

    @cached_property
    def created(self) -> datetime:
        """When the night began."""
        return datetime.fromisoformat(self.date).replace(hour=2, tzinfo=UTC)

    def blocks(self, truth: list[dict[str, object]]) -> Iterator[pa.RecordBatch]:
        """The night's samples; what is planted among them is added to ``truth``."""
        for subset in SUBSETS:
            span = self.layout.span((self.language, subset), self.number)
            start = span.start
            offset = self.layout.english_row(Place(self.language, subset, start)) - start
            while start < span.stop:  # blocks are those of the English rows, so that translations find theirs
                stop = min(span.stop, ((start + offset) // BLOCK + 1) * BLOCK - offset)
                yield self._block(subset, range(start, stop), offset, truth)
                start = stop

    def rejects(self) -> Iterator[pa.RecordBatch]:
        """Rows that the night turned away."""
        for subset in SUBSETS:
            span = self.layout.span((self.language, subset), self.number)
            amount = min(BLOCK, round(REJECTED * len(span)))
            if not amount:
                continue
            said = self._bulk(self.language, subset, 1_000_000 + self.number, range(amount))
            places = [Place(self.language, subset, 10**7 + span.start + index) for index in range(amount)]
            gates = [GATES[index % len(GATES)] for index in range(amount)]
            columns = {
                **self._columns(places, [Source.of(self, place) for place in places], said, said),
                "stage": pa.array(["dialogues" if is_article((self.language, subset)) else "translations"] * amount),
                "gate": pa.array([gate for gate, _ in gates]),
                "reason": pa.array([reason for _, reason in gates]),
                "attempts": pa.array([2] * amount, pa.int64()),
            }
            yield _batch(REJECTS, columns)

    def _block(self, subset: str, indices: range, offset: int, truth: list[dict[str, object]]) -> pa.RecordBatch:
        cell = (self.language, subset)
        number, first = divmod(indices.start + offset, BLOCK)
        said = self._bulk(self.language, subset, number, range(first, first + len(indices)))
        english = said
        if self.language != "en" and not is_article(cell):
            english = self._bulk("en", subset, number, range(first, first + len(indices)))
        places = [Place(self.language, subset, index) for index in indices]
        sources = [Source.of(self, place) for place in places]
        roles = self.layout.roles[cell]
        replaced: dict[int, list[str]] = {}
        for row, place in enumerate(places):
            role = roles.get(place.index)
            if role is None:
                continue
            planted = _Planted(self.layout, place, role)
            if (texts := planted.texts(said, row)) is not None:
                replaced[row] = texts
            sources[row] = planted.source(sources[row])
            if role.original is not None or role.kind in SINGLE:
                truth.append(planted.truth())
        said = _replaced(said, replaced)
        return _batch(SAMPLES, self._columns(places, sources, said, said if self.language == "en" else english))

    def _bulk(self, language: str, subset: str, number: int, rows: range) -> Said:
        """Some rows of a block."""
        own = language if is_article((language, subset)) else ""
        seed = self.layout.seed
        made = shape(subset, generator(VERSION, seed, "shape", own, subset, number), BLOCK)
        draw = generator(VERSION, seed, "prose", language, subset, number)
        return _cut(_said(language, spoken(language, subset, made, draw)), rows)

    def _columns(self, places: list[Place], sources: list[Source], said: Said, english: Said) -> dict[str, pa.Array]:
        """The columns that samples and rejects have in common, and those of samples."""
        rows, subset = len(places), places[0].subset
        articles = is_article((self.language, subset))
        draw = generator(VERSION, self.layout.seed, "more", self.language, subset, self.number, places[0].index)
        created = [self.created + timedelta(seconds=row) for row in range(rows)]
        return {
            "id": pa.array([f"{self.language}-{subset}-{source.key}" for source in sources]),
            "language": pa.array([self.language] * rows),
            "subset": pa.array([subset] * rows),
            "messages": _messages(said),
            "source": self._articles(sources, draw, created[0])
            if articles
            else _english_rows(subset, sources, english),
            "teacher": _teachers(draw, rows, taken_as_is=self.language == "en"),
            "scores": self._scores(draw, rows),
            "created": pa.array(created, SAMPLES.schema.field("created").type),
            "fingerprint": pa.array([FINGERPRINT] * rows),
        }

    def _articles(self, sources: list[Source], draw: np.random.Generator, fetched: datetime) -> pa.StructArray:
        words, rows = lexicon(self.language), len(sources)
        names = words.units[:WORDS]
        tokens = draw.integers(1000, 2001, rows)
        lengths = (tokens / tokens_per_unit(self.language)).astype(np.int64)
        passages = words.texts(words.prose(draw, lengths, draw.integers(0, TOPICS, rows)), lengths)
        counts = draw.integers(1, 5, rows)
        which = 300 + (CATEGORIES * draw.random(int(counts.sum())) ** 2).astype(np.int64)
        categories = pc.utf8_trim_whitespace(names.take(pa.array(which)))
        titles = [f"{names[1000 + source.page % 9000].as_py().strip()} {source.page}" for source in sources]
        return _struct(
            rows,
            kind=["wikipedia"] * rows,
            url=[f"https://{self.language}.wikipedia.org/wiki/{title.replace(' ', '_')}" for title in titles],
            licence=["CC BY-SA 4.0"] * rows,
            page_id=[source.page for source in sources],
            revision_id=[source.revision for source in sources],
            title=titles,
            fetched=[fetched] * rows,
            categories=pa.ListArray.from_arrays(_offsets(counts), categories),
            passage_id=[source.key for source in sources],
            passage_start=[1200 * source.passage for source in sources],
            passage_end=[1200 * source.passage + 1200 for source in sources],
            passage=passages,
        )

    def _scores(self, draw: np.random.Generator, rows: int) -> pa.MapArray:
        names = ("language",) if self.language == "en" else ("language", "length_ratio", "judge")
        values = 1 - 0.3 * draw.random(rows * len(names)) ** 3
        return pa.MapArray.from_arrays(_offsets(np.full(rows, len(names))), list(names) * rows, pa.array(values))


@dataclass(frozen=True)
class Source:
    """Where a row comes from: an English row, or a passage of an article's revision."""

    english_row: int = 0
    page: int = 0
    revision: int = 0
    passage: int = 0
    subset: str = ""

    @classmethod
    def of(cls, night: Night, place: Place) -> Source:
        """A row's own. Articles give one to three rows, all in one night."""
        if not is_article((place.language, place.subset)):
            return cls(english_row=night.layout.english_row(place), subset=place.subset)
        number = night.number
        index = place.index - night.layout.span((place.language, place.subset), number).start
        article, passage = ((0, 0), (1, 0), (1, 1), (2, 0), (3, 0), (3, 1), (3, 2))[index % 7]
        page = 1_000_000 * (number + 1) + index // 7 * 4 + article
        return cls(page=page, revision=80_000_000 + 7 * page, passage=passage)

    @property
    def key(self) -> str:
        """What a row's id ends with."""
        if self.page:
            return f"{self.page}-{self.revision}-{self.passage}"
        return f"{DATASETS[self.subset]}-{(self.english_row + 1) * 0x9E3779B97F4A7C15 % (1 << 64):016x}"


# --- planted rows -------------------------------------------------------------------------------------

SINGLE = (Kind.ITEM, Kind.EMAIL, Kind.PHONE, Kind.CREDENTIAL)
_TEXT_KEPT = (Kind.ROW, Kind.REVISION, Kind.PASSAGE)  # copies of an origin, not of a text


@dataclass
class _Planted:
    """A planted row in the making."""

    layout: Layout
    place: Place
    role: Role
    similarity: float = 1.0

    @property
    def kind(self) -> Kind:
        """What the row has become: of a short text no word may be changed at a high similarity."""
        unchanged = self.similarity == 1 and self.role.kind in (Kind.NEAR, Kind.FOREIGN)
        return Kind.TEXT if unchanged else self.role.kind

    def texts(self, said: Said, row: int) -> list[str] | None:
        """The row's messages; None: those that it has."""
        role = self.role
        if role.kind in SINGLE:
            return self._with_secret(_cut(said, range(row, row + 1)).texts.to_pylist())
        if role.kind in _TEXT_KEPT:
            return None
        draw = generator(VERSION, self.layout.seed, "planted", role.seed)
        made = spoken(role.text_language, self.place.subset, shape(self.place.subset, draw, 1), draw)
        if role.original is None:
            return _texts(role.text_language, made)
        if role.kind is Kind.TEXT:
            return [f"{text[:30].upper()}{text[30:]} \n" for text in _texts(role.text_language, made)]
        from_above = role.kind is not Kind.RELATED
        after = edited(role.text_language, made.units, role.similarity, role.seed, from_above=from_above)
        self.similarity = after.similarity
        lengths = made.lengths.copy()
        lengths[-1] += after.grown
        return _texts(role.text_language, Conversations(made.turns, after.units, lengths))

    def source(self, own: Source) -> Source:
        """The row's provenance: its own, or that of the row which it repeats."""
        if self.role.original is None or self.role.kind not in _TEXT_KEPT:
            return own
        original = self.role.original
        night = Night(self.layout, original.language, self.layout.night_of(original))
        theirs = Source.of(night, original)
        if self.role.kind is Kind.REVISION:
            return Source(page=theirs.page, revision=theirs.revision, passage=theirs.passage + 5)
        return theirs

    def truth(self) -> dict[str, object]:
        """A row of the truth."""
        layout, place, original = self.layout, self.place, self.role.original
        return {
            "kind": self.kind.value,
            "stage": STAGE.get(self.kind),
            "language": place.language,
            "date": layout.date(layout.night_of(place)),
            "row": layout.row_of(place),
            "subset": place.subset,
            "planted": 1.0 if self.kind is Kind.TEXT else self.role.similarity,
            "similarity": self.similarity,
            "of_language": original and original.language,
            "of_date": original and layout.date(layout.night_of(original)),
            "of_row": original and layout.row_of(original),
        }

    def _with_secret(self, texts: list[str]) -> list[str]:
        draw = np.random.default_rng((self.layout.seed, self.role.seed))
        digits = "".join(map(str, draw.integers(0, 10, 12)))
        match self.role.kind:
            case Kind.EMAIL:
                texts[0] += f" anna.k{digits[:5]}@mail{digits[5:8]}.net"
            case Kind.PHONE:
                texts[0] += f" +49 30 9018{digits[:4]}"
            case Kind.CREDENTIAL:
                letters = "".join(chr(97 + letter) for letter in draw.integers(0, 26, 24))
                texts[-1] += f"\ntoken = 'ghp_{letters}{digits}'"
            case _:
                subset = self.place.subset if self.place.subset in SUBSETS[1:] else "chat_agnostic"
                item = evaluation_items(self.place.language, subset)[self.role.seed % ITEMS]
                if subset == "math":  # other numbers make no other item
                    item = item.translate(str.maketrans("23456789", "34567892"))
                texts[0] = f"{texts[0]} {item}"
        return texts


# --- columns ------------------------------------------------------------------------------------------


def _said(language: str, made: Conversations) -> Said:
    return Said(made.turns, lexicon(language).texts(made.units, made.lengths))


def _texts(language: str, made: Conversations) -> list[str]:
    texts: list[str] = _said(language, made).texts.to_pylist()
    return texts


def _cut(said: Said, rows: range) -> Said:
    first = 2 * int(said.turns[: rows.start].sum())
    turns = said.turns[rows.start : rows.stop]
    return Said(turns, said.texts.slice(first, 2 * int(turns.sum())))


def _replaced(said: Said, by_row: dict[int, list[str]]) -> Said:
    """Rows with other messages."""
    if not by_row:
        return said
    counts = 2 * said.turns
    first = np.cumsum(counts) - counts
    place = len(said.texts)
    for row, texts in by_row.items():
        first[row], counts[row] = place, len(texts)
        place += len(texts)
    new = pa.array([text for texts in by_row.values() for text in texts], pa.string())
    return Said(counts // 2, pa.concat_arrays([said.texts, new]).take(pa.array(places_from(first, counts))))


def _offsets(counts: Ints) -> pa.Array:
    return pa.array(np.concatenate(([0], np.cumsum(counts))), pa.int32())


def _messages(said: Said) -> pa.ListArray:
    roles = pa.array(["user", "assistant"]).take(pa.array(np.arange(len(said.texts)) % 2))
    values = pa.StructArray.from_arrays([roles, said.texts], fields=list(MESSAGES.value_type))
    return pa.ListArray.from_arrays(_offsets(2 * said.turns), values, type=MESSAGES)


def _struct(rows: int, **columns: object) -> pa.StructArray:
    """The ``source`` column; what is not given is null."""
    fields = list(SOURCE)
    arrays = [
        _array(columns[field.name], field.type) if field.name in columns else pa.nulls(rows, field.type)
        for field in fields
    ]
    return pa.StructArray.from_arrays(arrays, fields=fields)


def _array(values: object, kind: pa.DataType) -> pa.Array:
    return values if isinstance(values, pa.Array) else pa.array(values, kind)


def _english_rows(subset: str, sources: list[Source], english: Said) -> pa.StructArray:
    rows = len(sources)
    return _struct(
        rows,
        kind=["english"] * rows,
        url=[f"https://data.example/{DATASETS[subset]}.jsonl"] * rows,
        licence=[LICENCES[subset]] * rows,
        dataset=[DATASETS[subset]] * rows,
        row_id=[source.key for source in sources],
        row=[source.english_row + 1 for source in sources],
        type=[""] * rows,
        english=_messages(english),
    )


def _teachers(draw: np.random.Generator, rows: int, *, taken_as_is: bool) -> pa.Array:
    asks, prompt, completion = (draw.integers(1, most, rows) for most in (9, 4000, 3000))
    values = {
        "model": [MODEL] * rows,
        "requested_model": [MODEL] * rows,
        "prompts": [FINGERPRINT] * rows,
        "temperature": np.full(rows, 0.7),
        "top_p": np.ones(rows),
        "asks": asks,
        "prompt_tokens": prompt,
        "cached_tokens": prompt // 2,
        "completion_tokens": completion,
        "cost_usd": (prompt + 3 * completion) / 2e6,
    }
    arrays = [pa.array(values[field.name], field.type) for field in TEACHER]
    nulls = pa.array(np.full(rows, taken_as_is))
    return pa.StructArray.from_arrays(arrays, fields=list(TEACHER), mask=nulls)


def _batch(stage: Stage, columns: dict[str, pa.Array]) -> pa.RecordBatch:
    """Rows of ``stage``; columns that were added to it later are null."""
    rows = len(columns["id"])
    added = {name: pa.nulls(rows, stage.schema.field(name).type) for name in stage.added}
    whole = added | columns
    return pa.RecordBatch.from_arrays([whole[name] for name in stage.schema.names], schema=stage.schema)
