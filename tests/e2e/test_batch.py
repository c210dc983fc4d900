"""A night by the Batch API on a real Airflow: tasks defer, triggerer and worker are killed, nothing is paid twice."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import suppress

import pandas as pd
import psutil
import pytest
from tests.e2e.system import Live, Teacher, offline_teacher
from tests.e2e.test_night import logs
from tests.waiting import wait_for

from ultralink.local.processes import _spawn, running
from ultralink.schemas import DIALOGUE_REJECTS, DIALOGUES, PASSAGES
from ultralink.stages.statistics import read_statistics
from ultralink.teacher.batch.tickets import Stage, Tickets

DATE, SHARDS = "2026-11-01", 2


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Teacher]:
    """An offline teacher that takes its time for a batch, and lets the first one expire half done."""
    with offline_teacher(tmp_path_factory.mktemp("teacher"), "--batch-seconds", "5", "--batch-expire", "1") as running:
        yield running


@pytest.fixture(scope="module")
def more_environment() -> dict[str, str]:
    return {"OPENAI_EXTRA": '{"batch_poll_s": 1}'}


def states(live: Live, run_id: str, task_id: str) -> set[str]:
    return {task.state for task in live.api.tasks("ultralink_fr", run_id) if task.task_id == task_id}


def triggerers(live: Live) -> list[psutil.Process]:
    return [process for process in running(live.settings.home) if "triggerer" in " ".join(process.cmdline())]


def working(live: Live) -> list[psutil.Process]:
    """The task processes that talk to the teacher now."""
    port, found = int(live.teacher.url.rpartition(":")[2].partition("/")[0]), []
    waiting = {process.pid for process in triggerers(live)}
    for process in running(live.settings.home):
        try:
            talks = any(link.raddr and link.raddr.port == port for link in process.net_connections("tcp"))
        except psutil.Error:
            continue
        if talks and process.pid not in waiting:
            found.append(process)
    return found


def test_a_night_by_batch_survives_its_triggerer_and_its_worker(live: Live) -> None:
    run_id = live.run("fr", DATE, mode="batch", articles=4, shards=SHARDS, chat=0, math=0, code=0)
    wait_for(lambda: "deferred" in states(live, run_id, "dialogue.generate"), 180)
    for process in triggerers(live):
        os.kill(process.pid, signal.SIGKILL)
    wait_for(lambda: not triggerers(live), 30)
    triggerer = [sys.executable, "-m", "airflow", "triggerer"]
    _spawn(live.settings.home, triggerer, live.settings.environment(None), "triggerer-2.log")

    def has_lost_a_try() -> bool:
        tasks = [task for task in live.api.tasks("ultralink_fr", run_id) if task.task_id == "dialogue.generate"]
        return any(task.try_number > 1 or task.state == "up_for_retry" for task in tasks)

    def kill_one() -> bool:
        for process in working(live)[:1]:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
            with suppress(TimeoutError):  # it may have told its state already, and was only saying goodbye
                wait_for(has_lost_a_try, 15)
        return has_lost_a_try()

    wait_for(kill_one, 240)
    assert live.finish("fr", run_id) == "success"
    page = live.teacher._page()
    assert page["paid"] == page["unique"] > 0
    assert page["calls"] == page["paid"] == page["batches"]["answered"]
    assert page["batches"]["expired"] == 1

    figures = read_statistics(live.store, "fr", DATE)
    assert figures is not None
    assert figures.calls == figures.batch_calls == page["paid"]
    ledger = pd.read_parquet(figures.outputs["ledger"])
    assert ledger["paid"].sum() == page["paid"]
    for shard in range(SHARDS):
        parts = [live.store.part(stage, "fr", DATE, shard) for stage in (PASSAGES, DIALOGUES, DIALOGUE_REJECTS)]
        passages, dialogues, rejects = ([str(row["id"]) for row in part.rows(["id"])] for part in parts)
        turned_down = [row_id for row_id in rejects if "-turn" not in row_id]
        assert len(dialogues) + len(turned_down) == len(passages)
    tickets = [
        ticket
        for task in ("calibration", *(f"{shard:05d}" for shard in range(SHARDS)))
        for ticket in Tickets.of(live.store.fs, live.store.folder("journal", "fr", DATE), task).all()
    ]
    assert {ticket.stage for ticket in tickets} == {Stage.DONE}
    assert len(tickets) == page["batches"]["created"] > 6
    text = logs(live, run_id, "dialogue.generate")
    assert re.search(
        r"\d+ of \d+ requests are done, in \d+ batches that are under way since \S+: batch_\S+.*; "
        r"the triggerer looks at batch_\S+ every 1 s, next at \d{4}-\d\d-\d\d [\d:]{8} UTC",
        text,
    )
    assert "any-key" not in text
    with sqlite3.connect(live.settings.home / "airflow.db") as database:
        assert database.execute("select count(*) from xcom").fetchone() == (0,)
