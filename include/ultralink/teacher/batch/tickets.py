"""Tickets: the durable state of each batch file, beside the journal, written before each step that costs.

``<journal folder>/batches/<task>/<wave>-<file>-<tag>.json`` is a ticket, ``….asks`` the asks of its file, there until
the ticket is done, ``….look`` how far the provider was when it was last looked at. Each is written whole or not at all,
and under a name that no other attempt ever uses.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import fsspec
import msgspec
from pydantic import BaseModel, ConfigDict

from ultralink.errors import ContextOverflow, RequestRefused, SchemaMismatch, TeacherUnavailable, UltraLinkError
from ultralink.store import Store
from ultralink.teacher.request import Form

TASK = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_REFUSALS: dict[str, type[UltraLinkError]] = {
    kind.__name__: kind for kind in (RequestRefused, ContextOverflow, TeacherUnavailable)
}


class Stage(StrEnum):
    """How far a batch file has come."""

    INTENT = "intent"  # it may be uploaded
    UPLOADED = "uploaded"  # its batch may have been created: the tag tells
    SENT = "sent"  # its batch is known
    DONE = "done"  # its answers are in the journal


class Ticket(BaseModel):
    """One batch file. ``tag`` is in the batch's metadata; ``run`` and ``shard`` pay for it; times are UTC, ISO 8601.

    ``ended`` is the provider's last word (completed, expired, ...), ``message`` its reason. ``told``: what was wrong
    with it was raised once, so the next attempt goes on. ``looks`` counts results that were found incomplete.
    """

    model_config = ConfigDict(frozen=True)

    tag: str
    wave: int
    file: int
    stage: Stage
    model: str
    form: Form
    requests: int
    size: int
    sha256: str
    run: str
    shard: int
    noted: str
    file_id: str | None = None
    batch_id: str | None = None
    ended: str | None = None
    message: str = ""
    answered: int = 0
    refused: int = 0
    looks: int = 0
    told: bool = False

    @property
    def name(self) -> str:
        """Of its files."""
        return f"{self.wave:04d}-{self.file:03d}-{self.tag}"

    def line(self) -> str:
        """The ticket for a log."""
        batch = self.batch_id or "no batch yet"
        return f"wave {self.wave}, file {self.file}: {batch}, {self.requests} requests, {self.ended or self.stage}"


class Look(BaseModel):
    """How many requests of a batch were answered or had failed at a time (UTC, ISO 8601), by the provider's count.

    Not in the ticket: whoever looks must not undo what another one has written into that meanwhile.
    """

    model_config = ConfigDict(frozen=True)

    finished: int
    at: str


class Noted(msgspec.Struct, frozen=True, array_like=True):
    """An ask of a batch file: what its answer's record needs beside the answer."""

    key: str
    step: str
    structured: bool


class Refusal(BaseModel):
    """An ask that the provider would not answer."""

    model_config = ConfigDict(frozen=True)

    kind: str
    message: str

    def error(self) -> UltraLinkError:
        """As the row's error."""
        return _REFUSALS[self.kind](self.message)


class Notes(BaseModel):
    """What a task has learned since it began: kept until it ends, so that a new try starts without it.

    ``tries`` counts by key the lines that failed for the moment; ``forms`` is by model how a schema is put.
    """

    refused: dict[str, Refusal] = {}
    tries: dict[str, int] = {}
    forms: dict[str, Form] = {}


