"""Choose: the English rows that a night adds to the language's budget, once, so that every later try has the same."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import count

import numpy as np

from ultralink.errors import NothingNew
from ultralink.pool.prune import choose
from ultralink.pool.row import Kind
from ultralink.schemas import CHOICE
from ultralink.stages.edition import complete_editions, pool_part
from ultralink.stages.night import Night
from ultralink.stages.partition import Built
from ultralink.store import Row, fingerprint

log = logging.getLogger(__name__)


def choose_rows(night: Night) -> Built:
    """Write the CHOICE part of the night: rows of the newest complete pool that no other night has.

    A report beside it says what each stratum (type and cluster) of the pool has given.

    A choice with the same amounts and seed stays, even in a rebuild and when the pool has grown. A dry run's
    choice is kept aside. Raises NothingNew (no pool yet, or the budget is used up).
    """
    part, agnostic = night.part(CHOICE), night.recipe.agnostic
    budgets = agnostic.model_dump(mode="json", include={"seed", *Kind})
    made_by = fingerprint(CHOICE.version, dict(night.rows), budgets)
    real = night.store.part(CHOICE, night.language, night.date)
    kept = real.stamp()
    if kept is not None and kept.fingerprint == made_by:
        if night.dry_run:
            part.write(real.rows(), made_by)
        return Built((part.path,), f"{kept.rows} English rows were already chosen for {night.date}")
    editions = complete_editions(night.store)
    if not editions:
        raise NothingNew("There is no English pool yet: run ultralink_english_pool first.")
    edition, taken = editions[-1], _chosen_by_other_nights(night)
    choices = {kind: _choose(night, kind, edition, taken[kind]) for kind in Kind}
    chosen = {kind: choice.added for kind, choice in choices.items()}
    if not any(chosen.values()):
        raise NothingNew(f"The budget for {night.language} is used up, or the pool of {edition} has no other row.")
    position = count()
    with part.writer(made_by) as rows:
        for kind in Kind:
            for row in _rows(night, kind, edition, chosen[kind]):
                rows.add({"position": next(position), "edition": edition, **row})
    report = f"{part.path.rpartition('/')[0]}.json"
    night.store.write_text(report, json.dumps({kind: choices[kind].report for kind in Kind}, indent=1))
    amounts = ", ".join(f"{len(chosen[kind])} {kind}" for kind in Kind)
    return Built((part.path, report), f"Chosen of the pool of {edition}: {amounts}")


@dataclass(frozen=True)
class _Added:
    """Ids of the rows of one kind that the night adds, and what each stratum of the pool has given so far."""

    added: set[str]
    report: list[dict[str, object]]


_NONE = _Added(set(), [])


def _chosen_by_other_nights(night: Night) -> dict[Kind, set[str]]:
    taken: dict[Kind, set[str]] = {kind: set() for kind in Kind}
    for date in night.store.dates(CHOICE, night.language):
        if date != night.date:
            for row in night.store.part(CHOICE, night.language, date).rows(["id", "kind"]):
                taken[Kind(str(row["kind"]))].add(str(row["id"]))
    return taken


def _choose(night: Night, kind: Kind, edition: str, before: set[str]) -> _Added:
    budget = getattr(night.recipe.agnostic, kind).budget
    tonight = min(night.rows.get(kind, 0), budget - len(before))
    if tonight <= 0:
        return _NONE
    ids: list[str] = []
    types: list[str] = []
    clusters: list[int] = []
    for batch in pool_part(night.store, edition, kind).batches(["id", "source", "type", "cluster"]):
        ids += batch.column("id").to_pylist()
        types += map("/".join, zip(batch.column("source").to_pylist(), batch.column("type").to_pylist(), strict=True))
        clusters += batch.column("cluster").to_pylist()
    if not ids:
        return _NONE
    amount = sum(each in before for each in ids) + tonight  # rows chosen before may have left the pool
    choice = choose(ids, types, np.array(clusters), before, amount, night.recipe.agnostic.seed)
    added = {ids[position] for position in choice.rows} - before
    log.info("%s: %s", kind, choice.said())
    return _Added(added, [asdict(stratum) for stratum in choice.strata])


def _rows(night: Night, kind: Kind, edition: str, wanted: set[str]) -> Iterator[Row]:
    """The chosen rows in the pool's order, without what belongs to the pool alone."""
    if wanted:
        part = pool_part(night.store, edition, kind)
        names = [name for name in CHOICE.schema.names if name not in {"position", "edition"}]
        for batch in part.batches(names):
            mask = [each in wanted for each in batch.column("id").to_pylist()]
            if any(mask):
                yield from batch.filter(mask).to_pylist()
