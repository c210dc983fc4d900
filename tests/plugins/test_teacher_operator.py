"""What a task does after a wait: the event of either trigger is taken, and a trigger that cannot ask is not trusted."""

from __future__ import annotations

from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.stages.nights import night
from tests.teacher.fake_teacher import endpoint

from ultralink.recipe import Alarms
from ultralink.stages.night import Night
from ultralink.stages.partition import Built
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
