"""A night in figures: what the demo prints, the asset event carries, and pages read instead of tables."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from ultralink.store import Store


class Statistics(BaseModel):
    """Counts of one partition. Tokens and cost are those of every answer in the night's journal."""

    model_config = ConfigDict(frozen=True)

    language: str
    date: str
    articles: int
    passages: int
    dialogues: int
    turns: int
    rejects: dict[str, int]  # "stage · gate: reason" -> rows
    calls: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    cost_usd: float | None  # None: a model without a price took part
    models: list[str]
    outputs: dict[str, str]  # stage -> path

    def event(self) -> dict[str, int | float | str | None]:
        """The flat figures that an asset event carries."""
        return {
            "date": self.date,
            "dialogues": self.dialogues,
            "turns": self.turns,
            "rejects": sum(self.rejects.values()),
            "cost_usd": self.cost_usd,
            "samples": self.outputs["samples"],
        }


def statistics_path(store: Store, language: str, date: str) -> str:
    """Where a night's statistics lie."""
    return store.folder("statistics", language, f"{date}.json")


def read_statistics(store: Store, language: str, date: str) -> Statistics | None:
    """The night's statistics; None where it was never published."""
    text = store.read_text(statistics_path(store, language, date))
    return None if text is None else Statistics.model_validate_json(text)
