"""A night: one run of one language's pipeline over one partition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ultralink.errors import RecipeError
from ultralink.pool.row import Kind
from ultralink.prompts import PromptBook
from ultralink.recipe import Recipe
from ultralink.stages.partition import Partition
from ultralink.teacher.budget import Budget


@dataclass(frozen=True, kw_only=True)
class Night(Partition):
    """What the trigger form and the recipe say of one language's night; ``rows`` are English rows by kind."""

    recipe: Recipe
    book: PromptBook
    articles: int
    model: str
    rows: Mapping[Kind, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.shards <= self.recipe.shards:
            raise RecipeError(
                f"shards {self.shards}: the recipe of {self.recipe.language!r} allows 1 to {self.recipe.shards}"
            )

    @property
    def language(self) -> str:
        return self.recipe.language

    @property
    def journal_folder(self) -> str:
        return self.store.folder("journal", self.language, self.date)

    @property
    def translated_shards(self) -> int:
        """Shards of each kind of English rows."""
        return min(self.shards, self.recipe.agnostic.shards)

    @property
    def dialogue_budget(self) -> Budget:
        """What one shard of the dialogues may spend."""
        english = self.recipe.budget.english if self.recipe.translation else 0.0
        return self._budget.share(self.shards, of=1 - english)

    @property
    def english_budget(self) -> Budget:
        """What one shard of one kind of English rows may spend."""
        return self._budget.share(len(Kind) * self.translated_shards, of=self.recipe.budget.english)

    @property
    def _budget(self) -> Budget:
        return Budget(self.recipe.budget.usd, self.recipe.budget.tokens)
