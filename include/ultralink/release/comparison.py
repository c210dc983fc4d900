"""Two releases beside each other: which rows came, went, changed or moved between the splits, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from ultralink.errors import ReleaseMissing
from ultralink.release.manifest import Manifest, ReleasedNight
from ultralink.release.shelf import Shelf

EXAMPLES = 5  # rows that are named per change
UNEXPLAINED = "not accounted for"  # neither the nights nor the list of removed rows say why
INDEX_FILE, REMOVED_FILE = "provenance/index.parquet", "provenance/removed.parquet"

_INDEX = ["id", "language", "subset", "split", "date", "text_key"]
_REMOVED = ["id", "language", "date", "stage", "reason", "duplicate_of"]


class What(StrEnum):
    """What became of a row."""

    CAME = "came"
    WENT = "went"
    CHANGED = "changed"
    MOVED = "moved"


class Change(BaseModel):
    """Rows of one subset that changed for one reason; ``examples`` are ids, with that of the row they duplicate."""

    model_config = ConfigDict(frozen=True)

    what: What
    language: str
    subset: str
    reason: str
    rows: int
    examples: tuple[str, ...]


class Nights(BaseModel):
    """How the nights differ that two releases are made of, each as "language date"."""

    model_config = ConfigDict(frozen=True)

    came: tuple[str, ...]
    went: tuple[str, ...]
    made_again: tuple[str, ...]


class Comparison(BaseModel):
    """What came, went and changed from ``before`` to ``after``; ``same`` rows are equal in text and split."""

    model_config = ConfigDict(frozen=True)

    before: str
    after: str
    rows_before: int
    rows_after: int
    same: int
    nights: Nights
    changes: tuple[Change, ...]

    def rows(self, what: What) -> int:
        """Rows of all changes of a kind."""
        return sum(change.rows for change in self.changes if change.what is what)


def compare(shelf: Shelf, before: str, after: str) -> Comparison:
    """Compare two releases by their provenance files. Memory: the ids of both. Raises ReleaseMissing."""
    old, new = _Side.of(shelf, before), _Side.of(shelf, after)
    changes: list[Change] = []
    same = 0
    for language in dict.fromkeys((*new.manifest.languages, *old.manifest.languages)):
        pair = _Pair(language, old, new)
        changes += pair.changes()
        same += pair.same
    return Comparison(
        before=old.manifest.version,
        after=new.manifest.version,
        rows_before=len(old.index),
        rows_after=len(new.index),
        same=same,
        nights=_nights(old, new),
        changes=tuple(changes),
    )


@dataclass(frozen=True)
class _Side:
    """One of the two releases: its manifest, its rows and the rows that it left out, without texts."""

    manifest: Manifest
    index: pa.Table
    removed: pa.Table

    @classmethod
    def of(cls, shelf: Shelf, version: str) -> _Side:
        manifest = shelf.manifest(version)
        folder = shelf.path(manifest.version)
        return cls(
            manifest,
            _table(shelf, f"{folder}/{INDEX_FILE}", _INDEX),
            _table(shelf, f"{folder}/{REMOVED_FILE}", _REMOVED),
        )

    @cached_property
    def nights(self) -> dict[tuple[str, str], ReleasedNight]:
        return {(night.language, night.date): night for night in self.manifest.sources}

    def rows(self, language: str) -> pa.Table:
        return _of_language(self.index, language)

    def with_reasons(self, language: str, rows: pa.Table, date: str) -> pa.Table:
        """The rows by id, each with ``why`` this release left it out (null: it did not), and ``named``."""
        removed = _of_language(self.removed, language)
        # "first" is what comes first in the file only as long as one thread goes through it.
        firsts = removed.group_by(["id", "date"], use_threads=False).aggregate(
            [(column, "first") for column in ("stage", "reason", "duplicate_of")]
        )
        told = rows.join(firsts, [date, "id"], ["date", "id"], join_type="left outer").sort_by("id")
        why = _glued(told["stage_first"], told["reason_first"], ": ")
        named = pc.coalesce(_glued(told["id"], told["duplicate_of_first"], ", copy of "), told["id"])
        return told.append_column("why", why).append_column("named", named)


def _table(shelf: Shelf, path: str, columns: list[str]) -> pa.Table:
    try:
        with shelf.store.fs.open(path, "rb") as file:
            table = pq.read_table(file, columns=columns)
    except (FileNotFoundError, pa.ArrowInvalid) as error:
        raise ReleaseMissing(f"{path}: is missing or damaged, so the release cannot be compared") from error
    lacking = [column for column in columns if column not in table.column_names]
    if lacking:
        raise ReleaseMissing(f"{path}: has no column {lacking[0]!r}, so the release cannot be compared")
    # Files differ in how they hold strings and keys; a join wants the same on both sides.
    return table.cast(pa.schema([(name, pa.binary() if name == "text_key" else pa.string()) for name in columns]))


def _of_language(table: pa.Table, language: str) -> pa.Table:
    return table.filter(pc.equal(table["language"], language)).drop_columns(["language"])


def _nights(old: _Side, new: _Side) -> Nights:
    both = sorted(old.nights.keys() & new.nights.keys())
    return Nights(
        came=tuple(map(" ".join, sorted(new.nights.keys() - old.nights.keys()))),
        went=tuple(map(" ".join, sorted(old.nights.keys() - new.nights.keys()))),
        made_again=tuple(" ".join(key) for key in both if old.nights[key].digest != new.nights[key].digest),
    )


class _Pair:
    """The rows of one language in both releases, side by side: columns ``subset_old``, ``subset_new`` and so on."""

    def __init__(self, language: str, old: _Side, new: _Side) -> None:
        self.language, self.old, self.new = language, old, new
        joined = old.rows(language).join(
            new.rows(language), "id", join_type="full outer", left_suffix="_old", right_suffix="_new"
        )
        in_old, in_new = pc.is_valid(joined["subset_old"]), pc.is_valid(joined["subset_new"])
        self.in_both = joined.filter(pc.and_(in_old, in_new)).sort_by("id")
        self.came = joined.filter(pc.invert(in_old))
        self.went = joined.filter(pc.invert(in_new))

    @property
    def same(self) -> int:
        """Rows that are equal in text and split."""
        both = self.in_both
        same_text = pc.equal(both["text_key_old"], both["text_key_new"])
        return int(pc.sum(pc.and_(same_text, pc.equal(both["split_old"], both["split_new"]))).as_py() or 0)

    def changes(self) -> Iterator[Change]:
        """All that is not the same."""
        yield from self._came()
        yield from self._went()
        changed = self.in_both.filter(pc.not_equal(self.in_both["text_key_old"], self.in_both["text_key_new"]))
        reasons = _by_value(changed["date_new"], self._why_changed)
        yield from self._grouped(What.CHANGED, changed["subset_new"], reasons, changed["id"])
        moved = self.in_both.filter(pc.not_equal(self.in_both["split_old"], self.in_both["split_new"]))
        reasons = _glued(moved["split_old"], moved["split_new"], " to ")
        yield from self._grouped(What.MOVED, moved["subset_new"], reasons, moved["id"])

    def _came(self) -> Iterator[Change]:
        rows = self.old.with_reasons(self.language, self.came, "date_new")
        reasons = pc.coalesce(
            _glued(pa.scalar("no longer removed"), rows["why"], ", "),
            _by_value(rows["date_new"], self._why_came),
        )
        yield from self._grouped(What.CAME, rows["subset_new"], reasons, rows["named"])

    def _went(self) -> Iterator[Change]:
        rows = self.new.with_reasons(self.language, self.went, "date_old")
        reasons = pc.coalesce(
            _glued(pa.scalar("removed"), rows["why"], ", "), _by_value(rows["date_old"], self._why_went)
        )
        yield from self._grouped(What.WENT, rows["subset_old"], reasons, rows["named"])

    def _why_came(self, date: str) -> str:
        if self.language not in self.old.manifest.languages:
            return "new language"
        if (self.language, date) not in self.old.nights:
            return "new night"
        return "night made again" if self._made_again(date) else UNEXPLAINED

    def _why_went(self, date: str) -> str:
        if self.language not in self.new.manifest.languages:
            return "language left out"
        if (self.language, date) not in self.new.nights:
            return "night left out"
        return "night made again without it" if self._made_again(date) else UNEXPLAINED

    def _why_changed(self, date: str) -> str:
        if (self.language, date) not in self.old.nights:
            return "taken from another night"
        return "night made again" if self._made_again(date) else UNEXPLAINED

    def _made_again(self, date: str) -> bool:
        key = (self.language, date)
        return self.old.nights[key].digest != self.new.nights[key].digest

    def _grouped(
        self, what: What, subsets: pa.ChunkedArray, reasons: pa.ChunkedArray, named: pa.ChunkedArray
    ) -> Iterator[Change]:
        rows = pa.table({"subset": subsets, "reason": reasons, "named": named})
        for group in rows.group_by(["subset", "reason"]).aggregate([([], "count_all")]).sort_by(_ORDER).to_pylist():
            mine = pc.and_(pc.equal(rows["subset"], group["subset"]), pc.equal(rows["reason"], group["reason"]))
            yield Change(
                what=what,
                language=self.language,
                subset=group["subset"],
                reason=group["reason"],
                rows=group["count_all"],
                examples=tuple(rows["named"].filter(mine).slice(0, EXAMPLES).to_pylist()),
            )


_ORDER = [("subset", "ascending"), ("count_all", "descending"), ("reason", "ascending")]


def _glued(left: pa.ChunkedArray | pa.Scalar, right: pa.ChunkedArray, between: str) -> pa.ChunkedArray:
    """Both texts with one in between; null where one of them is."""
    return pc.binary_join_element_wise(left, right, between)


def _by_value(column: pa.ChunkedArray, text_of: Callable[[str], str]) -> pa.ChunkedArray:
    """``text_of`` each value, asked once per distinct value."""
    encoded = column.combine_chunks().dictionary_encode()
    return pa.array([text_of(value) for value in encoded.dictionary.to_pylist()], pa.string()).take(encoded.indices)
