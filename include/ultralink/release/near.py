"""Near duplicates: of rows whose n-grams are nearly the same the first stays, found by MinHash in linear time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ultralink.pool.near import PERMUTATIONS, bands
from ultralink.release.plan import SourcePart
from ultralink.release.roll import Copy
from ultralink.store import Part

_AT_ONCE = 1 << 16  # rows whose bands are hashed at a time
# Rows that stay and have one band in common, and that a later row with this band is compared with: the first ones.
# Texts that share so much with hundreds that are no duplicates of each other have their own words to be found by in
# other bands; without a bound the work would grow with the square of such a group.
_COMPARED = 256

Signatures = NDArray[np.uint16]


@dataclass(frozen=True)
class Sketches:
    """Per row of the roll: its signature, its figures and what it was made of. About 260 bytes a row."""

    signatures: Signatures  # rows x PERMUTATIONS; all zero where there is none
    compared: NDArray[np.bool_]  # False: a row without signature, or that is out already
    origins: NDArray[np.int64]  # hashes
    languages: NDArray[np.int16]
    figures: pa.Array  # strings; null for a row that is no sum

    @classmethod
    def of(cls, sources: Sequence[SourcePart], features: Sequence[Part], out: NDArray[np.int64]) -> Sketches:
        """Read them from the nights' FEATURES; ``out``: rows that are out. Raises PartMissing, SchemaMismatch."""
        rows = sum(source.rows for source in sources)
        names = sorted({source.language for source in sources})
        figures = [batch.column("figures") for part in features for batch in part.batches(["figures"])]
        sketches = cls(
            signatures=np.zeros((rows, PERMUTATIONS), np.uint16),
            compared=np.ones(rows, bool),
            origins=np.zeros(rows, np.int64),
            languages=np.zeros(rows, np.int16),
            figures=pa.chunked_array(figures, pa.string()).cast(pa.large_string()).combine_chunks(),
        )
        start = 0
        for source, part in zip(sources, features, strict=True):
            for batch in part.batches(["signature", "origin"]):
                here = slice(start, start + len(batch))
                found = batch.column("signature").to_pylist()
                joined = b"".join(each or bytes(2 * PERMUTATIONS) for each in found)
                sketches.signatures[here] = np.frombuffer(joined, "<u2").reshape(-1, PERMUTATIONS)
                sketches.compared[here] = [each != b"" for each in found]
                sketches.origins[here] = [hash(each) for each in batch.column("origin").to_pylist()]
                sketches.languages[here] = names.index(source.language)
                start = here.stop
        sketches.compared[out] = False
        return sketches

    def first_same(self, row: int, similar: NDArray[np.int32]) -> int | None:
        """The first of ``similar`` that is no other sum than ``row``."""
        mine = self.figures[row].as_py()
        figures = self.figures.take(pa.array(similar)).to_pylist() if mine is not None else [None] * len(similar)
        pairs = zip(similar.tolist(), figures, strict=True)
        return next((place for place, others in pairs if not _are_other_sums(mine, others)), None)


def _are_other_sums(mine: str | None, others: str | None) -> bool:
    """Whether two rows are sums, and each asks with a figure that the other has not."""
    if mine is None or others is None or mine == others:
        return False
    here, there = mine.split(), others.split()
    return len(here) == len(there) or bool(Counter(here) - Counter(there) and Counter(there) - Counter(here))


def near_copies(sketches: Sketches, threshold: float) -> Iterator[Copy]:
    """Which rows are similar to an earlier one that stays, in order: to the first such row.

    Similar: at least ``threshold`` of the two signatures is equal, and so is one band of it at least. Translations
    of one English row into several languages are not compared, nor are sums that are alike but for their figures.
    Time is linear in rows, whatever they hold.
    """
    least = math.ceil(threshold * PERMUTATIONS - 1e-9)
    groups = _Groups.of(sketches, bands(threshold))
    signatures, origins, languages = sketches.signatures, sketches.origins, sketches.languages
    for row, mine in groups:
        earlier = groups.kept(mine)
        if len(earlier):
            equal = np.count_nonzero(signatures[earlier] == signatures[row], axis=1)
            equal[(origins[earlier] == origins[row]) & (languages[earlier] != languages[row])] = 0
            first = sketches.first_same(row, np.unique(earlier[equal >= least]))
            if first is not None:
                yield Copy(row, first, "similar text", float(equal[earlier == first][0]) / PERMUTATIONS)
                continue
        groups.keep(row, mine)


