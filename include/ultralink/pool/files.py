"""The rows of a file: JSON Lines (plain, .gz, .zst) or Parquet, streamed from wherever it is."""

from __future__ import annotations

import hashlib
import io
import json
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import aiohttp
import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem
from huggingface_hub import constants
from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # of the HTTP client it has come to use

from ultralink.errors import PermanentError, SourceError, SourceUnreachable, UltraLinkError
from ultralink.pool.recipe import Source

LONGEST_LINE = 1 << 24  # bytes: a conversation is a hundred times shorter, and a line is held whole
EXCERPT = 80  # characters of a malformed row that are shown
BUFFER = 1 << 18  # bytes
ROWS_PER_BATCH = 64  # of Parquet, decoded together
COLUMN_BUFFER = 1 << 22  # bytes: else a column of a row group is held whole, and that may be all of the file

_COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
_NOT_CONNECTED = (ConnectionError, TimeoutError, socket.gaierror, aiohttp.ClientConnectionError)
_PROBLEMS = (OSError, ValueError, ImportError, pa.ArrowException, aiohttp.ClientError, HTTPError)
_PASSING = (408, 425, 429)  # of the 4xx, those that the same request may survive later


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file to read: its name in the recipe, and what its errors are. ``place`` begins their messages."""

    name: str
    path: str
    place: str
    refused: type[PermanentError]

    @property
    def stem(self) -> str:
        """The path without a URL's query and a compression's suffix."""
        path = self.path.partition("?")[0] if "://" in self.path else self.path
        return next((path.removesuffix(suffix) for suffix in _COMPRESSIONS if path.endswith(suffix)), path)

    @property
    def compression(self) -> str | None:
        """Arrow's name of how the file is compressed."""
        path = self.path.partition("?")[0] if "://" in self.path else self.path
        return next((name for suffix, name in _COMPRESSIONS.items() if path.endswith(suffix)), None)

    def error(self, why: str) -> PermanentError:
        """What to raise of this file."""
        return self.refused(f"{self.place}: {why}")


@dataclass(frozen=True, slots=True)
class Record:
    """A row as the file holds it. ``row`` is 1-based; in JSON Lines it is the number of the line."""

    row: int
    fields: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Malformed:
    """A row that is not what its format asks for. ``field`` is dotted, "" for the row as a whole."""

    source: str
    row: int
    field: str
    reason: str
    excerpt: str


