"""The journal's folder on its file system: list, read, append, publish; local disks and object stores."""

from __future__ import annotations

import errno
import io
import os
import re
import secrets
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Protocol

import fsspec
from fsspec.implementations.local import LocalFileSystem

from ultralink.durable import sync
from ultralink.errors import StoreFull, StoreReadOnly

WRITER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
SEGMENT = re.compile(r"[^.].*\.(log|taken|zst)")
OPEN_FILES = 64
AHEAD = 64  # small segments that are read at once


class Log(Protocol):
    """What one writer appends to."""

    def append(self, lines: bytes) -> tuple[str, int]:
        """Make ``lines`` durable; returns the segment's name and the offset of the first byte.

        On an error no reader will see a part of ``lines`` as a record, and the next append is sound.
        """

    def owns(self, name: str) -> bool:
        """The segment is this log's own, still being written."""

    def close(self) -> None: ...


class Storage(ABC):
    """One folder of segments. Any call may raise OSError: FileNotFoundError if a segment was merged away."""

    window_s: float  # how long a group commit gathers
    reads_fast: bool  # a read of a few KB may be done on the event loop

    @abstractmethod
    def names(self) -> list[str]:
        """Names of all segments, sorted."""

    @abstractmethod
    def open(self, name: str) -> IO[bytes]:
        """The segment from its start."""

    @abstractmethod
    def read(self, name: str, start: int, length: int | None = None) -> bytes:
        """Bytes of a segment."""

    @abstractmethod
    def size(self, name: str) -> int:
        """Another number as soon as the segment's writer adds to it."""

    @abstractmethod
    def remove(self, name: str) -> None: ...

    @abstractmethod
    def log(self, writer: str) -> Log:
        """A new log; no other log ever writes to its segments."""

    @abstractmethod
    def claim(self, spare: Log, quiet_s: float) -> list[str]:
        """Names of the segments that may be merged: none that its writer will add to unnoticed."""

    @abstractmethod
    def create(self, name: str) -> _Created:
        """A segment that appears whole, under ``name``, when the ``with`` block ends without an error."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the files held open for reading; a later read opens them again."""

    @abstractmethod
    def check_writable(self) -> None:
        """Raise StoreFull or StoreReadOnly now rather than after the first paid answer."""


def storage(fs: fsspec.AbstractFileSystem, folder: str) -> Storage:
    """The folder as local disk or as object store, by its file system."""
    if isinstance(fs, LocalFileSystem):
        return LocalStorage(Path(fs._strip_protocol(folder)))
    return ObjectStorage(fs, folder.rstrip("/"))


@contextmanager
def typed_errors(where: str) -> Iterator[None]:
    """Disk trouble as StoreFull and StoreReadOnly, naming the place."""
    try:
        yield
    except OSError as problem:
        if problem.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreFull(f"{where}: no space left for the journal; free some and run again") from problem
        if isinstance(problem, PermissionError) or problem.errno == errno.EROFS:
            raise StoreReadOnly(f"{where}: the journal cannot be written: {problem.strerror}") from problem
        raise


def _unique(writer: str) -> str:
    if not WRITER.fullmatch(writer):
        raise ValueError(f"{writer!r} is not a name for a journal's writer: {WRITER.pattern}")
    return f"{writer}~{secrets.token_hex(6)}"


# --- local file systems (NFS too) -----------------------------------------------------------------


