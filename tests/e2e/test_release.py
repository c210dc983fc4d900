"""Releases on a real Airflow: made when all languages have published a night, refused, skipped, pushed, loaded."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import datasets
import pandas as pd
import pytest
import yaml
from tests.e2e.system import Live
from tests.release.fake_hub import REPOSITORY, TOKEN, FakeHub, fake_hub
from tests.waiting import wait_for

from ultralink.dataset import open_release
from ultralink.local.processes import start, stop
from ultralink.release.manifest import Manifest
from ultralink.release.shelf import Shelf
from ultralink.stages.statistics import read_statistics

DATE, VERSION = "2026-11-01", "2026.11.01"
DAG, POOL = "ultralink_release", "ultralink_english_pool"
LANGUAGES = ("fr", "zh")


@pytest.fixture(scope="module")
def hub() -> Iterator[FakeHub]:
    with fake_hub() as hub:
        yield hub


@pytest.fixture(scope="module")
def more_environment(hub: FakeHub, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    recipe = tmp_path_factory.mktemp("recipe") / "release.yaml"
    recipe.write_text(yaml.safe_dump({"languages": list(LANGUAGES), "shards": 2, "validation_share": 0.2}))
    connection = {"conn_type": "generic", "host": hub.url, "password": TOKEN}
    return {"ULTRALINK_RELEASE": str(recipe), "AIRFLOW_CONN_HUGGINGFACE_DEFAULT": json.dumps(connection)}


def finish(live: Live, dag_id: str, run_id: str) -> str:
    wait_for(lambda: live.api.run_state(dag_id, run_id) in {"success", "failed"}, 300)
    return live.api.run_state(dag_id, run_id)


def by_hand(live: Live, **params: object) -> tuple[str, str]:
    """A run that a person starts, and how it ended."""
    run_id = live.api.trigger(DAG, DATE, params)
    return run_id, finish(live, DAG, run_id)


def states(live: Live, run_id: str) -> dict[str, str]:
    return {task.task_id: task.state for task in live.api.tasks(DAG, run_id)}


def log_of(live: Live, run_id: str, task_id: str) -> str:
    folder = live.settings.home / "logs" / f"dag_id={DAG}" / f"run_id={run_id}" / f"task_id={task_id}"
    return "".join(path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*.log")))


def rows_of(live: Live, query: str, *values: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(live.settings.home / "airflow.db") as database:
        return database.execute(query, values).fetchall()


def runs(live: Live, state: str) -> list[object]:
    """Partition keys of the runs in ``state``."""
    return [
        key for (key,) in rows_of(live, "select partition_key from dag_run where dag_id = ? and state = ?", DAG, state)
    ]


def scheduled(live: Live) -> None:
    """Start Airflow again with its schedules on, but let only the release follow its own."""
    for dag_id in (POOL, *(f"ultralink_{code}" for code in ("zh", "fr", "es"))):
        live.api.pause(dag_id, paused=True)
    stop(live.settings.home)
    start(replace(live.settings, scheduled=True))


@pytest.fixture(scope="module")
def release(live: Live) -> Manifest:
    """The release that Airflow started by itself once both languages had published the night."""
    for dag_id in (POOL, DAG):
        wait_for(lambda name=dag_id: live.api.has_dag(name), 90)
        live.api.pause(dag_id, paused=False)
    assert finish(live, POOL, live.api.trigger(POOL, DATE, {"model": "offline-teacher"})) == "success"
    nights = {code: live.run(code, DATE, articles=3, chat=4, math=4, code=4) for code in LANGUAGES}
    for code, run_id in nights.items():
        assert live.finish(code, run_id) == "success"
    scheduled(live)
    shelf = Shelf(live.store)
    wait_for(lambda: shelf.holds(VERSION) or runs(live, "failed"), 240)
    assert not runs(live, "failed")
    return shelf.manifest(VERSION)


def test_a_night_of_all_languages_becomes_a_release(live: Live, release: Manifest) -> None:
    samples = {}
    for code in LANGUAGES:
        figures = read_statistics(live.store, code, DATE)
        assert figures is not None
        samples[code] = figures.samples
    assert release.rows + sum(release.removed.values()) == sum(samples.values())
    assert {(one.language, one.subset) for one in release.configurations} == {
        (code, subset) for code in LANGUAGES for subset in ("chat_specific", "chat_agnostic", "math", "code")
    }
    wait_for(lambda: runs(live, "success"), 60)
    assert runs(live, "success") == [DATE]
    assert rows_of(live, "select * from xcom") == []
    ((extra,),) = rows_of(
        live,
        "select event.extra from asset_event event join asset on asset.id = event.asset_id "
        "where asset.name = 'ultralink_release'",
    )
    assert json.loads(str(extra)) == {"version": VERSION, "rows": release.rows}


def test_the_release_loads_with_what_model_builders_use(
    live: Live, release: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    folder = str(Path(live.settings.store) / "releases" / "latest")
    for one in release.configurations:
        name = f"{one.language}_{one.subset}"
        loaded = datasets.load_dataset(folder, name, cache_dir=str(tmp_path))
        assert {split: len(rows) for split, rows in loaded.items()} == {
            split: rows for split, rows in (("train", one.train), ("validation", one.validation)) if rows
        }
    assert open_release(live.settings.store).count() == release.rows
    index = pd.read_parquet(f"{folder}/provenance/index.parquet")
    assert index["id"].is_unique
    assert len(index) == release.rows
    assert list(Shelf(live.store).verify(VERSION)) == []


def test_the_same_rows_again_are_no_new_release(live: Live, release: Manifest) -> None:
    run_id, state = by_hand(live)
    assert state == "success"
    assert set(states(live, run_id).values()) == {"skipped"}
    assert f"release {VERSION} has exactly these rows" in log_of(live, run_id, "collect.plan")
    assert Shelf(live.store).versions() == [VERSION]


def test_a_version_that_exists_is_refused_at_once(live: Live, release: Manifest) -> None:
    run_id, state = by_hand(live, version=VERSION)
    assert state == "failed"
    assert states(live, run_id)["collect.plan"] == "failed"
    log = log_of(live, run_id, "collect.plan")
    assert "the version is taken" in log
    assert "What to do: Trigger the release again with another version" in log
    assert Shelf(live.store).manifest(VERSION) == release


def test_two_releases_at_once_do_not_mix(live: Live, release: Manifest) -> None:
    runs = {
        code: live.api.trigger(DAG, DATE, {"version": f"{code}-1", "languages": [code], "formats": []})
        for code in LANGUAGES
    }
    for code, run_id in runs.items():
        assert finish(live, DAG, run_id) == "success"
        manifest = Shelf(live.store).manifest(f"{code}-1")
        assert {one.language for one in manifest.configurations} == {code}
        assert list(Shelf(live.store).verify(f"{code}-1")) == []


def test_a_release_is_pushed_to_the_hub_once(live: Live, release: Manifest, hub: FakeHub) -> None:
    run_id, state = by_hand(live, version="pushed-1", push_to=REPOSITORY, formats=[])
    assert state == "success", log_of(live, run_id, "publish.push")
    assert states(live, run_id)["publish.push"] == "success"
    assert "pushed-1" in hub.repository.tags
    assert TOKEN not in log_of(live, run_id, "publish.push")
