"""The pool's recipe: the one that comes with UltraLink, and mistakes that name their field."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ultralink.errors import RecipeError
from ultralink.pool.recipe import POOL_RECIPE, Criterion, Format, Source, load_pool_recipe
from ultralink.pool.row import Kind
from ultralink.recipe import INCLUDE


def changed(folder: Path, **fields: Any) -> Path:
    """The recipe with these fields instead, as a file."""
    path = folder / "pool.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(POOL_RECIPE.read_text()) | fields))
    return path


def source(**fields: Any) -> dict[str, Any]:
    """A source of a recipe, with these fields instead."""
    whole = {"name": "a", "kind": "math", "format": "metamath", "path": "a.jsonl", "licence": "MIT"}
    return whole | {"url": "https://example.org"} | fields


def test_the_bundled_recipe() -> None:
    recipe = load_pool_recipe()
    assert {each.kind for each in recipe.sources} == set(Kind)
    assert all(each.path.startswith(f"{INCLUDE}/samples/english/") for each in recipe.sources)
    assert recipe.screen.max_total == 0
    assert set(recipe.screen.criteria) == set(Criterion)


def test_the_sources_in_its_comments_are_sources_too() -> None:
    commented = [line[1:] for line in POOL_RECIPE.read_text().splitlines() if re.match(r"#  [ -] \w+:", line)]
    named = [Source.model_validate(each) for each in yaml.safe_load("\n".join(commented))]
    assert {each.format for each in named} == set(Format) - {Format.HUMANEVAL, Format.MGSM}
    assert all(each.path.startswith("hf://datasets/") for each in named)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"sources": []}, "sources: List should have at least 1 item"),
        ({"sources": [source(format="alpaca")]}, "sources.0.format: Input should be 'sharegpt', 'ultrachat'"),
        ({"sources": [source(kind="poems")]}, "sources.0.kind: Input should be 'chat', 'math' or 'code'"),
        ({"sources": [source(name="My Rows")]}, "sources.0.name"),
        ({"sources": [source(path="")]}, "sources.0.path"),
        ({"sources": [source(url="somewhere")]}, "sources.0.url"),
        ({"sources": [source(), source()]}, "2 of them are named 'a'"),
        ({"sources": [source(shuffle=True)]}, "sources.0.shuffle"),
        (
            {"cleaning": {"chat_tokens": {"min": 9, "max": 3}}},
            "cleaning.chat_tokens: Value error, min 9 is above max 3",
        ),
        ({"cleaning": {"drop_chats": ["(("]}}, "cleaning.drop_chats.0: Value error, '((' is not a regular expression"),
        ({"near_duplicates": {"threshold": 1.5}}, "near_duplicates.threshold"),
        ({"malformed": {"share": 2}}, "malformed.share"),
        ({"screen": {"model": "m", "max_total": 8}}, "screen.max_total"),
        ({"screen": {"model": "m", "criteria": ["taste"]}}, "screen.criteria.0: Input should be 'person_name'"),
        ({"schedule": "every night"}, "schedule: Value error, 'every night' is not a cron expression"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"start_date": "never"}, "start_date"),
        ({"shards": 0}, "shards"),
    ],
)
def test_a_mistake_names_file_and_field(tmp_path: Path, fields: dict[str, Any], said: str) -> None:
    path = changed(tmp_path, **fields)
    with pytest.raises(RecipeError) as caught:
        load_pool_recipe(path)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)


def test_a_missing_recipe(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no such file"):
        load_pool_recipe(tmp_path / "pool.yaml")


@pytest.mark.parametrize("path", ["/data/a.jsonl", "s3://bucket/a.jsonl", "hf://datasets/a/b/c.parquet"])
def test_paths_that_are_not_relative(tmp_path: Path, path: str) -> None:
    [only] = load_pool_recipe(changed(tmp_path, sources=[source(path=path)])).sources
    assert only.path == path
