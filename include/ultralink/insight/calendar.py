"""The calendar: languages by nights, each cell as strong as its figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from math import ceil

from ultralink.insight.nights import Nights
from ultralink.stages.statistics import Statistics

LEVELS = 5


class Metric(StrEnum):
    """What a cell shows. RUNS: how the night's run went, for which there is no figure."""

    SAMPLES = "samples"
    REJECTS = "rejects"
    COST = "cost"
    RUNS = "runs"

    def of(self, night: Statistics) -> float | None:
        """The night's figure; cost is in USD, None where a model without a price took part."""
        if self is Metric.COST:
            return night.cost_usd
        if self is Metric.RUNS:
            return None
        return night.samples if self is Metric.SAMPLES else night.rejects


@dataclass(frozen=True)
class Cell:
    """One language's night. ``level`` is 0 (nothing) to LEVELS; ``damaged``: its statistics cannot be read."""

    language: str
    date: str
    night: Statistics | None
    value: float | None
    level: int
    damaged: bool


def last_dates(until: date, amount: int) -> list[str]:
    """``amount`` dates, the last of them ``until``."""
    return [(until - timedelta(days=back)).isoformat() for back in range(amount - 1, -1, -1)]


def calendar(nights: Nights, languages: Sequence[str], dates: Sequence[str], metric: Metric) -> dict[str, list[Cell]]:
    """A row of cells per language. Levels are even steps up to the largest figure shown."""
    shown = [night for language in languages for night in _some(nights, language, dates) if night is not None]
    largest = max((metric.of(night) or 0 for night in shown), default=0)
    return {language: [_cell(nights, language, day, metric, largest) for day in dates] for language in languages}


def _some(nights: Nights, language: str, dates: Sequence[str]) -> list[Statistics | None]:
    known: Mapping[str, Statistics | None] = nights.get(language, {})
    return [known.get(day) for day in dates]


def _cell(nights: Nights, language: str, day: str, metric: Metric, largest: float) -> Cell:
    known: Mapping[str, Statistics | None] = nights.get(language, {})
    night = known.get(day)
    value = None if night is None else metric.of(night)
    level = ceil(LEVELS * value / largest) if value and largest else 0
    return Cell(language, day, night, value, level, damaged=day in known and night is None)
