"""The store: computed paths for parts of stages, written whole or not at all, read in batches."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import fsspec
import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem
from numpy.typing import NDArray

from ultralink.durable import sync
from ultralink.errors import (
    PartMissing,
    SchemaMismatch,
    StoreFull,
    StoreMissing,
    StoreReadOnly,
    TimeUnknown,
    UltraLinkError,
)
from ultralink.remote import Remote
from ultralink.schemas import Stage

Row = Mapping[str, object]

_ROWS_PER_BATCH = 256
_STALE_AFTER_S = 24 * 3600  # a temporary file this old belongs to no live attempt
_KEYS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
_ENCODER = msgspec.json.Encoder(order="deterministic", enc_hook=str)


@dataclass(frozen=True)
class Stamp:
    """What a part says of itself. ``fingerprint``: what made it; ``digest``: what is in it."""

    fingerprint: str
    digest: str
    rows: int


def fingerprint(*made_from: object) -> str:
    """A stable hash of JSON-like values (pydantic models are passed as ``model_dump(mode="json")``)."""
    return hashlib.blake2b(_ENCODER.encode(made_from), digest_size=16).hexdigest()


def row_bytes(row: Row, stage: Stage) -> bytes:
    """A row of ``stage`` as a part's digest takes it: a null in a column that was added is as if it was not there."""
    left_out = {name for name in stage.added if row.get(name) is None}
    told = {name: value for name, value in row.items() if name not in left_out} if left_out else row
    return _ENCODER.encode(told) + b"\n"


# How file systems name the time of writing, the surest first. HTTP and Google Cloud give it as text.
_TIME_KEYS = ("mtime", "LastModified", "last_modified", "Last-Modified", "updated", "created")


def modified(fs: fsspec.AbstractFileSystem, path: str) -> datetime:
    """A file's time of writing, UTC, by the file system's own clock. Raises FileNotFoundError, TimeUnknown."""
    return time_of_writing(fs, fs.info(path))


def time_of_writing(fs: fsspec.AbstractFileSystem, info: Mapping[str, object]) -> datetime:
    """The time of writing, UTC, in what ``fs`` tells of a file. Raises TimeUnknown."""
    # Most file systems have no `modified`, but nearly all of them tell the time beside the size.
    for when in map(_as_time, map(info.get, _TIME_KEYS)):
        if when is not None:
            return when
    try:
        told: datetime = fs.modified(str(info["name"]))
    except NotImplementedError:
        raise TimeUnknown(
            f"{info['name']}: its file system does not tell when it was written; copy it to one that does"
        ) from None
    return told.astimezone(UTC)


def _as_time(value: object) -> datetime | None:
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC)
    if isinstance(value, str):
        for read in (datetime.fromisoformat, parsedate_to_datetime):
            with contextlib.suppress(ValueError):
                return read(value).astimezone(UTC)
    return None


