"""Publish a release: its manifest, then the whole folder appears at once, then `latest`, then the work is cleared."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ultralink.durable import sync
from ultralink.errors import NoPartitions, PartMissing, ReleaseExists
from ultralink.release.claims import claim, give_back, owner_of
from ultralink.release.leftovers import dead_runs, publishing_path, remove, tidy
from ultralink.release.manifest import MANIFEST, Manifest, ReleasedFile
from ultralink.release.shelf import Shelf
from ultralink.schemas import REMOVED
from ultralink.stages.assembly import Assembly
from ultralink.stages.partition import Built
from ultralink.stages.release_plan import published
from ultralink.store import Part, disk_errors

ABANDONED = timedelta(days=14)  # a run that wrote nothing for so long is not tried again


@dataclass(frozen=True)
class ReleasePublished:
    """Where the release and its card lie, and what it says of itself."""

    built: Built
    manifest: Manifest


def publish_release(assembly: Assembly) -> ReleasePublished:
    """Make the staged files the release of the planned version; what a crash left undone, the next try does.

    The release is not changed afterwards: a cleared task finds nothing to do. Raises PartMissing naming the task
    that has not run, ReleaseExists where another run was first, NoPartitions where no row is left, StoreFull,
    StoreReadOnly.
    """
    shelf = Shelf(assembly.store)
    manifest = published(assembly)
    line = "Nothing to do: this run published"
    if manifest is None:
        try:
            manifest, line = _publish(assembly, shelf), "Published"
        except (PartMissing, ReleaseExists, FileNotFoundError):
            manifest = published(assembly)  # by an earlier try that was taken for dead
            if manifest is None:
                raise
    shelf.point_latest()
    tidy(shelf, assembly.key)
    for leftover in dead_runs(shelf, ABANDONED):
        remove(shelf, leftover)
    folder = shelf.path(manifest.version)
    said = f"{line} release {manifest.version}: {manifest.rows} rows, {len(manifest.files)} files"
    return ReleasePublished(Built((folder, f"{folder}/README.md", f"{folder}/{MANIFEST}"), said), manifest)


def _publish(assembly: Assembly, shelf: Shelf) -> Manifest:
    version = assembly.plan.version
    if shelf.holds(version):
        raise _taken(assembly)
    manifest = Manifest.of(assembly.plan, _staged_files(assembly), _removed(assembly), datetime.now(UTC))
    if not manifest.rows:
        raise NoPartitions(
            f"release {version}: none of {assembly.plan.rows} samples is left; provenance/removed.parquet in "
            f"{assembly.staging} says why"
        )
    if assembly.store.is_local:
        _rename(assembly, shelf, manifest)
    else:
        _copy(assembly, shelf, manifest)
    return manifest


def _taken(assembly: Assembly) -> ReleaseExists:
    path = Shelf(assembly.store).path(assembly.plan.version)
    return ReleaseExists(
        f"{path}: another run published this version first, and a release never changes; "
        "start a new run with another version, or with none to have one made"
    )


# --- what is staged ---------------------------------------------------------------------------------


def _staged_files(assembly: Assembly) -> list[ReleasedFile]:
    """All files of the release, each there in its size. Raises PartMissing naming the task that lacks."""
    there = _sizes(assembly)
    files = []
    for part, task in _lists(assembly):
        part.stamp_or_missing(f"run the task {task} of this run first")
        for file in map(ReleasedFile.model_validate, part.rows()):
            if there.get(file.path) != file.bytes:
                found = "is not there" if file.path not in there else f"has {there[file.path]:,} bytes"
                raise PartMissing(
                    f"{assembly.staged(file.path)}: {found}, but was written with {file.bytes:,}; "
                    f"clear the task {task} of this run"
                )
            files.append(file)
    return files


def _lists(assembly: Assembly) -> Iterator[tuple[Part, str]]:
    exports = [f"'export' ({'_'.join(names)})" for names in assembly.configurations]
    yield from zip(assembly.staged_files(), [*exports, "'split'", "'card'"], strict=True)


def _sizes(assembly: Assembly) -> dict[str, int]:
    """The size of every file in the staging folder, by its path within."""
    assembly.store.fs.invalidate_cache()
    found = assembly.store.fs.find(assembly.staging, detail=True)
    return {path.removeprefix(f"{assembly.staging}/"): info["size"] for path, info in found.items()}


def _removed(assembly: Assembly) -> dict[str, int]:
    """Rows that each stage took out, in the order of the stages."""
    part = assembly.part(REMOVED)
    part.stamp_or_missing("run the task 'split' of this run first")
    rows = Counter(str(row["stage"]) for row in part.rows(["stage"]))
    stages = ("exact", "near", "decontaminate", "privacy", "blocklist")
    return {stage: rows[stage] for stage in (*stages, *sorted(set(rows).difference(stages))) if rows[stage]}


# --- the moment it appears --------------------------------------------------------------------------


def _rename(assembly: Assembly, shelf: Shelf, manifest: Manifest) -> None:
    """One rename, which the file system refuses where there is such a folder already."""
    staging, target = Path(assembly.staging), Path(shelf.path(manifest.version))
    for stray in _sizes(assembly).keys() - {file.path for file in manifest.files}:
        (staging / stray).unlink(missing_ok=True)  # of an earlier try that wrote more files
    assembly.store.write_text(assembly.staged(MANIFEST), manifest.model_dump_json(indent=1))
    with disk_errors(str(target)):
        for folder, _, names in os.walk(staging):
            for name in names:
                Path(folder, name).chmod(0o444)
            sync(folder)
        try:
            staging.rename(target)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise _taken(assembly) from None
            raise
        sync(str(target.parent))


def _copy(assembly: Assembly, shelf: Shelf, manifest: Manifest) -> None:
    """Object storage has no folders to rename: the files come first, and the manifest makes them a release."""
    store, place = assembly.store, publishing_path(assembly.store, manifest.version)
    if not claim(store, place, assembly.key):
        raise ReleaseExists(
            f"{place}: run {owner_of(store, place)} is publishing this version; if it died, have its task 'publish' "
            "go on, or name another version"
        )
    if shelf.holds(manifest.version):  # since before the claim
        give_back(store, place, assembly.key)
        raise _taken(assembly)
    folder = shelf.path(manifest.version)
    with disk_errors(folder):
        for file in manifest.files:
            store.fs.cp_file(assembly.staged(file.path), f"{folder}/{file.path}")
    store.write_text(f"{folder}/{MANIFEST}", manifest.model_dump_json(indent=1))
