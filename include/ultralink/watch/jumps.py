"""Jumps: a night whose rejects or whose price stand out from the nights before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePosixPath
from statistics import median

from ultralink.recipe import Jump
from ultralink.stages.statistics import Statistics, sound_statistics
from ultralink.store import Store

REASONS = 3  # named in a sentence about rejects


@dataclass(frozen=True)
class Jumped:
    """One figure of a night that is out of the ordinary; ``usual`` is the median of the nights compared with."""

    what: str
    now: float
    usual: float
    sentence: str


def reject_rate(night: Statistics, subset: str | None = None) -> float | None:
    """Rejects / (samples + rejects) of a subset, or of all; None of a night without rows."""
    samples, rejects = _rows(night, subset)
    return rejects / (samples + rejects) if samples + rejects else None


def cost_per_sample(night: Statistics) -> float | None:
    """USD; None where the price is not known or there is no sample."""
    return None if night.cost_usd is None or not night.samples else night.cost_usd / night.samples


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


def jumps(tonight: Statistics, before: Sequence[Statistics], rules: Jump) -> list[Jumped]:
    """What of ``tonight`` stands out. Too few rows, or too few earlier nights with enough of them: nothing does."""
    found = [_rejects(tonight, before, rules, subset) for subset in (None, *tonight.subsets)]
    told = [jump for jump in found if jump is not None]
    # Where one subset alone went wrong, the whole follows from it.
    if len(told) == 2 and found[0] is not None:
        told = told[1:]
    cost = _cost(tonight, before, rules)
    return told if cost is None else [*told, cost]


def _rejects(tonight: Statistics, before: Sequence[Statistics], rules: Jump, subset: str | None) -> Jumped | None:
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
        f"the median of the {len(known)} nights before is {usual:.0%}. Most often: {_reasons(tonight, subset)}."
    )
    return Jumped(f"reject rate of {subset}" if subset else "reject rate", now, usual, sentence)


def _cost(tonight: Statistics, before: Sequence[Statistics], rules: Jump) -> Jumped | None:
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
        f"A sample cost {now:.5f} USD ({tonight.cost_usd:.4f} USD for {tonight.samples} samples, {tonight.calls} "
        f"calls); the median of the {len(known)} nights before is {usual:.5f} USD."
    )
    return Jumped("cost per sample", now, usual, sentence)


def _rows(night: Statistics, subset: str | None) -> tuple[int, int]:
    """Samples and rejects."""
    if subset is None:
        return night.samples, night.rejects
    counted = night.subsets.get(subset)
    return (counted.samples, sum(counted.rejects.values())) if counted else (0, 0)


def _reasons(night: Statistics, subset: str | None) -> str:
    counts: dict[str, int] = {}
    for name, counted in night.subsets.items():
        if subset in (None, name):
            for reason, rows in counted.rejects.items():
                counts[reason] = counts.get(reason, 0) + rows
    most = sorted(counts, key=lambda reason: (-counts[reason], reason))[:REASONS]
    return ", ".join(f"{reason[:80]} ({counts[reason]})" for reason in most)
