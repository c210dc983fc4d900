"""Writing a release aside: files that appear whole, hashed and counted on the way, and the list of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, TypedDict, cast

import pyarrow as pa
import pyarrow.parquet as pq

from ultralink.release.formats import PARQUET, parquet_path
from ultralink.store import Part, Stamp, Store

ROW_GROUP = 1000  # rows: a reader that looks for a few does not read far


class StagedFile(TypedDict):
    """A row of STAGED_FILES."""

    path: str
    format: str
    rows: int
    bytes: int
    sha256: str


class Sink:
    """A file that is written from its beginning to its end. ``rows`` is what its writer says of it."""

    closed = False  # asked by pyarrow

    def __init__(self, file: BinaryIO) -> None:
        self.rows = 0
        self.size = 0
        self._file = file
        self._hash = hashlib.sha256()

    def write(self, data: bytes) -> int:
        """Write all of ``data``."""
        self._file.write(data)
        self._hash.update(data)
        self.size += len(data)
        return len(data)

    def sha256(self) -> str:
        """Of the bytes written so far."""
        return self._hash.hexdigest()


class RowGroups:
    """Rows on their way into a Parquet file, by groups of ``size``."""

    def __init__(self, parquet: pq.ParquetWriter, size: int) -> None:
        self.rows = 0
        self._parquet = parquet
        self._size = size
        self._held: list[pa.Table] = []
        self._count = 0

    def add(self, table: pa.Table) -> None:
        """Take the rows of ``table``."""
        self._held.append(table)
        self._count += len(table)
        self.rows += len(table)
        while self._count >= self._size:
            self._write(self._size)

    def finish(self) -> None:
        """Write the rows that do not fill a group."""
        if self._count:
            self._write(self._count)

    def _write(self, rows: int) -> None:
        held = pa.concat_tables(self._held)
        self._parquet.write_table(held.slice(0, rows), row_group_size=rows)
        self._held = [held.slice(rows)]
        self._count -= rows


class Staging:
    """The files that one task adds to the release in ``folder``. Raises StoreFull, StoreReadOnly."""

    def __init__(self, store: Store, folder: str) -> None:
        self.files: list[StagedFile] = []
        self._store = store
        self._folder = folder

    @contextmanager
    def file(self, path: str, kind: str) -> Iterator[Sink]:
        """A new file at ``path`` within the release: it appears, and is listed, when the block ends well."""
        with self._store.aside(f"{self._folder}/{path}") as aside, Path(aside).open("wb") as file:
            sink = Sink(cast(BinaryIO, file))
            yield sink
        self.files.append(
            {"path": path, "format": kind, "rows": sink.rows, "bytes": sink.size, "sha256": sink.sha256()}
        )

    @contextmanager
    def table(self, path: str, kind: str, schema: pa.Schema, row_group: int = ROW_GROUP) -> Iterator[RowGroups]:
        """A new Parquet file, like ``file``. Memory: one row group."""
        with self.file(path, kind) as sink:
            with pq.ParquetWriter(pa.PythonFile(sink, mode="w"), schema, compression="zstd") as parquet:
                groups = RowGroups(parquet, row_group)
                yield groups
                groups.finish()
            sink.rows = groups.rows

    def text(self, path: str, kind: str, text: str) -> None:
        """A new text file, like ``file``."""
        with self.file(path, kind) as sink:
            sink.write(text.encode())

    def clear(self, folder: str, paths: Iterable[str]) -> None:
        """Remove what earlier tries left in ``folder`` and at ``paths``, so that no file stays that none lists."""
        for path in (folder, *paths):
            place = f"{self._folder}/{path}"
            if self._store.fs.exists(place):
                self._store.fs.rm(place, recursive=True)
            if self._store.is_local:
                for aside in Path(place).parent.glob(f".{Path(place).name}.*.tmp"):
                    aside.unlink(missing_ok=True)

    def complete(self, part: Part, made_by: str) -> Stamp:
        """Write the list of the files as ``part``, a part of STAGED_FILES."""
        in_order = sorted(self.files, key=lambda file: file["path"])
        return part.write(in_order, made_by)

    def has(self, part: Part) -> bool:
        """Whether all files that ``part`` lists are there, in the size that it says."""
        for row in part.rows(["path", "bytes"]):
            try:
                info = self._store.fs.info(f"{self._folder}/{row['path']}")
            except FileNotFoundError:
                return False
            if info["size"] != row["bytes"]:
                return False
        return True


class ParquetFiles:
    """The Parquet files of one split of ``rows`` rows: ``rows_per_file`` in each, what is left in the last."""

    def __init__(
        self, staging: Staging, name: str, split: str, schema: pa.Schema, *, rows: int, rows_per_file: int
    ) -> None:
        files = -(-rows // rows_per_file)
        self._paths = iter([parquet_path(name, split, number, files) for number in range(files)])
        self._staging = staging
        self._schema = schema
        self._rows_per_file = rows_per_file
        self._file = ExitStack()
        self._groups: RowGroups | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Complete the file at hand, or leave nothing of it where something failed."""
        self._file.__exit__(kind, error, at)

    def add(self, table: pa.Table) -> None:
        """Take the rows of ``table``."""
        while len(table):
            groups = self._groups_with_room()
            room = self._rows_per_file - groups.rows
            groups.add(table.slice(0, room))
            table = table.slice(room)

    def _groups_with_room(self) -> RowGroups:
        if self._groups is None or self._groups.rows == self._rows_per_file:
            self._file.close()
            self._groups = self._file.enter_context(self._staging.table(next(self._paths), PARQUET, self._schema))
        return self._groups
