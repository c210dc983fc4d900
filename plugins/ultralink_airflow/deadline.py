"""The deadline of a scheduled run: so many hours after it was due. Airflow checks it, and the alarm goes out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG
from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import BaseDeadlineReference, DeadlineAlert

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from sqlalchemy.orm import Session

    from ultralink.recipe import Alarms

log = logging.getLogger(__name__)

POOL = "pool"  # stands for a language where the English pool is meant


class WhenDue(BaseDeadlineReference):
    """The time at which a scheduled run was due. Runs started by hand or by a backfill have no deadline."""

    required_kwargs = frozenset({"dag_id", "run_id"})

    def _evaluate_with(self, *, session: Session, dag_id: str, run_id: str) -> datetime | None:
        from airflow.models.dagrun import DagRun
        from airflow.utils.types import DagRunType
        from sqlalchemy import select

        run = session.scalar(select(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id))
        return run.run_after if run is not None and run.run_type == DagRunType.SCHEDULED else None


def deadline(recipe: str, alarms: Alarms) -> DeadlineAlert | None:
    """The deadline of ``recipe``, a language or POOL."""
    if alarms.late_after_hours is None:
        return None
    return DeadlineAlert(
        reference=WhenDue(),
        interval=timedelta(hours=alarms.late_after_hours),
        callback=AsyncCallback(tell_late, kwargs={"recipe": recipe}),
        name=f"done within {alarms.late_after_hours:g} hours",
    )


class PunctualDag(DAG):
    """A Dag that may have a deadline, and that ``dag.test()`` and ``airflow dags test`` can run nevertheless.

    Airflow 3.3.2 looks a deadline up in the database at the end of a run, by an id that a Dag in a test has not got.
    """

    def test(self, *args: Any, **kwargs: Any) -> DagRun:
        """As Airflow's, without the deadline."""
        with self._without_deadline():
            run: DagRun = super().test(*args, **kwargs)
            return run

    @contextmanager
    def _without_deadline(self) -> Iterator[None]:
        kept, self.deadline = self.deadline, None
        try:
            yield
        finally:
            self.deadline = kept


async def tell_late(recipe: str, context: Mapping[str, Any]) -> None:
    """Called by the triggerer when a run has missed its deadline. Never raises."""
    try:
        await asyncio.to_thread(_tell_late, recipe, context)
    except Exception:
        log.exception("No alarm for the late run of %s", recipe)


def _tell_late(recipe: str, context: Mapping[str, Any]) -> None:
    from ultralink.recipe import AlarmKind, load_recipe
    from ultralink.watch.alarm import Alarm
    from ultralink_airflow.alarms import Outbox, run_url
    from ultralink_airflow.base import open_store

    if recipe == POOL:
        from ultralink.pool.recipe import load_pool_recipe

        alarms = load_pool_recipe().alarms
    else:
        alarms = load_recipe(recipe).alarms
    run, missed = context["dag_run"], context["deadline"]["deadline_time"]
    dag_id, run_id = run["dag_id"], run["dag_run_id"]
    partition = run.get("partition_key") or run_id
    text = "\n".join(
        [
            f"{dag_id}, {partition}: was due at {_moment(run['run_after'])}, should have been done by "
            f"{_moment(missed)}, and is {run['state']}.",
            "What to do: open the run; see which tasks wait, retry or are slow. A pool without free slots, a teacher "
            "that limits or is down, and a scheduler or worker that stood still are the usual reasons.",
            f"Run: {run_url(dag_id, run_id)}",
        ]
    )
    with Outbox(alarms, context, open_store) as outbox:
        outbox.post(Alarm(AlarmKind.LATE, f"{dag_id} {partition} is late", text, f"{dag_id} {run_id}"))


def _moment(when: datetime | str) -> str:
    return f"{datetime.fromisoformat(str(when)).astimezone(UTC):%Y-%m-%d %H:%M} UTC"
