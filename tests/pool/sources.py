"""Small files of conversations, and the sources that name them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import zstandard

from ultralink.pool.files import Malformed
from ultralink.pool.formats import read
from ultralink.pool.recipe import Format, Source
from ultralink.pool.row import EnglishRow, Kind, row_id
from ultralink.teacher.request import Message


def source(path: Path | str, format_: Format = Format.EVOL_INSTRUCT, kind: Kind = Kind.CODE) -> Source:
    """A source named "sample" at ``path``."""
    return Source(
        name="sample", kind=kind, format=format_, path=str(path), licence="CC0-1.0", url="https://example.org/sample"
    )


def lines(*rows: object) -> bytes:
    """JSON Lines; a row that is bytes stands as it is."""
    return b"".join((row if isinstance(row, bytes) else json.dumps(row).encode()) + b"\n" for row in rows)


def packed(data: bytes, suffix: str) -> bytes:
    """``data`` as a file of that suffix holds it."""
    if suffix.endswith(".gz"):
        return gzip.compress(data)
    return zstandard.compress(data) if suffix.endswith(".zst") else data


def pair(number: int) -> dict[str, object]:
    """A row of the evol_instruct format."""
    return {"instruction": f"Write a function that adds {number}.", "response": f"def add(x): return x + {number}"}


def written(folder: Path, *rows: object) -> Path:
    """A .jsonl file with these rows."""
    path = folder / "rows.jsonl"
    path.write_bytes(lines(*rows))
    return path


def good(rows: list[EnglishRow | Malformed]) -> list[EnglishRow]:
    """The rows, none of which is malformed."""
    assert not [row for row in rows if isinstance(row, Malformed)]
    return [row for row in rows if isinstance(row, EnglishRow)]


def only_fault(folder: Path, row: object, format_: Format, kind: Kind = Kind.CHAT) -> Malformed:
    """What is said of a file that has this row alone."""
    [fault] = list(read(source(written(folder, row), format_, kind)))
    assert isinstance(fault, Malformed), fault
    return fault


def row(*texts: str, kind: Kind = Kind.CHAT, name: str = "sample", number: int = 1, own_type: str = "") -> EnglishRow:
    """A row whose texts are said by user and assistant in turns."""
    messages = tuple(Message("assistant" if index % 2 else "user", text) for index, text in enumerate(texts))
    return EnglishRow(
        row_id(name, messages), kind, messages, name, number, own_type, "CC0-1.0", "https://example.org/sample"
    )
