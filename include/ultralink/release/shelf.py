"""The shelf: all published releases of a store, which is the newest, and whether one is as it was published."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from ultralink.durable import sync
from ultralink.errors import ReleaseMissing
from ultralink.release.manifest import MANIFEST, Manifest
from ultralink.release.recipe import VERSION
from ultralink.store import Store, disk_errors

RELEASES = "releases"
LATEST = "latest"


@dataclass(frozen=True)
class Damage:
    """A file of a release that is not as the manifest says, and what is wrong with it."""

    path: str
    what: str


class Shelf:
    """The releases of a store, each in ``releases/<version>``; one without a manifest does not count."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def path(self, version: str) -> str:
        """Where a release lies."""
        return self.store.folder(RELEASES, version)

    def holds(self, version: str) -> bool:
        """Whether the version is published."""
        self.store.fs.invalidate_cache()
        return bool(self.store.fs.isfile(f"{self.path(version)}/{MANIFEST}"))

    def is_taken(self, version: str) -> bool:
        """Whether anything lies where the version would: a release, or what is left of one."""
        self.store.fs.invalidate_cache()
        return bool(self.store.fs.exists(self.path(version)))

    def versions(self) -> list[str]:
        """Names of all releases, sorted by name."""
        names = (PurePosixPath(path).name for path in self.store.folders(RELEASES))
        return [name for name in names if re.fullmatch(VERSION, name) and self.holds(name)]

    def manifests(self) -> list[Manifest]:
        """The manifests of all releases, the oldest first; ``versions`` names also those that cannot be read."""
        found = []
        for version in self.versions():
            with suppress(ReleaseMissing):
                found.append(self.manifest(version))
        return sorted(found, key=lambda manifest: (manifest.created, manifest.version))

    def manifest(self, version: str) -> Manifest:
        """The manifest of a version, or of the newest for "latest". Raises ReleaseMissing naming what there is."""
        if version == LATEST:
            return self._newest()
        if not re.fullmatch(VERSION, version) or not self.holds(version):
            there = ", ".join(self.versions()) or "none"
            raise ReleaseMissing(f"no release {version!r} in {self.store.folder(RELEASES)}; there are: {there}")
        path = f"{self.path(version)}/{MANIFEST}"
        try:
            manifest = Manifest.model_validate_json(self.store.fs.cat_file(path))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            field = ".".join(map(str, first["loc"])) or "(whole file)"
            raise ReleaseMissing(
                f"{path}: cannot be read: {field}: {first['msg']}; bring the file back, or remove the release"
            ) from None
        if manifest.version != version:
            raise ReleaseMissing(f"{path}: is that of release {manifest.version}; a release never changes its name")
        return manifest

    def published_by(self, run_id: str, version: str) -> Manifest | None:
        """The manifest of a version if that run published it."""
        try:
            manifest = self.manifest(version) if self.holds(version) else None
        except ReleaseMissing:
            return None
        return manifest if manifest is not None and manifest.run_id == run_id else None

    def latest(self) -> Manifest | None:
        """The release that was published last."""
        found = self.manifests()
        return found[-1] if found else None

    def _newest(self) -> Manifest:
        newest = self.latest()
        if newest is None:
            raise ReleaseMissing(f"no release in {self.store.folder(RELEASES)} yet")
        return newest

    # --- the pointer ------------------------------------------------------------------------------

    @property
    def pointer_path(self) -> str:
        """What leads to the newest release: a symbolic link, or on object storage a file with its name."""
        return self.store.folder(RELEASES, LATEST)

    def pointer(self) -> str | None:
        """The version that ``latest`` names."""
        if not self.store.is_local:
            return self.store.read_text(self.pointer_path)
        link = Path(self.pointer_path)
        return link.readlink().name if link.is_symlink() else None

    def point_latest(self) -> None:
        """Have ``latest`` name the newest release, whoever else publishes meanwhile. Raises ReleaseMissing."""
        version = None
        # Who writes later looks again, so of two that publish at once the last writer names the newest.
        while (newest := self._newest().version) != version:
            version = newest
            if self.pointer() != version:
                self._point(version)

    def _point(self, version: str) -> None:
        if not self.store.is_local:
            self.store.write_text(self.pointer_path, version)
            return
        aside = Path(self.store.folder(RELEASES, f".{LATEST}.{uuid.uuid4().hex}.tmp"))
        with disk_errors(self.pointer_path):
            try:
                aside.symlink_to(version)
                aside.replace(self.pointer_path)
                sync(self.store.folder(RELEASES))
            finally:
                aside.unlink(missing_ok=True)

    # --- checking -----------------------------------------------------------------------------------

    def verify(self, version: str) -> Iterator[Damage]:
        """Read every file again; what is not as it was published. Raises ReleaseMissing."""
        manifest = self.manifest(version)
        folder = self.path(manifest.version)
        self.store.fs.invalidate_cache()
        found = {str(path).removeprefix(f"{folder}/") for path in self.store.fs.find(folder)} - {MANIFEST}
        for file in manifest.files:
            if file.path not in found:
                yield Damage(file.path, "is missing")
                continue
            size, digest = self._checksum(f"{folder}/{file.path}")
            if size != file.bytes:
                yield Damage(file.path, f"has {size:,} bytes, published were {file.bytes:,}")
            elif digest != file.sha256:
                yield Damage(file.path, "has another content than was published")
        for path in sorted(found.difference(file.path for file in manifest.files)):
            yield Damage(path, "does not belong to the release")

    def _checksum(self, path: str) -> tuple[int, str]:
        with self.store.fs.open(path, "rb") as file:
            digest, size = hashlib.sha256(), 0
            while block := file.read(1 << 20):
                digest.update(block)
                size += len(block)
        return size, digest.hexdigest()
