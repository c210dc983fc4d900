"""Running a stage that asks the teacher: its endpoint from an Airflow connection, its event loop, its end."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Generic, NoReturn, cast

from ultralink.errors import KeyRejected
from ultralink_airflow.base import PartitionOperator, PartitionT

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from airflow.sdk.definitions.context import Context

    from ultralink.stages.partition import Built, Partition
    from ultralink.teacher.endpoint import Endpoint
    from ultralink.teacher.waiting import Waiting

BATCH_HOURS = 25  # a batch ends within 24; should it not, the task looks for itself and goes on waiting


class TeacherOperator(PartitionOperator[PartitionT], Generic[PartitionT]):
    """Ask the teacher, through the recipe's ``openai`` connection.

    Every answer is in the journal before it is used, so a killed task loses nothing: its next attempt
    replays, and pays again only for what was in flight.

    In batch mode the task defers while a batch is under way: it holds no worker slot, and what it waits for is on the
    store, so it begins anew as if it had been killed.
    """

    _loop: asyncio.AbstractEventLoop | None = None
    _work: asyncio.Task[Built] | None = None
    _news_failed = False

    @abstractmethod
    def conn_id(self, partition: PartitionT) -> str:
        """The connection to the teacher."""

    @abstractmethod
    def endpoint(self, partition: PartitionT) -> Endpoint:
        """Whom to ask."""

    @abstractmethod
    def work(self, partition: PartitionT, endpoint: Endpoint) -> Coroutine[None, None, Built]:
        """The work to do in an event loop."""

    def build(self, partition: PartitionT) -> Built:
        import uvloop

        from ultralink.teacher.waiting import Waiting

        endpoint = self.endpoint(partition)
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                self._loop = runner.get_loop()
                return runner.run(self._cancellable(self.work(partition, endpoint)))
        except Waiting as waiting:
            self._wait(waiting, self.conn_id(partition), endpoint.limits.batch_poll_s)

    def close_batches(self, partition: PartitionT) -> None:
        """Before a partition is published: close batches that none of its tasks waits for any more, by ``work``.

        It may defer. Where they cannot be closed the partition is published all the same.
        """
        from ultralink.errors import UltraLinkError
        from ultralink.stages.leftovers import leftovers

        count = leftovers(cast("Partition", partition))
        if not count:
            return
        self.log.info("%d batch files are open that no task of this run asks for.", count)
        try:
            self.log.info("%s", TeacherOperator.build(self, partition).line)
        except UltraLinkError as problem:
            self.log.warning("They stay open; clear this task to try again: %s", problem)

    def resume(self, context: Context, event: object = None) -> None:
        """Go on after a wait. The event is news, not truth: the provider is asked again.

        It is a mapping after a batch, a time after a pause.
        """
        if isinstance(event, Mapping):
            self.log.info("%s", event.get("message"))
            self._news_failed = event.get("status") == "error"
        self.execute(context)

    def _wait(self, waiting: Waiting, conn_id: str, poll_s: float) -> NoReturn:
        """Defer: for the batch, or for the pause."""
        from airflow.providers.openai.triggers.openai import OpenAIBatchTrigger
        from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger

        trigger: OpenAIBatchTrigger | TimeDeltaTrigger
        # A trigger that could not ask would end at once again; then the task looks for itself, after a pause.
        if waiting.batch_id is None or self._news_failed:
            trigger = TimeDeltaTrigger(timedelta(seconds=waiting.pause_s))
            then = "goes on"
        else:
            timeout_s = timedelta(hours=BATCH_HOURS).total_seconds()
            trigger = OpenAIBatchTrigger(conn_id, waiting.batch_id, poll_s, timeout=timeout_s)
            then = f"the triggerer looks at {waiting.batch_id} every {poll_s:g} s, next"
        again = datetime.now(UTC) + timedelta(seconds=poll_s if waiting.batch_id else waiting.pause_s)
        self.log.info("Waiting: %s; %s at %s UTC", waiting, then, again.strftime("%Y-%m-%d %H:%M:%S"))
        self.defer(trigger=trigger, method_name="resume")

    async def _cancellable(self, work: Coroutine[None, None, Built]) -> Built:
        self._work = asyncio.current_task()
        return await work

    def on_kill(self) -> None:
        """Stop asking: a task that a person ends or that times out. What was answered is in the journal."""
        if self._loop is not None and self._work is not None:
            self._loop.call_soon_threadsafe(self._work.cancel)


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
