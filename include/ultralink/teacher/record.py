"""One answer that was paid for, as the journal keeps it: a checked line of JSON.

A line is ``crc32 JSON \\n``: the checksum is of the JSON, 8 hex digits; JSON holds no raw line break. So a
torn or garbled record is known as such, and the next line after it is found.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import msgspec


class Usage(msgspec.Struct, frozen=True):
    """Tokens of one call as the server counted them; ``cached`` is part of ``prompt``."""

    prompt: int = 0
    cached: int = 0
    completion: int = 0


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to one request, and what it took. No message, no header, no price (prices change).

    ``tries`` counts the requests sent, of which ``limited`` were answered 429 and ``lost`` were (or may have
    been) billed without a usable answer. ``latency_s`` is of the try that succeeded. ``created`` is the
    answer's time in UTC, ISO 8601 with microseconds. ``batch``: it came by the Batch API, at that price.
    """

    key: str
    text: str
    finish_reason: str
    model: str
    served: str
    usage: Usage
    latency_s: float
    created: str
    run: str
    shard: int
    step: str
    tries: int = 1
    limited: int = 0
    lost: int = 0
    batch: bool = False


class Heading(msgspec.Struct):
    """What the index needs of a record; decoding only this skips the text."""

    key: str
    created: str


@dataclass(frozen=True, slots=True)
class Line:
    """A sound line; ``offset`` is in the uncompressed segment, ``text`` includes the line break."""

    offset: int
    text: bytes


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Record)
_heading_decoder = msgspec.json.Decoder(Heading)


def encode(record: Record) -> bytes:
    """The line of ``record``."""
    json = _encoder.encode(record)
    return b"%08x %b\n" % (zlib.crc32(json), json)


def is_sound(line: bytes) -> bool:
    """The line is whole and says what was written."""
    return (
        len(line) > 10 and line[8:9] == b" " and line.endswith(b"\n") and line[:8] == b"%08x" % zlib.crc32(line[9:-1])
    )


def decode(line: bytes) -> Record:
    """The record of a sound line."""
    return _decoder.decode(line[9:-1])


def heading(line: bytes) -> Heading:
    """Key and time of a sound line."""
    return _heading_decoder.decode(line[9:-1])
