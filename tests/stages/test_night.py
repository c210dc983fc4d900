"""When a part is up to date: same fingerprint, no rebuild, and not cleared by itself."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ultralink.errors import RecipeError
from ultralink.prompts import load_prompts
from ultralink.recipe import load_recipe
from ultralink.schemas import PASSAGES, SELECTION
from ultralink.stages.night import Night
from ultralink.store import Part, Store


def night(store: Store, **changes: object) -> Night:
    settings: dict[str, object] = {
        "recipe": load_recipe("fr"), "book": load_prompts("fr"), "store": store, "date": "2026-11-01",
        "run_id": "manual__1", "articles": 3, "shards": 2, "model": "offline-teacher",
    }  # fmt: skip
    return Night(**{**settings, **changes})


@pytest.fixture
def parts(tmp_path: Path) -> tuple[Part, Part]:
    """An upstream part, and a part that was made from it later."""
    one = night(Store.at(str(tmp_path)))
    upstream, own = one.part(SELECTION), one.part(PASSAGES, 1)
    upstream.write([], "up")
    own.write([], "made by this")
    for age, part in enumerate((own, upstream)):
        os.utime(part.path, (1_000_000 - age, 1_000_000 - age))
    return upstream, own


def test_the_same_fingerprint_means_nothing_to_do(parts: tuple[Part, Part]) -> None:
    upstream, own = parts
    assert night(own.store).up_to_date(own, "made by this", [upstream]) == own.stamp()
    assert night(own.store).up_to_date(own, "made by something else", [upstream]) is None


def test_rebuild_makes_it_again(parts: tuple[Part, Part]) -> None:
    upstream, own = parts
    assert night(own.store, rebuild=True).up_to_date(own, "made by this", [upstream]) is None


def test_a_task_cleared_by_itself_makes_its_part_again(parts: tuple[Part, Part]) -> None:
    upstream, own = parts
    assert night(own.store, attempt=2).up_to_date(own, "made by this", [upstream]) is None


def test_a_task_cleared_with_its_upstream_relies_on_fingerprints(parts: tuple[Part, Part]) -> None:
    upstream, own = parts
    os.utime(upstream.path, (1_000_001, 1_000_001))
    assert night(own.store, attempt=2).up_to_date(own, "made by this", [upstream]) == own.stamp()
    assert night(own.store, attempt=2).up_to_date(own, "changed input", [upstream]) is None


@pytest.mark.parametrize("date", ["../../etc", "2026-11-01T00:00:00", "tomorrow", "2026-11-01\n"])
def test_a_partition_must_be_a_date(tmp_path: Path, date: str) -> None:
    with pytest.raises(RecipeError, match="must be a date"):
        night(Store.at(str(tmp_path)), date=date)


@pytest.mark.parametrize("shards", [0, 5])
def test_shards_stay_within_the_recipe(tmp_path: Path, shards: int) -> None:
    with pytest.raises(RecipeError, match="allows 1 to 4"):
        night(Store.at(str(tmp_path)), shards=shards)
