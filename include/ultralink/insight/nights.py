"""All published nights of all languages, by their statistics."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import PurePosixPath

from ultralink.insight.held import Held
from ultralink.stages.edition import PoolStatistics
from ultralink.stages.partition import is_date
from ultralink.stages.statistics import Statistics
from ultralink.store import Store

Nights = Mapping[str, Mapping[str, Statistics | None]]
"""By language and date; None is a night whose statistics cannot be read."""

_POOL = "pool"

_nights = Held(Statistics.model_validate_json)
_editions = Held(PoolStatistics.model_validate_json)


def published(store: Store) -> Nights:
    """Every night that was published."""
    found: dict[str, dict[str, Statistics | None]] = defaultdict(dict)
    for path, statistics in _nights.below(store, "statistics", without=_POOL).items():
        language, date = PurePosixPath(path).parent.name, PurePosixPath(path).stem
        if is_date(date):
            is_own = statistics is not None and (statistics.language, statistics.date) == (language, date)
            found[language][date] = statistics if is_own else None
    return found


def editions(store: Store) -> dict[str, PoolStatistics | None]:
    """Every edition of the English pool, by date."""
    return {PurePosixPath(path).stem: edition for path, edition in _editions.below(store, "statistics", _POOL).items()}
