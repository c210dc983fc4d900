"""A run as a user may see it, of any of the Dags: a language's nights, the English pool, releases."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Annotated

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.models.dagrun import DagRun
from fastapi import Depends, HTTPException, Path

from ultralink.errors import RecipeError
from ultralink.recipe import LANGUAGES, Recipe, load_recipe
from ultralink.stages.partition import REHEARSALS
from ultralink.store import Store
from ultralink_airflow.page.runs import Task, find_run, night_of, tasks_of
from ultralink_airflow.page.security import DAG_PREFIX, POOL_DAG, RELEASE_DAG, Languages, dag_of, may_read
from ultralink_airflow.page.view import not_found

DagId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_.-]{1,250}$")]
RunId = Annotated[str, Path(pattern=r"^[^\x00-\x1f\x7f]{1,250}$")]  # Postgres takes no NUL in a text

_TEACHING = ("dialogue.", "english.", "screen.")


class Makes(StrEnum):
    """What the runs of a Dag make."""

    NIGHTS = "nights"
    POOL = "pool"
    RELEASES = "releases"


@dataclass(frozen=True)
class Subject:
    """What a Dag is about. ``language`` is empty unless it makes nights; ``name`` is for a person."""

    dag_id: str
    makes: Makes
    language: str
    name: str


def _subject(user: GetUserDep, languages: Languages, dag_id: DagId) -> Subject:
    """404 for other Dags, and for those that the user may not read, which tells nothing of them."""
    for known, makes, name in ((POOL_DAG, Makes.POOL, "English pool"), (RELEASE_DAG, Makes.RELEASES, "Releases")):
        if dag_id == known and may_read(user, known):
            return Subject(dag_id, makes, "", name)
    language = dag_id.removeprefix(DAG_PREFIX)
    if language not in languages or dag_id != dag_of(language):
        raise not_found("This Dag is none of UltraLink's, or you may not read it.")
    return Subject(dag_id, Makes.NIGHTS, language, name_of(language))


SubjectDep = Annotated[Subject, Depends(_subject)]


def recipe_of(language: str) -> Recipe:
    """The language's recipe, read again when its file has changed. Raises RecipeError."""
    path = LANGUAGES / f"{language}.yaml"
    return _loaded(language, path.stat().st_mtime_ns if path.is_file() else 0)


@lru_cache(maxsize=256)
def _loaded(language: str, version: int) -> Recipe:
    return load_recipe(language)


def name_of(language: str) -> str:
    """The language's own name; its code where the recipe is broken."""
    try:
        return recipe_of(language).name
    except RecipeError:
        return language


@dataclass(frozen=True)
class Seen:
    """A run. ``logs``: whether the user may read them."""

    subject: Subject
    run: DagRun
    date: str
    tasks: list[Task]
    logs: bool

    @property
    def language(self) -> str:
        """Of a night."""
        return self.subject.language

    @property
    def name(self) -> str:
        """Whose run it is."""
        return self.subject.name

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

    def shelf(self, store: Store) -> Store:
        """Where its parts are: a dry run has a place of its own."""
        return store.below(REHEARSALS) if self.is_dry else store


def _see(user: GetUserDep, session: SessionDep, subject: SubjectDep, run_id: RunId) -> Seen:
    """The run; 404 where there is none or its Dag may not be read, 403 without the right to see runs."""
    for entity in (DagAccessEntity.RUN, DagAccessEntity.TASK_INSTANCE):
        if not may_read(user, subject.dag_id, entity):
            raise HTTPException(403, "You may read this Dag, but not its runs.")
    run = find_run(session, subject.dag_id, run_id)
    if run is None:
        raise not_found("There is no such run of this Dag.")
    logs = may_read(user, subject.dag_id, DagAccessEntity.TASK_LOGS)
    return Seen(subject, run, night_of(run), tasks_of(session, run), logs)


SeenRun = Annotated[Seen, Depends(_see)]
