"""Alarms on their way from a task to the notifiers of the recipe. Whatever goes wrong there, the task goes on."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

from airflow.sdk import BaseNotifier
from airflow.sdk._shared.secrets_masker import redact

from ultralink_airflow.failure import remedy_for

if TYPE_CHECKING:
    from types import TracebackType

    from airflow.sdk.definitions.context import Context

    from ultralink.recipe import Alarms, Channel
    from ultralink.stages.edition import Edition, PoolStatistics
    from ultralink.stages.night import Night
    from ultralink.stages.partition import Partition
    from ultralink.stages.statistics import Statistics
    from ultralink.store import Store
    from ultralink.teacher.listener import Spent
    from ultralink.watch.alarm import Alarm
    from ultralink.watch.jumps import Jumped

log = logging.getLogger(__name__)

PATIENCE_S = 60.0  # for all alarms of a task together; a channel that takes longer is left behind
FAILURE_QUIET_S = 3600.0  # shards of one task fail together: one message is enough


class Outbox:
    """Sends alarms from threads of their own, so that a slow channel holds nobody up; leaving it waits for them.

    ``store`` opens the store that remembers what was sent; without one, or when it is down, everything is sent.
    """

    def __init__(self, alarms: Alarms, context: Mapping[str, Any], store: Callable[[], Store]) -> None:
        self._alarms, self._context, self._store = alarms, context, store
        self._threads: list[threading.Thread] = []

    def post(self, alarm: Alarm) -> None:
        """Log the alarm and send it. Returns at once."""
        # An error may quote a URL or a header; what Airflow hides from logs, no mail or chat may show.
        alarm = replace(alarm, title=str(redact(alarm.title)), text=str(redact(alarm.text)))
        log.warning("ALARM (%s): %s\n%s", alarm.kind, alarm.title, alarm.text)
        channels = [channel for channel in self._alarms.notifiers if alarm.kind in channel.kinds]
        if not channels:
            return
        run = contextvars.copy_context().run
        thread = threading.Thread(target=run, args=(self._send, alarm, channels), name="alarm", daemon=True)
        thread.start()
        self._threads.append(thread)

    def __enter__(self) -> Outbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        end = time.monotonic() + PATIENCE_S
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        if any(thread.is_alive() for thread in self._threads):
            log.error("An alarm is not sent after %.0f s; the task does not wait for it any longer", PATIENCE_S)

    def _send(self, alarm: Alarm, channels: Sequence[Channel]) -> None:
        from ultralink.watch.sent import Sent

        sent: Sent | None = None
        try:
            sent = Sent(self._store())
            if not sent.claim(alarm):
                log.info("This alarm was sent before.")
                return
        except Exception as problem:
            log.warning("Cannot tell whether this alarm was sent before, so it is sent: %s", problem)
        reached = [channel for channel in channels if _reach(channel, alarm, self._context)]
        if sent is None:
            return
        try:
            if reached:
                sent.confirm(alarm)
            else:
                sent.give_up(alarm)
        except Exception as problem:
            log.warning("Cannot note whether this alarm was sent: %s", problem)


def _reach(channel: Channel, alarm: Alarm, context: Mapping[str, Any]) -> bool:
    """Send by one notifier; False, and a line in the log, if that does not work."""
    try:
        made = _notifier(channel.notifier)(**cast("dict[str, Any]", copy.deepcopy(channel.kwargs)))
        given = cast("Context", {**context, "alarm": alarm})
        if type(made).notify is BaseNotifier.notify:  # only its asynchronous half is written
            asyncio.run(_awaited(made, given))
        else:
            made(given)
    except Exception as problem:
        what = f"{type(problem).__name__}: {problem}"
        log.error("The alarm did not go out by %s; look at alarms.notifiers: %s", channel.notifier, what)
        return False
    log.info("The alarm went out by %s.", channel.notifier)
    return True


async def _awaited(notifier: BaseNotifier, context: Context) -> None:
    notifier.context = context
    await notifier


def _notifier(path: str) -> type[BaseNotifier]:
    module, _, name = path.rpartition(".")
    found = getattr(import_module(module), name)
    if not (isinstance(found, type) and issubclass(found, BaseNotifier)):
        raise TypeError(f"{path} is no notifier: no subclass of airflow.sdk.BaseNotifier")
    return found


# --- what there is to say ---------------------------------------------------------------------------


class FailureAlarm(BaseNotifier):
    """Tell the recipe's notifiers that a task has failed for good."""

    def __init__(self, alarms: Alarms) -> None:
        super().__init__()
        self.alarms = alarms

    def notify(self, context: Context) -> None:
        """Send the alarm. Never raises."""
        from ultralink_airflow.base import open_store

        try:
            with Outbox(self.alarms, cast("Mapping[str, Any]", context), open_store) as outbox:
                outbox.post(_failure(context))
        except Exception:
            log.exception("No alarm for this failure")


