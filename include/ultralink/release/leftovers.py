"""What may go from a store's releases: old versions, and what runs left behind that died or are done."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from ultralink.errors import ReleaseMissing
from ultralink.release.claims import owner_of
from ultralink.release.manifest import MANIFEST, Manifest
from ultralink.release.plan import Plan
from ultralink.release.shelf import RELEASES, Shelf
from ultralink.schemas import FEATURES, FINDINGS
from ultralink.store import Store, disk_errors, time_of_writing

ASSEMBLY, PLAN = "assembly", "plan.json"
STAGING, CLAIMS, PUBLISHING, GOING = ".staging", ".claims", ".publishing", ".going"  # in releases/
A_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Leftover:
    """Something that may be removed: what it is, why, where it lies, and when it was written last."""

    what: str
    why: str
    paths: tuple[str, ...]
    bytes: int
    written: datetime


def claim_path(store: Store, version: str) -> str:
    """Where it is written which run means to publish ``version``."""
    return store.folder(RELEASES, CLAIMS, version)


def publishing_path(store: Store, version: str) -> str:
    """Where it is written which run copies ``version`` into its place, on stores that cannot rename a folder."""
    return store.folder(RELEASES, PUBLISHING, version)


# --- finding --------------------------------------------------------------------------------------


def prunable(shelf: Shelf, keep: int, protect: Collection[str] = ()) -> list[Leftover]:
    """The oldest releases beyond ``keep``, and what is left of runs that have been still for a day.

    The newest release always stays, so does what ``latest`` names, and so does ``protect``.
    Raises ReleaseMissing for a protected version that is not there.
    """
    if keep < 1:
        raise ValueError(f"keep {keep}: the newest release always stays, so it is at least 1")
    if unknown := set(protect).difference(shelf.versions()):
        there = ", ".join(shelf.versions()) or "none"
        raise ReleaseMissing(f"no release {sorted(unknown)[0]!r} to protect; there are: {there}")
    staying = {*protect, shelf.pointer()}
    oldest = [manifest for manifest in shelf.manifests()[:-keep] if manifest.version not in staying]
    rest = [*dead_runs(shelf, A_DAY), *_half_gone(shelf), *_half_written(shelf.store, A_DAY)]
    return [*(_release(shelf, manifest) for manifest in oldest), *rest]


def dead_runs(shelf: Shelf, still_for: timedelta) -> list[Leftover]:
    """What runs left behind that wrote nothing for so long; of a published run its plan is no leftover."""
    store, before = shelf.store, datetime.now(UTC) - still_for
    claims = _claims(store)
    working = {PurePosixPath(path).name for path in _folders(store)}
    found = [_of_run(shelf, key, claims) for key in sorted(working.union(claims.values()))]
    return [one for one in found if one is not None and one.written < before]


def _folders(store: Store) -> list[str]:
    return [*store.folders(ASSEMBLY), *store.folders(RELEASES, STAGING)]


def _claims(store: Store) -> dict[str, str]:
    """Path of each claim, and the key of the run that it belongs to."""
    found = [*store.folders(RELEASES, CLAIMS), *store.folders(RELEASES, PUBLISHING)]
    owners = {path: owner_of(store, path) for path in found if not PurePosixPath(path).name.startswith(".")}
    return {path: owner for path, owner in owners.items() if owner}


def _of_run(shelf: Shelf, key: str, claims: dict[str, str]) -> Leftover | None:
    store = shelf.store
    plan = _plan(store, key)
    is_published = plan is not None and shelf.published_by(plan.run_id, plan.version) is not None
    work = [path for path in store.folders(ASSEMBLY, key) if not (is_published and path.endswith(f"/{PLAN}"))]
    staged = [path for path in store.folders(RELEASES, STAGING) if PurePosixPath(path).name == key]
    claimed = [path for path, owner in claims.items() if owner == key]
    half = [
        shelf.path(name)
        for name in (PurePosixPath(path).name for path in claimed if f"/{PUBLISHING}/" in path)
        if not shelf.holds(name) and store.fs.exists(shelf.path(name))
    ]
    paths = [*work, *staged, *half, *claimed]  # claims last: until then nobody else takes the name
    if not paths:
        return None
    what = f"run {plan.run_id if plan else key}"
    why = "its release is published" if is_published else "it published nothing"
    return _leftover(store, what, why, paths)


def _plan(store: Store, key: str) -> Plan | None:
    """None where there is none, or one of another version of this software."""
    text = store.read_text(store.folder(ASSEMBLY, key, PLAN))
    try:
        return Plan.model_validate_json(text) if text else None
    except ValidationError:
        return None


def _release(shelf: Shelf, manifest: Manifest) -> Leftover:
    return Leftover(
        f"release {manifest.version}",
        f"published {manifest.created:%Y-%m-%d %H:%M}",
        (shelf.path(manifest.version),),
        manifest.bytes,
        manifest.created,
    )


def _half_gone(shelf: Shelf) -> list[Leftover]:
    """Releases whose removal was cut short."""
    gone = shelf.store.folders(RELEASES, GOING)
    found = [_leftover(shelf.store, f"rest of {PurePosixPath(path).name}", "half removed", [path]) for path in gone]
    return [one for one in found if one is not None]


def _half_written(store: Store, still_for: timedelta) -> list[Leftover]:
    """What killed tries left beside files that all releases share. Object storage shows no half-written file."""
    if not store.is_local:
        return []
    before = datetime.now(UTC) - still_for
    found = [
        _leftover(store, f"half of {path.relative_to(store.root)}", "its writer was killed", [str(path)])
        for folder in (store.folder(FEATURES.name), store.folder(FINDINGS.name), store.folder(RELEASES, CLAIMS))
        for path in Path(folder).rglob(".*.tmp")
    ]
    return [one for one in found if one is not None and one.written < before]


def _leftover(store: Store, what: str, why: str, paths: list[str]) -> Leftover | None:
    """None where it changes this moment."""
    size, written = 0, datetime.fromtimestamp(0, UTC)
    try:
        for path in paths:
            for info in _files(store, path):
                size += int(str(info["size"]))
                written = max(written, time_of_writing(store.fs, info))
    except FileNotFoundError:
        return None
    return Leftover(what, why, tuple(paths), size, written)


def _files(store: Store, path: str) -> Iterator[dict[str, object]]:
    """What is known of each file at or below ``path``; of a local folder also of itself."""
    store.fs.invalidate_cache()
    if store.is_local:
        yield store.fs.info(path) | {"size": 0}
    found = store.fs.find(path, detail=True)
    yield from (info for info in found.values() if info["type"] == "file")


# --- removing -------------------------------------------------------------------------------------


def remove(shelf: Shelf, leftover: Leftover) -> None:
    """Remove it; a release vanishes at once, and who has its files open reads on. Raises StoreReadOnly."""
    for path in leftover.paths:
        with disk_errors(path), contextlib.suppress(FileNotFoundError):  # another prune was faster
            is_release = shelf.store.fs.exists(f"{path}/{MANIFEST}")
            shelf.store.fs.rm(_taken_down(shelf, path) if is_release else path, recursive=True)


def _taken_down(shelf: Shelf, path: str) -> str:
    """Make the release at ``path`` none, in one step; returns where its files are then."""
    store = shelf.store
    if not store.is_local:
        store.fs.rm_file(f"{path}/{MANIFEST}")
        return path
    aside = Path(store.folder(RELEASES, GOING, f"{PurePosixPath(path).name}-{uuid.uuid4().hex[:8]}"))
    aside.parent.mkdir(exist_ok=True)
    Path(path).rename(aside)
    return str(aside)


def tidy(shelf: Shelf, key: str) -> None:
    """Remove what the published run ``key`` left, whatever its age; its plan stays, to tell what it published."""
    leftover = _of_run(shelf, key, _claims(shelf.store))
    if leftover is not None:
        remove(shelf, leftover)
