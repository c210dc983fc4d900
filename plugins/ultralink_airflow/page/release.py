"""Releases: the tab of their Dag, one release with its card, and what a run has made of the nights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Path, Request
from fastapi.responses import Response
from pydantic import ValidationError
from sqlalchemy.orm import Session

from ultralink.errors import ReleaseMissing
from ultralink.insight import evidence
from ultralink.insight.damage import Damages
from ultralink.insight.funnel import Funnel, Level
from ultralink.release.manifest import Manifest
from ultralink.release.plan import Plan
from ultralink.release.recipe import SUBSETS
from ultralink.release.shelf import Shelf as Releases
from ultralink.stages.assembly import plan_path
from ultralink.store import Store
from ultralink_airflow.page.runs import newest_runs
from ultralink_airflow.page.security import RELEASE_DAG, ReleasesAreReadable, may_read
from ultralink_airflow.page.seen import Seen, Subject
from ultralink_airflow.page.shelf import Shelf
from ultralink_airflow.page.view import not_found, page

router = APIRouter()

Version = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]

_CARD = "README.md"
_MOST_CARD = 1 << 20  # bytes of a card that are read


@dataclass(frozen=True)
class Made:
    """What a run of the Dag has made: a plan, and at last a release."""

    plan: Plan | None
    manifest: Manifest | None

    @property
    def funnel(self) -> Funnel | None:
        """From the samples of all nights to the rows of the release; what is taken out is known at its end."""
        if self.manifest is None:
            return None
        left = sum(night.rows for night in self.manifest.sources)
        levels = [Level("samples of its nights", left)]
        for step, rows in self.manifest.removed.items():
            left -= rows
            levels.append(Level(f"without {_REMOVED.get(step, step)}", left))
        return Funnel("release", (*levels, Level("rows released", self.manifest.rows)), ())


_REMOVED = {
    "exact": "those that say the same",
    "near": "those that say nearly the same",
    "decontaminate": "test items",
    "privacy": "private data",
    "blocklist": "blocked words",
}


def dag_tab(request: Request, session: Session, store: Store, subject: Subject, runs: bool) -> Response:
    """The tab: all releases, the newest first. ``runs``: whether the user may see those of this Dag."""
    found, damages = _all(store)
    return page(
        request,
        "releases.html",
        subject=subject,
        releases=found,
        runs=newest_runs(session, subject.dag_id) if runs else [],
        with_runs=runs,
        subsets=SUBSETS,
        damages=damages.lines,
    )


def _all(store: Store) -> tuple[list[Manifest], Damages]:
    shelf, damages, found = Releases(store), Damages(), []
    for version in shelf.versions():
        try:
            found.append(shelf.manifest(version))
        except (ReleaseMissing, UnicodeDecodeError) as error:
            damages.note(shelf.path(version), ValueError(str(error)), "bring its files back, or remove it")
    return sorted(found, key=lambda one: (one.created, one.version), reverse=True), damages


@router.get("/releases/{version}")
def release_view(
    request: Request, user: GetUserDep, store: Shelf, readable: ReleasesAreReadable, version: Version
) -> Response:
    """One release, with the text of its card."""
    if not readable:
        raise not_found("There is no such release.")
    shelf = Releases(store)
    try:
        manifest = shelf.manifest(version)
    except ReleaseMissing:
        if version in shelf.versions():
            raise
        raise not_found("There is no such release.") from None
    try:
        card = store.fs.cat_file(f"{shelf.path(manifest.version)}/{_CARD}", end=_MOST_CARD).decode("utf-8", "replace")
    except FileNotFoundError:
        card = ""
    return page(
        request,
        "release.html",
        release=manifest,
        funnel=Made(None, manifest).funnel,
        card=evidence.shown(_without_settings(card)) if card else None,
        subsets=SUBSETS,
        with_runs=may_read(user, RELEASE_DAG, DagAccessEntity.RUN),
        dag_id=RELEASE_DAG,
    )


def _without_settings(card: str) -> str:
    """The card's text: what stands between two lines of dashes before it is for the hub's machines."""
    settings, end, text = card.partition("\n---\n")
    return text.lstrip("\n") if end and settings.startswith("---\n") else card


def told(store: Store, seen: Seen) -> Made:
    """What the run has made so far. Raises nothing for a plan of another version: there is none to show."""
    found, _ = _all(store)
    manifest = next((one for one in found if one.run_id == seen.run.run_id), None)
    text = store.read_text(plan_path(store, seen.run.run_id))
    try:
        plan = None if text is None else Plan.model_validate_json(text)
    except ValidationError:
        plan = None
    return Made(plan, manifest)
