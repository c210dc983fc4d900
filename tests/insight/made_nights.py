"""Nights in figures, made up."""

from __future__ import annotations

from collections.abc import Mapping

from ultralink.stages.statistics import Statistics, Subset, statistics_path
from ultralink.store import Store


def night(
    language: str,
    date: str,
    *,
    cost: float | None = 1.0,
    rejects: Mapping[str, dict[str, int]] | None = None,
    **samples: int,
) -> Statistics:
    """A night with so many samples per subset; ``rejects`` by subset and "gate: reason"."""
    names = ("chat_specific", "chat_agnostic", "math", "code")
    turned = rejects or {}
    return Statistics(
        language=language,
        date=date,
        articles=samples.get("chat_specific", 0),
        passages=samples.get("chat_specific", 0),
        subsets={name: Subset(samples=samples.get(name, 0), rejects=turned.get(name, {})) for name in names},
        pool="2026-11-01",
        calls=10,
        prompt_tokens=1000,
        cached_tokens=100,
        completion_tokens=500,
        cost_usd=cost,
        models=["teacher"],
        outputs={"samples": "samples"},
    )


def publish(store: Store, *nights: Statistics) -> None:
    """Put the statistics of ``nights`` where a publish would."""
    for each in nights:
        store.write_text(statistics_path(store, each.language, each.date), each.model_dump_json())
