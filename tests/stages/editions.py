"""Editions of the English pool for the tests of stages: recipes over small sources, and all stages in a row."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from ultralink.errors import RecipeError
from ultralink.pool.recipe import POOL_RECIPE, PoolRecipe
from ultralink.recipe import read_yaml
from ultralink.stages.edition import Edition
from ultralink.stages.pool_distinct import keep_distinct
from ultralink.stages.pool_publish import PoolPublished, publish_pool
from ultralink.stages.pool_read import read_source
from ultralink.stages.pool_screen import screen_chats
from ultralink.store import Store
from ultralink.teacher.endpoint import Endpoint

MODEL = "offline-teacher"


def edition(root: Path | str, overlay: Mapping[str, object] | None = None, **changes: object) -> Edition:
    """An edition on ``root``, a path or a URL.

    ``overlay`` replaces dotted fields of the recipe, ``changes`` those of Edition.
    """
    recipe = read_yaml(POOL_RECIPE, PoolRecipe, RecipeError, dict(overlay or {}))
    settings: dict[str, object] = {
        "recipe": recipe,
        "store": Store.at(str(root)),
        "date": "2026-11-01",
        "run_id": "manual__1",
        "shards": recipe.shards,
        "model": MODEL,
    }
    return Edition(**{**settings, **changes})  # type: ignore[arg-type]


def built(one: Edition, endpoint: Endpoint) -> PoolPublished:
    """The edition after all of its stages."""
    for number in range(len(one.recipe.sources)):
        read_source(one, number)
    keep_distinct(one)
    for shard in range(one.shards):
        asyncio.run(screen_chats(one, shard, endpoint))
    return publish_pool(one)


def source(path: Path, kind: str, layout: str, rows: Sequence[Mapping[str, object]]) -> dict[str, object]:
    """A source of ``rows``, written to ``path`` as JSON Lines; named as the file."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return {
        "name": path.name.partition(".")[0],
        "kind": kind,
        "format": layout,
        "path": str(path),
        "licence": "own writing",
        "url": "https://ultralink.example/rows",
    }


def problem(number: int, type_: str = "GSM_Rephrased") -> dict[str, object]:
    """A word problem, unlike those of other numbers."""
    things = ("apples", "barrels", "candles", "drums", "easels", "flutes", "gates", "hammers", "jugs", "kettles")
    places = ("market", "harbour", "school", "library", "garden", "kitchen", "station", "workshop", "farm", "museum")
    thing, place = things[number % 10], places[number // 10 % 10]
    return {
        "query": f"A {place} owns {number + 3} {thing} and buys {number + 5} more {thing} at the {place} next door. "
        f"How many {thing} does the {place} own after it has bought them all?",
        "response": f"The {place} starts with {number + 3} {thing}. It buys {number + 5} more. "
        f"So it owns {number + 3} + {number + 5} = {2 * number + 8} {thing}.\nThe answer is: {2 * number + 8}",
        "type": type_,
    }
