"""Paging through samples and rejects, the newest night first: row groups are read until a page is full, or enough."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ultralink.dataset import Reject, Sample
from ultralink.errors import PartMissing, RowMissing, SchemaMismatch
from ultralink.insight.damage import is_damage
from ultralink.schemas import REJECTS, SAMPLES, Stage
from ultralink.stages.partition import is_date
from ultralink.stages.statistics import sound_statistics
from ultralink.store import Part, Store

ROWS = 25  # on a page
OPENING = 240  # characters of a row's first message
MOST_TEXT = 200  # characters that can be searched for
_AT_ONCE = 64  # rows decoded together: a row may hold megabytes
_NIGHTS_ASKED = 8  # whose statistics tell which subsets and gates there are
_GROUPS_ASKED = 16  # of the newest night, whose rows tell which scores there are

_LANGUAGE = re.compile(r"[a-z]{2,3}(-[a-z0-9]+)*")
_PLACE = re.compile(r"(\d{4}-\d{2}-\d{2})\.(\d{1,9})")

Numbers = NDArray[np.int64]


class RowKind(StrEnum):
    """Which of a night's two tables."""

    SAMPLES = "samples"
    REJECTS = "rejects"

    @property
    def stage(self) -> Stage:
        """The stage that the rows are of."""
        return SAMPLES if self is RowKind.SAMPLES else REJECTS


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row is: its night, and its number in the night's part, from 0. As text ``2026-11-23.17``."""

    date: str
    number: int

    @classmethod
    def parse(cls, text: str) -> Place:
        """The place that a text names. Raises ValueError."""
        found = _PLACE.fullmatch(text)
        if not found or not found[2].isascii() or not is_date(found[1]):
            raise ValueError(f"{text[:40]!r} is not a place such as 2026-11-23.17")
        return cls(found[1], int(found[2]))

    def __str__(self) -> str:
        return f"{self.date}.{self.number}"


