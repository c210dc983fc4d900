"""Features: what a release needs to know of a sample without its texts: sizes, keys of duplicates, its origin."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import cast

import numpy as np
import pyarrow as pa
from rensa import RMinHash  # type: ignore[import-untyped]  # ships no types

from ultralink.errors import SchemaMismatch
from ultralink.pool.near import PERMUTATIONS, SEED
from ultralink.release.plan import SourcePart
from ultralink.release.recipe import SUBSETS
from ultralink.release.words import normalised, units
from ultralink.schemas import SAMPLES, MessageRow
from ultralink.store import Part, Row
from ultralink.tokens import count_tokens

# Of the source all but the passage and the English row, which are longer than the sample itself.
_OF_SOURCE = (
    *("kind", "url", "licence", "dataset", "row_id", "page_id", "revision_id", "title", "categories"),
    *("passage_start", "passage_end"),
)
_COLUMNS = [
    "id",
    "language",
    "subset",
    "messages",
    *(f"source.{name}" for name in _OF_SOURCE),
    "teacher.model",
    "scores",
]
_FIGURE = re.compile(r"\d+(?:[.,]\d+)*")
_BETWEEN_MESSAGES = " \0 "  # so that no text runs over from one message into the next


def measured(samples: Part, source: SourcePart, shingle_words: int) -> Iterator[Row]:
    """Rows of FEATURES for all rows of a night, in order; a batch of them in memory.

    Raises SchemaMismatch naming the part, and the row where it is one row's fault; PartMissing.
    """
    number = 0
    for batch in samples.batches(_COLUMNS):
        _check_columns(samples.path, batch.schema)
        for row in batch.to_pylist():
            try:
                yield {"row": number, **_features(row, source.language, shingle_words)}
            except ValueError as error:
                raise SchemaMismatch(
                    f"{samples.path}: row {number} ({row['id']!r}): {error}; publish this night again"
                ) from error
            number += 1


def text_key(text: str) -> bytes:
    """16 bytes that are equal for two ``normalised`` texts that differ in nothing but white space."""
    return hashlib.blake2b(" ".join(text.split()).encode(), digest_size=16).digest()


def signature(text: str, shingle_words: int) -> bytes:
    """The MinHash of a ``normalised`` text's n-grams of units: 120 numbers of two bytes, little-endian.

    Empty for a text of fewer units than one n-gram: whole texts of so few words are equal or are not. Half of each
    number is kept: two different ones agree in it once in 65,536 times.
    """
    found = units(text)
    if len(found) < shingle_words:
        return b""
    sketch = RMinHash(PERMUTATIONS, SEED)
    sketch.update(
        list(map(" ".join, zip(*(islice(found, start, None) for start in range(shingle_words)), strict=False)))
    )
    return np.array(sketch.digest(), dtype="<u4").astype("<u2").tobytes()


def figures(questions: Iterable[str]) -> str:
    """The figures in the questions of a sum, sorted, each as often as it is there; 1,000 is 1000."""
    return " ".join(sorted(found.replace(",", "") for found in _FIGURE.findall(normalised(" ".join(questions)))))


def origin_of(source: Row, language: str) -> str:
    """What a sample was made of: rows of one origin stay on one side of the split. Raises ValueError."""
    match source["kind"]:
        case "wikipedia":
            return f"article:{language}:{_given(source, 'page_id')}"
        case "english":
            return f"row:{_given(source, 'dataset')}:{_given(source, 'row_id')}"
        case kind:
            raise ValueError(f"source.kind is {kind!r}, not 'wikipedia' or 'english'")


def _given(source: Row, name: str) -> object:
    value = source[name]
    if value is None:
        raise ValueError(f"source.{name} is null in a sample of kind {source['kind']!r}")
    return value


def _features(row: Row, language: str, shingle_words: int) -> Row:
    if row["language"] != language:
        raise ValueError(f"language is {row['language']!r} in a night of {language!r}")
    if row["subset"] not in SUBSETS:
        raise ValueError(f"subset is {row['subset']!r}, not one of {', '.join(SUBSETS)}")
    source = cast(Row, row["source"])
    teacher = cast(Row | None, row["teacher"])
    messages = cast(list[MessageRow], row["messages"])
    questions = [message["content"] for message in messages if message["role"] == "user"]
    answers = [message["content"] for message in messages if message["role"] == "assistant"]
    text = normalised(_BETWEEN_MESSAGES.join(message["content"] for message in messages))
    return {
        "id": row["id"],
        "subset": row["subset"],
        "turns": len(answers),
        "question_tokens": sum(map(count_tokens, questions)),
        "answer_tokens": sum(map(count_tokens, answers)),
        "text_key": text_key(text),
        "signature": signature(text, shingle_words),
        "figures": figures(questions) if row["subset"] == "math" else None,
        "origin": origin_of(source, language),
        "licence": source["licence"],
        "scores": row["scores"],
        "revision_id": source["revision_id"],
        "passage_start": source["passage_start"],
        "passage_end": source["passage_end"],
        "title": source["title"],
        "url": source["url"],
        "categories": source["categories"],
        "model": teacher["model"] if teacher is not None else None,
    }


def _struct_of(name: str, fields: tuple[str, ...]) -> pa.Field:
    whole = SAMPLES.schema.field(name)
    return pa.field(name, pa.struct([whole.type.field(field) for field in fields]), whole.nullable)


_EXPECTED = {
    **{name: SAMPLES.schema.field(name) for name in ("id", "language", "subset", "messages", "scores")},
    "source": _struct_of("source", _OF_SOURCE),
    "teacher": _struct_of("teacher", ("model",)),
}


def _check_columns(path: str, schema: pa.Schema) -> None:
    for name, field in _EXPECTED.items():
        place = schema.get_field_index(name)
        if place < 0 or schema.field(place).type != field.type:
            found = "no such column" if place < 0 else str(schema.field(place).type)
            raise SchemaMismatch(f"{path}: column {name!r}: {found} instead of {field.type}; publish this night again")
