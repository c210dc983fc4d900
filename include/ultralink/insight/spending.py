"""What was spent in which month: by the day on which answers were paid, not by the date of the night they are for."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from ultralink.stages.edition import PoolStatistics
from ultralink.stages.statistics import Statistics


@dataclass(frozen=True)
class Spend:
    """What was paid in a month, USD. ``unpriced`` nights of it had a model without a price, which is left out.

    ``undated`` nights do not say when they were paid: they count in the month of their date.
    """

    month: str  # 2026-11
    usd: float
    nights: int
    unpriced: int
    undated: int


def spend_by_month(published: Iterable[Statistics | PoolStatistics]) -> dict[str, Spend]:
    """What published nights and editions cost, by month, the newest first."""
    usd: dict[str, float] = defaultdict(float)
    nights, unpriced, undated = Counter[str](), Counter[str](), Counter[str]()
    for each in published:
        days = each.paid_usd or {each.date: each.cost_usd or 0.0}
        months = {day[:7] for day in days}
        for day, amount in days.items():
            usd[day[:7]] += amount
        nights.update(months)
        unpriced.update(months if each.cost_usd is None else ())
        undated.update(months if each.cost_usd and not each.paid_usd else ())
    return {
        month: Spend(month, usd[month], nights[month], unpriced[month], undated[month])
        for month in sorted(nights, reverse=True)
    }
