"""What a task does after a wait: the event of either trigger is taken, and a trigger that cannot ask is not trusted."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Coroutine, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.stages.nights import night
from tests.teacher.batching import LIMITS, attempt, batch_desk, provider, tickets
from tests.teacher.fake_teacher import endpoint

from ultralink.errors import KeyRejected, NothingNew
from ultralink.insight.batches import batches_of
from ultralink.insight.damage import Damages
from ultralink.recipe import Alarms
from ultralink.stages.night import Night
from ultralink.stages.partition import Built
from ultralink.teacher.batch.tickets import Look, Tickets
from ultralink.teacher.desk import Desk as BatchDesk
from ultralink.teacher.endpoint import Endpoint
from ultralink.teacher.waiting import Waiting


@pytest.fixture
def waiting_task(airflow_db: None) -> Any:
    """A task that waits for a batch whenever it is run."""
    from airflow.sdk.definitions.context import Context

    from ultralink_airflow.teacher import TeacherOperator

    class Asking(TeacherOperator[Night]):
        def partition(self, context: Context) -> Night:
            raise AssertionError("not read here")

        def alarms(self, partition: Night) -> Alarms:
            return Alarms()

        def conn_id(self, partition: Night) -> str:
            return "openai_default"

        def endpoint(self, partition: Night) -> Endpoint:
            return endpoint("http://127.0.0.1:9/v1")

        def work(self, partition: Night, endpoint: Endpoint) -> Coroutine[None, None, Built]:
            async def wait() -> Built:
                raise Waiting("a batch is under way", batch_id="batch_1", pause_s=60)

            return wait()

        def execute(self, context: Context) -> None:
            self.build(night("/nowhere", "fr"))

    return Asking(task_id="asking")


@pytest.mark.parametrize(
    ("event", "trigger"),
    [
        (None, "OpenAIBatchTrigger"),
        ({"status": "success", "message": "completed"}, "OpenAIBatchTrigger"),
        (datetime(2026, 11, 1, tzinfo=UTC), "OpenAIBatchTrigger"),  # after a pause
        ({"status": "error", "message": "connection refused"}, "TimeDeltaTrigger"),
    ],
)
def test_a_task_goes_on_after_any_event(waiting_task: Any, event: object, trigger: str) -> None:
    from airflow.sdk.exceptions import TaskDeferred

    with pytest.raises(TaskDeferred) as deferred:
        waiting_task.resume({}, event)
    assert type(deferred.value.trigger).__name__ == trigger
    assert deferred.value.method_name == "resume"


def test_the_log_says_what_a_task_waits_for_and_when_it_looks_next(
    waiting_task: Any, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    from airflow.sdk.exceptions import TaskDeferred

    def told(event: object) -> str:
        with pytest.raises(TaskDeferred):
            waiting_task.resume({}, event)
        return caplog.text + "".join(capsys.readouterr())

    form = r"Waiting: a batch is under way; {} at \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d UTC"
    assert re.search(form.format("the triggerer looks at batch_1 every 60 s, next"), told(None))
    assert re.search(form.format("goes on"), told({"status": "error", "message": "connection refused"}))


# --- the task that publishes ----------------------------------------------------------------------


@pytest.fixture
def abandoned(tmp_path: Path) -> Iterator[tuple[Night, BatchDesk, str]]:
    """A night whose only batch no task waits for, and the teacher's address, on a loop of its own."""
    one = night(tmp_path, "fr", mode="batch")
    former = batch_desk(one.journal_folder, task="00007")
    loop = asyncio.new_event_loop()
    running = threading.Thread(target=loop.run_forever)
    running.start()

    def run(work: Coroutine[None, None, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(60)

    served = provider(seconds=60)
    try:
        serving = run(served.__aenter__())
        with pytest.raises(Waiting):
            run(attempt(former, serving.url, ["a", "b"]))
        yield one, former, serving.url
    finally:
        run(served.__aexit__(None, None, None))
        run(_without_work())
        loop.call_soon_threadsafe(loop.stop)
        running.join(20)
        loop.close()


async def _without_work() -> None:
    """End the batches that the provider would work on for a minute."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def publishing(monkeypatch: pytest.MonkeyPatch, url: str) -> Any:
    from ultralink_airflow import publish as module

    task = module.PublishSamplesOperator(task_id="publish", language="fr")
    monkeypatch.setattr(task, "endpoint", lambda partition: endpoint(url, limits=LIMITS))
    return task


def test_publishing_waits_until_batches_that_nobody_asks_for_are_closed(
    airflow_db: None, abandoned: tuple[Night, BatchDesk, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.sdk.exceptions import TaskDeferred

    one, former, url = abandoned
    task = publishing(monkeypatch, url)
    triggers: list[str] = []
    published = False
    while not published and len(triggers) < 2000:
        try:
            task.build(one)
        except NothingNew:  # there is no row to publish; but that comes after the batches
            published = True
        except TaskDeferred as deferred:
            triggers.append(type(deferred.trigger).__name__)
            time.sleep(0.02)
    assert published
    assert set(triggers) == {"TimeDeltaTrigger"}
    assert [(ticket.stage, ticket.ended) for ticket in tickets(former)] == [("done", "cancelled")]


def test_a_key_that_is_gone_keeps_nobody_from_publishing(
    airflow_db: None, abandoned: tuple[Night, BatchDesk, str], monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def gone(partition: Night) -> Endpoint:
        raise KeyRejected("connection 'openai_default' does not exist")

    one, former, url = abandoned
    task = publishing(monkeypatch, url)
    monkeypatch.setattr(task, "endpoint", gone)
    with pytest.raises(NothingNew):
        task.build(one)
    assert "They stay open; clear this task to try again" in caplog.text + "".join(capsys.readouterr())
    assert [ticket.stage for ticket in tickets(former)] == ["sent"]


def test_the_page_shows_how_far_a_batch_was_at_the_last_look(
    airflow_db: None, abandoned: tuple[Night, BatchDesk, str]
) -> None:
    from ultralink_airflow.page.view import _templates

    one, former, _ = abandoned
    (ticket,) = tickets(former)
    Tickets.of(former.fs, former.journal_folder, former.task).note_look(ticket, Look(finished=1, at="2026-11-23"))
    batches = batches_of(one.store, one.journal_folder, Damages())
    task = SimpleNamespace(
        task_id="dialogue.generate", map_index=7, state="deferred", present=SimpleNamespace(started=None)
    )
    seen = SimpleNamespace(run=SimpleNamespace(dag_id="ultralink_fr", run_id="r"))
    shown = _templates.get_template("parts.html").module.retrying([], [(task, batches["00007"])], [], seen)
    assert "1 of 2" in shown
    assert str(ticket.batch_id) in shown