@contextlib.contextmanager
def disk_errors(path: str) -> Iterator[None]:
    """Turn the operating system's refusals to write ``path`` into typed errors."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreFull(f"{path}: no space left; nothing was half-written. Free some.") from error
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            why = error.strerror
            raise StoreReadOnly(f"{path}: cannot be written ({why}); check mount and owner") from error
        raise


class Store:
    """All parts under one root, on any fsspec file system."""

    def __init__(self, fs: fsspec.AbstractFileSystem, root: str) -> None:
        self.root = root.rstrip("/")
        self.is_local = isinstance(fs, LocalFileSystem)
        self.fs: fsspec.AbstractFileSystem = fs if self.is_local or isinstance(fs, Remote) else Remote(fs)

    @classmethod
    def at(cls, url: str) -> Store:
        """Open the store at a local path or any fsspec URL (``memory://…``, ``s3://…``).

        Key and endpoint of an object store come from the environment (``AWS_…``, ``FSSPEC_S3_…``).
        Raises StoreMissing for a URL with one of Airflow's connections in it.
        """
        parts = urlsplit(url if "://" in url else "")
        connection, _, host = parts.netloc.rpartition("@")
        if parts.scheme in ("s3", "s3a", "gs", "gcs") and connection:
            raise StoreMissing(
                f"{parts.scheme}://{host}{parts.path}: the store is named with an Airflow connection, which only "
                "Airflow knows. Name it without, and give the credentials by the environment"
            )
        fs, root = fsspec.core.url_to_fs(url)
        return cls(fs, root)

    def below(self, folder: str) -> Store:
        """The store whose root is a folder of this one."""
        return Store(self.fs, self.folder(folder))

    def part(self, stage: Stage, language: str, date: str, shard: int = 0) -> Part:
        """The part of ``stage`` for one partition and shard; the path is computed, nothing is read."""
        for key in (language, date):
            if not _KEYS.match(key):
                raise ValueError(f"{key!r} cannot be part of a path")
        return Part(self, stage, f"{self.root}/{stage.name}/{language}/{date}/{shard:05d}.parquet")

    def folder(self, *names: str) -> str:
        """A folder below the root, for what is not a part (journal, roster)."""
        return "/".join((self.root, *names))

    def folders(self, *names: str) -> list[str]:
        """The folders within a folder below the root, sorted."""
        folder = self.folder(*names)
        try:
            found = self.fs.ls(folder, detail=False)
        except FileNotFoundError:
            return []
        # Consoles of object stores mark a new folder by an empty object of its name.
        return sorted({str(path).rstrip("/") for path in found} - {folder})

    def dates(self, stage: Stage, language: str) -> list[str]:
        """Partition dates that have at least one part of ``stage``, sorted."""
        found = self.fs.find(self.folder(stage.name, language))
        return sorted({PurePosixPath(path).parent.name for path in found if str(path).endswith(".parquet")})

    def parts(self, stage: Stage, language: str, date: str) -> list[Part]:
        """The parts of ``stage`` that are there, by shard."""
        found = self.fs.find(self.folder(stage.name, language, date))
        return [Part(self, stage, str(path)) for path in sorted(found) if str(path).endswith(".parquet")]

    def write_text(self, path: str, text: str) -> None:
        """Write a small text file whole or not at all."""
        with self.aside(path) as aside:
            Path(aside).write_text(text, encoding="utf-8")

    def create_text(self, path: str, text: str) -> None:
        """Write a small text file that is not there yet, whole at once; of two who do, one gets FileExistsError.

        Object storage must take a PUT with ``If-None-Match``, as S3 does; where it does not, both may succeed.
        Raises StoreFull, StoreReadOnly.
        """
        with disk_errors(path):
            if self.is_local:
                self._link_text(path, text)
                return
            try:
                self.fs.pipe_file(path, text.encode(), mode="create")
            except OSError:  # who comes second is told so in many ways: a conflict, a condition that does not hold
                if self.read_text(path) is None:
                    raise
                raise FileExistsError(path) from None

    def _link_text(self, path: str, text: str) -> None:
        # fsspec looks before it writes; a hard link is made or refused in one step, and never half-written.
        folder, _, name = path.rpartition("/")
        aside = Path(folder, f".{name}.{uuid.uuid4().hex}.tmp")
        aside.parent.mkdir(parents=True, exist_ok=True)
        try:
            aside.write_text(text, encoding="utf-8")
            sync(str(aside))
            Path(path).hardlink_to(aside)
            sync(folder)
        finally:
            aside.unlink(missing_ok=True)

    def read_text(self, path: str) -> str | None:
        """A small text file's content; None where there is no such file."""
        try:
            return str(self.fs.cat_file(path).decode("utf-8"))
        except FileNotFoundError:
            return None

    @contextlib.contextmanager
    def aside(self, path: str) -> Iterator[str]:
        """A local temporary file that becomes ``path`` on success and leaves nothing on failure.

        Local: renamed within the folder, both synced. Elsewhere: uploaded in one piece, because fsspec's
        own writers would commit a half-written object when an exception closes them.
        """
        folder = path.rpartition("/")[0]
        with disk_errors(path):
            if self.is_local:
                Path(folder).mkdir(parents=True, exist_ok=True)
                aside = f"{folder}/.{path.rpartition('/')[2]}.{uuid.uuid4().hex}.tmp"
            else:
                handle, aside = tempfile.mkstemp(suffix=".tmp")
                os.close(handle)
            try:
                yield aside
                if self.is_local:
                    sync(aside)
                    Path(aside).replace(path)
                    sync(folder)
                    _sweep(folder)
                else:
                    self.fs.put_file(aside, path)
            finally:
                Path(aside).unlink(missing_ok=True)


class PartWriter:
    """Rows on their way into a part: checked against the schema, a batch at a time."""

    def __init__(self, path: str, stage: Stage, parquet: pq.ParquetWriter) -> None:
        self.count = 0
        self._path = path
        self._stage = stage
        self._parquet = parquet
        self._content = hashlib.blake2b(digest_size=16)
        self._batch: list[Row] = []

    def add(self, row: Row) -> None:
        """Take one row, a mapping of column to value."""
        self._batch.append(row)
        self.count += 1
        if len(self._batch) == _ROWS_PER_BATCH:
            self.flush()

    def flush(self) -> None:
        """Write the rows taken so far."""
        if not self._batch:
            return
        self._parquet.write_table(self._table())
        for row in self._batch:
            self._content.update(row_bytes(row, self._stage))
        self._batch = []

    def digest(self) -> str:
        """A hash of the rows written so far."""
        return self._content.hexdigest()

    def _table(self) -> pa.Table:
        where = f"{self._path}: rows {self.count - len(self._batch)}-{self.count - 1}"
        try:
            table = pa.Table.from_pylist(self._batch, schema=self._stage.schema)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
            raise SchemaMismatch(f"{where} do not fit the schema: {error}") from error
        for field, column in zip(self._stage.schema, table.columns, strict=True):
            if not field.nullable and column.null_count:
                raise SchemaMismatch(f"{where}: column {field.name!r} has nulls")
        return table


@dataclass(frozen=True)
class Part:
    """One shard of one stage of one partition."""

    store: Store
    stage: Stage
    path: str

    def stamp(self) -> Stamp | None:
        """The part's stamp, or None where there is no part. Raises SchemaMismatch for a foreign file."""
        try:
            with self._open() as file:
                return self._stamp_of(file.metadata.metadata or {}, file.metadata.num_rows)
        except FileNotFoundError:
            return None

    def stamp_or_missing(self, mend: str) -> Stamp:
        """The part's stamp. Raises PartMissing, which says how to ``mend`` it, and SchemaMismatch."""
        stamp = self.stamp()
        if stamp is None:
            raise PartMissing(f"{self.path}: no such part; {mend}")
        return stamp

    def modified(self) -> datetime:
        """When the part was written, by the file system's own clock."""
        return modified(self.store.fs, self.path)

    def rows(self, columns: list[str] | None = None) -> Iterator[dict[str, object]]:
        """All rows in order, a batch of them in memory. Raises PartMissing, SchemaMismatch."""
        for batch in self.batches(columns):
            yield from batch.to_pylist()

    def batches(self, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """All rows as record batches. Raises PartMissing, SchemaMismatch."""
        with self.reading() as file:
            for batch in file.iter_batches(batch_size=_ROWS_PER_BATCH, columns=columns):
                yield self._completed(batch, columns)

    def selected(self, numbers: NDArray[np.int64], columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The rows of these ``numbers`` (from 0, ascending) as record batches; others are hardly read.

        Raises PartMissing, SchemaMismatch.
        """
        with self.reading() as file:
            start = 0
            for group in range(file.num_row_groups):
                end = start + file.metadata.row_group(group).num_rows
                low, high = np.searchsorted(numbers, (start, end))
                if low < high:
                    for batch in _rows_of_group(file, group, numbers[low:high] - start, columns):
                        yield self._completed(batch, columns)
                start = end

    @contextlib.contextmanager
    def writer(self, made_by: str) -> Iterator[PartWriter]:
        """Write rows one by one; the part appears when the block ends well, else nothing does.

        ``made_by`` is the fingerprint. Memory: one batch of rows. Of several writers in one ``with``,
        the first named commits last. Raises SchemaMismatch (a row does not fit), StoreFull, StoreReadOnly.
        """
        with (
            self.store.aside(self.path) as aside,
            Path(aside).open("wb") as sink,
            pq.ParquetWriter(sink, self.stage.schema, compression="zstd") as parquet,
        ):
            rows = PartWriter(self.path, self.stage, parquet)
            yield rows
            rows.flush()
            stamp = Stamp(made_by, rows.digest(), rows.count)
            parquet.add_key_value_metadata(self._metadata(stamp))

    def write(self, rows: Iterable[Row], made_by: str) -> Stamp:
        """Write all ``rows`` as the part, like ``writer``."""
        with self.writer(made_by) as part:
            for row in rows:
                part.add(row)
        return Stamp(made_by, part.digest(), part.count)

    @contextlib.contextmanager
    def reading(self) -> Iterator[pq.ParquetFile]:
        """The part's file, to read some of its row groups and columns. Raises PartMissing, SchemaMismatch."""
        try:
            with self._open() as file:
                self._stamp_of(file.metadata.metadata or {}, file.metadata.num_rows)
                self._must_have_columns(file.schema_arrow)
                yield file
        except FileNotFoundError:
            raise PartMissing(
                f"{self.path}: no such part; run the {self.stage.name!r} stage of this partition first"
            ) from None
        except UltraLinkError:
            raise
        except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
            if getattr(error, "errno", None) is not None:  # the file system's, and not Arrow's word for broken pages
                raise
            raise SchemaMismatch(f"{self.path}: is damaged: {error}; delete the part or run with rebuild") from error

    def _must_have_columns(self, found: pa.Schema) -> None:
        for field in self.stage.schema:
            if field.name in self.stage.added and field.name not in found.names:
                continue
            there = found.field(field.name).type if field.name in found.names else None
            if there != field.type:
                what = f"has no column {field.name!r}" if there is None else f"column {field.name!r} is {there}"
                raise SchemaMismatch(f"{self.path}: {what}; delete the part or run with rebuild")

    def _completed(self, batch: pa.RecordBatch, columns: list[str] | None) -> pa.RecordBatch:
        """``batch`` with nulls in the columns that were added to the stage after the part was written."""
        for name in self.stage.added:
            if name not in batch.schema.names and (columns is None or name in columns):
                field = self.stage.schema.field(name)
                batch = batch.append_column(field, pa.nulls(len(batch), field.type))
        return batch

    def _open(self) -> pq.ParquetFile:
        try:
            return pq.ParquetFile(self.store.fs.open(self.path, "rb"))
        except (pa.ArrowException, UnicodeDecodeError) as error:
            raise SchemaMismatch(f"{self.path}: not a complete Parquet file: {error}") from error

    def _metadata(self, stamp: Stamp) -> dict[str, str]:
        return {
            "ultralink.stage": self.stage.name,
            "ultralink.schema_version": str(self.stage.version),
            "ultralink.fingerprint": stamp.fingerprint,
            "ultralink.digest": stamp.digest,
        }

    def _stamp_of(self, metadata: Mapping[bytes, bytes], rows: int) -> Stamp:
        ours = {key: value for key, value in metadata.items() if key.startswith(b"ultralink.")}
        found = {key.decode(errors="replace"): value.decode(errors="replace") for key, value in ours.items()}
        stage, version = found.get("ultralink.stage"), found.get("ultralink.schema_version")
        if (stage, version) != (self.stage.name, str(self.stage.version)):
            raise SchemaMismatch(
                f"{self.path}: holds stage {stage!r} in schema version {version}, this release reads "
                f"{self.stage.name!r} in version {self.stage.version}; delete the part or run with rebuild"
            )
        if not found.keys() >= {"ultralink.fingerprint", "ultralink.digest"}:
            raise SchemaMismatch(f"{self.path}: its stamp is incomplete; delete the part or run with rebuild")
        return Stamp(found["ultralink.fingerprint"], found["ultralink.digest"], rows)


def _rows_of_group(
    file: pq.ParquetFile, group: int, numbers: NDArray[np.int64], columns: list[str] | None
) -> Iterator[pa.RecordBatch]:
    """The rows ``numbers`` (ascending) of a row group."""
    start = 0
    for batch in file.iter_batches(batch_size=_ROWS_PER_BATCH, row_groups=[group], columns=columns):
        low, high = np.searchsorted(numbers, (start, start + len(batch)))
        if high - low == len(batch):
            yield batch
        elif low < high:
            yield batch.take(pa.array(numbers[low:high] - start))
        start += len(batch)


def _sweep(folder: str) -> None:
    """Remove what killed attempts left aside in ``folder`` long ago."""
    for leftover in Path(folder).glob(".*.tmp"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - leftover.stat().st_mtime > _STALE_AFTER_S:
                leftover.unlink()