class LocalStorage(Storage):
    """A folder of append files, one per log, each commit fsynced."""

    window_s = 0.004
    reads_fast = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: OrderedDict[str, IO[bytes]] = OrderedDict()

    def names(self) -> list[str]:
        try:
            return sorted(path.name for path in self.folder.iterdir() if SEGMENT.fullmatch(path.name))
        except FileNotFoundError:
            return []

    def open(self, name: str) -> IO[bytes]:
        return (self.folder / name).open("rb", buffering=1 << 20)

    def read(self, name: str, start: int, length: int | None = None) -> bytes:
        if length is None:
            return (self.folder / name).read_bytes()[start:]
        file = self._files.pop(name, None)
        if file is None:
            file = (self.folder / name).open("rb", buffering=0)
        self._files[name] = file
        if len(self._files) > OPEN_FILES:
            self._files.popitem(last=False)[1].close()
        return os.pread(file.fileno(), length, start)

    def size(self, name: str) -> int:
        return (self.folder / name).stat().st_size

    def remove(self, name: str) -> None:
        (self.folder / name).unlink(missing_ok=True)

    def log(self, writer: str) -> Log:
        return _AppendLog(self.folder, writer)

    def claim(self, spare: Log, quiet_s: float) -> list[str]:
        """Segments not written for ``quiet_s`` by the file server's clock, renamed so that a writer notices.

        The rename is what keeps data safe, not the clock: a writer that is alive after all finds its
        segment gone after its next commit and writes that commit again, to a new segment.
        """
        now = self._server_time()
        claimed = []
        for name in self.names():
            if name.endswith(".log"):
                path = self.folder / name
                if spare.owns(name) or now - path.stat().st_mtime < quiet_s:
                    continue
                name = f"{path.stem}.taken"
                path.rename(self.folder / name)
            claimed.append(name)
        for orphan in self.folder.glob(".*.tmp"):
            if now - orphan.stat().st_mtime > quiet_s:
                orphan.unlink(missing_ok=True)
        return claimed

    def create(self, name: str) -> _Created:
        return _Renamed(self.folder, name)

    def close(self) -> None:
        while self._files:
            self._files.popitem()[1].close()

    def check_writable(self) -> None:
        with typed_errors(str(self.folder)):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._server_time()

    def _server_time(self) -> float:
        probe = self.folder / f".{secrets.token_hex(6)}.tmp"
        try:
            probe.write_bytes(b"probe")
            return probe.stat().st_mtime
        finally:
            probe.unlink(missing_ok=True)


class _AppendLog:
    """One append file, made at the first commit; a new one after any trouble."""

    def __init__(self, folder: Path, writer: str) -> None:
        self._folder, self._stem = folder, _unique(writer)
        self._file: int | None = None
        self._path = folder
        self._count = self._size = 0

    def append(self, lines: bytes) -> tuple[str, int]:
        with typed_errors(str(self._folder)):
            while True:
                file = self._opened()
                try:
                    _write_all(file, lines)
                    os.fdatasync(file)
                except OSError:
                    self._abandon(file)
                    raise
                start, self._size = self._size, self._size + len(lines)
                if self._still_ours(file):
                    return self._path.name, start
                self.close()  # a compaction took the segment: these lines may have missed it

    def owns(self, name: str) -> bool:
        return self._file is not None and self._path.name == name

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _opened(self) -> int:
        if self._file is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._path = self._folder / f"{self._stem}.{self._count:04d}.log"
            self._count += 1
            flags = os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_WRONLY | os.O_CLOEXEC
            self._file, self._size = os.open(self._path, flags, 0o644), 0
            sync(str(self._folder))
        return self._file

    def _abandon(self, file: int) -> None:
        # After a failed write or fsync nobody knows what is on the disk: this file gets no more records.
        with suppress(OSError):
            os.ftruncate(file, self._size)
        if self._size == 0:
            with suppress(OSError):
                self._path.unlink()
        self.close()

    def _still_ours(self, file: int) -> bool:
        try:
            return self._path.stat().st_ino == os.fstat(file).st_ino
        except FileNotFoundError:
            return False


class _Created(ABC):
    """A segment in the making."""

    @abstractmethod
    def __enter__(self) -> IO[bytes]: ...

    @abstractmethod
    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None: ...


class _Renamed(_Created):
    """Written aside, fsynced, renamed."""

    def __init__(self, folder: Path, name: str) -> None:
        self._aside, self._path = folder / f".{name}.tmp", folder / name

    def __enter__(self) -> IO[bytes]:
        self._file = self._aside.open("wb")
        return self._file

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._file.flush()
                os.fsync(self._file.fileno())
                self._aside.rename(self._path)
                sync(str(self._path.parent))
        finally:
            with suppress(OSError):
                self._file.close()
            self._aside.unlink(missing_ok=True)


