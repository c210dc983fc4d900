"""The result lines of a batch: each an answer for the journal, a refusal, or an ask that is to be sent again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from ultralink.errors import PermanentError
from ultralink.teacher.batch.tickets import Noted, Ticket
from ultralink.teacher.client import hear
from ultralink.teacher.faults import Fault, judge
from ultralink.teacher.record import Record, Usage

UNSENT = frozenset({"batch_expired", "batch_cancelled"})  # codes of lines that the provider never came to
NO_HEADERS: Mapping[str, str] = {}


class _Response(msgspec.Struct):
    status_code: int
    body: msgspec.Raw = msgspec.Raw(b"null")


class _Error(msgspec.Struct):
    code: str | None = None
    message: str | None = None


class _Line(msgspec.Struct):
    custom_id: str
    response: _Response | None = None
    error: _Error | None = None


_decoder = msgspec.json.Decoder(_Line)


@dataclass(frozen=True, slots=True)
class Later:
    """No answer, and none was paid for: to be asked again. ``counts``: it was tried, in vain."""

    key: str
    what: str
    counts: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """No answer, and a new try in this form would not bring one. ``structured``: a schema was asked for."""

    key: str
    error: PermanentError
    structured: bool


@dataclass(frozen=True, slots=True)
class Torn:
    """A line that cannot be read."""


Result = Record | Later | Refused | Torn


def results(path: Path, ticket: Ticket, asks: Mapping[str, Noted], ended_at: float) -> Iterator[Result]:
    """What the lines of ``path`` say; streamed. Lines about asks that are not the ticket's are left out.

    Records depend on nothing but the batch, so that two attempts at once write the same lines.
    """
    created = datetime.fromtimestamp(ended_at, UTC).isoformat(timespec="microseconds")
    with path.open("rb") as file:
        for raw in file:
            try:
                line = _decoder.decode(raw)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                if raw.strip():
                    yield Torn()
                continue
            ask = asks.get(line.custom_id)
            if ask is not None:
                yield _result(line, ticket, ask, created)


def _result(line: _Line, ticket: Ticket, ask: Noted, created: str) -> Result:
    if line.response is None:
        error = line.error or _Error()
        return Later(ask.key, f"{error.code}: {error.message}"[:300], error.code not in UNSENT)
    body = bytes(line.response.body)
    if line.response.status_code != 200:
        judged = judge(line.response.status_code, body, NO_HEADERS, f"{ticket.model} in batch {ticket.batch_id}")
        if isinstance(judged, Fault):
            return Later(ask.key, judged.what, counts=True)
        return Refused(ask.key, judged, ask.structured)
    heard = hear(body, ticket.model)
    if isinstance(heard, Fault):
        return Later(ask.key, heard.what, counts=True)
    return Record(
        key=ask.key,
        text=heard.text,
        finish_reason=heard.finish_reason,
        model=ticket.model,
        served=heard.served,
        usage=heard.usage or Usage(),
        latency_s=0.0,
        created=created,
        run=ticket.run,
        shard=ticket.shard,
        step=ask.step,
        batch=True,
    )
