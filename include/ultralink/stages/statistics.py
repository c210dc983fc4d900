"""A night in figures: what the demo prints, the asset event carries, and pages read instead of tables."""

from __future__ import annotations

import logging
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from ultralink.store import Store

log = logging.getLogger(__name__)

Count = Annotated[int, Field(ge=0, lt=2**53)]  # what a float holds exactly: figures are divided and drawn


class Subset(BaseModel):
    """What a night gave one subset. ``rejects`` counts rows by "gate: reason"."""

    model_config = ConfigDict(frozen=True)

    samples: Count = 0
    turns: Count = 0
    rejects: dict[str, Count] = {}


class Statistics(BaseModel):
    """Counts of one partition. Tokens and cost are those of every answer in the night's journal."""

    model_config = ConfigDict(frozen=True)

    language: str
    date: str
    articles: Count
    passages: Count
    subsets: dict[str, Subset]  # by name, in the dataset's order
    pool: str | None  # date of the English pool that was used
    calls: Count
    batch_calls: Count = 0  # of them, paid at the price of the Batch API
    prompt_tokens: Count
    cached_tokens: Count
    completion_tokens: Count
    cost_usd: FiniteFloat | None  # None: a model without a price took part
    paid_usd: dict[str, FiniteFloat] = {}  # of the cost, by the day (UTC) on which it was paid
    models: list[str]
    outputs: dict[str, str]  # stage -> path

    @property
    def samples(self) -> int:
        """Rows of all subsets."""
        return sum(subset.samples for subset in self.subsets.values())

    @property
    def rejects(self) -> int:
        """Rows that were turned away."""
        return sum(sum(subset.rejects.values()) for subset in self.subsets.values())

    def event(self) -> dict[str, int | float | str | None]:
        """The flat figures that an asset event carries."""
        return {
            "date": self.date,
            **{name: subset.samples for name, subset in self.subsets.items()},
            "turns": sum(subset.turns for subset in self.subsets.values()),
            "rejects": self.rejects,
            "cost_usd": self.cost_usd,
            "samples": self.outputs["samples"],
        }


def statistics_path(store: Store, language: str, date: str) -> str:
    """Where a night's statistics lie."""
    return store.folder("statistics", language, f"{date}.json")


def read_statistics(store: Store, language: str, date: str) -> Statistics | None:
    """The night's statistics; None where it was never published. Raises ValueError where they cannot be read."""
    text = store.read_text(statistics_path(store, language, date))
    return None if text is None else Statistics.model_validate_json(text)


def sound_statistics(store: Store, language: str, date: str) -> Statistics | None:
    """The night's statistics; None also where they cannot be read, which is logged."""
    try:
        return read_statistics(store, language, date)
    except ValueError as error:  # no JSON, other fields, broken UTF-8
        log.warning("%s cannot be read: %s", statistics_path(store, language, date), str(error)[:200])
        return None