class Wrong(ValueError):
    """What is wrong with a row, and in which field."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


def malformed(source: Source | DataFile, row: int, wrong: Wrong, text: str) -> Malformed:
    """The malformed row of ``source``; of ``text`` only an excerpt is kept."""
    excerpt = " ".join(text[: 4 * EXCERPT].split())[:EXCERPT]
    return Malformed(source.name, row, wrong.field[:EXCERPT], wrong.reason, excerpt)


Reader = Callable[[DataFile, BinaryIO], Iterator[Record | Malformed]]


def records(source: Source) -> Iterator[Record | Malformed]:
    """All rows of the file of ``source``, in its order; memory is bounded by a batch, not by the file.

    Lines with nothing but white space are no rows, but count as lines. Raises SourceError (missing, refused,
    truncated, damaged, unknown suffix) and SourceUnreachable, both naming source, file and the last row read.
    """
    file = _file(source)
    reader = json_lines_or_parquet(file)
    if reader is None:
        raise file.error("its name must end in .jsonl, .jsonl.gz, .jsonl.zst or .parquet")
    yield from read(file, reader)


def checksum(source: Source) -> str:
    """What changes when the file of ``source`` does: of a local one its content's hash, else what its server tells.

    Raises as `records` does.
    """
    return file_checksum(_file(source))


def _file(source: Source) -> DataFile:
    return DataFile(source.name, source.path, f"source {source.name} ({source.path})", SourceError)


# --- any file -------------------------------------------------------------------------------------


def read(file: DataFile, reader: Reader) -> Iterator[Record | Malformed]:
    """What ``reader`` finds in ``file``. Raises ``file.refused`` and SourceUnreachable."""
    row = 0
    with ExitStack() as stack:
        try:
            opened = stack.enter_context(_opened(file))
            for record in reader(file, opened):
                row = record.row
                yield record
        except _PROBLEMS as problem:
            raise _typed(file, row, problem) from problem


def file_checksum(file: DataFile) -> str:
    """What changes when ``file`` does: of a local one its content's hash, else what its server tells.

    Raises ``file.refused`` and SourceUnreachable.
    """
    try:
        _must_be_online(file)
        fs, path = fsspec.core.url_to_fs(file.path)
        if not isinstance(fs, LocalFileSystem):
            return f"{fs.checksum(path):x}"
        with Path(path).open("rb") as opened:
            return hashlib.file_digest(opened, "blake2b").hexdigest()[:32]
    except _PROBLEMS as problem:
        raise _typed(file, 0, problem) from problem


def json_lines_or_parquet(file: DataFile) -> Reader | None:
    """The reader that fits the name of ``file``."""
    if file.stem.endswith((".jsonl", ".json")):
        return _lines
    if file.stem.endswith(".parquet") and file.compression is None:
        return _table
    return None


def unpacked(file: DataFile, opened: BinaryIO) -> BinaryIO:
    """The content, unpacked as it is read. By Arrow, for it tells a truncated stream from a whole one."""
    if file.compression is not None:
        opened = pa.CompressedInputStream(pa.PythonFile(opened, mode="r"), file.compression)
    return io.BufferedReader(cast(io.RawIOBase, opened), BUFFER)


# --- JSON Lines -----------------------------------------------------------------------------------


def _lines(source: DataFile, opened: BinaryIO) -> Iterator[Record | Malformed]:
    row, file = 0, unpacked(source, opened)
    while line := file.readline(LONGEST_LINE):
        row += 1
        if row == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
            _not_an_array(source, line)
        if len(line) >= LONGEST_LINE and not line.endswith(b"\n"):
            _skip_line(file)
            wrong = Wrong("", f"the line is longer than {LONGEST_LINE} bytes")
            yield malformed(source, row, wrong, _readable(line))
        elif line.strip():
            try:
                yield Record(row, _fields(line))
            except Wrong as wrong:
                yield malformed(source, row, wrong, _readable(line))


def _skip_line(file: BinaryIO) -> None:
    while (line := file.readline(LONGEST_LINE)) and not line.endswith(b"\n"):
        pass


def _not_an_array(source: DataFile, line: bytes) -> None:
    """A .json file is often one array; read by lines, every row of it would look malformed."""
    begins = line.lstrip()
    holds_objects = begins[1:].lstrip().startswith(b"{")
    if begins.startswith(b"[") and (holds_objects or not begins.rstrip().endswith(b"]")):
        raise source.error("row 1: the file is one JSON array; write one object per line (jq -c '.[]')")


def _fields(line: bytes) -> dict[str, object]:
    try:
        text = line.decode()
    except UnicodeDecodeError as problem:
        raise Wrong("", f"byte {problem.start + 1} of the line is not UTF-8") from None
    try:
        loaded = json.loads(text, object_pairs_hook=_single_keys, parse_constant=_no_constant)
    except Wrong:
        raise
    except json.JSONDecodeError as problem:
        raise Wrong("", f"not valid JSON at character {problem.pos + 1}: {problem.msg}") from None
    except (ValueError, RecursionError) as problem:  # a number of thousands of digits, or brackets thousands deep
        raise Wrong("", f"not usable JSON: {str(problem)[:EXCERPT]}") from None
    if not isinstance(loaded, dict):
        raise Wrong("", f"must be a JSON object, is {_json_type(loaded)}")
    return loaded


def _single_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise Wrong(double, "is given twice")
    return fields


def _no_constant(name: str) -> object:
    raise Wrong("", f"{name} is not JSON")


def _json_type(value: object) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), "null")


def _readable(line: bytes) -> str:
    return line[: 8 * EXCERPT].decode(errors="replace")


# --- Parquet --------------------------------------------------------------------------------------


def _table(source: DataFile, file: BinaryIO) -> Iterator[Record | Malformed]:
    row = 0
    with pq.ParquetFile(file, pre_buffer=False, buffer_size=COLUMN_BUFFER) as table:
        for batch in table.iter_batches(ROWS_PER_BATCH):
            for index in range(batch.num_rows):
                row += 1
                try:
                    yield Record(row, batch.slice(index, 1).to_pylist()[0])
                except UnicodeDecodeError as problem:
                    yield malformed(source, row, Wrong("", "text that is not UTF-8"), _readable(problem.object))


# --- opening --------------------------------------------------------------------------------------


@contextmanager
def _opened(file: DataFile) -> Iterator[BinaryIO]:
    _must_be_online(file)
    with fsspec.open(file.path, "rb") as opened:
        yield opened


def _must_be_online(file: DataFile) -> None:
    if file.path.startswith("hf://") and constants.HF_HUB_OFFLINE:
        why = "Hugging Face is switched off by HF_HUB_OFFLINE; unset it, or name a downloaded file as path"
        raise file.error(why)


def _typed(file: DataFile, row: int, problem: BaseException) -> UltraLinkError:
    """What happened, as one of our errors. File systems wrap their causes, so the whole chain is looked at."""
    chain = list(_causes(problem))
    after = f"after row {row}: " if row else ""
    said = f"{type(problem).__name__}: {str(problem).partition(chr(10))[0][:300]}"
    if any(map(_is_passing, chain)):
        why = f"{after}its server cannot be reached ({said}); without a network, name a downloaded file as path"
        return SourceUnreachable(f"{file.place}: {why}")
    if isinstance(problem, FileNotFoundError):
        return file.error(f"{after}no such file ({said})")
    if any(map(_status, chain)) or isinstance(problem, PermissionError):
        return file.error(f"{after}access is refused ({said}); check the path and the account's access")
    if isinstance(problem, ImportError):
        return file.error(f"its file system needs a package: {said}")
    if row or not _is_about_opening(problem):
        return file.error(f"{after}the file is truncated or damaged ({said})")
    return file.error(f"cannot be opened ({said})")


def _is_passing(problem: BaseException) -> bool:
    """Whether the same request may get through later."""
    status = _status(problem)
    if status:
        return status in _PASSING or status >= 500
    return isinstance(problem, (*_NOT_CONNECTED, HTTPError))


def _is_about_opening(problem: BaseException) -> bool:
    if isinstance(problem, pa.ArrowException):
        return False
    return isinstance(problem, ValueError | IsADirectoryError) or getattr(problem, "errno", None) is not None


def _causes(problem: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = problem
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _status(problem: BaseException) -> int:
    status = getattr(getattr(problem, "response", None), "status_code", None) or getattr(problem, "status", None)
    return status if isinstance(status, int) else 0
