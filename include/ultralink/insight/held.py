"""Small files of the store, each read and parsed once per version, so that a page over all nights stays fast."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Generic, TypeVar

from ultralink.store import Store

log = logging.getLogger(__name__)

Parsed = TypeVar("Parsed")

_MOST = 20_000  # parsed files in memory: some 50 MB of statistics
_VERSION_KEYS = ("ETag", "etag", "mtime", "LastModified", "last_modified", "updated", "created", "ino", "size")


def _is_wanted(path: PurePosixPath, without: str | None) -> bool:
    return path.suffix == ".json" and not path.name.startswith(".") and path.parent.name != without


def version_of(info: Mapping[str, object]) -> tuple[object, ...]:
    """What changes in a file system's ``info`` of a file when the file does."""
    return tuple(str(info.get(key)) for key in _VERSION_KEYS)


class Held(Generic[Parsed]):
    """Parsed files by path. ``parse`` raises ValueError for what it can't read; such a file is None."""

    def __init__(self, parse: Callable[[bytes], Parsed]) -> None:
        self._parse = parse
        self._files: dict[str, tuple[tuple[object, ...], Parsed | None]] = {}

    def below(self, store: Store, *folder: str, without: str | None = None) -> dict[str, Parsed | None]:
        """All JSON files below a folder of ``store``, by path: one listing, and only what is new is read.

        Files of a folder whose name is ``without`` are left out.
        """
        try:
            found = store.fs.find(store.folder(*folder), detail=True)
        except FileNotFoundError:
            return {}
        versions = {
            str(path): version_of(info) for path, info in found.items() if _is_wanted(PurePosixPath(str(path)), without)
        }
        self._read(store, [path for path, version in versions.items() if self._version(path) != version], versions)
        return {path: self._files[path][1] for path in sorted(versions) if path in self._files}

    def _version(self, path: str) -> tuple[object, ...] | None:
        known = self._files.get(path)
        return known[0] if known else None

    def _read(self, store: Store, paths: list[str], versions: Mapping[str, tuple[object, ...]]) -> None:
        if not paths:
            return
        if len(self._files) + len(paths) > _MOST:
            self._files.clear()
        # Object storage answers many requests at once; a file that vanished meanwhile is left out.
        contents = store.fs.cat(paths, recursive=False, on_error="return")
        for path, content in contents.items():
            if isinstance(content, FileNotFoundError):
                continue
            if isinstance(content, Exception):
                raise content
            self._files[str(path)] = (versions[str(path)], self._parsed(str(path), content))

    def _parsed(self, path: str, content: bytes) -> Parsed | None:
        try:
            return self._parse(content)
        except ValueError as problem:
            log.warning("%s cannot be read: %s", path, str(problem)[:200])
            return None
