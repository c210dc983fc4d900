"""Elsewhere: batches that other tasks of the partition have sent. A run with fewer shards deals their rows anew, and
what was asked for a shard that is no more is waited for and taken in, not paid for again. What nobody asks for any more
is called off when the partition is published.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath

import fsspec

from ultralink.errors import UltraLinkError
from ultralink.teacher.batch.client import BatchClient
from ultralink.teacher.batch.tickets import TASK, Stage, Ticket, Tickets
from ultralink.teacher.batch.waves import CLOCKS_S, Waves
from ultralink.teacher.endpoint import Limits
from ultralink.teacher.journal import Journal
from ultralink.teacher.live import Origin
from ultralink.teacher.waiting import Waiting

log = logging.getLogger(__name__)

GIVEN_UP = timedelta(hours=48)  # twice the day in which a batch ends: after that nobody waits for it to be cancelled


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
        for each in await asyncio.to_thread(open_batches, self.fs, self.journal_folder):
            if each.task == self.task or each.ticket.stage is Stage.INTENT:
                continue
            if each.ticket.stage is Stage.SENT or await self._exists(each.ticket):
                found.append(each)
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
            if (ticket := await self._end(each)).stage is not Stage.DONE:
                under_way.append(ticket)
        if not under_way:
            return None
        first = under_way[0]
        reason = f"asked before by a task that had these rows then, so not asked again: {first.line()}"
        return Waiting(reason, batch_id=first.batch_id, pause_s=self.limits.batch_poll_s)

    async def call_off(self) -> Waiting | None:
        """Bring all that is open to its end: cancelled if it runs, and what the provider has finished journaled.

        Nobody must be at work on the partition. Returns what to wait for. What cannot be ended is logged and left.
        """
        waiting: Waiting | None = None
        for each in await asyncio.to_thread(open_batches, self.fs, self.journal_folder):
            try:
                waiting = await self._call_off(each) or waiting
            except Waiting as later:
                waiting = later if _may_wait(each) else waiting
            except UltraLinkError as problem:
                log.warning("A batch of %s stays open: %s: %s", each.task, each.ticket.line(), problem)
        return waiting

    async def _call_off(self, each: Sent) -> Waiting | None:
        ticket, tickets = each.ticket, self._tickets(each.task)
        if ticket.stage is Stage.INTENT or (ticket.stage is Stage.UPLOADED and not await self._exists(ticket)):
            if ticket.file_id:
                await self.client.discard(ticket.file_id)
            await asyncio.to_thread(tickets.drop, ticket)
            return None
        ended = await self._end(each)
        if ended.stage is Stage.DONE:
            # That it was cancelled is no news for the task, should it ever have these rows again.
            await asyncio.to_thread(tickets.save, ended.model_copy(update={"told": True}))
            log.info("A batch of %s that nobody asks for any more is closed: %s", each.task, ended.line())
            return None
        await self.client.cancel(ended.batch_id or "")
        if not _may_wait(each):
            log.warning("A batch of %s stays open: %s; it does not end", each.task, ended.line())
            return None
        # By the clock: the trigger that looks at a batch takes one that is being cancelled for one that has ended.
        reason = f"a batch of {each.task} that nobody asks for any more is being cancelled: {ended.line()}"
        return Waiting(reason, pause_s=self.limits.batch_poll_s)

    async def _end(self, each: Sent) -> Ticket:
        origin = Origin(each.ticket.run, each.ticket.shard)
        waves = Waves(self._tickets(each.task), self.client, self.journal, origin, self.limits)
        return await waves.end_one(each.ticket)

    async def _exists(self, ticket: Ticket) -> bool:
        since = datetime.fromisoformat(ticket.noted).timestamp() - CLOCKS_S
        return await self.client.find(ticket.tag, since) is not None

    def _tickets(self, task: str) -> Tickets:
        return Tickets.of(self.fs, self.journal_folder, task)


def open_batches(fs: fsspec.AbstractFileSystem, journal_folder: str) -> list[Sent]:
    """All batch files of a partition that have not come to their end, by task, wave and file. Blocks."""
    folder = f"{journal_folder.rstrip('/')}/batches"
    fs.invalidate_cache(folder)
    try:
        names = sorted({PurePosixPath(str(path)).name for path in fs.ls(folder, detail=False)})
    except FileNotFoundError:
        return []
    tasks = [name for name in names if TASK.fullmatch(name)]
    return [Sent(task, ticket) for task in tasks for ticket in Tickets.of(fs, journal_folder, task).open()]


def _may_wait(each: Sent) -> bool:
    return datetime.now(UTC) - datetime.fromisoformat(each.ticket.noted) < GIVEN_UP