@dataclass(frozen=True)
class Tickets:
    """The tickets of one task of a partition. All calls block."""

    store: Store

    @classmethod
    def of(cls, fs: fsspec.AbstractFileSystem, journal_folder: str, task: str) -> Tickets:
        """Those of ``task``, a part of a path."""
        if not TASK.fullmatch(task):
            raise ValueError(f"{task!r} is not a name for a task's batches: {TASK.pattern}")
        return cls(Store(fs, f"{journal_folder.rstrip('/')}/batches/{task}"))

    def all(self) -> list[Ticket]:
        """Every ticket, by wave and file."""
        paths = [path for path in self.store.folders() if path.endswith(".json") and not path.endswith("/notes.json")]
        return self._read([path for path in paths if "/." not in path])

    def open(self) -> list[Ticket]:
        """The tickets that are not done, by wave and file; of the others, which may be many, none is read."""
        paths = [path for path in self.store.folders() if path.endswith(".asks") and "/." not in path]
        tickets = self._read([f"{path.removesuffix('.asks')}.json" for path in paths])
        return [ticket for ticket in tickets if ticket.stage is not Stage.DONE]

    def _read(self, paths: Iterable[str]) -> list[Ticket]:
        """Those that are there. Raises SchemaMismatch."""
        tickets = []
        for path in paths:
            try:
                if text := self.store.read_text(path):
                    tickets.append(Ticket.model_validate_json(text))
            except ValueError as error:
                raise SchemaMismatch(
                    f"{path}: cannot be read, so nobody knows which batch its requests went to: "
                    f"{str(error)[:200]}. Bring it back from a backup; without it, they are paid for again"
                ) from error
        return sorted(tickets, key=lambda ticket: (ticket.wave, ticket.file, ticket.tag))

    def save(self, ticket: Ticket) -> Ticket:
        """Make ``ticket`` durable, and give it back."""
        self.store.write_text(self._path(ticket, "json"), ticket.model_dump_json(indent=1))
        return ticket

    def begin(self, ticket: Ticket, asks: Iterable[Noted]) -> None:
        """Note a file that is about to be uploaded."""
        self.store.write_text(self._path(ticket, "asks"), msgspec.json.encode(list(asks)).decode())
        self.save(ticket)

    def asks(self, ticket: Ticket) -> dict[str, Noted]:
        """The asks of a ticket's file, by key; none where the ticket was dropped or finished."""
        text = self.store.read_text(self._path(ticket, "asks"))
        return {ask.key: ask for ask in msgspec.json.decode(text or "[]", type=list[Noted])}

    def latest(self, ticket: Ticket) -> Ticket:
        """The ticket as another attempt may have left it meanwhile."""
        text = self.store.read_text(self._path(ticket, "json"))
        return Ticket.model_validate_json(text) if text else ticket

    def note_look(self, ticket: Ticket, look: Look) -> None:
        """Note how far a batch is."""
        self.store.write_text(self._path(ticket, "look"), look.model_dump_json())

    def last_look(self, ticket: Ticket) -> Look | None:
        """How far a batch was; None where nobody has looked, or the note cannot be read."""
        try:
            text = self.store.read_text(self._path(ticket, "look"))
            return Look.model_validate_json(text) if text else None
        except ValueError:
            return None

    def drop(self, ticket: Ticket) -> None:
        """Forget a file that was never sent."""
        self._remove(ticket, "json")
        self._remove(ticket, "asks")

    def finish(self, ticket: Ticket) -> Ticket:
        """Keep the ticket as the record of what happened; its asks are no longer needed."""
        self.save(ticket)
        self._remove(ticket, "asks")
        self._remove(ticket, "look")
        return ticket

    def notes(self) -> Notes:
        """What the task has learned."""
        text = self.store.read_text(self.store.folder("notes.json"))
        return Notes() if text is None else Notes.model_validate_json(text)

    def keep(self, notes: Notes) -> None:
        """Make ``notes`` durable."""
        self.store.write_text(self.store.folder("notes.json"), notes.model_dump_json())

    def forget(self) -> None:
        """The task has ended, well or not: the next one asks again what was refused."""
        self._rm(self.store.folder("notes.json"))

    def _path(self, ticket: Ticket, kind: str) -> str:
        return self.store.folder(f"{ticket.name}.{kind}")

    def _remove(self, ticket: Ticket, kind: str) -> None:
        self._rm(self._path(ticket, kind))

    def _rm(self, path: str) -> None:
        try:
            self.store.fs.rm_file(path)
        except FileNotFoundError:
            return
