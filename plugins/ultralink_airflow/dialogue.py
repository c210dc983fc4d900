"""The operators that talk to the teacher: one measures the judge, one has dialogues written, many at once."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import TYPE_CHECKING

from ultralink.errors import KeyRejected
from ultralink_airflow.base import StageOperator

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from ultralink.stages.night import Built, Night
    from ultralink.teacher.endpoint import Endpoint


class TeacherOperator(StageOperator):
    """Ask the teacher, through the recipe's ``openai`` connection.

    Every answer is in the journal before it is used, so a killed task loses nothing: its next attempt
    replays, and pays again only for what was in flight.
    """

    _loop: asyncio.AbstractEventLoop | None = None
    _work: asyncio.Task[Built] | None = None

    @abstractmethod
    def work(self, night: Night, endpoint: Endpoint) -> Coroutine[None, None, Built]:
        """The work to do in an event loop."""

    def build(self, night: Night) -> Built:
        import uvloop

        endpoint = teacher_endpoint(night.recipe.teacher.conn_id, night.recipe.teacher.timeout_s)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            self._loop = runner.get_loop()
            return runner.run(self._cancellable(self.work(night, endpoint)))

    async def _cancellable(self, work: Coroutine[None, None, Built]) -> Built:
        self._work = asyncio.current_task()
        return await work

    def on_kill(self) -> None:
        """Stop asking: a task that a person ends or that times out. What was answered is in the journal."""
        if self._loop is not None and self._work is not None:
            self._loop.call_soon_threadsafe(self._work.cancel)


class CalibrateJudgeOperator(TeacherOperator):
    """Measure the judge with the language's labelled items, once per change of items, prompt or model."""

    def work(self, night: Night, endpoint: Endpoint) -> Coroutine[None, None, Built]:
        from ultralink.stages.calibrate import calibrate

        return calibrate(night, endpoint)


class GenerateDialoguesOperator(TeacherOperator):
    """Write one dialogue per passage of the shard."""

    def work(self, night: Night, endpoint: Endpoint) -> Coroutine[None, None, Built]:
        from ultralink.stages.generate import generate

        return generate(night, self.shard, endpoint)


def teacher_endpoint(conn_id: str, timeout_s: float) -> Endpoint:
    """The endpoint that the Airflow connection describes. Raises KeyRejected where it or its key is missing."""
    from airflow.providers.openai.hooks.openai import OpenAIHook
    from airflow.sdk.exceptions import AirflowNotFoundException
    from openai import OpenAIError

    from ultralink.teacher.endpoint import Endpoint

    hook = OpenAIHook(conn_id)
    try:
        client = hook.get_conn()
        return Endpoint.from_client(client, hook.get_connection(conn_id).extra_dejson, timeout_s)
    except AirflowNotFoundException as error:
        raise KeyRejected(
            f"connection {conn_id!r} does not exist; add it with type openai and the key as password"
        ) from error
    except OpenAIError as error:
        raise KeyRejected(f"connection {conn_id!r}: {error}") from error
