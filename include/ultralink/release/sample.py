"""The rows whose words are measured: a fixed draw of a thousand a subset, in blocks, so that few texts are read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import cast

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ultralink.release.diversity import LEAST_WORDS, hdd, mtld
from ultralink.release.segment import words
from ultralink.release.statistics import Diversity
from ultralink.schemas import MessageRow
from ultralink.store import Part

ROWS = 1000  # of a language and subset
_BLOCK = 256  # rows that lie together in a part's file
_OF_BLOCK = 64  # rows that are taken of one block where there are many, so that the draw is from several places

Chosen = NDArray[np.int64]  # rows of a night, in order


def chosen_rows(language: str, nights: Mapping[str, NDArray[np.int64]]) -> dict[str, Chosen]:
    """Up to ROWS of the rows of all nights (by date, each in order), drawn by hashes of their places alone."""
    blocks = {(date, int(block[0]) // _BLOCK): block for date, rows in nights.items() for block in _blocks(rows)}
    share = max(_OF_BLOCK, -(-ROWS // max(len(blocks), 1)))
    found: dict[str, list[int]] = {}
    left = ROWS
    for date, number in sorted(blocks, key=lambda key: _hash(f"{language} {key[0]} {key[1]}")):
        block = blocks[date, number].tolist()
        taken = sorted(block, key=lambda row: _hash(f"{language} {date} row {row}"))[: min(share, left)]
        left -= len(taken)
        found.setdefault(date, []).extend(taken)
        if not left:
            break
    return {date: np.array(sorted(rows), dtype=np.int64) for date, rows in found.items()}


def _blocks(rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    return np.split(rows, np.flatnonzero(np.diff(rows // _BLOCK)) + 1) if len(rows) else []


def _hash(key: str) -> bytes:
    return hashlib.blake2b(key.encode(), digest_size=8).digest()


def measured(nights: Iterable[tuple[Part, Chosen, str]]) -> Diversity:
    """The mean diversity of the chosen rows of SAMPLES parts, each with its language.

    Of a row, all questions and answers are one text. Texts of fewer than 50 words are not measured.
    """
    mtlds, hdds = [], []
    for part, chosen, language in nights:
        for text in _texts(part, chosen):
            found = words(text, language)
            if found is not None and len(found) >= LEAST_WORDS:
                mtlds.append(mtld(found))
                hdds.append(hdd(found))
    if not mtlds:
        return Diversity(rows=0, mtld=None, hdd=None)
    return Diversity(rows=len(mtlds), mtld=round(fmean(mtlds), 2), hdd=round(fmean(hdds), 4))


def _texts(part: Part, chosen: Chosen) -> Iterable[str]:
    """The chosen rows' messages; only the row groups that hold one are read."""
    with part.store.fs.open(part.path, "rb") as handle, pq.ParquetFile(handle) as file:
        ends = np.cumsum([file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)])
        groups = np.searchsorted(ends, chosen, side="right")
        for group in np.unique(groups):
            first = int(ends[group - 1]) if group else 0
            table = file.read_row_group(int(group), columns=["messages"])
            for messages in table["messages"].take(chosen[groups == group] - first).to_pylist():
                yield "\n".join(message["content"] for message in cast(list[MessageRow], messages))
