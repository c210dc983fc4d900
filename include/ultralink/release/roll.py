"""The roll: all rows of a release in the plan's order, in columns; what duplicates are looked for in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ultralink.release.plan import SourcePart
from ultralink.store import Part, Row


@dataclass(frozen=True)
class Copy:
    """That a row of the roll repeats an earlier one that stays. ``similarity``: 1 for the same text."""

    row: int
    of: int
    reason: str
    similarity: float | None = None


@dataclass(frozen=True)
class Roll:
    """Names of all rows: ``nights[number]`` is the place of a row's night in ``sources``. About 100 bytes a row."""

    sources: Sequence[SourcePart]
    starts: NDArray[np.int64]  # first row of each night
    nights: NDArray[np.int32]
    ids: pa.Array
    subsets: pa.Array  # dictionary

    @classmethod
    def of(cls, sources: Sequence[SourcePart], features: Sequence[Part]) -> Roll:
        """Read it from the nights' FEATURES. Raises PartMissing, SchemaMismatch."""
        ids, subsets, counts = [], [], []
        for part in features:
            count = 0
            for batch in part.batches(["id", "subset"]):
                ids.append(batch.column("id").cast(pa.large_string()))
                subsets.append(batch.column("subset").dictionary_encode())
                count += len(batch)
            counts.append(count)
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64)
        return cls(
            sources=sources,
            starts=starts[: len(counts)],
            nights=np.repeat(np.arange(len(counts), dtype=np.int32), counts),
            ids=pa.chunked_array(ids, pa.large_string()).combine_chunks(),
            subsets=_joined(subsets),
        )

    def __len__(self) -> int:
        return len(self.nights)

    def removed(self, stage: Literal["exact", "near"], copy: Copy) -> Row:
        """A row of REMOVED."""
        night, other = self.nights[copy.row], self.sources[self.nights[copy.of]]
        source = self.sources[night]
        return {
            "language": source.language,
            "date": source.date,
            "row": int(copy.row - self.starts[night]),
            "id": self.ids[copy.row].as_py(),
            "subset": self.subsets[copy.row].as_py(),
            "stage": stage,
            "reason": copy.reason,
            "duplicate_of": self.ids[copy.of].as_py(),
            "duplicate_of_language": other.language,
            "duplicate_of_date": other.date,
            "similarity": copy.similarity,
            "item": None,
            "detail": None,
        }


def _joined(parts: list[pa.DictionaryArray]) -> pa.Array:
    kind = pa.dictionary(pa.int32(), pa.string())
    return pa.chunked_array(parts, kind).unify_dictionaries().combine_chunks() if parts else pa.array([], kind)
