"""The view of one run: its funnel, its teacher, its cost, its shards, and what is retrying and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.models.dagrun import DagRun
from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request
from fastapi.responses import Response

from ultralink.insight.funnel import Rows, funnels, rows_of
from ultralink.insight.throughput import Bill, bill_of
from ultralink.pool.row import Kind
from ultralink.schemas import (
    ARTICLE_REJECTS,
    ARTICLES,
    CHOICE,
    DIALOGUE_REJECTS,
    DIALOGUES,
    PASSAGES,
    SELECTION,
    TRANSLATION_REJECTS,
    TRANSLATIONS,
    Stage,
)
from ultralink.stages.partition import REHEARSALS, is_date
from ultralink.stages.statistics import sound_statistics
from ultralink.store import Store
from ultralink_airflow.page.overview import DagId, language_of, name_of
from ultralink_airflow.page.runs import Task, by_task, find_run, night_of, tasks_of
from ultralink_airflow.page.security import Languages, may_read
from ultralink_airflow.page.shelf import Shelf
from ultralink_airflow.page.troubles import troubles
from ultralink_airflow.page.view import not_found, page

router = APIRouter()

RunId = Annotated[str, Path(pattern=r"^[^\x00-\x1f\x7f]{1,250}$")]  # Postgres takes no NUL in a text
TaskId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_.-]{1,250}$")]
# Of a task that is not mapped, the UI leaves the placeholder as it is.
MapIndex = Annotated[str, Query(pattern=r"^(-1|[0-9]{1,6}|\{MAP_INDEX\})$")]


@dataclass(frozen=True)
class Work:
    """What a task makes: the stage that it reads, what it writes, its rejects, and its steps of the teacher."""

    reads: Stage | None
    writes: tuple[Stage, ...]
    rejects: Stage | None
    steps: tuple[str, ...] = ()


_WORK = {
    "wikipedia.select": Work(None, (SELECTION,), None),
    "wikipedia.extract": Work(None, (ARTICLES, PASSAGES), ARTICLE_REJECTS),
    "dialogue.generate": Work(PASSAGES, (DIALOGUES,), DIALOGUE_REJECTS, ("question.", "answer.", "judge")),
    "english.choose": Work(None, (CHOICE,), None),
    **{
        f"english.{kind}": Work(None, (TRANSLATIONS[kind],), TRANSLATION_REJECTS[kind], (f"translate.{kind}",))
        for kind in Kind
    },
}
_NOTHING = Work(None, (), None)
_TEACHING = ("dialogue.", "english.")


@dataclass(frozen=True)
class Seen:
    """A run as a user may see it."""

    language: str
    run: DagRun
    date: str
    tasks: list[Task]
    logs: bool

    @property
    def name(self) -> str:
        """The language's name."""
        return name_of(self.language)

    @property
    def is_dry(self) -> bool:
        """Whether it only counts and prices."""
        return bool((self.run.conf or {}).get("dry_run"))

    @property
    def took(self) -> float | None:
        """From its start to its end, or to now, s."""
        if self.run.start_date is None:
            return None
        return ((self.run.end_date or datetime.now(UTC)) - self.run.start_date).total_seconds()

    @property
    def teaching_s(self) -> float | None:
        """From the first start to the last end of the tasks that ask the teacher, s."""
        attempts = [a for t in self.tasks if t.task_id.startswith(_TEACHING) for a in t.attempts if a.started]
        if not attempts:
            return None
        began = min(attempt.started for attempt in attempts if attempt.started)
        ended = max(attempt.ended or datetime.now(UTC) for attempt in attempts)
        return max((ended - began).total_seconds(), 0.001)


def _see(user: GetUserDep, session: SessionDep, languages: Languages, dag_id: DagId, run_id: RunId) -> Seen:
    """The run; 404 where there is none or its Dag may not be read, 403 without the right to see runs."""
    language = language_of(dag_id, languages)
    for entity in (DagAccessEntity.RUN, DagAccessEntity.TASK_INSTANCE):
        if not may_read(user, language, entity):
            raise HTTPException(403, "You may read this Dag, but not its runs.")
    run = find_run(session, dag_id, run_id)
    if run is None:
        raise not_found("There is no such run of this Dag.")
    logs = may_read(user, language, DagAccessEntity.TASK_LOGS)
    return Seen(language, run, night_of(run), tasks_of(session, run), logs)


SeenRun = Annotated[Seen, Depends(_see)]


def _shelf_of(seen: Seen, store: Store) -> Store:
    return store.below(REHEARSALS) if seen.is_dry else store


@router.get("/runs/{dag_id}/{run_id}")
def run_view(
    request: Request,
    session: SessionDep,
    store: Shelf,
    seen: SeenRun,
) -> Response:
    """One run."""
    rows, bill, statistics, found = Rows(), None, None, []
    if is_date(seen.date):
        shelf = _shelf_of(seen, store)
        rows = rows_of(shelf, seen.language, seen.date)
        statistics = sound_statistics(shelf, seen.language, seen.date)
        found = funnels(shelf, seen.language, seen.date, rows, statistics)
        bill = None if seen.is_dry else bill_of(store, seen.language, seen.date)
    return page(
        request,
        "run.html",
        seen=seen,
        statistics=statistics,
        funnels=found,
        bill=bill,
        paid=bill.of(seen.run.run_id).total if bill else None,
        troubles=troubles(session, seen.run, seen.tasks, logs=seen.logs),
        groups=by_task(seen.tasks),
        rows=rows,
        work=_work,
    )


@router.get("/runs/{dag_id}/{run_id}/tasks/{task_id}")
def task_tab(
    request: Request,
    session: SessionDep,
    store: Shelf,
    seen: SeenRun,
    task_id: TaskId,
    map_index: MapIndex = "-1",
) -> Response:
    """One task of a run, or one shard of it."""
    number = -1 if map_index.startswith("{") else int(map_index)
    mine = [task for task in seen.tasks if task.task_id == task_id and (number < 0 or task.map_index == number)]
    if not mine:
        raise not_found("There is no such task or shard in this run.")
    rows, bill = Rows(), None
    if is_date(seen.date):
        rows = rows_of(_shelf_of(seen, store), seen.language, seen.date)
        bill = None if seen.is_dry else bill_of(store, seen.language, seen.date)
    return page(
        request,
        "task.html",
        seen=seen,
        task_id=task_id,
        number=number,
        groups=by_task(mine),
        bill=_bill_of_task(bill, seen, task_id, number),
        troubles=troubles(session, seen.run, mine, logs=seen.logs),
        rows=rows,
        work=_work,
    )


def _work(task_id: str) -> Work:
    return _WORK.get(task_id, _NOTHING)


def _bill_of_task(bill: Bill | None, seen: Seen, task_id: str, number: int) -> Bill | None:
    steps = _work(task_id).steps
    if bill is None or not steps:
        return None
    mine = bill.of(seen.run.run_id)
    if number >= 0:
        return mine.of_shard(seen.run.run_id, number, steps)
    return Bill(tuple(row for row in mine.rows if row["step"].startswith(steps)), bill.published)
