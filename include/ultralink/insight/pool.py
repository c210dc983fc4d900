"""The funnel of an edition of the English pool: from the rows of its sources to the rows that are drawn from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from ultralink.insight.damage import Damages
from ultralink.insight.funnel import Funnel, Level, Reason, Rows, by_frequency, rejects_of
from ultralink.pool.row import Kind
from ultralink.pool.rows import LANGUAGE
from ultralink.schemas import (
    DISTINCT_ROWS,
    DUPLICATES,
    ENGLISH_REJECTS,
    ENGLISH_ROWS,
    POOL,
    POOL_REJECTS,
    SCREEN_REJECTS,
    SCREENED_ROWS,
)
from ultralink.stages.edition import SHARD_OF, PoolStatistics
from ultralink.store import Store

POOL_STAGES = (
    ENGLISH_ROWS, ENGLISH_REJECTS, DISTINCT_ROWS, DUPLICATES, SCREENED_ROWS, SCREEN_REJECTS, POOL, POOL_REJECTS,
)  # fmt: skip
_STEPS = (ENGLISH_ROWS.name, DISTINCT_ROWS.name, SCREENED_ROWS.name)  # at which a row may be turned away, in order


def pool_funnels(
    store: Store,
    date: str,
    rows: Rows,
    statistics: PoolStatistics | None,
    sources: Sequence[Kind],
    damages: Damages,
) -> list[Funnel]:
    """The funnel of each kind of rows. ``sources``: the kind of each source of the recipe.

    Of a published edition all is told by its rows and rejects, for the parts between may be tidied away.
    """
    stages = (POOL_REJECTS,) if statistics else (ENGLISH_REJECTS, DUPLICATES, SCREEN_REJECTS)
    parts = [part for stage in stages for part in store.parts(stage, LANGUAGE, date)]
    rejects = rejects_of(parts, damages)
    has_rejects = statistics is None or bool(rows.total(POOL_REJECTS) is not None and parts)
    found = []
    for kind in Kind:
        mine = Counter({key: amount for key, amount in rejects.items() if key[0] == kind.subset})
        if statistics is None:
            levels = _in_the_making(rows, kind, sources)
        elif has_rejects:
            levels = _published(statistics.rows.get(kind, 0), mine)
        else:
            levels = (Level("rows in the pool", statistics.rows.get(kind, 0)),)
        reasons = by_frequency(Reason(stage, gate, why, amount) for (_, stage, gate, why), amount in mine.items())
        found.append(Funnel(kind.subset, levels, reasons))
    return [funnel for funnel in found if any(level.rows is not None for level in funnel.levels)]


def _in_the_making(rows: Rows, kind: Kind, sources: Sequence[Kind]) -> tuple[Level, ...]:
    mine = [number for number, of in enumerate(sources) if of is kind]
    whole = _sum(rows.shard(ENGLISH_ROWS, number) for number in mine)
    unclean = _sum(rows.shard(ENGLISH_REJECTS, number) for number in mine)
    levels = (
        Level("rows of its sources", None if whole is None else whole + (unclean or 0)),
        Level("whole and clean", whole),
        Level("distinct", rows.shard(DISTINCT_ROWS, SHARD_OF[kind])),
    )
    return (*levels, Level("bound to no culture", rows.total(SCREENED_ROWS))) if kind is Kind.CHAT else levels


def _published(kept: int, rejects: Counter[tuple[str, str, str, str]]) -> tuple[Level, ...]:
    at = Counter[str]()
    for (_, stage, _, _), amount in rejects.items():
        at[stage] += amount
    unclean, double, bound = (at[step] for step in _STEPS)
    levels = (
        Level("rows of its sources", kept + bound + double + unclean),
        Level("whole and clean", kept + bound + double),
        Level("distinct", kept + bound),
    )
    return (*levels, Level("rows in the pool", kept))


def _sum(amounts: Iterable[int | None]) -> int | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if known else None
