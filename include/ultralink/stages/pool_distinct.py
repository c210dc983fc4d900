"""Distinct: the rows of all sources without duplicates, exact and near; the first in the recipe's order stays."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from typing import cast

from ultralink.errors import PoolEmpty
from ultralink.pool.near import NearDuplicates
from ultralink.pool.row import Kind
from ultralink.pool.rows import StoredRow, english_row, reject, stored
from ultralink.schemas import DISTINCT_ROWS, DUPLICATES, ENGLISH_ROWS
from ultralink.stages.edition import SHARD_OF, Edition
from ultralink.stages.partition import Built
from ultralink.store import fingerprint


def keep_distinct(edition: Edition) -> Built:
    """Write DISTINCT_ROWS, one part per kind, and DUPLICATES; the chats come last and stand for all.

    Memory: the signatures of all rows. Raises PartMissing, PoolEmpty.
    """
    recipe = edition.recipe
    sources = edition.parts(ENGLISH_ROWS, len(recipe.sources))
    stamps = [part.stamp_or_missing("run read of this source first") for part in sources]
    if not any(stamp.rows for stamp in stamps):
        raise PoolEmpty("no source has a row that can be used: the rejects say why")
    made_by = fingerprint(
        DISTINCT_ROWS.version,
        DUPLICATES.version,
        [stamp.digest for stamp in stamps],
        recipe.near_duplicates.model_dump(mode="json"),
    )
    parts = {kind: edition.part(DISTINCT_ROWS, SHARD_OF[kind]) for kind in Kind}
    duplicates = edition.part(DUPLICATES)
    paths = (*(part.path for part in parts.values()), duplicates.path)
    if edition.up_to_date(parts[Kind.CHAT], made_by, sources):
        return Built(paths, "Nothing to do: the distinct rows are up to date")
    seen: Counter[str] = Counter()
    near = {kind: NearDuplicates(recipe.near_duplicates) for kind in Kind}
    with ExitStack() as writing:
        writers = {kind: writing.enter_context(parts[kind].writer(made_by)) for kind in Kind}
        removed = writing.enter_context(duplicates.writer(made_by))
        for part in sources:
            for raw in part.rows():
                row = english_row(cast(StoredRow, raw))
                original = near[row.kind].of(row)
                if original is None:
                    writers[row.kind].add(stored(row))
                else:
                    removed.add(reject(row, "distinct_rows", "duplicate", f"of {original}", made_by))
                seen[row.kind] += 1
    counts = ", ".join(f"{writers[kind].count} of {seen[kind]} {kind}" for kind in Kind)
    kept = sum(writer.count for writer in writers.values())
    return Built(paths, f"Distinct rows: {counts}; {removed.count} duplicates", kept, removed.count)
