"""What is known of a model: context size and price, from include/models.yaml or a user's own file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from ultralink.errors import RecipeError
from ultralink.recipe import INCLUDE, read_yaml
from ultralink.teacher.record import Record

MODELS_FILE = INCLUDE / "models.yaml"
OWN_MODELS = "ULTRALINK_MODELS"


class Prices(BaseModel):
    """USD per million tokens. ``cached``: prompt tokens that the provider read from its cache."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: float = Field(ge=0)
    cached: float = Field(ge=0)
    completion: float = Field(ge=0)

    def cost(self, prompt: int, cached: int, completion: int) -> float:
        """USD for a call; ``cached`` tokens are part of ``prompt``."""
        return ((prompt - cached) * self.prompt + cached * self.cached + completion * self.completion) / 1_000_000

    def times(self, factor: float) -> Prices:
        """These prices, all of them multiplied."""
        return Prices(prompt=self.prompt * factor, cached=self.cached * factor, completion=self.completion * factor)


class ModelCard(BaseModel):
    """One model: how many tokens prompt and answer may have together, and what they cost.

    ``batch`` is the share of these prices that an answer by the Batch API costs.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    context_tokens: int = Field(gt=0)
    usd_per_million_tokens: Prices
    batch: float = Field(default=0.5, ge=0, le=1)


class _ModelFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    models: dict[str, ModelCard]


class ModelCards:
    """All known models, found by name."""

    def __init__(self, cards: Mapping[str, ModelCard]) -> None:
        self._cards = dict(cards)
        self._found: dict[str, ModelCard | None] = {}

    def find(self, model: str) -> ModelCard | None:
        """The card named ``model``, else of the longest name that ``model`` extends by ``-``; else None.

        So the dated snapshot ``gpt-4o-mini-2024-07-18`` has the card of ``gpt-4o-mini``, not of ``gpt-4o``.
        """
        if model not in self._found:
            names = [name for name in self._cards if model == name or model.startswith(f"{name}-")]
            self._found[model] = self._cards[max(names, key=len)] if names else None
        return self._found[model]

    def prices(self, model: str, *, batch: bool = False) -> Prices | None:
        """The prices of ``model``, where known: those of a call, or of an answer by the Batch API."""
        card = self.find(model)
        if card is None:
            return None
        return card.usd_per_million_tokens.times(card.batch) if batch else card.usd_per_million_tokens

    def cost(self, record: Record) -> float | None:
        """USD for an answer; None where no price is known."""
        prices, usage = self.prices(record.model, batch=record.batch), record.usage
        return None if prices is None else prices.cost(usage.prompt, usage.cached, usage.completion)


def load_models() -> ModelCards:
    """The bundled file, then the user's own, which OWN_MODELS in the environment names; its models win.

    Raises RecipeError naming file and field.
    """
    cards: dict[str, ModelCard] = {}
    own = os.environ.get(OWN_MODELS)
    for path in (MODELS_FILE, *([Path(own)] if own else [])):
        cards.update(read_yaml(path, _ModelFile, RecipeError, {}).models)
    return ModelCards(cards)
