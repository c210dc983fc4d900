"""Who may see and do what: the user's session, the Dags the user may read, the right to write, the same origin.

An app that a plugin mounts inherits none of Airflow's checks, so the page states its own.
"""

from __future__ import annotations

from typing import Annotated

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import AccessView, DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_view
from airflow.models.dag import DagModel
from fastapi import Depends, HTTPException, Request

from ultralink.recipe import configured_languages

DAG_PREFIX = "ultralink_"
POOL_DAG = "ultralink_english_pool"
RELEASE_DAG = "ultralink_release"

signed_in = requires_access_view(AccessView.PLUGINS)


def dag_of(language: str) -> str:
    """The Dag that makes a language's nights."""
    return f"{DAG_PREFIX}{language}"


def _readable_languages(user: GetUserDep) -> list[str]:
    readable = get_auth_manager().get_authorized_dag_ids(user=user, method="GET")
    return [language for language in configured_languages() if dag_of(language) in readable]


Languages = Annotated[list[str], Depends(_readable_languages)]
"""Codes of the languages whose Dag the user may read, sorted."""


def _pool_is_readable(user: GetUserDep) -> bool:
    return may_read(user, POOL_DAG)


PoolIsReadable = Annotated[bool, Depends(_pool_is_readable)]
"""Whether the user may read the English pool's Dag."""


def _releases_are_readable(user: GetUserDep) -> bool:
    return may_read(user, RELEASE_DAG)


ReleasesAreReadable = Annotated[bool, Depends(_releases_are_readable)]
"""Whether the user may read the Dag of releases."""


def known_language(language: str, languages: Languages) -> str:
    """``language``, if there is one of that name that the user may read; else 404, which tells nothing of others."""
    if language not in languages:
        raise HTTPException(404, "There is no such language.")
    return language


def may_read(user: BaseUser, dag_id: str, entity: DagAccessEntity | None = None) -> bool:
    """Whether ``user`` may read this side of a Dag."""
    return bool(
        get_auth_manager().is_authorized_dag(
            method="GET", access_entity=entity, details=_details(dag_id), user=user
        )
    )  # fmt: skip


def _details(dag_id: str) -> DagDetails:
    return DagDetails(id=dag_id, team_name=DagModel.get_team_name(dag_id))


def may_write(user: BaseUser, language: str) -> bool:
    """Whether ``user`` may change runs of the language's Dag; who may do that may also judge its rows."""
    return bool(
        get_auth_manager().is_authorized_dag(
            method="POST", access_entity=DagAccessEntity.RUN, details=_details(dag_of(language)), user=user
        )
    )


def demand_write(user: BaseUser, language: str) -> None:
    """403 unless ``user`` may write for ``language``. Ask ``known_language`` first."""
    if not may_write(user, language):
        raise HTTPException(403, "You may read this language, but not write: ask for the right to trigger its Dag.")


def same_origin(request: Request) -> None:
    """403 for a form that another site's page sends with the user's cookie."""
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    host = request.headers.get("x-forwarded-host") or request.headers.get("host")
    ours = site == "same-origin" if site else origin is not None and origin.partition("://")[2] == host
    if not ours:
        raise HTTPException(403, "This must be sent from the page itself.")
