"""What is retrying or has failed, and why, in a sentence: from the end of the failed attempt's log."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from threading import BoundedSemaphore

from airflow.models.dagbag import DBDagBag
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.utils.log.file_task_handler import StructuredLogMessage
from airflow.utils.log.log_reader import TaskLogReader
from sqlalchemy.orm import Session

from ultralink import errors
from ultralink_airflow.failure import remedy_for
from ultralink_airflow.page.runs import Attempt, Task

log = logging.getLogger(__name__)

_MOST_LINES = 50_000
_MOST_LETTERS = 500
_AIRFLOWS = ("::", "Skipping task", "Task ", "DAG bundles", "Filling up", "Done. Returned")  # words around a task's own
MOST_TROUBLES = 12  # each costs reading a log, maybe from a worker
# Airflow's reader takes a connection of its own while what it reads of may hold another. So there are few readers:
# were there as many as the pool has connections, each would wait for a second one.
_readers = BoundedSemaphore(4)


@dataclass(frozen=True)
class Trouble:
    """A task that failed and is not over it. ``again`` is when it tries again, if it will."""

    task: Task
    what: str
    why: str
    remedy: str | None
    again: datetime | None


def troubles(session: Session, run: DagRun, tasks: Iterable[Task], *, logs: bool) -> list[Trouble]:
    """Each task that waits for another try, runs one, or has failed for good. Without ``logs`` no reason is told."""
    troubled = sorted(((task, task.last_failure) for task in tasks), key=lambda each: _urgency(each[0]))
    failures = [(task, failed) for task, failed in troubled if failed is not None]
    if not failures:
        return []
    found: list[Trouble] = []
    with _readers:
        _prepare(session, run, [failed for _, failed in failures])
        for number, (task, failed) in enumerate(failures):
            kind, why = _reason(failed) if logs and number < MOST_TROUBLES else ("", "Its log says why.")
            found.append(Trouble(task, _what(task, failed), why, _remedy(kind), _again(task)))
        session.commit()
    return found


def _urgency(task: Task) -> tuple[bool, str, int]:
    return task.state != "failed", task.task_id, task.map_index


def _what(task: Task, failed: Attempt) -> str:
    name = task.task_id if task.map_index < 0 else f"{task.task_id}, shard {task.map_index},"
    place = f"attempt {failed.number} of {task.most_attempts}"
    match task.state:
        case "failed":
            return f"{name} has failed: {place} was its last."
        case "up_for_retry":
            return f"{name} failed in {place} and will be tried again."
        case "running":
            return f"{name} failed in {place} and is running again."
        case "deferred":
            return f"{name} failed in {place}, began again, and waits for the provider."
        case _:
            return f"{name} failed in {place} and waits for its next turn."


def _again(task: Task) -> datetime | None:
    source = task.present.source
    if task.state != "up_for_retry" or not isinstance(source, TaskInstance) or source.end_date is None:
        return None
    try:
        when: datetime = source.next_retry_datetime()  # type: ignore[no-untyped-call]
    except AttributeError:  # the task is not in the Dag any more
        return None
    return when


def _remedy(kind: str) -> str | None:
    error = getattr(errors, kind, None) if kind.isidentifier() else None
    return remedy_for(error) if isinstance(error, type) else None


@dataclass(frozen=True)
class Skip:
    """A task that began and found nothing to do, and what it said."""

    task: Task
    why: str


def skips(session: Session, run: DagRun, tasks: Iterable[Task], *, logs: bool) -> list[Skip]:
    """What tasks that skipped themselves said; those that were skipped with them say nothing."""
    found = [task for task in tasks if task.is_skipped][:MOST_TROUBLES]
    if not found:
        return []
    with _readers:
        _prepare(session, run, [task.present for task in found])
        told = [Skip(task, _parting(task.present) if logs else "Its log says why.") for task in found]
        session.commit()
    return told


def _parting(attempt: Attempt) -> str:
    """The task's last words: what it logged before Airflow noted that it is skipped."""
    try:
        said = [line.event for line in _lines(attempt) if getattr(line, "level", "") == "info"]
    except Exception as problem:  # as of a failure
        log.warning("No log of %s: %s", attempt.source, problem)
        return "Its log cannot be read now."
    ours = [event for event in said if not event.startswith(_AIRFLOWS)]
    return _clipped(" ".join(ours[-1].split())) if ours else "Its log does not say why."


def _lines(attempt: Attempt) -> Iterator[StructuredLogMessage]:
    stream, _ = TaskLogReader().read_log_chunks(attempt.source, attempt.number, {"end_of_log": False})
    return islice(stream, _MOST_LINES)


def _prepare(session: Session, run: DagRun, attempts: Sequence[Attempt]) -> None:
    """Airflow finds a log only of a task instance that knows its task."""
    dag = DBDagBag(load_op_links=False).get_dag_for_run(run, session=session) if attempts else None
    for attempt in attempts:
        source = attempt.source
        if dag is not None and isinstance(source, TaskInstance) and dag.has_task(source.task_id):
            source.task = dag.get_task(source.task_id)


def _reason(attempt: Attempt) -> tuple[str, str]:
    """The error's kind and the sentence for it."""
    details: list[Sequence[Mapping[str, object]]] = []
    cries: list[str] = []
    try:
        for line in _lines(attempt):
            if detail := getattr(line, "error_detail", None):
                details.append(detail)
            elif getattr(line, "level", "") == "critical" or "terminated by signal" in str(line.event):
                cries.append(line.event)
    except Exception as problem:  # a log may be on a worker that is gone; the page does without
        log.warning("No log of %s: %s", attempt.source, problem)
        return "", "Its log cannot be read now."
    if details:
        last = details[-1][0]
        kind, told = str(last.get("exc_type", "")), " ".join(str(last.get("exc_value", "")).split())
        return kind, f"{kind}: {_clipped(told)}"
    if cries:
        return "", f"Its log ends with: {_clipped(cries[-1])}"
    if attempt.source.retry_reason:
        return "", f"Airflow notes: {attempt.source.retry_reason}."
    return "", "Its log ends without an error: the process was probably killed, or its worker was lost."


def _clipped(text: str) -> str:
    return text if len(text) <= _MOST_LETTERS else f"{text[:_MOST_LETTERS]} …"
