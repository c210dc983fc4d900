"""Exact duplicates: rows with the text, id, English row, article revision or passage of an earlier row that stays."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ultralink.release.plan import SourcePart
from ultralink.release.roll import Copy
from ultralink.store import Part

_COLUMNS = ["text_key", "origin", "revision_id", "passage_start", "passage_end", "id"]
NONE = 0  # the key of a row that has none of this kind
_REVISION = "same article revision"

Keys = NDArray[np.int64]


@dataclass(frozen=True)
class ExactKeys:
    """Per row of the roll, by what it may be the copy of another: hashes of 64 bits, 0 for a row without such a key.

    Equal hashes are taken for equal keys: of 1,032,000 rows, two that are not meet with a chance of 3 in 10^8.
    """

    text: Keys
    english_row: Keys  # of language and English row
    revision: Keys  # of language, page and revision
    passage: Keys  # of revision and place in it
    id: Keys
    nights: NDArray[np.int32]

    @classmethod
    def of(cls, sources: Sequence[SourcePart], features: Sequence[Part]) -> ExactKeys:
        """Read them from the nights' FEATURES; 44 bytes a row. Raises PartMissing, SchemaMismatch."""
        columns = [array("q") for _ in range(5)]
        rows = []
        for source, part in zip(sources, features, strict=True):
            before = len(columns[0])
            for batch in part.batches(_COLUMNS):
                for column, hashes in zip(columns, _hashes(batch, source.language), strict=True):
                    column.extend(hashes)
            rows.append(len(columns[0]) - before)
        text, english_row, revision, passage, id_ = (np.frombuffer(column, np.int64) for column in columns)
        return cls(
            text=text,
            english_row=english_row,
            revision=revision,
            passage=passage,
            id=id_,
            nights=np.repeat(np.arange(len(rows), dtype=np.int32), rows),
        )


def exact_copies(keys: ExactKeys) -> Iterator[Copy]:
    """Which rows repeat an earlier one that stays, in order; looked for by text first and by id last.

    A translation that reads as its English row does is none: it is a copy.
    """
    seen = _Seen(keys)
    for row in _in_question(keys).tolist():
        copy = seen.copy(row)
        if copy is None:
            seen.keep(row)
        else:
            yield copy


@dataclass
class _Seen:
    """The first rows that stay, by key."""

    keys: ExactKeys
    texts: dict[int, int] = field(default_factory=dict)
    english_rows: dict[int, int] = field(default_factory=dict)
    revisions: dict[int, int] = field(default_factory=dict)
    passages: dict[int, int] = field(default_factory=dict)
    ids: dict[int, int] = field(default_factory=dict)

    def copy(self, row: int) -> Copy | None:
        keys = self.keys
        if (of := self.texts.get(int(keys.text[row]))) is not None:
            return Copy(row, of, "same text", similarity=1.0)
        if (of := self.english_rows.get(int(keys.english_row[row]))) is not None:
            return Copy(row, of, "same English row")
        if (of := self.passages.get(int(keys.passage[row]))) is not None:
            return Copy(row, of, "same passage" if keys.nights[of] == keys.nights[row] else _REVISION)
        if (of := self.revisions.get(int(keys.revision[row]))) is not None and keys.nights[of] != keys.nights[row]:
            return Copy(row, of, _REVISION)
        if (of := self.ids.get(int(keys.id[row]))) is not None:
            return Copy(row, of, "same id")
        return None

    def keep(self, row: int) -> None:
        keys = self.keys
        for seen, column in (
            (self.texts, keys.text),
            (self.english_rows, keys.english_row),
            (self.revisions, keys.revision),
            (self.passages, keys.passage),
            (self.ids, keys.id),
        ):
            if (key := int(column[row])) != NONE:
                seen.setdefault(key, row)


def _hashes(batch: pa.RecordBatch, language: str) -> tuple[list[int], ...]:
    """The keys of a batch of FEATURES, in the order of ExactKeys."""
    texts, origins, revisions, starts, ends, ids = (batch.column(name).to_pylist() for name in _COLUMNS)
    versions = [
        None if number is None else f"{origin} {number}" for origin, number in zip(origins, revisions, strict=True)
    ]
    places = [
        None if version is None or start is None else f"{version} {start} {end}"
        for version, start, end in zip(versions, starts, ends, strict=True)
    ]
    english = [f"{language} {origin}" if origin.startswith("row:") else None for origin in origins]
    return tuple([_key(value) for value in values] for values in (texts, english, versions, places, ids))


def _key(value: str | bytes | None) -> int:
    # The hash differs from process to process, but nothing is decided by it but equality.
    return NONE if value is None else hash(value) or 1


def _in_question(keys: ExactKeys) -> NDArray[np.int64]:
    """The rows that share any key with another row, ascending: the others need not be looked at one by one."""
    shares = np.zeros(len(keys.id), dtype=bool)
    for column in (keys.text, keys.english_row, keys.revision, keys.passage, keys.id):
        shares |= _repeated(column)
    return np.flatnonzero(shares)


def _repeated(column: Keys) -> NDArray[np.bool_]:
    order = np.argsort(column, kind="stable")
    ordered = column[order]
    like_previous = np.zeros(len(column) + 1, dtype=bool)
    like_previous[1:-1] = (ordered[1:] == ordered[:-1]) & (ordered[1:] != NONE)
    repeated = np.zeros(len(column), dtype=bool)
    repeated[order] = like_previous[:-1] | like_previous[1:]
    return repeated