def run_url(dag_id: str, run_id: str) -> str:
    """The run's page in the UI, as far as Airflow knows its own address ([api] base_url)."""
    from airflow.sdk.configuration import conf

    base = conf.get("api", "base_url", fallback="") or "http://localhost:8080"
    return f"{base.rstrip('/')}/dags/{quote(dag_id, safe='')}/runs/{quote(run_id, safe='')}"


def _failure(context: Context) -> Alarm:
    from ultralink.recipe import AlarmKind
    from ultralink.watch.alarm import Alarm

    task, error = context["ti"], context.get("exception")
    partition = getattr(context["dag_run"], "partition_key", None) or task.run_id
    shard = f"[{task.map_index}]" if (task.map_index or 0) >= 0 and task.map_index is not None else ""
    lines = [
        f"{task.dag_id}, {partition}: {task.task_id}{shard} has failed after {task.try_number} attempts.",
        f"Why: {error or 'its process came to an end'}",
        f"What to do: {remedy_for(type(error)) or 'Read the log.'}",
        f"Run: {run_url(task.dag_id, task.run_id)}",
        f"Log: {getattr(task, 'log_url', 'in the UI')}",
        "Other shards of this task may have failed too: within the hour only the first is told.",
    ]
    return Alarm(
        AlarmKind.FAILURE,
        f"{task.dag_id} {partition}: {task.task_id} failed: {type(error).__name__ if error else 'killed'}",
        "\n".join(lines),
        f"{task.dag_id} {task.run_id} {task.task_id} {type(error).__name__}",
        FAILURE_QUIET_S,
    )


def budget_alarm(context: Mapping[str, Any], spent: Spent) -> Alarm:
    """A task has spent a good part of its part of the budget: one message per run, task and level, not per shard."""
    from ultralink.recipe import AlarmKind
    from ultralink.watch.alarm import Alarm

    task = context["ti"]
    partition = getattr(context["dag_run"], "partition_key", None) or task.run_id
    caps = [
        f"{spent.usd:.4f} of {spent.usd_cap:.4f} USD" if spent.usd_cap is not None else "",
        f"{spent.tokens:.0f} of {spent.tokens_cap} tokens" if spent.tokens_cap is not None else "",
    ]
    then = (
        "There is no room for the next call. What was paid for is kept: raise budget in the recipe and clear the task."
        if spent.level >= 1
        else "When all of it is gone the task fails; what was paid for is kept."
    )
    where = f"{task.task_id}[{task.map_index}]" if (task.map_index or 0) >= 0 else task.task_id
    return Alarm(
        AlarmKind.BUDGET,
        f"{task.dag_id} {partition}: {spent.level:.0%} of the budget of {task.task_id} is gone",
        f"{task.dag_id}, {partition}: {where} has spent {' and '.join(filter(None, caps))} of its part.\n{then}\n"
        f"Run: {run_url(task.dag_id, task.run_id)}\nOf the shards of this task only the first to come so far is told.",
        f"{task.dag_id} {task.run_id} {task.task_id} {spent.level}",
    )


def tell_jumps(night: Night, statistics: Statistics, context: Mapping[str, Any]) -> None:
    """Send an alarm where the published night differs from those before it. Never raises."""
    from ultralink.watch.jumps import jumps, nights_before

    try:
        rules, (language, date) = night.recipe.alarms.jump, (statistics.language, statistics.date)
        found = jumps(statistics, nights_before(night.store, language, date, rules.nights), rules)
        if found:
            _tell(night, night.recipe.alarms, f"{language} {date}", "nights", found, context)
    except Exception:
        log.exception("The night was not compared with those before it")


def tell_pool_jumps(edition: Edition, statistics: PoolStatistics, context: Mapping[str, Any]) -> None:
    """Send an alarm where the published edition of the pool differs from those before it. Never raises."""
    from ultralink.watch.jumps import EDITION, editions_before, jumps
    from ultralink.watch.pool import EditionFigures

    try:
        rules, figures = edition.recipe.alarms.jump, EditionFigures(statistics)
        before = editions_before(edition.store, statistics.date, rules.nights)
        found = jumps(figures, before, rules, EDITION)
        if found:
            _tell(edition, edition.recipe.alarms, f"pool {statistics.date}", "editions", found, context)
    except Exception:
        log.exception("The edition was not compared with those before it")


def _tell(
    partition: Partition,
    alarms: Alarms,
    which: str,
    others: str,
    found: Sequence[Jumped],
    context: Mapping[str, Any],
) -> None:
    from ultralink.recipe import AlarmKind
    from ultralink.watch.alarm import Alarm

    what = " and ".join(jump.what for jump in found)
    now = " ".join(f"{jump.now:.4f}" for jump in found)
    lines = [f"{which} differs from the {others} before.", *(jump.sentence for jump in found)]
    task = context["ti"]
    text = "\n".join([*lines, f"Run: {run_url(task.dag_id, task.run_id)}"])
    with Outbox(alarms, context, lambda: partition.store) as outbox:
        outbox.post(Alarm(AlarmKind.JUMP, f"UltraLink {which}: {what} jumped", text, f"{which} {what} {now}"))
