"""Airflow's side of a night: its runs, their tasks and attempts, from the metadata database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.taskinstancehistory import TaskInstanceHistory
from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from ultralink_airflow.page.security import DAG_PREFIX, dag_of

Given = ParamSpec("Given")
Read = TypeVar("Read")

_GOING = {"running", "queued"}
_NEWEST = 12  # runs of a Dag in its tab
_RETRYING = 3  # runs whose retries the overview tells: each task costs reading a log


def brief(read: Callable[Concatenate[Session, Given], Read]) -> Callable[Concatenate[Session, Given], Read]:
    """``read`` gives its connection back at its end, though the session stays.

    The pool has few. What follows may wait for the store or for a log, and Airflow's own checks take a second one:
    requests that each held one and waited for another would wait for each other.
    """

    @wraps(read)
    def briefly(session: Session, /, *given: Given.args, **named: Given.kwargs) -> Read:
        try:
            return read(session, *given, **named)
        finally:
            session.commit()

    return briefly


@dataclass(frozen=True)
class Mark:
    """The run that stands for a night in the calendar: one that is going on, else the newest."""

    run_id: str
    state: str

    @property
    def is_going(self) -> bool:
        """Whether it has not ended."""
        return self.state in _GOING


@brief
def marks(session: Session, languages: Sequence[str], first: str, last: str) -> dict[tuple[str, str], Mark]:
    """The run of each language and date from ``first`` to ``last``. Dry runs are left out: they make no night."""
    began, ended = (datetime.fromisoformat(day).replace(tzinfo=UTC) for day in (first, last))
    ended = ended.replace(hour=23, minute=59, second=59)
    rows = session.execute(
        select(DagRun.dag_id, DagRun.run_id, DagRun.state, DagRun.partition_key, DagRun.run_after, DagRun.conf)
        .where(
            DagRun.dag_id.in_([dag_of(language) for language in languages]),
            or_(
                DagRun.partition_key.between(first, last),
                DagRun.partition_key.is_(None) & DagRun.run_after.between(began, ended),
            ),
        )
        .order_by(DagRun.id)
    )
    found: dict[tuple[str, str], Mark] = {}
    for dag_id, run_id, state, key, run_after, conf in rows:
        if (conf or {}).get("dry_run"):
            continue
        place = dag_id.removeprefix(DAG_PREFIX), key or f"{run_after:%Y-%m-%d}"
        known = found.get(place)
        if known is None or not known.is_going or str(state) in _GOING:
            found[place] = Mark(run_id, str(state))
    return found


@brief
def find_run(session: Session, dag_id: str, run_id: str) -> DagRun | None:
    """The run, or None."""
    return session.scalar(select(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id))


@brief
def newest_runs(session: Session, dag_id: str) -> Sequence[DagRun]:
    """The newest runs of a Dag."""
    return session.scalars(
        select(DagRun).where(DagRun.dag_id == dag_id).order_by(DagRun.id.desc()).limit(_NEWEST)
    ).all()  # fmt: skip


@brief
def last_runs(session: Session, dag_ids: Sequence[str]) -> Sequence[DagRun]:
    """The newest run of each of these Dags, if there is one."""
    newest = select(func.max(DagRun.id)).where(DagRun.dag_id.in_(dag_ids)).group_by(DagRun.dag_id)
    return session.scalars(select(DagRun).where(DagRun.id.in_(newest)).order_by(DagRun.dag_id)).all()


@brief
def retrying(session: Session, dag_ids: Sequence[str]) -> Sequence[DagRun]:
    """Runs of these Dags in which a task waits for another try, the newest first; at most a few."""
    runs = (
        select(DagRun)
        .join(TaskInstance, (TaskInstance.dag_id == DagRun.dag_id) & (TaskInstance.run_id == DagRun.run_id))
        .where(TaskInstance.state == "up_for_retry", DagRun.dag_id.in_(dag_ids))
    )
    return session.scalars(runs.distinct().order_by(DagRun.id.desc()).limit(_RETRYING)).all()


def night_of(run: DagRun) -> str:
    """The partition date that a run works on, as its tasks see it."""
    return run.partition_key or f"{run.run_after:%Y-%m-%d}"


@dataclass(frozen=True)
class Attempt:
    """One try of a task. ``took`` is in seconds; ``source`` is what Airflow keeps of it."""

    number: int
    state: str
    started: datetime | None
    ended: datetime | None
    source: TaskInstance | TaskInstanceHistory

    @property
    def took(self) -> float | None:
        """From its start to its end, or to now; None of one that never began, to which Airflow may give a date."""
        if self.started is None or self.number == 0:
            return None
        return ((self.ended or datetime.now(UTC)) - self.started).total_seconds()

    @property
    def has_failed(self) -> bool:
        """Whether it ended badly."""
        return self.state in {"failed", "up_for_retry"}


@dataclass(frozen=True)
class Task:
    """A task instance with all its attempts, the present one last."""

    task_id: str
    map_index: int
    state: str
    most_attempts: int
    attempts: tuple[Attempt, ...]

    @property
    def present(self) -> Attempt:
        """The last attempt."""
        return self.attempts[-1]

    @property
    def tries(self) -> int:
        """Attempts that began."""
        return sum(attempt.number > 0 and attempt.started is not None for attempt in self.attempts)

    @property
    def is_deferred(self) -> bool:
        """Whether it waits without a worker: for a batch at the provider, or for its next look at one."""
        return self.state == "deferred"

    @property
    def is_skipped(self) -> bool:
        """Whether it began and found that it had nothing to do."""
        return self.state == "skipped" and self.tries > 0

    @property
    def last_failure(self) -> Attempt | None:
        """The newest attempt that failed, unless the task has ended well since."""
        if self.state in {"success", "skipped"}:
            return None
        return next((attempt for attempt in reversed(self.attempts) if attempt.has_failed), None)


@brief
def tasks_of(session: Session, run: DagRun) -> list[Task]:
    """All task instances of ``run``, by task and shard."""
    earlier: dict[tuple[str, int], list[TaskInstanceHistory]] = defaultdict(list)
    history = select(TaskInstanceHistory).where(
        TaskInstanceHistory.dag_id == run.dag_id, TaskInstanceHistory.run_id == run.run_id
    )
    for old in session.scalars(history.order_by(TaskInstanceHistory.try_number)):
        earlier[old.task_id, old.map_index].append(old)
    present = select(TaskInstance).where(TaskInstance.dag_id == run.dag_id, TaskInstance.run_id == run.run_id)
    rows = session.scalars(present.order_by(TaskInstance.task_id, TaskInstance.map_index))
    return [_task(row, earlier[row.task_id, row.map_index]) for row in rows]


def _task(row: TaskInstance, earlier: Iterable[TaskInstanceHistory]) -> Task:
    attempts = [_attempt(old) for old in earlier if old.try_number < row.try_number]
    return Task(
        task_id=row.task_id,
        map_index=row.map_index,
        state=str(row.state or "waiting"),
        most_attempts=max(row.max_tries, 0) + 1,
        attempts=(*attempts, _attempt(row)),
    )


def _attempt(row: TaskInstance | TaskInstanceHistory) -> Attempt:
    return Attempt(row.try_number, str(row.state or "waiting"), row.start_date, row.end_date, row)


@dataclass(frozen=True)
class Shards:
    """The task instances of one task."""

    task_id: str
    tasks: tuple[Task, ...]

    @property
    def states(self) -> list[tuple[str, int]]:
        """How many are in which state, the most first."""
        counts: dict[str, int] = defaultdict(int)
        for task in self.tasks:
            counts[task.state] += 1
        return sorted(counts.items(), key=lambda item: (-item[1], item[0]))

    @property
    def attempts(self) -> int:
        """Attempts of all shards together."""
        return sum(task.tries for task in self.tasks)

    @property
    def is_quiet(self) -> bool:
        """Whether nothing about it needs a look: all of it ended well at once, or has not begun."""
        return all(task.tries == 0 or (task.tries == 1 and task.state in {"success", "skipped"}) for task in self.tasks)


def by_task(tasks: Iterable[Task]) -> list[Shards]:
    """Task instances grouped by task, in the order in which the tasks began."""
    groups: dict[str, list[Task]] = defaultdict(list)
    for task in tasks:
        groups[task.task_id].append(task)
    late = datetime.max.replace(tzinfo=UTC)

    def began(shards: Shards) -> tuple[datetime, str]:
        return min((each.attempts[0].started or late for each in shards.tasks), default=late), shards.task_id

    return sorted((Shards(name, tuple(each)) for name, each in groups.items()), key=began)
