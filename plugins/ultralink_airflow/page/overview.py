"""The overview: languages by nights, totals against targets, spend. On a Dag's tab: that language alone."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Annotated

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from ultralink.errors import RecipeError
from ultralink.insight.calendar import Metric, calendar, last_dates
from ultralink.insight.nights import Nights, editions, published
from ultralink.insight.targets import Progress, progress, spend
from ultralink.recipe import load_recipe
from ultralink.stages.partition import is_date
from ultralink.store import Store
from ultralink_airflow.page.runs import marks
from ultralink_airflow.page.security import (
    DAG_PREFIX,
    Languages,
    PoolIsReadable,
    dag_of,
    known_language,
    may_read,
)
from ultralink_airflow.page.shelf import Shelf
from ultralink_airflow.page.view import not_found, page

router = APIRouter()

SPANS = (14, 28, 91)

DagId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_.-]{1,250}$")]
Span = Annotated[int, Query(ge=1, le=366)]
Until = Annotated[str | None, Query(pattern=r"^20\d{2}-\d{2}-\d{2}$")]


@router.get("/")
def overview(
    request: Request,
    user: GetUserDep,
    session: SessionDep,
    store: Shelf,
    languages: Languages,
    pool: PoolIsReadable,
    metric: Metric = Metric.SAMPLES,
    nights: Span = 28,
    until: Until = None,
    language: str | None = None,
) -> Response:
    """All languages that the user may read, or one of them."""
    shown = languages if language is None else [known_language(language, languages)]
    with_runs = [code for code in shown if may_read(user, code, DagAccessEntity.RUN)]
    return _page(request, session, store, shown, with_runs, metric, nights, until, pool and language is None)


@router.get("/dags/{dag_id}")
def dag_tab(
    request: Request,
    user: GetUserDep,
    session: SessionDep,
    store: Shelf,
    languages: Languages,
    dag_id: DagId,
    metric: Metric = Metric.SAMPLES,
    nights: Span = 28,
    until: Until = None,
) -> Response:
    """The overview of the Dag's language."""
    language = language_of(dag_id, languages)
    with_runs = [language] if may_read(user, language, DagAccessEntity.RUN) else []
    return _page(request, session, store, [language], with_runs, metric, nights, until, False)


def language_of(dag_id: str, languages: list[str]) -> str:
    """The language whose nights a Dag makes; 404 for other Dags."""
    language = dag_id.removeprefix(DAG_PREFIX)
    if language not in languages or dag_id != dag_of(language):
        raise not_found("This Dag makes no nights of a language, or you may not read it.")
    return language


def _page(
    request: Request,
    session: Session,
    store: Store,
    languages: list[str],
    with_runs: list[str],
    metric: Metric,
    span: int,
    until: str | None,
    pool: bool,
) -> Response:
    today = datetime.now(UTC).date()
    if until is not None and not is_date(until):
        raise not_found("There is no such date.")
    end = date.fromisoformat(until) if until else today
    dates = last_dates(end, span)
    known = published(store)
    runs = marks(session, with_runs, dates[0], dates[-1])
    month = f"{today:%Y-%m}"
    costs = [
        night.cost_usd
        for language in languages
        for day, night in known.get(language, {}).items()
        if night is not None and day.startswith(month)
    ]
    if pool:
        costs += [each.cost_usd for day, each in editions(store).items() if each is not None and day.startswith(month)]
    return page(
        request,
        "overview.html",
        languages=languages,
        alone=languages[0] if len(languages) == 1 else None,
        names={language: name_of(language) for language in languages},
        rows=calendar(known, languages, dates, metric),
        dates=dates,
        runs=runs,
        going=[(place, mark) for place, mark in sorted(runs.items()) if mark.is_going],
        failed=[(place, mark) for place, mark in sorted(runs.items()) if mark.state == "failed"],
        progress=_progress(languages, known, today),
        spend=spend(costs),
        month=f"{today:%B %Y}",
        with_pool=pool,
        metric=metric,
        metrics=list(Metric),
        span=span,
        spans=SPANS,
        until=until or "",
        earlier=(end - timedelta(days=span)).isoformat(),
        later=min(today, end + timedelta(days=span)).isoformat() if end < today else None,
        dag_of=dag_of,
    )


def name_of(language: str) -> str:
    """The language's own name; its code where the recipe is broken."""
    try:
        return load_recipe(language).name
    except RecipeError:
        return language


def _progress(languages: list[str], known: Nights, today: date) -> dict[str, list[Progress]]:
    """By language; one whose recipe is broken has none, and its Dag's import error says why."""
    found: dict[str, list[Progress]] = {}
    for language in languages:
        try:
            recipe = load_recipe(language)
        except RecipeError:
            found[language] = []
            continue
        nights = [night for night in known.get(language, {}).values() if night is not None]
        found[language] = progress(recipe, nights, today)
    return found
