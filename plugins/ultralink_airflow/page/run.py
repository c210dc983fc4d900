"""The view of one run of a night or an edition: its funnel, its teacher, its cost, its shards, what is retrying."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from airflow.api_fastapi.common.db.common import SessionDep
from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from ultralink.errors import RecipeError
from ultralink.insight.batches import Batches, batches_of
from ultralink.insight.damage import Damages
from ultralink.insight.funnel import Funnel, Rows, funnels, is_tidied, rows_of
from ultralink.insight.pool import POOL_STAGES, pool_funnels
from ultralink.insight.throughput import Bill, bill_of, bill_of_pool
from ultralink.pool.recipe import load_pool_recipe
from ultralink.pool.row import Kind
from ultralink.pool.rows import LANGUAGE as ENGLISH
from ultralink.release.recipe import SUBSETS
from ultralink.stages.edition import PoolStatistics, pool_statistics_path, read_pool_statistics
from ultralink.stages.partition import is_date
from ultralink.stages.statistics import Statistics, read_statistics, statistics_path
from ultralink.store import Store
from ultralink_airflow.page import release
from ultralink_airflow.page.runs import Task, by_task
from ultralink_airflow.page.seen import Makes, Seen, SeenRun
from ultralink_airflow.page.shelf import Shelf
from ultralink_airflow.page.troubles import skips, troubles
from ultralink_airflow.page.view import not_found, page
from ultralink_airflow.page.work import Work, batch_name, work_of_night, work_of_pool, work_of_release

router = APIRouter()

TaskId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_.-]{1,250}$")]
# Of a task that is not mapped, the UI leaves the placeholder as it is.
MapIndex = Annotated[str, Query(pattern=r"^(-1|[0-9]{1,6}|\{MAP_INDEX\})$")]

_MEND = "clear the publish task of this night"


@dataclass(frozen=True)
class Made:
    """What the store has of a run's night or edition. ``tidied``: the parts between the stages are gone."""

    rows: Rows
    funnels: list[Funnel]
    bill: Bill | None
    statistics: Statistics | PoolStatistics | None
    tidied: bool = False


def _made(store: Store, seen: Seen, damages: Damages) -> Made:
    if not is_date(seen.date) or seen.subject.makes is Makes.RELEASES:
        return Made(Rows(), [], None, None)
    return (
        _made_edition(store, seen, damages) if seen.subject.makes is Makes.POOL else _made_night(store, seen, damages)
    )


def _made_night(store: Store, seen: Seen, damages: Damages) -> Made:
    shelf, night = seen.shelf(store), (seen.language, seen.date)
    rows = rows_of(shelf, *night, damages)
    statistics = None
    try:
        statistics = read_statistics(shelf, *night)
    except ValueError as error:
        damages.note(statistics_path(shelf, *night), error, _MEND)
    found = funnels(shelf, *night, rows, statistics, damages)
    bill = None if seen.is_dry else bill_of(store, *night, damages)
    return Made(rows, found, bill, statistics, is_tidied(rows, statistics))


def _made_edition(store: Store, seen: Seen, damages: Damages) -> Made:
    shelf = seen.shelf(store)
    rows = rows_of(shelf, ENGLISH, seen.date, damages, POOL_STAGES)
    statistics = None
    try:
        statistics = read_pool_statistics(shelf, seen.date)
    except ValueError as error:
        damages.note(pool_statistics_path(shelf, seen.date), error, _MEND)
    found = pool_funnels(shelf, seen.date, rows, statistics, source_kinds(), damages)
    bill = None if seen.is_dry else bill_of_pool(store, seen.date, damages)
    tidied = statistics is not None and all(not rows.of.get(stage.name) for stage in POOL_STAGES[:6])
    return Made(rows, found, bill, statistics, tidied)


def source_kinds() -> list[Kind]:
    """The kind of each source of the pool's recipe; none where that is broken."""
    try:
        return [source.kind for source in load_pool_recipe().sources]
    except RecipeError:
        return []


def _batches(store: Store, seen: Seen, damages: Damages) -> dict[str, Batches]:
    """Of a run with a task that waits for the provider; else nothing is read."""
    if not is_date(seen.date) or all(task.state != "deferred" for task in seen.tasks):
        return {}
    place = ("pool",) if seen.subject.makes is Makes.POOL else (seen.language,)
    return batches_of(store, store.folder("journal", *place, seen.date), damages)


@router.get("/runs/{dag_id}/{run_id}")
def run_view(request: Request, session: SessionDep, store: Shelf, seen: SeenRun) -> Response:
    """One run."""
    damages = Damages()
    common = told(session, store, seen, seen.tasks, damages)
    if seen.subject.makes is Makes.RELEASES:
        made = release.told(store, seen)
        return page(request, "release_run.html", **common, made=made, rows=Rows(), subsets=SUBSETS, damages=[])
    night = _made(store, seen, damages)
    return page(
        request,
        "night.html" if seen.subject.makes is Makes.NIGHTS else "edition.html",
        **common,
        made=night,
        rows=night.rows,
        paid=night.bill.of(seen.run.run_id).total if night.bill else None,
        damages=damages.lines,
    )


def told(session: Session, store: Store, seen: Seen, tasks: list[Task], damages: Damages) -> dict[str, Any]:
    """What a template says of every run: its tasks, what is wrong, what waits, what was skipped."""
    batches = _batches(store, seen, damages)
    return {
        "seen": seen,
        "troubles": troubles(session, seen.run, tasks, logs=seen.logs),
        "skips": skips(session, seen.run, tasks, logs=seen.logs),
        "waits": [(task, batches.get(batch_name(task.task_id, task.map_index))) for task in tasks if task.is_deferred],
        "groups": by_task(tasks),
        "work": _WORK_OF[seen.subject.makes],
    }


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
    damages = Damages()
    made = _made(store, seen, damages)
    return page(
        request,
        "task.html",
        **told(session, store, seen, mine, damages),
        task_id=task_id,
        number=number,
        bill=_bill_of_task(made.bill, seen, task_id, number),
        rows=made.rows,
        tidied=made.tidied,
        release=release.told(store, seen) if seen.subject.makes is Makes.RELEASES else None,
        damages=damages.lines,
    )


_WORK_OF: dict[Makes, Callable[[str], Work]] = {
    Makes.NIGHTS: work_of_night,
    Makes.POOL: work_of_pool,
    Makes.RELEASES: work_of_release,
}


def _bill_of_task(bill: Bill | None, seen: Seen, task_id: str, number: int) -> Bill | None:
    steps = _WORK_OF[seen.subject.makes](task_id).steps
    if bill is None or not steps:
        return None
    mine = bill.of(seen.run.run_id)
    if number >= 0:
        return mine.of_shard(seen.run.run_id, number, steps)
    return Bill(tuple(row for row in mine.rows if row["step"].startswith(steps)), bill.published)