@dataclass(frozen=True, kw_only=True)
class Query:
    """Which rows. Empty and None: any. ``text`` is sought in messages, titles and ids, in capitals or not.

    ``low`` and ``high`` bound the score named ``score``, both inclusive; a row without that score is not shown.
    Raises ValueError for what no row could have.
    """

    language: str
    kind: RowKind = RowKind.SAMPLES
    date: str = ""
    subset: str = ""
    gate: str = ""
    score: str = ""
    low: float | None = None
    high: float | None = None
    text: str = ""

    def __post_init__(self) -> None:
        if not _LANGUAGE.fullmatch(self.language):
            raise ValueError(f"{self.language[:40]!r} is not the code of a language")
        if self.date and not is_date(self.date):
            raise ValueError(f"{self.date[:40]!r} is not a date such as 2026-11-23")
        if len(self.text) > MOST_TEXT:
            raise ValueError(f"the text to search for is longer than {MOST_TEXT} characters")

    @property
    def is_scored(self) -> bool:
        """Whether a score decides."""
        has_scores = self.kind is RowKind.SAMPLES
        return has_scores and bool(self.score) and not (self.low is None and self.high is None)

    @property
    def wants_gate(self) -> bool:
        """Whether the gate decides."""
        return self.kind is RowKind.REJECTS and bool(self.gate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A row in a list. ``opening`` is clipped; ``length`` counts the characters of all messages."""

    place: Place
    id: str
    subset: str
    name: str
    opening: str
    messages: int
    length: int
    scores: dict[str, float] = field(default_factory=dict)
    stage: str = ""
    gate: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some rows in order, and where the pages before and after begin (None: there are none).

    ``stopped``: the reading came to its bound before the page was full, so that more may follow. ``examined``
    counts rows that were looked at; ``unreadable`` tells of nights that were left out, and why.
    """

    rows: tuple[Summary, ...]
    before: Place | None
    after: Place | None
    examined: int
    stopped: bool
    unreadable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one page may read before it stops: rows looked at, bytes of their columns, seconds."""

    rows: int = 40_000
    bytes: int = 128 << 20
    seconds: float = 0.6


@dataclass(frozen=True, slots=True)
class Choices:
    """What there is to filter by, sorted, of the newest nights."""

    dates: tuple[str, ...]
    subsets: tuple[str, ...]
    gates: tuple[str, ...]
    scores: tuple[str, ...]


def nights(store: Store, language: str, kind: RowKind) -> list[str]:
    """Dates of all nights that have such rows, the newest first."""
    return [date for date in reversed(store.dates(kind.stage, language)) if is_date(date)]


def page(
    store: Store,
    query: Query,
    start: Place | None = None,
    *,
    backward: bool = False,
    size: int = ROWS,
    bounds: Bounds = Bounds(),
    clock: Callable[[], float] = time.monotonic,
) -> Page:
    """The rows of ``query`` from ``start`` on, or those before it; None: the first (or last) there are.

    Reads one row group at a time, so memory and time are bounded by a row group and ``bounds``, not by the nights;
    at least one row group is looked at, so that going on always comes to an end.
    """
    scan = _Scan(store, query, start, backward=backward, bounds=bounds, clock=clock)
    found: list[Summary] = []
    for summary in scan.summaries(size + 1):
        found.append(summary)
        if len(found) > size:
            break
    more = found[size].place if len(found) > size else scan.stopped_at
    shown = found[:size]
    stopped = len(found) <= size and scan.stopped_at is not None
    if not backward:
        before, after = start, more
    else:
        shown.reverse()
        # What is not yet shown ends just before the first row that is, or before where the reading stopped.
        before = shown[0].place if len(found) > size else scan.stopped_at
        after = start
    return Page(
        rows=tuple(shown),
        before=before,
        after=after,
        examined=scan.meter.rows,
        stopped=stopped,
        unreadable=tuple(scan.unreadable),
    )


def read_row(store: Store, language: str, kind: RowKind, place: Place) -> Sample | Reject:
    """One row with all that it holds. Raises PartMissing, RowMissing, SchemaMismatch, ValueError (the language)."""
    query = Query(language=language, kind=kind, date=place.date)
    part = store.part(kind.stage, query.language, place.date)
    numbers = np.array([place.number], dtype=np.int64)
    try:
        rows = [row for batch in part.selected(numbers) for row in batch.to_pylist()]
        if rows:
            return _typed(rows[0], kind, place.date)
    except (ValueError, OSError) as error:  # pydantic's errors are ValueErrors, and so is broken UTF-8
        raise _damage(part, error) from error
    raise RowMissing(f"{part.path}: has no row {place.number}")


def choices(store: Store, language: str, kind: RowKind, date: str = "") -> Choices:
    """What the rows of a language can be filtered by: told by statistics and a few rows, so a rare name may lack."""
    dates = nights(store, language, kind)
    subsets, gates = dict[str, None](), set[str]()
    for night in [date] if date in dates else dates[:_NIGHTS_ASKED]:
        statistics = sound_statistics(store, language, night)
        for name, subset in (statistics.subsets if statistics else {}).items():
            if subset.samples or subset.rejects:
                subsets[name] = None
            gates |= {_gate(counted) for counted in subset.rejects}
    scores = _score_names(store, language, date if date in dates else dates[0]) if dates else set()
    return Choices(
        dates=tuple(dates),
        subsets=tuple(subsets),
        gates=tuple(sorted(gates)) if kind is RowKind.REJECTS else (),
        scores=tuple(sorted(scores)) if kind is RowKind.SAMPLES else (),
    )


def _gate(counted: str) -> str:
    """The gate in a name that statistics count by: "gate: reason", or "article · gate"."""
    return counted.removeprefix("article · ").partition(": ")[0]


def _score_names(store: Store, language: str, date: str) -> set[str]:
    found: set[str] = set()
    with suppress(PartMissing, SchemaMismatch), store.part(SAMPLES, language, date).reading() as file:
        every = max(1, file.num_row_groups // _GROUPS_ASKED)
        for group in range(0, file.num_row_groups, every):
            column = file.read_row_group(group, columns=["scores"])["scores"]
            for chunk in column.chunks:
                found.update(pc.unique(chunk.keys).to_pylist())
    return found


def _typed(row: dict[str, object], kind: RowKind, date: str) -> Sample | Reject:
    if kind is RowKind.REJECTS:
        return Reject.model_validate({**row, "date": date})
    source = row["source"]
    licence = source["licence"] if isinstance(source, dict) else ""
    scores = dict(row["scores"]) if isinstance(row["scores"], list) else {}
    return Sample.model_validate({**row, "date": date, "split": None, "licence": licence, "scores": scores})


def _damage(part: Part, error: Exception) -> Exception:
    """A damaged file as the error that says so; a store that does not answer stays what it is."""
    if not is_damage(error):
        return error
    why = str(error)[:200]
    return SchemaMismatch(f"{part.path}: is damaged: {why}; run the night's publish task again with rebuild")


# --- the scan -----------------------------------------------------------------------------------


class _Meter:
    """What has been read, against what may be."""

    def __init__(self, bounds: Bounds, clock: Callable[[], float]) -> None:
        self._bounds = bounds
        self._clock = clock
        self._began = clock()
        self._bytes = 0
        self._has_begun = False
        self.rows = 0

    def take(self, rows: int = 0, size: int = 0) -> None:
        """Count a row group that was looked at, or only at its statistics."""
        self._has_begun = True
        self.rows += rows
        self._bytes += size

    @property
    def is_spent(self) -> bool:
        """Enough has been read; never before the first row group."""
        late = self._clock() - self._began >= self._bounds.seconds
        return self._has_begun and (late or self.rows >= self._bounds.rows or self._bytes >= self._bounds.bytes)


class _Scan:
    """One walk over nights and row groups. ``stopped_at``: where it ended early, to go on from."""

    def __init__(
        self,
        store: Store,
        query: Query,
        start: Place | None,
        *,
        backward: bool,
        bounds: Bounds,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._query = query
        self._start = start
        self._backward = backward
        self.meter = _Meter(bounds, clock)
        self.stopped_at: Place | None = None
        self.unreadable: list[str] = []

    def summaries(self, most: int) -> Iterator[Summary]:
        """The rows that fit, in the direction of the walk; no more than ``most`` are read of a row group."""
        for date in self._dates():
            part = self._store.part(self._query.kind.stage, self._query.language, date)
            try:
                with ExitStack() as stack:
                    night = _Night(date, stack.enter_context(part.reading()), self._query)
                    yield from self._of_night(night, most)
            except (PartMissing, SchemaMismatch) as error:
                self.unreadable.append(str(error))
            except (ValueError, KeyError, OSError) as error:  # of Arrow, of broken UTF-8, of a footer without a column
                if not is_damage(error):
                    raise
                self.unreadable.append(str(_damage(part, error)))
            if self.stopped_at is not None:
                return

    def _dates(self) -> list[str]:
        dates = nights(self._store, self._query.language, self._query.kind)
        if self._query.date:
            dates = [date for date in dates if date == self._query.date]
        if self._start is None:
            return dates[::-1] if self._backward else dates
        if self._backward:
            return [date for date in reversed(dates) if date >= self._start.date]
        return [date for date in dates if date <= self._start.date]

    def _of_night(self, night: _Night, most: int) -> Iterator[Summary]:
        groups = night.groups[::-1] if self._backward else night.groups
        for group in groups:
            wanted = self._wanted(night.date, group)
            if not len(wanted):
                continue
            if self.meter.is_spent:
                self.stopped_at = Place(night.date, int(wanted[-1]) + 1 if self._backward else int(wanted[0]))
                return
            if not night.may_hold(group):
                self.meter.take()
                continue
            self.meter.take(len(wanted), night.weight(group))
            numbers = night.matching(group, wanted)
            taken = numbers[-most:] if self._backward else numbers[:most]
            rows = list(night.summaries(group, taken)) if len(taken) else []
            yield from reversed(rows) if self._backward else rows

    def _wanted(self, date: str, group: _Group) -> Numbers:
        """The numbers of a row group that lie on this side of the start."""
        low, high = group.start, group.stop
        if self._start is not None and date == self._start.date:
            low, high = (low, min(high, self._start.number)) if self._backward else (max(low, self._start.number), high)
        return np.arange(low, max(low, high), dtype=np.int64)


@dataclass(frozen=True, slots=True)
class _Group:
    """A row group: the how manieth, and the numbers of its rows."""

    index: int
    start: int
    stop: int


class _Night:
    """The file of one night, read by row group and column."""

    def __init__(self, date: str, file: pq.ParquetFile, query: Query) -> None:
        self.date = date
        self._file = file
        self._query = query

    @cached_property
    def groups(self) -> list[_Group]:
        """All row groups."""
        made, start = [], 0
        for index in range(self._file.num_row_groups):
            stop = start + self._file.metadata.row_group(index).num_rows
            made.append(_Group(index, start, stop))
            start = stop
        return made

    @cached_property
    def _columns(self) -> dict[str, int]:
        schema = self._file.metadata.schema
        return {schema.column(index).path: index for index in range(len(schema))}

    def may_hold(self, group: _Group) -> bool:
        """Whether the row group's own statistics leave room for a row that fits."""
        query = self._query
        exact = {"subset": query.subset, "gate": query.gate if query.wants_gate else ""}
        for column, value in exact.items():
            low, high = self._range(group, column) if value else (None, None)
            if isinstance(low, str) and isinstance(high, str) and not low <= value <= high:
                return False
        if not query.is_scored:
            return True
        low, high = self._range(group, "scores.key_value.value")
        below = isinstance(high, float) and query.low is not None and high < query.low
        above = isinstance(low, float) and query.high is not None and low > query.high
        return not (below or above)

    def _range(self, group: _Group, column: str) -> tuple[object, object]:
        statistics = self._file.metadata.row_group(group.index).column(self._columns[column]).statistics
        return (statistics.min, statistics.max) if statistics is not None and statistics.has_min_max else (None, None)

    def weight(self, group: _Group) -> int:
        """Bytes of the texts that a search reads, uncompressed."""
        if not self._query.text:
            return 0
        content = self._columns["messages.list.element.content"]
        return int(self._file.metadata.row_group(group.index).column(content).total_uncompressed_size)

    def matching(self, group: _Group, wanted: Numbers) -> Numbers:
        """Those of ``wanted`` that fit; texts are read only where the other columns leave something."""
        query = self._query
        if query.subset or query.wants_gate or query.is_scored:
            wanted = wanted[self._cheaply(group)[wanted - group.start]]
        if query.text and len(wanted):
            wanted = wanted[self._searched(group)[wanted - group.start]]
        return wanted

    def _cheaply(self, group: _Group) -> NDArray[np.bool_]:
        query = self._query
        names = [
            *(["subset"] if query.subset else []),
            *(["gate"] if query.wants_gate else []),
            *(["scores"] if query.is_scored else []),
        ]
        table = self._file.read_row_group(group.index, columns=names)
        fits = np.ones(len(table), dtype=np.bool_)
        if query.subset:
            fits &= _truth(pc.equal(table["subset"], query.subset))
        if query.wants_gate:
            fits &= _truth(pc.equal(table["gate"], query.gate))
        if query.is_scored:
            scores = pc.map_lookup(table["scores"], pa.scalar(query.score), "first")
            for bound, compare in ((query.low, pc.greater_equal), (query.high, pc.less_equal)):
                if bound is not None:
                    fits &= _truth(compare(scores, bound))
        return fits

    def _searched(self, group: _Group) -> NDArray[np.bool_]:
        columns = ["id", "messages.list.element.content", "source.title"]
        batches = self._file.iter_batches(batch_size=_AT_ONCE, row_groups=[group.index], columns=columns)
        return np.concatenate([_holds(batch, self._query.text) for batch in batches])

    def summaries(self, group: _Group, numbers: Numbers) -> Iterator[Summary]:
        """The rows of these numbers, ascending; of their texts only the openings leave Arrow."""
        rejects = self._query.kind is RowKind.REJECTS
        more = ["stage", "gate", "reason"] if rejects else ["scores"]
        columns = ["id", "subset", "messages", "source.title", "source.dataset", "source.row_id", *more]
        start = group.start
        for batch in self._file.iter_batches(batch_size=_AT_ONCE, row_groups=[group.index], columns=columns):
            low, high = np.searchsorted(numbers, (start, start + len(batch)))
            if low < high:
                chosen = numbers[low:high]
                yield from _summaries(batch.take(pa.array(chosen - start)), self.date, chosen.tolist())
            start += len(batch)


def _truth(values: pa.ChunkedArray) -> NDArray[np.bool_]:
    """Null is false."""
    return np.asarray(pc.fill_null(values, False).to_numpy(), dtype=np.bool_)


def _holds(batch: pa.RecordBatch, text: str) -> NDArray[np.bool_]:
    """Which rows have ``text`` in a message, the title or the id."""
    has_case = text.lower() != text.upper()

    def hits(values: pa.Array) -> NDArray[np.bool_]:
        found = pc.match_substring(values, pattern=text, ignore_case=has_case)
        return np.asarray(pc.fill_null(found, False).to_numpy(zero_copy_only=False), dtype=np.bool_)

    messages = batch.column("messages")
    rows = hits(batch.column("id")) | hits(pc.struct_field(batch.column("source"), "title"))
    said = hits(pc.struct_field(messages.flatten(), "content"))
    rows[pc.list_parent_indices(messages).to_numpy()[said]] = True
    return rows


def _summaries(batch: pa.RecordBatch, date: str, numbers: Sequence[int]) -> Iterator[Summary]:
    messages = batch.column("messages")
    contents = pc.struct_field(messages.flatten(), "content")
    parents = pc.list_parent_indices(messages).to_numpy()
    counts = np.bincount(parents, minlength=len(batch))
    lengths = np.bincount(parents, weights=pc.utf8_length(contents).to_numpy(), minlength=len(batch))
    first = np.cumsum(counts) - counts
    clipped = pc.utf8_slice_codeunits(contents.take(pa.array(first[counts > 0])), 0, OPENING)
    openings = iter(clipped.to_pylist())
    others = batch.drop_columns(["messages"]).to_pylist()
    for row, number, count, length in zip(others, numbers, counts, lengths, strict=True):
        source = row["source"]
        yield Summary(
            place=Place(date, number),
            id=row["id"],
            subset=row["subset"],
            name=source["title"] or f"{source['dataset']}, {source['row_id']}",
            opening=next(openings) if count else "",
            messages=int(count),
            length=int(length),
            scores={name: score for name, score in row.get("scores", ()) if score is not None},
            stage=row.get("stage", ""),
            gate=row.get("gate", ""),
            reason=row.get("reason", ""),
        )
