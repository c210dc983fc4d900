"""The journal: every answer that was paid for, durable before its row moves on.

A folder of append-only segments, each written by one writer only, so that writers on any machine (two
attempts of one task among them) never touch each other's bytes. No lock, no database: both are trouble on
shared storage. An answer is found under the key of its request. Should one key have two records, the one
created first holds, for every reader; ties are settled by content.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from types import TracebackType

import fsspec
import msgspec

from ultralink.teacher import record as records
from ultralink.teacher.compaction import QUIET_S, Compaction, merge
from ultralink.teacher.record import Line, Record
from ultralink.teacher.segments import Cache, Plain, Segment, segment
from ultralink.teacher.storage import Storage, storage

log = logging.getLogger(__name__)

_LENGTH_BITS, _OFFSET_BITS = 32, 48


@dataclass
class _Batch:
    """Lines that are made durable together."""

    lines: list[bytes] = field(default_factory=list)
    keys: list[bytes] = field(default_factory=list)
    durable: asyncio.Event = field(default_factory=asyncio.Event)
    error: BaseException | None = None


class Journal:
    """One partition's answers. Use from one event loop; open one Journal per task attempt.

    ``heard`` is called with each record that this journal has made durable; it must not raise.
    """

    def __init__(self, store: Storage, writer: str) -> None:
        self._store = store
        self._log = store.log(writer)
        self._cache = Cache()
        self._segments: list[Segment] = []
        self._numbers: dict[str, int] = {}
        self._index: dict[bytes, int] = {}  # key -> segment number, offset, length, packed into one int
        self._earlier: list[Journal] = []
        self._batch: _Batch | None = None
        self._committing: asyncio.Task[None] | None = None
        self.heard: Callable[[Record], None] | None = None

    @classmethod
    def open(cls, fs: fsspec.AbstractFileSystem, folder: str, writer: str, earlier: Iterable[str] = ()) -> Journal:
        """Read the index of all segments in ``folder``; blocks. Writes nothing, and needs no folder.

        ``writer`` names the segments that this journal will write (letters, digits, ``.``, ``_``, ``-``).
        ``earlier`` are folders of other journals: their answers are found as well, but are none of ``records``,
        for they were paid for by others.
        """
        journal = cls(storage(fs, folder), writer)
        journal._load()
        journal._earlier = [cls.open(fs, other, writer) for other in earlier]
        return journal

    def check_writable(self) -> None:
        """Raise StoreFull or StoreReadOnly before anything is paid for; blocks."""
        self._store.check_writable()

    def __len__(self) -> int:
        return len(self._index)

    def __contains__(self, key: str) -> bool:
        return bytes.fromhex(key) in self._index or any(key in other for other in self._earlier)

    async def get(self, key: str) -> Record | None:
        """The answer under ``key``, or None."""
        found = await self._own(key)
        for other in self._earlier:
            found = found or await other.get(key)
        return found

    async def _own(self, key: str) -> Record | None:
        raw = bytes.fromhex(key)
        for _ in range(3):
            place = self._index.get(raw)
            if place is None:
                return None
            number, offset, length = _unpack(place)
            found = self._segments[number]
            try:
                near = found.is_near(offset)
                line = found.read(offset, length) if near else await asyncio.to_thread(found.read, offset, length)
            except FileNotFoundError:  # another process merged the segments meanwhile
                self._load()
                continue
            if records.is_sound(line):
                return records.decode(line)
            log.error("Journal segment %s: the record at %d has been damaged since.", found.name, offset)
            self._index.pop(raw, None)
        return None

    async def put(self, record: Record) -> None:
        """Return when ``record`` is durable. Raises StoreFull or StoreReadOnly, and then holds none of it.

        Many waiters share one write and one fsync. A waiter that is cancelled does not undo the write.
        """
        if self._batch is None:
            self._batch = _Batch()
        batch = self._batch
        batch.lines.append(records.encode(record))
        batch.keys.append(bytes.fromhex(record.key))
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit())
        await batch.durable.wait()
        if batch.error is not None:
            raise type(batch.error)(*batch.error.args) from batch.error
        if self.heard is not None:
            self.heard(record)

    async def close(self) -> None:
        """Make everything that was put durable, then let go of the segments."""
        while self._committing is not None:
            await asyncio.shield(self._committing)
        self._log.close()
        self._store.close()
        for other in self._earlier:
            await other.close()

    async def __aenter__(self) -> Journal:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def records(self) -> Iterator[Record]:
        """Every record in the folder, also those that another record of the same key beat; streamed; blocks.

        A line found twice (a compaction was cut short) is given once. Not to be run in a thread beside asks.
        """
        for found, line in self._lines():
            place = self._index.get(bytes.fromhex(records.heading(line.text).key))
            if place is None or self._is_at(place, found, line) or self._line_at(place) != line.text:
                yield records.decode(line.text)

    def compact(self, quiet_s: float = QUIET_S) -> Compaction:
        """Merge segments of dead writers into one compressed segment, at once or not at all; blocks.

        On a local file system a segment counts as dead when it was not written for ``quiet_s`` seconds by the
        file server's clock. Being wrong about that loses nothing: see ``LocalStorage.claim``.
        """
        done = merge(self._store, self._log, quiet_s)
        self._load()
        return done

    # --- group commit ---------------------------------------------------------------------------------

    async def _commit(self) -> None:
        try:
            while self._batch is not None:
                await asyncio.sleep(self._store.window_s)
                batch, self._batch = self._batch, None
                try:
                    name, start = await asyncio.to_thread(self._log.append, b"".join(batch.lines))
                    self._admit_batch(batch, name, start)
                except Exception as error:  # handed to every waiter
                    batch.error = error
                batch.durable.set()
        finally:
            self._committing = None

    def _admit_batch(self, batch: _Batch, name: str, start: int) -> None:
        number = self._number(Plain(self._store, name, self._cache))
        try:
            for key, line in zip(batch.keys, batch.lines, strict=True):
                self._admit(key, Line(start, line), number)
                start += len(line)
        except FileNotFoundError:  # an earlier record of the same key was merged away meanwhile
            self._load()

    # --- index ------------------------------------------------------------------------------------------

    def _load(self) -> None:
        for _ in range(10):
            self._segments, self._numbers, self._index = [], {}, {}
            try:
                for found, line in self._lines():
                    self._admit(bytes.fromhex(records.heading(line.text).key), line, self._number(found))
            except FileNotFoundError:  # merged away between listing and reading: list again
                continue
            return
        raise OSError("the journal's segments vanish faster than they can be read")

    def _lines(self) -> Iterator[tuple[Segment, Line]]:
        for name in self._store.names():
            found = segment(self._store, name, self._cache)
            for line in found.lines():
                try:
                    records.heading(line.text)
                except msgspec.MsgspecError as problem:
                    log.warning("Journal segment %s: no record at %d: %s", name, line.offset, problem)
                    continue
                yield found, line

    def _number(self, found: Segment) -> int:
        number = self._numbers.get(found.name)
        if number is None:
            number = self._numbers[found.name] = len(self._segments)
            self._segments.append(found)
        return number

    def _admit(self, key: bytes, line: Line, number: int) -> None:
        present = self._index.get(key)
        place = _pack(number, line.offset, len(line.text))
        if present is None or (present != place and self._beats(line.text, self._line_at(present))):
            self._index[key] = place

    def _line_at(self, place: int) -> bytes:
        number, offset, length = _unpack(place)
        return self._segments[number].read(offset, length)

    def _is_at(self, place: int, found: Segment, line: Line) -> bool:
        number, offset, _ = _unpack(place)
        return (self._segments[number].name, offset) == (found.name, line.offset)

    @staticmethod
    def _beats(line: bytes, other: bytes) -> bool:
        return (records.heading(line).created, line) < (records.heading(other).created, other)


def _pack(number: int, offset: int, length: int) -> int:
    return (number << _OFFSET_BITS | offset) << _LENGTH_BITS | length


def _unpack(place: int) -> tuple[int, int, int]:
    rest, length = place >> _LENGTH_BITS, place & ((1 << _LENGTH_BITS) - 1)
    return rest >> _OFFSET_BITS, rest & ((1 << _OFFSET_BITS) - 1), length
