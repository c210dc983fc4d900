"""The calendar's cells, and the statistics that they come from."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.insight.made_nights import night, publish

from ultralink.insight.calendar import LEVELS, Metric, calendar, last_dates
from ultralink.insight.nights import editions, published
from ultralink.store import Store

DATES = last_dates(date(2026, 11, 3), 3)


def test_dates_end_with_the_one_asked_for() -> None:
    assert DATES == ["2026-11-01", "2026-11-02", "2026-11-03"]
    assert last_dates(date(2026, 3, 1), 2) == ["2026-02-28", "2026-03-01"]


def test_cells_are_as_strong_as_their_figure() -> None:
    nights = {
        "fr": {"2026-11-01": night("fr", "2026-11-01", math=100), "2026-11-03": night("fr", "2026-11-03", math=1)},
        "zh": {"2026-11-02": night("zh", "2026-11-02", math=50)},
    }
    cells = calendar(nights, ["fr", "zh"], DATES, Metric.SAMPLES)
    assert [cell.level for cell in cells["fr"]] == [LEVELS, 0, 1]
    assert [cell.level for cell in cells["zh"]] == [0, 3, 0]
    assert [cell.value for cell in cells["fr"]] == [100, None, 1]


def test_a_languages_figures_show_rejects_and_cost() -> None:
    only = night("fr", "2026-11-02", cost=None, rejects={"math": {"a: b": 3}, "code": {"c: d": 4}})
    nights = {"fr": {"2026-11-02": only}}
    assert calendar(nights, ["fr"], DATES, Metric.REJECTS)["fr"][1].value == 7
    assert calendar(nights, ["fr"], DATES, Metric.COST)["fr"][1].value is None


def test_nights_of_other_languages_do_not_count() -> None:
    nights = {
        "fr": {"2026-11-01": night("fr", "2026-11-01", math=5)},
        "zh": {"2026-11-01": night("zh", "2026-11-01", math=500)},
    }
    assert calendar(nights, ["fr"], DATES, Metric.SAMPLES).keys() == {"fr"}
    assert calendar(nights, ["fr"], DATES, Metric.SAMPLES)["fr"][0].level == LEVELS


@given(st.lists(st.integers(0, 10**6), min_size=3, max_size=3))
def test_a_larger_figure_is_never_weaker(counts: list[int]) -> None:
    nights = {"fr": {day: night("fr", day, code=count) for day, count in zip(DATES, counts, strict=True)}}
    cells = sorted(calendar(nights, ["fr"], DATES, Metric.SAMPLES)["fr"], key=lambda cell: cell.value or 0)
    levels = [cell.level for cell in cells]
    assert levels == sorted(levels)
    assert all((cell.level == 0) == (not cell.value) for cell in cells)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.at(str(tmp_path))


def test_published_nights_are_found(store: Store) -> None:
    publish(store, night("fr", "2026-11-01", math=1), night("zh", "2026-11-02", math=2))
    store.write_text(store.folder("statistics", "pool", "2026-11-01.json"), "{}")
    store.write_text(store.folder("statistics", "fr", "notes.json"), "{}")
    found = published(store)
    assert {language: list(nights) for language, nights in found.items()} == {
        "fr": ["2026-11-01"],
        "zh": ["2026-11-02"],
    }
    assert editions(store) == {"2026-11-01": None}


def test_a_night_that_is_published_again_is_read_again(store: Store) -> None:
    publish(store, night("fr", "2026-11-01", math=1))
    assert published(store)["fr"]["2026-11-01"].samples == 1
    publish(store, night("fr", "2026-11-01", math=2))
    assert published(store)["fr"]["2026-11-01"].samples == 2
    store.fs.rm(store.folder("statistics", "fr", "2026-11-01.json"))
    assert published(store) == {}


def test_only_what_is_new_is_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(store, night("fr", "2026-11-01", math=1), night("fr", "2026-11-02", math=1))
    published(store)
    read: list[str] = []
    cat = store.fs.cat
    monkeypatch.setattr(store.fs, "cat", lambda paths, **more: (read.extend(paths), cat(paths, **more))[1])
    publish(store, night("fr", "2026-11-03", math=1))
    assert len(published(store)["fr"]) == 3
    assert [Path(path).name for path in read] == ["2026-11-03.json"]


def test_damaged_statistics_harm_no_other_night(store: Store) -> None:
    publish(store, night("fr", "2026-11-01", math=1))
    store.write_text(store.folder("statistics", "fr", "2026-11-02.json"), '{"language": "fr"')
    nights = published(store)
    assert nights["fr"]["2026-11-02"] is None
    cells = calendar(nights, ["fr"], DATES, Metric.SAMPLES)["fr"]
    assert [cell.damaged for cell in cells] == [False, True, False]
    assert cells[0].value == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"cost_usd": float("nan")},
        {"cost_usd": float("inf")},
        {"calls": -1},
        {"articles": 10**400},
        {"subsets": {"math": {"samples": 10**400}}},
        {"date": "<script>"},
        {"language": "../zh"},
    ],
)
def test_figures_that_no_night_has_are_damage(store: Store, changes: dict[str, object]) -> None:
    figures = {**night("fr", "2026-11-02", math=1).model_dump(), **changes}
    store.write_text(store.folder("statistics", "fr", "2026-11-02.json"), json.dumps(figures))
    nights = published(store)
    assert nights["fr"]["2026-11-02"] is None
    assert calendar(nights, ["fr"], DATES, Metric.COST)["fr"][1].damaged


def test_an_empty_store_has_no_night(store: Store) -> None:
    assert published(store) == {}
