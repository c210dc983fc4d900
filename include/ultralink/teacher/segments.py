"""Segments of the journal: plain ones as they were appended, and merged ones, compressed in blocks."""

from __future__ import annotations

import logging
import struct
import zlib
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import IO, Protocol

import zstandard

from ultralink.teacher.record import Line, is_sound
from ultralink.teacher.storage import Storage

log = logging.getLogger(__name__)

BLOCK_BYTES = 128 * 1024  # read and unpacked for one lookup; replay comes back to the same block soon
CACHE_BYTES = 16 * 1024 * 1024
_HEADER = struct.Struct("<4sIII")  # magic, packed bytes, unpacked bytes, crc32 of the packed bytes
_MAGIC = b"ULJ1"


class Cache:
    """The blocks read last, at most CACHE_BYTES of them."""

    def __init__(self) -> None:
        self._blocks: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._bytes = 0

    def get(self, name: str, start: int) -> bytes | None:
        """The block, if it is here."""
        block = self._blocks.get((name, start))
        if block is not None:
            self._blocks.move_to_end((name, start))
        return block

    def add(self, name: str, start: int, block: bytes) -> bytes:
        """Keep the block, and drop those not used for longest."""
        if (name, start) not in self._blocks:
            self._blocks[name, start] = block
            self._bytes += len(block)
        while self._bytes > CACHE_BYTES and len(self._blocks) > 1:
            self._bytes -= len(self._blocks.popitem(last=False)[1])
        return block


class Segment(Protocol):
    """A run of lines."""

    name: str

    def lines(self) -> Iterator[Line]:
        """All sound lines, in order. What is torn or garbled is left out, and logged unless it is the end."""

    def read(self, offset: int, length: int) -> bytes:
        """The bytes of one line, from its place in ``lines``."""

    def is_near(self, offset: int) -> bool:
        """Reading there waits for nothing slow."""


def segment(storage: Storage, name: str, cache: Cache) -> Segment:
    """The segment ``name``, whatever its kind."""
    kind = Merged if name.endswith(".zst") else Plain
    return kind(storage, name, cache)


class Plain:
    """Lines as they were appended."""

    def __init__(self, storage: Storage, name: str, cache: Cache) -> None:
        self.name, self._storage, self._cache = name, storage, cache

    def lines(self) -> Iterator[Line]:
        with self._storage.open(self.name) as file:
            yield from sound_lines(file, 0, self.name)

    def read(self, offset: int, length: int) -> bytes:
        if self._storage.reads_fast:
            return self._storage.read(self.name, offset, length)
        whole = self._cache.get(self.name, 0)
        if whole is None:
            whole = self._cache.add(self.name, 0, self._storage.read(self.name, 0))
        return whole[offset : offset + length]

    def is_near(self, offset: int) -> bool:
        return self._storage.reads_fast or self._cache.get(self.name, 0) is not None


class Merged:
    """Blocks of whole lines, each packed on its own: a header, then a zstd frame."""

    def __init__(self, storage: Storage, name: str, cache: Cache) -> None:
        self.name, self._storage, self._cache = name, storage, cache
        self._starts: list[int] = []  # of each block, in the unpacked segment
        self._places: list[tuple[int, int]] = []  # of each packed block: position and bytes

    def lines(self) -> Iterator[Line]:
        self._starts, self._places = [], []
        start = place = 0
        with self._storage.open(self.name) as file:
            while header := file.read(_HEADER.size):
                block = self._unpack(header, file)
                packed_bytes, plain_bytes = _HEADER.unpack(header)[1:3]
                place += _HEADER.size
                self._starts.append(start)
                self._places.append((place, packed_bytes))
                yield from sound_lines(block.splitlines(keepends=True), start, self.name)
                start += plain_bytes
                place += packed_bytes

    def _unpack(self, header: bytes, file: IO[bytes]) -> bytes:
        # Written whole and fsynced before it had its name: damage is the disk's, and must not pass unseen.
        magic, packed_bytes, plain_bytes, checksum = _HEADER.unpack(header.ljust(_HEADER.size, b"\0"))
        packed = file.read(packed_bytes)
        if magic != _MAGIC or len(packed) != packed_bytes or zlib.crc32(packed) != checksum:
            raise OSError(f"{self.name}: this merged segment of the journal is damaged; restore or delete it")
        return zstandard.ZstdDecompressor().decompress(packed, max_output_size=plain_bytes)

    def read(self, offset: int, length: int) -> bytes:
        number = bisect_right(self._starts, offset) - 1
        start = self._starts[number]
        block = self._cache.get(self.name, start)
        if block is None:
            place, packed_bytes = self._places[number]
            packed = self._storage.read(self.name, place, packed_bytes)
            block = self._cache.add(self.name, start, zstandard.ZstdDecompressor().decompress(packed))
        return block[offset - start : offset - start + length]

    def is_near(self, offset: int) -> bool:
        start = self._starts[bisect_right(self._starts, offset) - 1]
        return self._storage.reads_fast or self._cache.get(self.name, start) is not None


def sound_lines(lines: Iterable[bytes], offset: int, name: str) -> Iterator[Line]:
    """The sound ones of ``lines``, the first of which is at ``offset``."""
    for line in lines:
        if is_sound(line):
            yield Line(offset, line)
        elif line.endswith(b"\n"):
            log.warning("Journal segment %s: the %d bytes at %d are damaged and left out.", name, len(line), offset)
        offset += len(line)


def write_merged(lines: Iterable[bytes], file: IO[bytes]) -> None:
    """Write ``lines`` as blocks."""
    block: list[bytes] = []
    size = 0
    for line in lines:
        block.append(line)
        size += len(line)
        if size >= BLOCK_BYTES:
            _write_block(block, file)
            block, size = [], 0
    if block:
        _write_block(block, file)


def _write_block(block: list[bytes], file: IO[bytes]) -> None:
    plain = b"".join(block)
    packed = zstandard.ZstdCompressor(level=6).compress(plain)
    file.write(_HEADER.pack(_MAGIC, len(packed), len(plain), zlib.crc32(packed)))
    file.write(packed)
