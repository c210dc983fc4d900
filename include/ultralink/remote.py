"""A file system behind a network: its listings are always fresh, and it fails with errors that say what to do."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

import fsspec
from fsspec.dircache import DirCache

from ultralink.errors import StoreMissing, StoreRefused, StoreUnreachable, UltraLinkError

P = ParamSpec("P")
T = TypeVar("T")

# Stores of objects have no folders to make; s3fs would make a missing bucket instead, say one misspelt.
_WITHOUT_FOLDERS = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl"})
_READ_AT_ONCE = 8 << 20  # bytes; s3fs would hold 50 MiB of every open file
_OTHERS_FAULT = frozenset({errno.EBUSY, errno.EIO, errno.EREMOTEIO, errno.ETIMEDOUT})  # 409 and 503; unknown; 500
# By name, for the packages that raise them may be missing: none of these goes away by itself.
_REFUSALS = frozenset(
    {"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "ParamValidationError", "InvalidRegionError"}
)


class Remote:
    """``fs`` with typed errors, without cached listings, and usable in a process that was forked off.

    A listing that another process has made stale would hide a night or a release for as long as this one lives.
    Any call may raise StoreRefused or StoreUnreachable, besides what says that a file is there or is not.
    """

    def __init__(self, fs: fsspec.AbstractFileSystem) -> None:
        self._first = fs
        self._fs()

    def __getattr__(self, name: str) -> object:
        if name.startswith("_"):  # also while this object is being unpickled
            raise AttributeError(name)
        found = getattr(self._fs(), name)
        return _typed(found) if callable(found) else found

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Make a folder, where there is such a thing."""
        fs = self._fs()
        protocols = {fs.protocol} if isinstance(fs.protocol, str) else set(fs.protocol)
        if not protocols & _WITHOUT_FOLDERS:
            with typed_errors(path):
                fs.makedirs(path, exist_ok=exist_ok)

    def pipe_file(self, path: str, data: bytes, mode: str = "overwrite") -> None:
        """Write all of the file by one request. Raises StoreMissing, and FileExistsError for mode "create"."""
        with _written(path):
            self._fs().pipe_file(path, data, mode=mode)

    def put_file(self, local: str, path: str) -> None:
        """Upload a file; it appears whole. Raises StoreMissing."""
        with _written(path):
            self._fs().put_file(local, path)

    def open(self, path: str, mode: str = "rb") -> io.BufferedIOBase:
        """The file, to be read."""
        if mode != "rb":
            raise ValueError(f"{path}: is written by `Store.aside`, not opened with {mode!r}")
        with typed_errors(path):
            return _File(self._fs().open(path, "rb", block_size=_READ_AT_ONCE), path)

    def _fs(self) -> fsspec.AbstractFileSystem:
        fs = self._first
        if getattr(fs, "_pid", os.getpid()) != os.getpid():  # its connections and its thread are another process's
            fs = self._first = type(fs)(*fs.storage_args, **fs.storage_options)
        if isinstance(fs.dircache, DirCache) and fs.dircache.use_listings_cache:
            fs.dircache = DirCache(use_listings_cache=False)
        return fs


class _File(io.BufferedIOBase):
    """A file of ``Remote``, being read."""

    def __init__(self, file: io.BufferedIOBase, path: str) -> None:
        self._file, self._path = file, path

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        with typed_errors(self._path):
            return self._file.read(-1 if size is None else size)

    def readline(self, size: int | None = -1, /) -> bytes:
        with typed_errors(self._path):
            return self._file.readline()

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        self._file.close()
        super().close()


@contextmanager
def typed_errors(where: str) -> Iterator[None]:
    """What a client of a store raises as StoreRefused or StoreUnreachable, naming the place."""
    try:
        yield
    except (FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError, UltraLinkError):
        raise
    except Exception as error:
        if isinstance(error, PermissionError) or type(error).__name__ in _REFUSALS:
            raise StoreRefused(
                f"{where}: the store refuses: {_said(error)}; check the connection's key and what it may do"
            ) from error
        if _is_the_stores(error):
            raise StoreUnreachable(f"{where}: the store does not answer: {_said(error)}") from error
        raise


@contextmanager
def _written(path: str) -> Iterator[None]:
    try:
        with typed_errors(path):
            yield
    except FileNotFoundError as error:  # an object needs no folder, so this is what it would be put into
        raise StoreMissing(f"{path}: no such bucket or container: {error}") from error


def _is_the_stores(error: Exception) -> bool:
    if isinstance(error, OSError):
        return isinstance(error, ConnectionError | TimeoutError) or error.errno in _OTHERS_FAULT or error.errno is None
    return type(error).__module__ != "builtins"  # of botocore, aiohttp and their like


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _typed(method: Callable[P, T]) -> Callable[P, T]:
    @wraps(method)
    def call(*args: P.args, **options: P.kwargs) -> T:
        where = next((str(each) for each in args if isinstance(each, str)), "the store")
        with typed_errors(where):
            return method(*args, **options)

    return call
