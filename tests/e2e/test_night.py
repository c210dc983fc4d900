"""Whole nights on a real Airflow: built, repeated, cleared, killed, priced, side by side."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from pathlib import Path

import pandas as pd
import psutil
import pytest
from tests.e2e.system import Live
from tests.waiting import wait_for

from ultralink.local.processes import running
from ultralink.schemas import DIALOGUE_REJECTS, DIALOGUES, PASSAGES, SELECTION
from ultralink.stages.statistics import Statistics, read_statistics

DATE = "2026-11-01"
SHARDS = 4


def statistics(live: Live, language: str = "zh", date: str = DATE) -> Statistics:
    found = read_statistics(live.store, language, date)
    assert found is not None
    return found


def logs(live: Live, run_id: str, task: str) -> str:
    """What the task instances of ``task`` logged, over all shards and attempts."""
    found = sorted((live.settings.home / "logs").glob(f"dag_id=*/run_id={run_id}/task_id={task}/**/*.log"))
    assert found, f"no logs of {task}"
    events = []
    for path in found:
        for line in path.read_text().splitlines():
            try:
                events.append(str(json.loads(line).get("event")))
            except ValueError:
                events.append(line)
    return "\n".join(events)


def written(live: Live, stage: str, language: str = "zh", date: str = DATE) -> dict[str, int]:
    """When each part of a stage was written."""
    folder = Path(live.settings.store) / stage / language / date
    return {path.name: path.stat().st_mtime_ns for path in sorted(folder.glob("*.parquet"))}


@pytest.fixture(scope="module")
def first_run(live: Live) -> str:
    run_id = live.run("zh", DATE)
    assert live.finish("zh", run_id) == "success"
    return run_id


def test_a_night_makes_samples_with_provenance(live: Live, first_run: str) -> None:
    figures = statistics(live)
    samples = pd.read_parquet(figures.outputs["samples"])
    assert len(samples) == figures.samples >= 4
    assert figures.passages >= figures.subsets["chat_specific"].samples == figures.samples
    assert samples["id"].is_unique
    for _, row in samples.iterrows():
        roles = [message["role"] for message in row["messages"]]
        assert roles == ["user", "assistant"] * (len(roles) // 2)
        assert len(roles) >= 2
        source, teacher = row["source"], row["teacher"]
        assert row["id"] == f"zh-chat_specific-{source['passage_id']}"
        assert (
            source["passage_id"] == f"{source['page_id']}-{source['revision_id']}-{source['passage_id'].split('-')[-1]}"
        )
        assert source["title"]
        assert source["url"].startswith("http")
        assert source["licence"] == "CC BY-SA 4.0"
        assert source["passage_end"] - source["passage_start"] == len(source["passage"])
        assert "not an LLM" in teacher["model"]
        assert teacher["requested_model"] == "offline-teacher"
        assert teacher["completion_tokens"] > 0


def test_every_passage_is_a_sample_or_a_reject(live: Live, first_run: str) -> None:
    figures = statistics(live)
    rejects = pd.read_parquet(figures.outputs["rejects"])
    assert figures.rejects == len(rejects) > 0
    turned_down = rejects[(rejects["stage"] == "dialogues") & ~rejects["id"].str.contains("-turn")]
    passages = sum(1 for shard in range(SHARDS) for _ in live.store.part(PASSAGES, "zh", DATE, shard).rows())
    assert figures.samples + len(turned_down) == passages == figures.passages
    assert {"stub", "list", "language", "disambiguation"} & set(rejects[rejects["stage"] == "articles"]["gate"])


def test_nothing_goes_through_xcom(live: Live, first_run: str) -> None:
    with sqlite3.connect(live.settings.home / "airflow.db") as database:
        assert database.execute("select count(*) from xcom").fetchone() == (0,)
        assert database.execute("select count(*) from dag_run where state = 'success'").fetchone()[0] >= 1


def test_the_asset_event_carries_the_figures(live: Live, first_run: str) -> None:
    with sqlite3.connect(live.settings.home / "airflow.db") as database:
        events = database.execute(
            "select event.extra from asset_event event join asset on asset.id = event.asset_id "
            "where asset.name = 'ultralink_zh_samples' and event.source_run_id = ?", (first_run,)
        ).fetchall()  # fmt: skip
    (extra,) = events
    assert json.loads(extra[0])["chat_specific"] == statistics(live).samples


def test_tasks_log_their_outputs_a_summary_and_progress(live: Live, first_run: str) -> None:
    for task, stage in (
        ("wikipedia.extract", "passages"),
        ("dialogue.generate", "dialogues"),
        ("publish.publish", "samples"),
    ):
        text = logs(live, first_run, task)
        assert f"Output: {live.settings.store}/{stage}/zh/{DATE}/00000.parquet" in text
    assert "any-key" not in logs(live, first_run, "dialogue.generate")


def test_the_ledger_agrees_with_the_teacher(live: Live, first_run: str) -> None:
    ledger = pd.read_parquet(statistics(live).outputs["ledger"])
    assert set(ledger["run"]) == {first_run}
    paid = ledger["paid"].sum()
    assert paid == live.teacher.stats()["paid"]


def test_the_same_night_again_pays_nothing_and_changes_nothing(live: Live, first_run: str) -> None:
    paid, parts = (
        live.teacher.stats()["calls"],
        {stage: written(live, stage) for stage in ("selection", "passages", "dialogues", "samples")},
    )
    assert live.finish("zh", live.run("zh", DATE)) == "success"
    assert live.teacher.stats()["calls"] == paid
    assert {stage: written(live, stage) for stage in parts} == parts


def test_a_rebuild_replays_to_the_same_bytes(live: Live, first_run: str) -> None:
    folder = Path(live.settings.store)
    paid = live.teacher.stats()["calls"]
    files = [
        path
        for stage in ("dialogues", "samples", "rejects")
        for path in sorted((folder / stage / "zh" / DATE).glob("*.parquet"))
    ]
    before, written_before = [path.read_bytes() for path in files], written(live, "dialogues")
    assert live.finish("zh", live.run("zh", DATE, rebuild=True)) == "success"
    assert live.teacher.stats()["calls"] == paid
    assert all(new > old for old, new in zip(written_before.values(), written(live, "dialogues").values(), strict=True))
    assert [path.read_bytes() for path in files] == before


def test_clearing_one_shard_makes_only_that_shard_again(live: Live, first_run: str) -> None:
    before = {stage: written(live, stage) for stage in ("passages", "dialogues")}
    body = {
        "dry_run": False, "dag_run_id": first_run, "task_ids": [["dialogue.generate", 1]],
        "include_downstream": True, "reset_dag_runs": True, "only_failed": False,
    }  # fmt: skip
    live.api.call("POST", "/api/v2/dags/ultralink_zh/clearTaskInstances", body)
    assert live.finish("zh", first_run) == "success"
    after = {stage: written(live, stage) for stage in ("passages", "dialogues")}
    assert after["passages"] == before["passages"]
    assert [name for name in after["dialogues"] if after["dialogues"][name] != before["dialogues"][name]] == [
        "00001.parquet"
    ]


def test_a_dry_run_prices_all_and_calls_nobody(live: Live) -> None:
    calls = live.teacher.stats()["calls"]
    run_id = live.run("fr", "2026-12-01", dry_run=True, articles=3)
    assert live.finish("fr", run_id) == "success"
    assert live.teacher.stats()["calls"] == calls
    assert not written(live, "dialogues", "fr", "2026-12-01")
    states = {task.task_id: task.state for task in live.api.tasks("ultralink_fr", run_id)}
    assert states["publish.publish"] == "skipped"
    assert "calls to pay for, 0 answers already in the journal" in logs(live, run_id, "publish.publish")


def test_two_nights_at_once_take_different_articles(live: Live) -> None:
    dates = ["2026-11-02", "2026-11-03"]
    runs = [live.run("fr", date, articles=3, shards=2) for date in dates]
    assert [live.finish("fr", run) for run in runs] == ["success", "success"]
    first, second = ({row["page_id"] for row in live.store.part(SELECTION, "fr", date).rows()} for date in dates)
    assert len(first) == len(second) == 3
    assert not first & second


def test_an_unknown_model_fails_at_once_with_a_note(live: Live) -> None:
    run_id = live.run("fr", "2026-11-02", model="gpt-4o-nowhere", shards=1, articles=3)
    assert live.finish("fr", run_id) == "failed"
    failed = [task for task in live.api.tasks("ultralink_fr", run_id) if task.state == "failed"]
    assert {task.task_id for task in failed} == {"dialogue.calibrate"}
    assert {task.try_number for task in failed} == {1}
    note = logs(live, run_id, "dialogue.calibrate")
    assert "gpt-4o-nowhere" in note
    assert "What to do: Correct teacher.model in the recipe" in note


def talking_to(port: int, home: Path) -> list[psutil.Process]:
    """The Airflow processes that have a connection to the teacher."""
    found = []
    for process in running(home):
        try:
            if any(link.raddr and link.raddr.port == port for link in process.net_connections("tcp")):
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_sigkill_loses_nothing_and_pays_again_only_for_what_was_in_flight(live: Live) -> None:
    date, port = "2026-11-09", int(live.teacher.url.rpartition(":")[2].partition("/")[0])
    before = live.teacher.stats()
    run_id = live.run("es", date, articles=12, shards=1)
    wait_for(lambda: live.teacher.steps().get("es answer.first", 0) >= 2, 120)  # calibration only judges
    (victim,) = talking_to(port, live.settings.home)
    in_flight = len([link for link in victim.net_connections("tcp") if link.raddr and link.raddr.port == port])
    os.kill(victim.pid, signal.SIGKILL)
    assert live.finish("es", run_id) == "success"
    generate = next(task for task in live.api.tasks("ultralink_es", run_id) if task.task_id == "dialogue.generate")
    assert generate.try_number == 2
    after = live.teacher.stats()
    paid, unique = after["paid"] - before["paid"], after["unique"] - before["unique"]
    assert paid - unique <= in_flight
    ledger = pd.read_parquet(statistics(live, "es", date).outputs["ledger"])
    assert ledger["paid"].sum() == unique
    parts = [live.store.part(stage, "es", date) for stage in (PASSAGES, DIALOGUES, DIALOGUE_REJECTS)]
    passages, dialogues, rejects = ([str(row["id"]) for row in part.rows(["id"])] for part in parts)
    turned_down = [row_id for row_id in rejects if "-turn" not in row_id]
    assert len(dialogues) + len(turned_down) == len(passages) > 0
