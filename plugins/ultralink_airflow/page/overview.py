"""The overview: languages by nights, totals against targets, spend. On a Dag's tab: that language alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated

from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.models.dagrun import DagRun
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from ultralink.errors import RecipeError
from ultralink.insight.calendar import Metric, calendar, last_dates
from ultralink.insight.damage import Damages
from ultralink.insight.nights import Nights, editions, published
from ultralink.insight.spending import Spend, spend_by_month
from ultralink.insight.targets import Progress, progress
from ultralink.stages.edition import PoolStatistics
from ultralink.stages.partition import is_date
from ultralink.stages.statistics import Statistics, statistics_path
from ultralink.store import Store
from ultralink_airflow.page import pool, release
from ultralink_airflow.page.runs import Mark, last_runs, marks, night_of, retrying, tasks_of
from ultralink_airflow.page.security import (
    POOL_DAG,
    RELEASE_DAG,
    Languages,
    PoolIsReadable,
    ReleasesAreReadable,
    dag_of,
    known_language,
    may_read,
)
from ultralink_airflow.page.seen import Makes, SubjectDep, name_of, recipe_of
from ultralink_airflow.page.shelf import Shelf
from ultralink_airflow.page.troubles import Trouble, troubles
from ultralink_airflow.page.view import not_found, page

router = APIRouter()

SPANS = (14, 28, 91)
_MOST_TOLD = 3  # tasks of a run that wait for another try

Span = Annotated[int, Query(ge=1, le=366)]
Until = Annotated[str | None, Query(pattern=r"^20\d{2}-\d{2}-\d{2}$")]


class Window:
    """What the address says of the calendar: its figure, how many nights, and the last of them."""

    def __init__(self, metric: Metric = Metric.SAMPLES, nights: Span = 28, until: Until = None) -> None:
        if until is not None and not is_date(until):
            raise not_found("There is no such date.")
        self.metric, self.span, self.until = metric, nights, until
        self.today = datetime.now(UTC).date()
        self.end = date.fromisoformat(until) if until else self.today

    @property
    def earlier(self) -> str:
        """The last night of the calendar before."""
        return (self.end - timedelta(days=self.span)).isoformat()

    @property
    def later(self) -> str | None:
        """The last night of the calendar after; None: there is none."""
        if self.end >= self.today:
            return None
        return min(self.today, self.end + timedelta(days=self.span)).isoformat()


Windowed = Annotated[Window, Depends(Window)]


@dataclass(frozen=True)
class Told:
    """A run as the overview names it: of a language or one of the other Dags, and the date that it is for."""

    name: str
    date: str
    dag_id: str
    mark: Mark


_OTHERS = {POOL_DAG: "English pool", RELEASE_DAG: "Releases"}


@router.get("/")
def overview(
    request: Request,
    user: GetUserDep,
    session: SessionDep,
    store: Shelf,
    languages: Languages,
    with_pool: PoolIsReadable,
    with_releases: ReleasesAreReadable,
    window: Windowed,
    language: str | None = None,
) -> Response:
    """All languages that the user may read, or one of them."""
    if language is not None:
        return _page(request, user, session, store, [known_language(language, languages)], window, {})
    others = {Makes.POOL: POOL_DAG} if with_pool else {}
    others |= {Makes.RELEASES: RELEASE_DAG} if with_releases else {}
    return _page(request, user, session, store, languages, window, others)


@router.get("/dags/{dag_id}")
def dag_tab(
    request: Request,
    user: GetUserDep,
    session: SessionDep,
    store: Shelf,
    languages: Languages,
    subject: SubjectDep,
    window: Windowed,
) -> Response:
    """What the Dag makes: the nights of its language, the English pool, or releases."""
    with_runs = may_read(user, subject.dag_id, DagAccessEntity.RUN)
    match subject.makes:
        case Makes.POOL:
            return pool.dag_tab(request, session, store, subject, languages, with_runs)
        case Makes.RELEASES:
            return release.dag_tab(request, session, store, subject, with_runs)
        case Makes.NIGHTS:
            return _page(request, user, session, store, [subject.language], window, {})


def _page(
    request: Request,
    user: BaseUser,
    session: Session,
    store: Store,
    languages: list[str],
    window: Window,
    others: dict[Makes, str],
) -> Response:
    """The overview of ``languages``; ``others``: Dags beside theirs."""
    dates = last_dates(window.end, window.span)
    with_runs = [code for code in languages if may_read(user, dag_of(code), DagAccessEntity.RUN)]
    names = {language: name_of(language) for language in languages}
    known = published(store)
    runs = marks(session, with_runs, dates[0], dates[-1])
    paid: list[Statistics | PoolStatistics] = [
        night for language in languages for night in known.get(language, {}).values() if night is not None
    ]
    if Makes.POOL in others:
        paid += [edition for edition in editions(store).values() if edition is not None]
    apart = [dag_id for dag_id in others.values() if may_read(user, dag_id, DagAccessEntity.RUN)]
    told = [Told(names[place[0]], place[1], dag_of(place[0]), mark) for place, mark in runs.items()]
    told += [
        Told(_OTHERS[run.dag_id], night_of(run), run.dag_id, Mark(run.run_id, str(run.state)))
        for run in last_runs(session, apart)
    ]
    told.sort(key=lambda each: (each.date, each.name), reverse=True)
    months = spend_by_month(paid)
    month = f"{window.today:%Y-%m}"
    return page(
        request,
        "overview.html",
        languages=languages,
        alone=languages[0] if len(languages) == 1 else None,
        names=names,
        rows=calendar(known, languages, dates, window.metric),
        dates=dates,
        runs=runs,
        going=[each for each in told if each.mark.is_going],
        failed=[each for each in told if each.mark.state == "failed"],
        retrying=_retrying(user, session, [*map(dag_of, with_runs), *apart]),
        progress=_progress(languages, known, window.today),
        spend=months.get(month, Spend(month, 0.0, 0, 0, 0)),
        months=list(months.values()),
        damages=_damages(store, languages, known).lines,
        others=others,
        window=window,
        metrics=list(Metric),
        spans=SPANS,
        dag_of=dag_of,
    )


def _damages(store: Store, languages: list[str], known: Nights) -> Damages:
    damages = Damages()
    for language in languages:
        for day, night in known.get(language, {}).items():
            if night is None:
                unread = ValueError("its figures cannot be read")
                damages.note(statistics_path(store, language, day), unread, "clear the publish task of this night")
    return damages


def _retrying(user: BaseUser, session: Session, dag_ids: list[str]) -> list[tuple[DagRun, list[Trouble], int]]:
    """Runs in which something waits for another try, why, and how many more tasks do: those their own views tell."""
    found = []
    for run in retrying(session, dag_ids):
        waiting = [task for task in tasks_of(session, run) if task.state == "up_for_retry"]
        logs = may_read(user, run.dag_id, DagAccessEntity.TASK_LOGS)
        told = troubles(session, run, waiting[:_MOST_TOLD], logs=logs)
        found.append((run, told, len(waiting) - len(told)))
    return found


def _progress(languages: list[str], known: Nights, today: date) -> dict[str, list[Progress]]:
    """By language; one whose recipe is broken has none, and its Dag's import error says why."""
    found: dict[str, list[Progress]] = {}
    for language in languages:
        try:
            recipe = recipe_of(language)
        except RecipeError:
            found[language] = []
            continue
        nights = [night for night in known.get(language, {}).values() if night is not None]
        found[language] = progress(recipe, nights, today)
    return found
