"""Elsewhere: batches that other tasks of the partition have sent. A run with fewer shards deals their rows anew, and
what was asked for a shard that is no more is waited for and taken in, not paid for again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath

import fsspec

from ultralink.teacher.batch.client import BatchClient
from ultralink.teacher.batch.tickets import Stage, Ticket, Tickets
from ultralink.teacher.batch.waves import CLOCKS_S, Waves
from ultralink.teacher.endpoint import Limits
from ultralink.teacher.journal import Journal
from ultralink.teacher.live import Origin
from ultralink.teacher.waiting import Waiting


@dataclass(frozen=True)
class Sent:
    """A batch file of another task that has not come to its end."""

    task: str
    ticket: Ticket


@dataclass
class Elsewhere:
    """What the other tasks have under way. Use within one event loop."""

    fs: fsspec.AbstractFileSystem
    journal_folder: str
    task: str
    client: BatchClient
    journal: Journal
    limits: Limits

    async def sent(self) -> list[Sent]:
        """All that may still bring answers. Raises TeacherUnavailable."""
        found = []
        for task, tickets in await asyncio.to_thread(self._others):
            for ticket in await asyncio.to_thread(tickets.all):
                if ticket.stage is Stage.UPLOADED and not await self._exists(ticket):
                    continue
                if ticket.stage in (Stage.UPLOADED, Stage.SENT):
                    found.append(Sent(task, ticket))
        return found

    async def asks(self, sent: Iterable[Sent]) -> dict[str, Sent]:
        """Which of them has an ask, by the ask's key."""
        keys: dict[str, Sent] = {}
        for each in sent:
            keys.update(dict.fromkeys(await asyncio.to_thread(self._tickets(each.task).asks, each.ticket), each))
        return keys

    async def take_in(self, sent: Iterable[Sent]) -> Waiting | None:
        """Journal what has ended; returns what to wait for, if something is under way still."""
        under_way = []
        for each in sent:
            tickets = self._tickets(each.task)
            origin = Origin(each.ticket.run, each.ticket.shard)
            waves = Waves(tickets, self.client, self.journal, origin, self.limits)
            if (ticket := await waves.end_one(each.ticket)).stage is not Stage.DONE:
                under_way.append(ticket)
        if not under_way:
            return None
        first = under_way[0]
        reason = f"asked before by a task that had these rows then, so not asked again: {first.line()}"
        return Waiting(reason, batch_id=first.batch_id, pause_s=self.limits.batch_poll_s)

    async def _exists(self, ticket: Ticket) -> bool:
        since = datetime.fromisoformat(ticket.noted).timestamp() - CLOCKS_S
        return await self.client.find(ticket.tag, since) is not None

    def _others(self) -> list[tuple[str, Tickets]]:
        folder = f"{self.journal_folder.rstrip('/')}/batches"
        self.fs.invalidate_cache(folder)
        try:
            names = sorted(PurePosixPath(str(path)).name for path in self.fs.ls(folder, detail=False))
        except FileNotFoundError:
            return []
        return [(name, self._tickets(name)) for name in names if name != self.task and not name.startswith(".")]

    def _tickets(self, task: str) -> Tickets:
        return Tickets.of(self.fs, self.journal_folder, task)
