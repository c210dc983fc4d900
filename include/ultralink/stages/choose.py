"""Choose: the English rows that a night adds to the language's budget, once, so that every later try has the same."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import count

import numpy as np
import pyarrow as pa

from ultralink.errors import NothingNew, PoolChanged
from ultralink.pool.prune import choose
from ultralink.pool.row import Kind
from ultralink.pool.rows import LANGUAGE
from ultralink.schemas import CHOICE
from ultralink.stages.edition import complete_editions, pool_part
from ultralink.stages.night import Night
from ultralink.stages.partition import Built
from ultralink.store import Part, Row, fingerprint

log = logging.getLogger(__name__)


def choose_rows(night: Night) -> Built:
    """Write the CHOICE part of the night: rows of the newest complete pool that no other night has.

    A report beside it says what each stratum (type and cluster) of the pool has given.

    A choice with the same amounts and seed stays, even in a rebuild and when the pool has grown; with larger ones it
    is added to. A dry run's choice is kept aside. Raises NothingNew (no pool yet, or nothing to take), and
    PoolChanged, where the edition was made anew while it was read.
    """
    part = night.part(CHOICE)
    if night.recipe.translation is None and night.language != LANGUAGE:
        raise NothingNew(f"The recipe of {night.language!r} has no section translation: it takes no English rows.")
    if not any(night.rows.values()):
        raise NothingNew("This run was started for no English rows.")
    made_by = fingerprint(CHOICE.version, dict(night.rows), night.recipe.agnostic.seed)
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
    own = _own(real) if kept is not None else {kind: [] for kind in Kind}
    choices = {kind: _choose(night, kind, edition, taken[kind], own[kind]) for kind in Kind}
    if not any(choice.kept or choice.added for choice in choices.values()):
        raise NothingNew(f"The budget for {night.language} is used up, or the pool of {edition} has no other row.")
    position = count()
    with part.writer(made_by) as rows:
        for kind, choice in choices.items():
            for row in (*choice.kept, *_rows(night, kind, edition, choice.added)):
                rows.add({**row, "position": next(position)})
    report = f"{part.path.rpartition('/')[0]}.json"
    night.store.write_text(report, json.dumps({kind: choices[kind].report for kind in Kind}, indent=1))
    amounts = ", ".join(f"{len(choice.kept) + len(choice.added)} {kind}" for kind, choice in choices.items())
    return Built((part.path, report), f"Chosen of the pool of {edition}: {amounts}")


@dataclass(frozen=True)
class _Choice:
    """Of one kind: rows that the night had already, ids that it adds, and what each stratum has given so far."""

    kept: list[Row]
    added: set[str]
    report: list[dict[str, object]]


def _own(real: Part) -> dict[Kind, list[Row]]:
    """What the night chose before with other amounts: it may be paid for."""
    own: dict[Kind, list[Row]] = {kind: [] for kind in Kind}
    for row in real.rows():
        own[Kind(str(row["kind"]))].append(row)
    return own


def _chosen_by_other_nights(night: Night) -> dict[Kind, set[str]]:
    taken: dict[Kind, set[str]] = {kind: set() for kind in Kind}
    for date in night.store.dates(CHOICE, night.language):
        if date != night.date:
            for row in night.store.part(CHOICE, night.language, date).rows(["id", "kind"]):
                taken[Kind(str(row["kind"]))].add(str(row["id"]))
    return taken


def _choose(night: Night, kind: Kind, edition: str, before: set[str], own: list[Row]) -> _Choice:
    budget = getattr(night.recipe.agnostic, kind).budget
    tonight = max(0, min(night.rows.get(kind, 0), budget - len(before)))
    kept = own[:tonight]
    if len(kept) == tonight:
        return _Choice(kept, set(), [])
    ids: list[str] = []
    types: list[str] = []
    clusters: list[int] = []
    for batch in pool_part(night.store, edition, kind).batches(["id", "source", "type", "cluster"]):
        ids += batch.column("id").to_pylist()
        types += map("/".join, zip(batch.column("source").to_pylist(), batch.column("type").to_pylist(), strict=True))
        clusters += batch.column("cluster").to_pylist()
    if not ids:
        return _Choice(kept, set(), [])
    known = before | {str(row["id"]) for row in kept}
    amount = sum(each in known for each in ids) + tonight - len(kept)  # known rows may have left the pool
    choice = choose(ids, types, np.array(clusters), known, amount, night.recipe.agnostic.seed)
    log.info("%s: %s", kind, choice.said())
    added = {ids[position] for position in choice.rows} - known
    return _Choice(kept, added, [asdict(stratum) for stratum in choice.strata])


def _rows(night: Night, kind: Kind, edition: str, wanted: set[str]) -> Iterator[Row]:
    """The chosen rows in the pool's order, without what belongs to the pool alone."""
    found = 0
    if wanted:
        part = pool_part(night.store, edition, kind)
        names = [name for name in CHOICE.schema.names if name not in {"position", "edition"}]
        for batch in part.batches(names):
            mask = pa.array([each in wanted for each in batch.column("id").to_pylist()])
            for row in batch.filter(mask).to_pylist():
                found += 1
                yield {**row, "edition": edition}
    if found != len(wanted):
        raise PoolChanged(f"the {kind} rows of the pool of {edition} were made anew while they were read")