class _Groups:
    """Rows that have a band in common, by band; of each group, those of its rows that stay, in order."""

    def __init__(self, rows: NDArray[np.int64], of_row: NDArray[np.int32], sizes: NDArray[np.int64]) -> None:
        self._rows = rows  # those that are in a group, ascending
        self._of_row = of_row  # per such row and band: the group, -1 for none
        self._places = np.minimum(sizes, _COMPARED).astype(np.int32)
        self._starts = (np.cumsum(self._places) - self._places).astype(np.int32)
        self._filled = np.zeros(len(sizes), np.int32)
        self._members = np.zeros(int(self._places.sum()), np.int32)

    @classmethod
    def of(cls, sketches: Sketches, number: int) -> _Groups:
        compared = np.flatnonzero(sketches.compared)
        of_row = np.full((len(compared), number), -1, np.int32)
        sizes = [np.zeros(0, np.int64)]
        groups = 0
        for band in range(number):
            shared, members = _shared(_band(sketches.signatures, compared, band, number))
            of_row[shared, band] = members + groups
            sizes.append(np.bincount(members))
            groups += len(sizes[-1])
        grouped = np.flatnonzero((of_row >= 0).any(axis=1))
        return cls(compared[grouped], of_row[grouped], np.concatenate(sizes))

    def __iter__(self) -> Iterator[tuple[int, NDArray[np.int32]]]:
        """Each row that is in a group, and its groups."""
        for row, groups in zip(self._rows, self._of_row, strict=True):
            yield int(row), groups[groups >= 0]

    def kept(self, groups: NDArray[np.int32]) -> NDArray[np.int32]:
        """The rows that stay in any of ``groups``, some of them more than once."""
        groups = groups[self._filled[groups] > 0]
        starts = self._starts[groups]
        ends = starts + self._filled[groups]
        found = [self._members[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
        return np.concatenate(found) if found else self._members[:0]

    def keep(self, row: int, groups: NDArray[np.int32]) -> None:
        """``row`` stays in ``groups``, as far as they have room for it."""
        groups = groups[self._filled[groups] < self._places[groups]]
        self._members[self._starts[groups] + self._filled[groups]] = row
        self._filled[groups] += 1


def _band(signatures: Signatures, rows: NDArray[np.int64], band: int, number: int) -> NDArray[np.uint64]:
    """One number for a band of each of ``rows``: equal where the band is, and hardly ever elsewhere."""
    width = PERMUTATIONS // number
    numbers = np.zeros(len(rows), np.uint64)
    for start in range(0, len(rows), _AT_ONCE):
        here = slice(start, start + _AT_ONCE)
        for column in signatures[rows[here], band * width : (band + 1) * width].T:
            numbers[here] = _mixed(numbers[here] ^ column)
    return numbers


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A one-to-one scrambling of 64 bits (the finalizer of MurmurHash3)."""
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        numbers = (numbers ^ (numbers >> np.uint64(33))) * np.uint64(factor)
    return numbers ^ (numbers >> np.uint64(33))


def _shared(numbers: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The places whose number occurs more than once, and for each the number's rank among such numbers."""
    order = np.argsort(numbers, kind="stable")
    ordered = numbers[order]
    like_previous = np.zeros(len(numbers) + 1, dtype=bool)
    like_previous[1:-1] = ordered[1:] == ordered[:-1]
    shared = like_previous[:-1] | like_previous[1:]
    ranks = np.cumsum(shared & ~like_previous[:-1]) - 1
    return order[shared], ranks[shared]
