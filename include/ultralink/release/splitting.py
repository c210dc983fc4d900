"""Which rows a release holds, and on which side: removal lists joined, and a split by a stable hash of the source."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ultralink.schemas import REMOVED

TRAIN, VALIDATION = "train", "validation"
SPLITS = (TRAIN, VALIDATION)
FINDING_STAGES = ("decontaminate", "privacy", "blocklist")  # of several reasons against a row the first is told


def split_of(origin: str, validation_share: float) -> str:
    """The side of all rows of ``origin``: the same in every release, whatever else is in it."""
    drawn = int.from_bytes(hashlib.blake2b(origin.encode(), digest_size=8).digest(), "big")
    return VALIDATION if drawn < validation_share * 2**64 else TRAIN


def removals_of_findings(findings: pa.Table, language: str, date: str) -> pa.Table:
    """Rows of REMOVED for the FINDINGS of one night that remove; the first of FINDING_STAGES first."""
    removing = findings.filter(findings["removes"])
    rank = pc.fill_null(pc.index_in(removing["stage"], pa.array(FINDING_STAGES)), len(FINDING_STAGES))
    removing = removing.take(pa.array(np.argsort(rank.to_numpy(), kind="stable")))
    told = {name: removing[name] for name in removing.column_names}
    told["language"] = pa.repeat(pa.scalar(language), len(removing))
    told["date"] = pa.repeat(pa.scalar(date), len(removing))
    columns = [told.get(field.name, pa.nulls(len(removing), field.type)) for field in REMOVED.schema]
    return pa.table(columns, schema=REMOVED.schema)


def survivors_named(exact: pa.Table, near: pa.Table) -> pa.Table:
    """``exact``, rows of REMOVED, with the row that stays wherever the one that is named is in ``near``."""
    original = ("duplicate_of_language", "duplicate_of_date", "duplicate_of")
    went = {(row["language"], row["date"], row["id"]): row for row in near.to_pylist()}
    rows = exact.to_pylist()
    for row in rows:
        if by_way_of := went.get(tuple(row[name] for name in original)):
            told = {"similarity": by_way_of["similarity"], "detail": f"of {row['duplicate_of']}, which went itself"}
            row |= {name: by_way_of[name] for name in original} | told
    return pa.Table.from_pylist(rows, REMOVED.schema)


def first_reasons(lists: Iterable[pa.Table]) -> pa.Table:
    """The rows of REMOVED of one night, one for each row number, in their order: the first list's reason wins."""
    joined = pa.concat_tables(lists)
    _, first = np.unique(joined["row"].to_numpy(), return_index=True)
    return joined.take(pa.array(first))


def kept_rows(rows: int, removed: NDArray[np.int64]) -> NDArray[np.int64]:
    """The numbers below ``rows`` that are not ``removed``, ascending."""
    kept = np.ones(rows, dtype=bool)
    kept[removed] = False
    return np.flatnonzero(kept)
