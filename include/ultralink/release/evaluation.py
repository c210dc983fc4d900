"""Evaluation sets: the test items that no row of a release may hold, read from whatever file they come in."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from ultralink.errors import EvaluationSetError
from ultralink.pool.files import (
    DataFile,
    Malformed,
    Reader,
    Record,
    Wrong,
    file_checksum,
    json_lines_or_parquet,
    malformed,
    read,
    unpacked,
)
from ultralink.release.recipe import EvaluationSet

_IDS = ("task_id", "id", "question_id", "instance_id", "_id")  # how published sets name their items
_NO_TABLES = ("<!doctype", "<html", "<?xml", "version https://git-lfs")
_DELIMITERS = {".tsv": "\t", ".csv": ","}
_HINT = "; columns of a file whose first line names none are numbered, '0' being the first"
EXCERPT = 40  # characters of a column's name that an error shows: it may be a text
LONGEST_CELL = 1 << 24  # characters


@dataclass(frozen=True, slots=True)
class Item:
    """A test item. ``texts``: the first is the question; ``listed`` are the strings of lists, such as choices."""

    label: str
    texts: tuple[str, ...]
    listed: tuple[bool, ...]


def read_items(evaluation: EvaluationSet) -> Iterator[Item]:
    """All items of a set that have any text, in the order of its file.

    JSON Lines, tab- or comma-separated values (all plain, .gz or .zst) and Parquet. In separated values a column is
    named by the first line, unless all ``fields`` are numbers: then the file has no such line, and "0" is its first
    column (MGSM). Tabs have no quoting: a quotation mark is part of the text. Raises EvaluationSetError (missing,
    damaged, a row or field that is not there, no text at all) and SourceUnreachable, naming set, file and row.
    """
    file = _file(evaluation)
    empty = True
    for record in read(file, _reader(file, evaluation)):
        if isinstance(record, Malformed):
            raise file.error(f"row {record.row}: {record.reason}")
        try:
            texts = list(_texts(record.fields, evaluation.fields))
        except Wrong as wrong:
            hint = _HINT if file.stem.endswith(tuple(_DELIMITERS)) else ""
            raise file.error(f"row {record.row}: field {wrong.field!r} {wrong.reason}{hint}") from None
        if texts:
            empty = False
            yield Item(_label(record), tuple(text for text, _ in texts), tuple(listed for _, listed in texts))
    if empty:
        raise file.error(f"no row has a text in {', '.join(evaluation.fields)}; an empty set protects nothing")


def checksum(evaluation: EvaluationSet) -> str:
    """What changes when the set's file does. Raises EvaluationSetError, SourceUnreachable."""
    return file_checksum(_file(evaluation))


def _file(evaluation: EvaluationSet) -> DataFile:
    place = f"evaluation set {evaluation.name} ({evaluation.path})"
    return DataFile(evaluation.name, evaluation.path, place, EvaluationSetError)


def _reader(file: DataFile, evaluation: EvaluationSet) -> Reader:
    if reader := json_lines_or_parquet(file):
        return reader
    for suffix, delimiter in _DELIMITERS.items():
        if file.stem.endswith(suffix):
            return _separated(delimiter, has_header=not all(field.isdecimal() for field in evaluation.fields))
    raise file.error("its name must end in .jsonl, .tsv, .csv (or one of these and .gz, .zst) or .parquet")


def _label(record: Record) -> str:
    for name in _IDS:
        value = record.fields.get(name)
        if isinstance(value, int | str) and str(value).strip():
            return str(value)
    return f"row {record.row}"


# --- fields ---------------------------------------------------------------------------------------


def _texts(fields: Mapping[str, object], names: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """The texts of the fields, and whether each is one of a list. Raises Wrong."""
    for name in names:
        value = _value(fields, name, name)
        for text in _strings(value, name):
            if text.strip():
                yield text, isinstance(value, list)


def _value(fields: Mapping[str, object], path: str, name: str) -> object:
    """What lies at the dotted ``path``; of a list of objects, what lies there in each of them."""
    if path in fields:
        return fields[path]
    key, dot, rest = path.partition(".")
    if not dot or key not in fields:
        there = ", ".join(repr(known[:EXCERPT]) for known in list(fields)[:12])
        raise Wrong(name, f"is missing; there are {there}")
    below = fields[key]
    if isinstance(below, Mapping):
        return _value(below, rest, name)
    if isinstance(below, list) and all(isinstance(one, Mapping) for one in below):
        return [_value(one, rest, name) for one in below]
    raise Wrong(name, f"is missing: {key!r} is no object")


def _strings(value: object, name: str) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, int | float):
        yield str(value)
    elif isinstance(value, list):
        for one in value:
            yield from _strings(one, name)
    elif value is not None:
        raise Wrong(name, "holds no text but an object; go into it with a dot")


# --- separated values -----------------------------------------------------------------------------


def _separated(delimiter: str, *, has_header: bool) -> Reader:
    """A reader of lines with a delimiter. The columns of a file without a header are named "0", "1" and so on."""

    def rows(file: DataFile, opened: BinaryIO) -> Iterator[Record | Malformed]:
        text = io.TextIOWrapper(unpacked(file, opened), encoding="utf-8-sig", newline="")
        csv.field_size_limit(LONGEST_CELL)
        lines = (
            csv.reader(text, delimiter=delimiter, quoting=csv.QUOTE_NONE)
            if delimiter == "\t"
            else csv.reader(text, delimiter=delimiter, strict=True)
        )
        names: list[str] | None = None
        try:
            for cells in lines:
                if not any(cell.strip() for cell in cells):
                    continue
                if lines.line_num == 1 and cells[0].strip().casefold().startswith(_NO_TABLES):
                    raise file.error("row 1: is a web page or a pointer to the file, not a table; download it again")
                if has_header and names is None:
                    names = _header(file, cells)
                else:
                    yield Record(lines.line_num, dict(zip(names or map(str, range(len(cells))), cells, strict=False)))
        except UnicodeDecodeError as problem:
            yield malformed(file, lines.line_num + 1, Wrong("", "text that is not UTF-8"), repr(problem.object[:80]))
        except csv.Error as problem:
            yield malformed(file, lines.line_num, Wrong("", f"no such table: {problem}"), "")

    return rows


def _header(file: DataFile, cells: list[str]) -> list[str]:
    if len(set(cells)) < len(cells):
        raise file.error(f"row 1: two columns have the same name{_HINT}")
    return cells
