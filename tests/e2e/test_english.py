"""The English pool and the translated rows of a night, on a real Airflow."""

from __future__ import annotations

import json
import sqlite3

import pandas as pd
import pytest
from tests.e2e.system import Live
from tests.waiting import wait_for

from ultralink.pool.row import Kind
from ultralink.schemas import CHOICE
from ultralink.stages.edition import PoolStatistics, pool_part, read_pool_statistics
from ultralink.stages.statistics import Statistics, read_statistics

DATE, LATER = "2026-11-01", "2026-11-02"
POOL = "ultralink_english_pool"


def run_pool(live: Live, date: str, **params: object) -> str:
    run_id = live.api.trigger(POOL, date, {"model": "offline-teacher", **params})
    wait_for(lambda: live.api.run_state(POOL, run_id) in {"success", "failed"}, 300)
    assert live.api.run_state(POOL, run_id) == "success"
    return run_id


def states(live: Live, dag_id: str, run_id: str) -> dict[str, str]:
    return {task.task_id: task.state for task in live.api.tasks(dag_id, run_id)}


def events(live: Live, asset: str) -> list[dict[str, object]]:
    with sqlite3.connect(live.settings.home / "airflow.db") as database:
        found = database.execute(
            "select event.extra from asset_event event join asset on asset.id = event.asset_id where asset.name = ?",
            (asset,),
        ).fetchall()
    return [json.loads(extra) for (extra,) in found]


@pytest.fixture(scope="module")
def pool(live: Live) -> PoolStatistics:
    wait_for(lambda: live.api.has_dag(POOL), 90)
    live.api.pause(POOL, paused=False)
    run_pool(live, DATE)
    found = read_pool_statistics(live.store, DATE)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def night(live: Live, pool: PoolStatistics) -> str:
    run_id = live.run("fr", DATE, articles=2, chat=6, math=8, code=6)
    assert live.finish("fr", run_id) == "success"
    return run_id


def figures(live: Live, language: str = "fr", date: str = DATE) -> Statistics:
    found = read_statistics(live.store, language, date)
    assert found is not None
    return found


def test_the_pool_has_its_rows_and_says_what_it_turned_away(live: Live, pool: PoolStatistics) -> None:
    for kind in Kind:
        rows = list(pool_part(live.store, DATE, kind).rows())
        assert len(rows) == pool.rows[kind] >= 20
        assert len({row["id"] for row in rows}) == len(rows)
        assert {bool(row["screen"]) for row in rows} == {kind is Kind.CHAT}
    rejects = pd.read_parquet(pool.outputs["rejects"])
    assert len(rejects) == sum(pool.rejects.values())
    assert {"cleaning", "duplicate", "screen"} <= set(rejects["gate"])
    assert events(live, POOL)[-1]["math"] == pool.rows[Kind.MATH]


def test_the_same_pool_again_tells_nobody_and_pays_nothing(live: Live, pool: PoolStatistics) -> None:
    before, calls = events(live, POOL), live.teacher.stats()["calls"]
    run_id = run_pool(live, DATE)
    assert states(live, POOL, run_id)["publish.publish"] == "skipped"
    assert events(live, POOL) == before
    assert live.teacher.stats()["calls"] == calls


def test_a_night_has_all_four_subsets(live: Live, night: str) -> None:
    made = figures(live)
    samples = pd.read_parquet(made.outputs["samples"])
    assert samples["subset"].value_counts().to_dict() == {
        name: subset.samples for name, subset in made.subsets.items() if subset.samples
    }
    for subset in ("chat_agnostic", "math", "code"):
        assert made.subsets[subset].samples >= 4
    translated = samples[samples["subset"] != "chat_specific"]
    for _, row in translated.iterrows():
        source = row["source"]
        assert row["id"] == f"fr-{row['subset']}-{source['row_id']}"
        assert source["licence"]
        assert source["dataset"]
        assert len(source["english"]) == len(row["messages"])
        assert "not an LLM" in row["teacher"]["model"]
    assert made.pool == DATE
    ledger = pd.read_parquet(made.outputs["ledger"])
    assert {"translate.chat", "translate.math", "translate.code"} <= set(ledger["step"])


def test_another_night_takes_other_rows(live: Live, night: str) -> None:
    run_id = live.run("fr", LATER, articles=1, chat=5, math=5, code=5)
    assert live.finish("fr", run_id) == "success"
    nights = [{str(row["id"]) for row in live.store.part(CHOICE, "fr", date).rows(["id"])} for date in (DATE, LATER)]
    assert len(nights[0]) == 20
    assert len(nights[1]) == 15
    assert not nights[0] & nights[1]


def test_the_same_night_again_pays_nothing(live: Live, night: str) -> None:
    calls = live.teacher.stats()["calls"]
    assert live.finish("fr", live.run("fr", DATE, articles=2, chat=6, math=8, code=6)) == "success"
    assert live.teacher.stats()["calls"] == calls


def test_english_takes_the_rows_as_they_are(live: Live, pool: PoolStatistics) -> None:
    wait_for(lambda: live.api.has_dag("ultralink_en"), 90)
    live.api.pause("ultralink_en", paused=False)
    calls = live.teacher.steps()
    assert live.finish("en", live.run("en", DATE, articles=1, chat=3, math=3, code=3)) == "success"
    made = figures(live, "en")
    assert {made.subsets[name].samples for name in ("chat_agnostic", "math", "code")} == {3}
    assert not {step for step in live.teacher.steps() if step.startswith("en translate")} - set(calls)
    samples = pd.read_parquet(made.outputs["samples"])
    direct = samples[samples["subset"] == "math"].iloc[0]
    assert direct["teacher"] is None
    assert [message["content"] for message in direct["messages"]] == [
        message["content"] for message in direct["source"]["english"]
    ]
