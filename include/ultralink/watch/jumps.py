"""Jumps: a night, or an edition of the pool, whose rejects or whose price stand out from those before it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePosixPath
from statistics import median
from typing import Protocol

from ultralink.recipe import Jump
from ultralink.stages.edition import complete_editions, read_pool_statistics
from ultralink.stages.statistics import Statistics, Subset, sound_statistics
from ultralink.store import Store
from ultralink.watch.pool import EditionFigures

log = logging.getLogger(__name__)

REASONS = 3  # named in a sentence about rejects


class Figures(Protocol):
    """What is compared; a night's Statistics have all of it."""

    @property
    def subsets(self) -> Mapping[str, Subset]:
        """Rows and rejects by subset."""

    @property
    def samples(self) -> int:
        """Rows of all subsets."""

    @property
    def rejects(self) -> int:
        """Rows that were turned away."""

    @property
    def calls(self) -> int:
        """Answers that were paid for."""

    @property
    def cost_usd(self) -> float | None:
        """What they cost; None: a model without a price took part."""


@dataclass(frozen=True)
class Words:
    """How one row, and the others that are compared with, are called."""

    row: str
    others: str


NIGHT, EDITION = Words("sample", "nights"), Words("row", "editions")


@dataclass(frozen=True)
class Jumped:
    """One figure that is out of the ordinary; ``usual`` is the median of those compared with."""

    what: str
    now: float
    usual: float
    sentence: str


def reject_rate(night: Figures, subset: str | None = None) -> float | None:
    """Rejects / (samples + rejects) of a subset, or of all; None of a night without rows."""
    samples, rejects = _rows(night, subset)
    return rejects / (samples + rejects) if samples + rejects else None


def cost_per_sample(night: Figures) -> float | None:
    """USD; None where the price is not known, there is no sample, or nothing was paid: all was in a journal."""
    return night.cost_usd / night.samples if night.cost_usd and night.samples else None


def nights_before(store: Store, language: str, date: str, nights: int) -> list[Statistics]:
    """The statistics of the last ``nights`` published dates before ``date``, the newest first."""
    store.fs.invalidate_cache()
    try:
        found = store.fs.ls(store.folder("statistics", language), detail=False)
    except FileNotFoundError:
        return []
    dates = sorted(PurePosixPath(str(path)).stem for path in found if str(path).endswith(".json"))
    earlier = (sound_statistics(store, language, other) for other in reversed(dates) if other < date)
    return list(islice((night for night in earlier if night is not None), nights))


def editions_before(store: Store, date: str, editions: int) -> list[EditionFigures]:
    """The last ``editions`` complete editions of the pool before ``date``, the newest first."""
    store.fs.invalidate_cache()
    found = (_sound_edition(store, other) for other in reversed(complete_editions(store)) if other < date)
    return list(islice((edition for edition in found if edition is not None), editions))


def _sound_edition(store: Store, date: str) -> EditionFigures | None:
    try:
        statistics = read_pool_statistics(store, date)
    except ValueError as error:
        log.warning("The pool's statistics of %s cannot be read: %s", date, str(error)[:200])
        return None
    return None if statistics is None else EditionFigures(statistics)


def jumps(tonight: Figures, before: Sequence[Figures], rules: Jump, words: Words = NIGHT) -> list[Jumped]:
    """What of ``tonight`` stands out. Too few rows, or too few earlier nights with enough of them: nothing does."""
    found = [_rejects(tonight, before, rules, words, subset) for subset in (None, *tonight.subsets)]
    told = [jump for jump in found if jump is not None]
    # Where one subset alone went wrong, the whole follows from it.
    if len(told) == 2 and found[0] is not None:
        told = told[1:]
    cost = _cost(tonight, before, rules, words)
    return told if cost is None else [*told, cost]


def _rejects(
    tonight: Figures, before: Sequence[Figures], rules: Jump, words: Words, subset: str | None
) -> Jumped | None:
    if rules.reject_rate is None:
        return None
    known = [night for night in before if sum(_rows(night, subset)) >= rules.rows]
    now = reject_rate(tonight, subset)
    if now is None or sum(_rows(tonight, subset)) < rules.rows or len(known) < rules.at_least:
        return None
    usual = median(reject_rate(night, subset) or 0.0 for night in known)
    if now - usual < rules.reject_rate:
        return None
    samples, rejects = _rows(tonight, subset)
    sentence = (
        f"{now:.0%} of the rows{f' of {subset}' if subset else ''} were rejected ({rejects} of {samples + rejects}); "
        f"the median of the {len(known)} {words.others} before is {usual:.0%}. Most often: {_reasons(tonight, subset)}."
    )
    return Jumped(f"reject rate of {subset}" if subset else "reject rate", now, usual, sentence)


def _cost(tonight: Figures, before: Sequence[Figures], rules: Jump, words: Words) -> Jumped | None:
    known = [
        cost
        for night in before
        if sum(_rows(night, None)) >= rules.rows and (cost := cost_per_sample(night)) is not None
    ]
    now = cost_per_sample(tonight)
    if rules.cost_per_sample is None or now is None or len(known) < rules.at_least:
        return None
    usual = median(known)
    if sum(_rows(tonight, None)) < rules.rows or not usual or now < usual * rules.cost_per_sample:
        return None
    sentence = (
        f"A {words.row} cost {now:.5f} USD ({tonight.cost_usd:.4f} USD for {tonight.samples} {words.row}s, "
        f"{tonight.calls} calls); the median of the {len(known)} {words.others} before is {usual:.5f} USD."
    )
    return Jumped(f"cost per {words.row}", now, usual, sentence)


def _rows(night: Figures, subset: str | None) -> tuple[int, int]:
    """Samples and rejects."""
    if subset is None:
        return night.samples, night.rejects
    counted = night.subsets.get(subset)
    return (counted.samples, sum(counted.rejects.values())) if counted else (0, 0)


def _reasons(night: Figures, subset: str | None) -> str:
    counts: dict[str, int] = {}
    for name, counted in night.subsets.items():
        if subset in (None, name):
            for reason, rows in counted.rejects.items():
                counts[reason] = counts.get(reason, 0) + rows
    most = sorted(counts, key=lambda reason: (-counts[reason], reason))[:REASONS]
    return ", ".join(f"{reason[:80]} ({counts[reason]})" for reason in most)
