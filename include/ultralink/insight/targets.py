"""Totals per subset against the recipe's target, and the date at which the target is reached at the present pace."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from math import ceil

from ultralink.pool.row import Kind
from ultralink.pool.rows import LANGUAGE as ENGLISH
from ultralink.recipe import Recipe
from ultralink.release.paper import TABLE_1
from ultralink.stages.statistics import Statistics, Subset

CHAT_SPECIFIC = "chat_specific"
PACE_NIGHTS = 7

_PAPER = [row[CHAT_SPECIFIC] * 1000 for language, row in TABLE_1.items() if language != ENGLISH]


@dataclass(frozen=True)
class Progress:
    """One subset of one language.

    A target counts English rows *taken*, as the recipe's budget does: a rejected row is not replaced. So
    ``taken`` is samples and rejects together, ``per_night`` is its mean pace, and ``reached`` the date at which
    all is taken at that pace: None without a target or a pace. ``orientation`` is the paper's range, for a subset
    that has no target.
    """

    subset: str
    samples: int
    taken: int
    target: int | None
    per_night: float
    samples_per_night: float
    reached: date | None
    orientation: tuple[int, int] | None

    @property
    def share(self) -> float | None:
        """Of the target, taken: 0 to 1."""
        return min(1.0, self.taken / self.target) if self.target else None

    @property
    def is_reached(self) -> bool:
        """Whether all is taken."""
        return self.target is not None and self.taken >= self.target


def target_of(recipe: Recipe, subset: str) -> int | None:
    """The recipe's budget for ``subset``, in rows; None where it has none."""
    if subset == CHAT_SPECIFIC or (recipe.translation is None and recipe.language != ENGLISH):
        return None
    kind = next(kind for kind in Kind if kind.subset == subset)
    return int(getattr(recipe.agnostic, kind).budget) or None


def progress(recipe: Recipe, nights: Iterable[Statistics], today: date) -> list[Progress]:
    """Every subset of ``recipe``'s language, from all its ``nights``; the pace is that of the last PACE_NIGHTS."""
    ordered = sorted(nights, key=lambda night: night.date)
    return [_progress(recipe, ordered, subset, today) for subset in (CHAT_SPECIFIC, *(kind.subset for kind in Kind))]


def _progress(recipe: Recipe, nights: Sequence[Statistics], subset: str, today: date) -> Progress:
    counts = [(night.date, night.subsets.get(subset, Subset())) for night in nights]
    taken = sum(_taken(count) for _, count in counts)
    recent = _recent(counts)
    days = _days(counts)
    per_night = sum(map(_taken, recent)) / days
    target = target_of(recipe, subset)
    return Progress(
        subset=subset,
        samples=sum(count.samples for _, count in counts),
        taken=taken,
        target=target,
        per_night=per_night,
        samples_per_night=sum(count.samples for count in recent) / days,
        reached=_reached(taken, target, per_night, today),
        orientation=(min(_PAPER), max(_PAPER)) if target is None and subset == CHAT_SPECIFIC else None,
    )


def _taken(count: Subset) -> int:
    return count.samples + sum(count.rejects.values())


def _recent(counts: Sequence[tuple[str, Subset]]) -> list[Subset]:
    """The counts of the PACE_NIGHTS days that end with the newest night."""
    if not counts:
        return []
    first = date.fromisoformat(counts[-1][0]) - timedelta(days=PACE_NIGHTS - 1)
    return [count for day, count in counts if date.fromisoformat(day) >= first]


def _days(counts: Sequence[tuple[str, Subset]]) -> int:
    """Nights that the pace is a mean of: one that is missing among them counts, as nothing."""
    if not counts:
        return 1
    return min(PACE_NIGHTS, (date.fromisoformat(counts[-1][0]) - date.fromisoformat(counts[0][0])).days + 1)


def _reached(taken: int, target: int | None, per_night: float, today: date) -> date | None:
    if target is None or taken >= target or per_night <= 0:
        return None
    try:
        return today + timedelta(days=ceil((target - taken) / per_night))
    except OverflowError:
        return None
