"""The release's recipe: what is taken out, how rows are split and written, read from include/release.yaml."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from ultralink.errors import RecipeError
from ultralink.pool.recipe import NearDuplicateRules
from ultralink.recipe import INCLUDE, Alarms, Section, Share, configured_languages, read_yaml

SUBSETS = ("chat_specific", "chat_agnostic", "math", "code")
VERSION = r"^(?!latest$)[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


class Format(StrEnum):
    """What a release is written as, besides Parquet, which it always is."""

    MESSAGES = "messages"  # JSON Lines as TRL, axolotl and OpenAI's fine-tuning take it
    SHAREGPT = "sharegpt"  # JSON Lines as LLaMA-Factory takes it
    ULTRALINK = "ultralink"  # the published dataset's own


def repeated(names: Iterable[str]) -> str | None:
    """The first name that is there more than once."""
    return next((name for name, times in Counter(names).items() if times > 1), None)


def _from_include(path: str) -> str:
    return path if "://" in path else str(INCLUDE / path)


# --- decontamination ------------------------------------------------------------------------------


class EvaluationSet(Section):
    """A file of test items: JSON Lines, tab- or comma-separated values (plain, .gz, .zst) or Parquet.

    ``path`` is relative to include/, absolute, or any fsspec URL; ``hf://`` goes through huggingface_hub.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$")
    path: str = Field(min_length=1)
    fields: list[str] = Field(min_length=1, description="columns that make an item, the question first")
    ignore_numbers: bool = Field(default=False, description="two texts that differ in numbers alone are the same")

    @field_validator("path")
    @classmethod
    def _absolute(cls, value: str) -> str:
        return _from_include(value)


class Decontamination(Section):
    """A row goes if it shares a run of ``words`` words with a test item, or the whole of a shorter item.

    Of scripts without spaces, ``characters`` characters make a run; of a mixture, the parts of either add up. All
    rules are in `release.contamination`. 13 words are GPT-3's (Brown et al., 2020, appendix C).
    """

    words: int = Field(default=13, ge=5, le=50)
    characters: int = Field(default=25, ge=8, le=100)
    sets: list[EvaluationSet] = Field(default=[])

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        if (name := repeated(one.name for one in self.sets)) is not None:
            raise ValueError(f"sets: several are named {name!r}")
        return self


# --- privacy, blocklists, split -------------------------------------------------------------------

Action = Literal["remove", "count", "off"]


class Privacy(Section):
    """What happens to a row in which such a thing is found: it goes, it is only counted, or nobody looks."""

    email: Action = "remove"
    phone: Action = "remove"
    credential: Action = "remove"


class ReleaseRecipe(Section):
    """Everything that makes a release out of the store's partitions."""

    title: str = "UltraLink"
    owner: str = "ultralink"
    start_date: date = Field(default=date(2026, 11, 1), strict=False)
    languages: list[str] | None = Field(default=None, min_length=1, description="null: all that have a recipe")
    shards: int = Field(default=4, ge=1, le=256, description="parallel tasks per step")
    formats: list[Annotated[Format, Field(strict=False)]] = Field(default=list(Format))
    rows_per_file: int = Field(default=100_000, ge=1, description="of Parquet")
    validation_share: Share = Field(default=0.01, description="of the sources: a source's rows stay together")
    near_duplicates: NearDuplicateRules = NearDuplicateRules()
    decontamination: Decontamination = Decontamination()
    privacy: Privacy = Privacy()
    blocklists: dict[str, str] = Field(default={}, description="language: file with one word or phrase per line")
    hub_conn_id: str = Field(default="huggingface_default", description="Airflow connection with the hub's token")
    alarms: Alarms = Alarms()

    @field_validator("languages", "blocklists")
    @classmethod
    def _configured(cls, values: Collection[str] | None) -> Collection[str] | None:
        known = configured_languages()
        if unknown := [value for value in values or () if value not in known]:
            raise ValueError(f"{unknown[0]!r} has no recipe; there are {', '.join(known)}")
        return values

    @field_validator("languages", "formats")
    @classmethod
    def _named_once(cls, values: Collection[str] | None) -> Collection[str] | None:
        if (name := repeated(values or ())) is not None:
            raise ValueError(f"'{name}' is named twice")
        return values

    @field_validator("blocklists")
    @classmethod
    def _absolute(cls, values: dict[str, str]) -> dict[str, str]:
        return {language: _from_include(path) for language, path in values.items()}


def release_recipe_path() -> Path:
    """``include/release.yaml``, or the file in the same form that ``ULTRALINK_RELEASE`` names."""
    named = os.environ.get("ULTRALINK_RELEASE")
    return Path(named) if named else INCLUDE / "release.yaml"


def load_release_recipe() -> ReleaseRecipe:
    """The release's recipe. Raises RecipeError naming the file and the field."""
    return read_yaml(release_recipe_path(), ReleaseRecipe, RecipeError, {})
