"""Figures of a task as metrics of Airflow's own, by StatsD or OpenTelemetry. All are listed in docs/metrics.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from airflow.sdk.observability import stats

if TYPE_CHECKING:
    from ultralink.stages.partition import Built
    from ultralink.stages.statistics import Statistics
    from ultralink.teacher.tally import Counts

Tags = Mapping[str, str]


def paid(tags: Tags, model: str, sums: Counts, latencies_s: Sequence[float]) -> None:
    """What the teacher was paid for, as counters, and how long some of its calls took."""
    told = {**tags, "model": _tag(model)}
    for name, count in (
        ("calls", sums.paid),
        ("tries", sums.tries),
        ("limited", sums.limited),
        ("prompt_tokens", sums.prompt_tokens),
        ("cached_tokens", sums.cached_tokens),
        ("completion_tokens", sums.completion_tokens),
        ("cost_microusd", round(sums.cost_usd * 1_000_000)),
        ("unpriced_calls", sums.unpriced),
    ):
        _count(f"ultralink.teacher.{name}", count, told)
    for latency in latencies_s:
        stats.timing("ultralink.teacher.latency", latency * 1000, tags=told)


def rows(tags: Tags, built: Built) -> None:
    """The rows that a task has written."""
    _count("ultralink.rows", built.rows, dict(tags))
    _count("ultralink.rejects", built.rejects, dict(tags))


def night(statistics: Statistics) -> None:
    """A published night, as gauges."""
    language = {"language": statistics.language}
    for subset, counted in statistics.subsets.items():
        of_subset = {**language, "subset": subset}
        stats.gauge("ultralink.night.samples", counted.samples, tags=of_subset)
        gates: dict[str, int] = {}
        for reason, number in counted.rejects.items():
            gate = _tag(reason.split(":")[0])
            gates[gate] = gates.get(gate, 0) + number
        for gate, number in gates.items():
            stats.gauge("ultralink.night.rejects", number, tags={**of_subset, "gate": gate})
    rows_seen = statistics.samples + statistics.rejects
    if rows_seen:
        stats.gauge("ultralink.night.reject_rate", statistics.rejects / rows_seen, tags=language)
    if statistics.cost_usd is not None:
        stats.gauge("ultralink.night.cost_usd", statistics.cost_usd, tags=language)
        if statistics.samples:
            per_sample = statistics.cost_usd / statistics.samples
            stats.gauge("ultralink.night.cost_per_sample_usd", per_sample, tags=language)


def _count(name: str, count: int, tags: dict[str, str]) -> None:
    if count:
        stats.incr(name, count, tags=tags)


def _tag(text: str) -> str:
    """A tag's value with the signs that every backend takes."""
    kept = "".join(sign if sign.isascii() and (sign.isalnum() or sign in "_.-/") else "_" for sign in text)
    return kept[:100] or "none"