def _write_all(file: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]


# --- object stores ----------------------------------------------------------------------------------


class ObjectStorage(Storage):
    """A folder of objects that never change: one per commit, there whole or not at all (one PUT each).

    A night has hundreds of small ones, and each answer of the store takes long: they are read many at a time.
    """

    window_s = 0.5
    reads_fast = False

    def __init__(self, fs: fsspec.AbstractFileSystem, folder: str) -> None:
        self.fs, self.folder = fs, folder
        self._next: list[str] = []  # small segments that were listed and not opened since, the last first
        self._ahead: dict[str, bytes] = {}

    def names(self) -> list[str]:
        try:
            paths = self.fs.ls(self.folder, detail=False)
        except FileNotFoundError:
            return []
        listed = (path.rstrip("/").rpartition("/")[2] for path in paths)
        names = sorted(name for name in listed if SEGMENT.fullmatch(name))
        self._next, self._ahead = [name for name in reversed(names) if name.endswith(".log")], {}
        return names

    def open(self, name: str) -> IO[bytes]:
        if name.endswith(".log"):
            if name not in self._ahead and self._next[-1:] == [name]:
                self._read_ahead()
            content = self._ahead.pop(name, None)
            return io.BytesIO(self.read(name, 0) if content is None else content)
        file: IO[bytes] = self.fs.open(f"{self.folder}/{name}", "rb")
        return file

    def _read_ahead(self) -> None:
        names = self._next[: -AHEAD - 1 : -1]
        del self._next[-len(names) :]
        found = self.fs.cat_ranges([f"{self.folder}/{name}" for name in names], 0, None)
        # What could not be read is read again when its turn comes, and fails then.
        self._ahead = {name: data for name, data in zip(names, found, strict=True) if isinstance(data, bytes)}

    def read(self, name: str, start: int, length: int | None = None) -> bytes:
        end = None if length is None else start + length
        data: bytes = self.fs.cat_file(f"{self.folder}/{name}", start=start, end=end)
        return data

    def size(self, name: str) -> int:
        """Not its bytes, but always the same: an object is never added to, and to ask would cost a request."""
        return 0

    def remove(self, name: str) -> None:
        with suppress(FileNotFoundError):
            self.fs.rm_file(f"{self.folder}/{name}")

    def log(self, writer: str) -> Log:
        return _ObjectLog(self.fs, self.folder, writer)

    def claim(self, spare: Log, quiet_s: float) -> list[str]:
        """All segments: an object is never added to, so no writer can be surprised."""
        return self.names()

    def create(self, name: str) -> _Created:
        return _Uploaded(self.fs, f"{self.folder}/{name}")

    def close(self) -> None:
        """Nothing is held open."""

    def check_writable(self) -> None:
        """Nothing to check cheaply: the first commit will tell."""


class _ObjectLog:
    def __init__(self, fs: fsspec.AbstractFileSystem, folder: str, writer: str) -> None:
        self._fs, self._folder, self._stem = fs, folder, _unique(writer)
        self._count = 0

    def append(self, lines: bytes) -> tuple[str, int]:
        name = f"{self._stem}.{self._count:06d}.log"
        self._count += 1
        with typed_errors(self._folder):
            if self._count == 1:
                self._fs.makedirs(self._folder, exist_ok=True)
            self._fs.pipe_file(f"{self._folder}/{name}", lines)
        return name, 0

    def owns(self, name: str) -> bool:
        return False

    def close(self) -> None:
        pass


class _Uploaded(_Created):
    """Written to a temporary file here, so that memory stays flat, then put as one object."""

    def __init__(self, fs: fsspec.AbstractFileSystem, path: str) -> None:
        self._fs, self._path = fs, path

    def __enter__(self) -> IO[bytes]:
        import tempfile

        self._file = tempfile.NamedTemporaryFile(suffix=".zst")
        return self._file

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._file:
            if kind is None:
                self._file.flush()
                self._fs.put_file(self._file.name, self._path)
