"""The pool's recipe: sources, cleaning, duplicates and screen, read from include/pool.yaml and validated."""

from __future__ import annotations

from collections import Counter
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from ultralink.errors import RecipeError
from ultralink.pool.row import Kind
from ultralink.recipe import (
    INCLUDE,
    Alarms,
    Budget,
    Cron,
    Mode,
    Regex,
    Section,
    Share,
    TimeZone,
    TokenBounds,
    read_yaml,
)

POOL_RECIPE = INCLUDE / "pool.yaml"


class Format(StrEnum):
    """How a source writes a conversation down."""

    SHAREGPT = "sharegpt"
    ULTRACHAT = "ultrachat"
    METAMATH = "metamath"
    OSS_INSTRUCT = "oss_instruct"
    EVOL_INSTRUCT = "evol_instruct"
    HUMANEVAL = "humaneval"
    MGSM = "mgsm"


class Source(Section):
    """One file of conversations: JSON Lines (plain, .gz, .zst) or Parquet.

    ``path`` is relative to include/, absolute, or any fsspec URL; ``hf://`` goes through huggingface_hub.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_]*$", description="begins the ids of its rows")
    kind: Kind = Field(strict=False)
    format: Format = Field(strict=False)
    path: str = Field(min_length=1)
    licence: str = Field(min_length=1)
    url: str = Field(pattern=r"^https?://", description="where a reader finds the source")

    @field_validator("path")
    @classmethod
    def _from_include(cls, value: str) -> str:
        return value if "://" in value else str(INCLUDE / value)


# --- cleaning and duplicates --------------------------------------------------------------------


class Cleaning(Section):
    """Which rows are whole and of use. Token bounds are those of all messages together."""

    chat_tokens: TokenBounds = TokenBounds(min=20, max=4069)  # the paper's code asks the screen below 4070 only
    math_tokens: TokenBounds = TokenBounds(min=20, max=2048)
    code_tokens: TokenBounds = TokenBounds(min=20, max=4096)
    max_turns: int = Field(default=6, ge=1, description="of a chat; math and code have one")
    # Links, and the coordinates x1, y1 of plotting code: what the paper's code keeps away from the screen.
    drop_chats: list[Regex] = Field(default=[r"https?://", r"www\.", r"\.com\b", "x1", "y1"])

    def tokens(self, kind: Kind) -> TokenBounds:
        """The bounds of a kind."""
        return {Kind.CHAT: self.chat_tokens, Kind.MATH: self.math_tokens, Kind.CODE: self.code_tokens}[kind]


class NearDuplicateRules(Section):
    """Two rows are near duplicates when the Jaccard similarity of their shingles reaches ``threshold``."""

    threshold: float = Field(default=0.7, ge=0.3, le=1)
    shingle_words: int = Field(default=3, ge=1, le=10)


class MalformedLimit(Section):
    """A source fails when its malformed rows are more than ``count`` and more than ``share`` of its rows."""

    count: int = Field(default=10, ge=0)
    share: Share = 0.02


# --- screen -------------------------------------------------------------------------------------


class Criterion(StrEnum):
    """What binds a chat to a culture, in the order of the paper (section 2.2.1; the second is its code's)."""

    PERSON_NAME = "person_name"  # of two parts or more
    CODE_OR_FORMULA = "code_or_formula"
    PLACE = "place"
    CUSTOMS = "customs"
    LITERARY = "literary"
    CULTURE_ITEM = "culture_item"
    ORGANISATION = "organisation"


class Screen(Section):
    """The teacher that judges chats, and what it takes for one to be turned away."""

    conn_id: str = "openai_default"
    model: str = Field(min_length=1)
    mode: Mode = "live"
    criteria: list[Annotated[Criterion, Field(strict=False)]] = Field(
        default=list(Criterion), description="those that count; the verdict has all seven", min_length=1
    )
    max_total: int = Field(default=0, ge=0, le=7, description="criteria that may be met by a chat that is kept")
    thresholds: dict[Annotated[Criterion, Field(strict=False)], Literal[0, 1]] = Field(
        default={}, description="0: a chat that meets this criterion goes, whatever its total"
    )
    temperature: float = Field(default=0, ge=0, le=2)
    max_tokens: int = Field(default=1024, ge=16)
    expected_answer_tokens: int = Field(default=90, ge=1, description="per call, for the price of a dry run")
    context_tokens: int | None = Field(default=None, gt=0, description="null: the model's own, models.yaml")
    new_attempts: int = Field(default=2, ge=0, le=5, description="after a verdict that cannot be used")
    concurrency: int = Field(default=32, ge=1, description="chats in flight per shard")
    timeout_s: float = Field(default=120, gt=0)
    tolerated_failures: Share = Field(default=0.01, description="share of chats that may stay unanswered")


# --- the whole ----------------------------------------------------------------------------------


class PoolRecipe(Section):
    """Everything that makes the English pool."""

    owner: str = "ultralink"
    schedule: Cron
    timezone: TimeZone = "UTC"
    start_date: date = Field(default=date(2026, 11, 1), strict=False)  # quoted or not
    shards: int = Field(default=4, ge=1, le=256)
    sources: list[Source] = Field(min_length=1)
    malformed: MalformedLimit = MalformedLimit()
    cleaning: Cleaning = Cleaning()
    near_duplicates: NearDuplicateRules = NearDuplicateRules()
    screen: Screen
    budget: Budget = Budget()
    alarms: Alarms = Alarms()

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        name, times = Counter(source.name for source in self.sources).most_common(1)[0]
        if times > 1:
            raise ValueError(f"sources: {times} of them are named {name!r}")
        return self


def load_pool_recipe(path: Path = POOL_RECIPE) -> PoolRecipe:
    """The pool's recipe. Raises RecipeError naming the file and the field."""
    return read_yaml(path, PoolRecipe, RecipeError, {})
