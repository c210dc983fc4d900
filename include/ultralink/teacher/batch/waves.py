"""Waves: what a task's rows could not go on without, sent as batches, waited for, and taken into the journal.

Each step is durable before the next one begins: intent, upload, create, id, results. So whatever is killed and
whenever, the next attempt finds out how far the last one came, and no request is sent twice.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from ultralink.errors import (
    BatchCancelled,
    BatchRefused,
    BatchUnsupported,
    PermanentError,
    RequestRefused,
    TeacherUnavailable,
)
from ultralink.teacher.batch.client import Batch, BatchClient
from ultralink.teacher.batch.results import Later, Refused, Torn, results
from ultralink.teacher.batch.spool import Spool, SpoolFile
from ultralink.teacher.batch.tickets import Look, Noted, Notes, Refusal, Stage, Ticket, Tickets
from ultralink.teacher.endpoint import Limits
from ultralink.teacher.journal import Journal
from ultralink.teacher.live import FORMS, Origin
from ultralink.teacher.record import Record
from ultralink.teacher.waiting import Waiting

log = logging.getLogger(__name__)

UNDER_WAY = frozenset({"validating", "in_progress", "finalizing"})
ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
QUEUE_FULL = "token_limit_exceeded"  # the account's limit of enqueued tokens: other batches have to end first
QUEUE_PAUSE_S = 600.0
TRIES = 3  # of a line that failed for the moment, and of results that are incomplete
BARREN = 3  # waves in a row without a single answer
CLOCKS_S = 3600.0  # by which the provider's clock may differ from ours
CHUNK = 512  # records that are made durable together
NAMED = 5  # batches in a sentence


@dataclass
class Waves:
    """One task's waves; use within one event loop, one attempt at a time."""

    tickets: Tickets
    client: BatchClient
    journal: Journal
    origin: Origin
    limits: Limits
    notes: Notes = field(default_factory=Notes)
    done_before: frozenset[str] | None = None  # names of tickets that were done before the journal was read
    _ours: set[str] = field(default_factory=set)
    _looks: dict[str, Look] = field(default_factory=dict)  # by ticket's name: how far those are that are under way

    async def settle(self) -> None:
        """Bring every file that was begun to its end: its batch created, its answers journaled.

        Raises Waiting while one is under way; when all have ended BatchRefused, BatchCancelled, TeacherUnavailable,
        or what the provider found wrong with a line that is wrong with all (KeyRejected, ModelUnknown).
        """
        await self._tell(await self._ended())

    async def call_in(self) -> None:
        """Take in what was sent before the task turned to live mode: it is paid for, so it is not asked again.

        Raises Waiting while something is under way. How a batch ended is only logged: the rest is asked live.
        """
        known = await asyncio.to_thread(self.tickets.all)
        if all(ticket.stage is Stage.DONE for ticket in known):
            return
        log.info("This task was in batch mode before. Who cannot wait for its batches cancels them at the provider.")
        await self._told([ticket for ticket in await self._ended() if not ticket.told])
        await self.over()

    async def send(self, spool: Spool) -> Waiting:
        """Send all that was noted; returns what to wait for. Raises BatchRefused, TeacherUnavailable and their kin."""
        known = await asyncio.to_thread(self.tickets.all)
        if {ticket.name for ticket in known} - self._ours:
            raise self._overtaken()
        wave = 1 + max((ticket.wave for ticket in known), default=0)
        sent = []
        for number, file in enumerate(spool.files()):
            ticket = self._ticket(wave, number, file)
            await asyncio.to_thread(self.tickets.begin, ticket, file.asks)
            try:
                file_id = await self.client.upload(file.path, f"{ticket.tag}.jsonl")
            except RequestRefused as problem:
                raise BatchRefused(f"{problem} (no request of this file was sent)") from problem
            if not await asyncio.to_thread(self.tickets.asks, ticket):
                raise self._overtaken()  # it took the upload for one that was cut short, and has dropped it
            uploaded = ticket.model_copy(update={"stage": Stage.UPLOADED, "file_id": file_id})
            await asyncio.to_thread(self.tickets.save, uploaded)
            sent.append(await self._created(uploaded))
        return self._waiting(sent)

    async def end_one(self, ticket: Ticket) -> Ticket:
        """``ticket`` as far as it goes: once ended, its answers are journaled; how it ended is left to its task."""
        self.notes = await asyncio.to_thread(self.tickets.notes)
        return await self._settled(ticket) or ticket

    async def over(self) -> None:
        """The task has ended, well or not."""
        await asyncio.to_thread(self.tickets.forget)
        tickets = await asyncio.to_thread(self.tickets.all)
        if tickets:
            answered = sum(ticket.answered for ticket in tickets)
            log.info("Batch mode: %d answers in %d files, %d waves.", answered, len(tickets), tickets[-1].wave)

    # --- sending ----------------------------------------------------------------------------------------

    def _ticket(self, wave: int, number: int, file: SpoolFile) -> Ticket:
        return Ticket(
            tag=secrets.token_hex(12),
            wave=wave,
            file=number,
            stage=Stage.INTENT,
            model=file.model,
            form=file.form,
            requests=len(file.asks),
            size=file.size,
            sha256=file.sha256,
            run=self.origin.run,
            shard=self.origin.shard,
            noted=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    async def _created(self, ticket: Ticket) -> Ticket:
        """The ticket with its batch, which another attempt may have created. A refusal of the call is its end."""
        since = datetime.fromisoformat(ticket.noted).timestamp() - CLOCKS_S
        try:
            batch = await self.client.find(ticket.tag, since)
            batch = batch or await self.client.create(ticket.file_id or "", ticket.tag)
        except RequestRefused as problem:
            refused = {"stage": Stage.DONE, "ended": "refused", "message": str(problem), "told": True}
            await asyncio.to_thread(self.tickets.finish, ticket.model_copy(update=refused))
            raise BatchRefused(f"{problem} (no request of this file was sent)") from problem
        sent = ticket.model_copy(update={"stage": Stage.SENT, "batch_id": batch.id})
        log.info("Batch %s", sent.line())
        return await asyncio.to_thread(self.tickets.save, sent)

    def _waiting(self, tickets: Sequence[Ticket]) -> Waiting:
        requests = sum(ticket.requests for ticket in tickets)
        finished = sum(self._looks[ticket.name].finished for ticket in tickets if ticket.name in self._looks)
        since = min(ticket.noted for ticket in tickets)
        reason = (
            f"{finished} of {requests} requests are done, in {len(tickets)} batches that are under way since {since}: "
            f"{_names(tickets)}; first {tickets[0].line()}"
        )
        return Waiting(reason, batch_id=tickets[0].batch_id, pause_s=self.limits.batch_poll_s)

    def _overtaken(self) -> Waiting:
        return Waiting("another attempt at this task has taken over", pause_s=self.limits.batch_poll_s)

    # --- settling ---------------------------------------------------------------------------------------

    async def _ended(self) -> list[Ticket]:
        """All tickets that were sent, each at its end. Raises Waiting while one is under way."""
        self.notes = await asyncio.to_thread(self.tickets.notes)
        settled = [await self._settled(ticket) for ticket in await asyncio.to_thread(self.tickets.all)]
        tickets = [ticket for ticket in settled if ticket is not None]
        waiting = [ticket for ticket in tickets if ticket.stage is Stage.SENT]
        if waiting:
            raise self._waiting(waiting)
        self._ours = {ticket.name for ticket in tickets}
        return tickets

    async def _settled(self, ticket: Ticket) -> Ticket | None:
        """The ticket as far as it goes; None where nothing had been sent."""
        if ticket.stage is Stage.INTENT:  # no batch can exist: its file's id was never known
            await asyncio.to_thread(self.tickets.drop, ticket)
            return None
        if ticket.stage is Stage.UPLOADED:
            ticket = await self._created(ticket)
        if ticket.stage is Stage.DONE:
            if self.done_before is not None and ticket.name not in self.done_before:
                raise self._overtaken()  # its answers came into the journal after we had read it
            return ticket
        batch = await self._look(ticket)
        if batch.status in UNDER_WAY:
            await self._note_look(ticket, batch)
            return ticket
        if batch.status not in ENDED:  # cancelling, or a word that came later: the trigger takes these for an end
            raise Waiting(f"batch {batch.id} is {batch.status}", pause_s=self.limits.batch_poll_s)
        return await self._harvested(ticket, batch)

    async def _note_look(self, ticket: Ticket, batch: Batch) -> None:
        counts = batch.request_counts
        finished = counts.completed + counts.failed if counts else 0
        look = Look(finished=min(max(0, finished), ticket.requests), at=datetime.now(UTC).isoformat(timespec="seconds"))
        self._looks[ticket.name] = look
        await asyncio.to_thread(self.tickets.note_look, ticket, look)

    async def _look(self, ticket: Ticket) -> Batch:
        try:
            return await self.client.look(ticket.batch_id or "")
        except BatchUnsupported as problem:
            raise BatchUnsupported(
                f"{problem}; the provider does not know batch {ticket.batch_id}. Is the connection's key or host "
                f"another one now? Should the batch be gone for good, delete {ticket.name}.json in "
                f"{self.tickets.store.root} and clear the task: its {ticket.requests} requests are then sent anew"
            ) from problem

    async def _harvested(self, ticket: Ticket, batch: Batch) -> Ticket:
        """Take the results into the journal, then close the ticket."""
        harvest = _Harvest(ticket, self.journal, self.notes)
        asks = await asyncio.to_thread(self.tickets.asks, ticket)
        if not asks and (await asyncio.to_thread(self.tickets.latest, ticket)).stage is Stage.DONE:
            raise self._overtaken()  # our journal was read before, and lacks what the other one has put there
        for file_id in (batch.output_file_id, batch.error_file_id):
            if file_id is not None:
                await self._read(file_id, batch, asks, harvest)
            if file_id == batch.output_file_id:
                harvest.lacks = harvest.lacking(batch)
        await harvest.store()
        if harvest.lacks and ticket.looks < TRIES:
            await asyncio.to_thread(self.tickets.save, ticket.model_copy(update={"looks": ticket.looks + 1}))
            log.warning("Batch %s: %d of its results cannot be read yet; another look later", batch.id, harvest.lacks)
            raise Waiting(f"the results of batch {batch.id} are incomplete", pause_s=self.limits.batch_poll_s)
        if harvest.lacks:
            log.error("Batch %s: %d results stay unreadable, and are asked for again", batch.id, harvest.lacks)
        harvest.conclude()
        await asyncio.to_thread(self.tickets.keep, self.notes)
        done = ticket.model_copy(
            update={
                "stage": Stage.DONE,
                "ended": batch.status,
                "message": harvest.message or _message(batch),
                "answered": harvest.answered,
                "refused": harvest.refused,
                "told": harvest.answered + harvest.refused > 0 and batch.status not in ("failed", "cancelled"),
            }
        )
        await asyncio.to_thread(self.tickets.finish, done)
        log.info("Batch %s; %d answered, %d refused", done.line(), done.answered, done.refused)
        if ticket.file_id:
            await self.client.discard(ticket.file_id)
        if harvest.fatal is not None:
            await asyncio.to_thread(self.tickets.save, done.model_copy(update={"told": True}))
            raise harvest.fatal
        return done

    async def _read(self, file_id: str, batch: Batch, asks: Mapping[str, Noted], harvest: _Harvest) -> None:
        with tempfile.TemporaryDirectory(prefix="ultralink-batch-") as folder:
            try:
                async with self.client.content(file_id, Path(folder)) as path:
                    for result in results(path, harvest.ticket, asks, batch.ended_at):
                        await harvest.take(result)
            except BatchUnsupported as problem:  # the batch is known, so it is the file that is not there (yet)
                log.warning("Batch %s: %s", batch.id, problem)

    async def _tell(self, tickets: Sequence[Ticket]) -> None:
        """Raise, once, what was wrong with ``tickets``, all of which have ended."""
        untold = [ticket for ticket in tickets if not ticket.told]
        failed = [ticket for ticket in untold if ticket.ended == "failed"]
        cancelled = [ticket for ticket in untold if ticket.ended == "cancelled"]
        if failed and all(QUEUE_FULL in ticket.message for ticket in failed):
            await self._told(failed)
            raise Waiting(f"the account's queue is full: {failed[0].message}", pause_s=QUEUE_PAUSE_S)
        if failed or cancelled:
            await self._told([*failed, *cancelled])
        if failed:
            raise BatchRefused(
                f"batch {failed[0].batch_id} failed, and nothing of it was answered: "
                f"{failed[0].message or 'no reason given'}"
            )
        if cancelled:
            answered = sum(ticket.answered for ticket in cancelled)
            raise BatchCancelled(
                f"batch {cancelled[0].batch_id} was cancelled at the provider; {answered} answers were finished and "
                "are kept. Clear the task to send the rest again"
            )
        fruitful = max((ticket.wave for ticket in tickets if ticket.told), default=0)
        barren = [ticket for ticket in untold if ticket.wave > fruitful]
        if len({ticket.wave for ticket in barren}) >= BARREN:
            await self._told(barren)
            raise TeacherUnavailable(
                f"{BARREN} waves of batches brought no answer; the last: {tickets[-1].line()} {tickets[-1].message}"
            )

    async def _told(self, tickets: Sequence[Ticket]) -> None:
        for ticket in tickets:
            await asyncio.to_thread(self.tickets.save, ticket.model_copy(update={"told": True}))


class _Harvest:
    """What one batch's results come to."""

    def __init__(self, ticket: Ticket, journal: Journal, notes: Notes) -> None:
        self.ticket, self._journal, self._notes = ticket, journal, notes
        self.answered = self.refused = self.lacks = 0
        self.message = ""
        self.fatal: PermanentError | None = None
        self._seen: set[str] = set()
        self._sound = 0
        self._torn = False
        self._records: list[Record] = []
        self._refusals: list[Refused] = []
        self._later: list[Later] = []

    async def take(self, result: Record | Later | Refused | Torn) -> None:
        """Note one line's result; a second one about the same ask is left out."""
        if isinstance(result, Torn):
            self._torn = True
            return
        self._sound += 1
        if result.key in self._seen:
            return
        self._seen.add(result.key)
        match result:
            case Record():
                self.answered += 1
                self._records.append(result)
                if len(self._records) >= CHUNK:
                    await self.store()
            case Refused():
                self._refusals.append(result)
            case Later():
                self._later.append(result)

    async def store(self) -> None:
        """Make the records durable. One that an earlier attempt has stored is not stored again.

        One whose request was answered elsewhere meanwhile is: it was paid for too, and the ledger has to know.
        """
        new = [record for record in self._records if await self._journal.get(record.key) != record]
        self._records = []
        await asyncio.gather(*(self._journal.put(record) for record in new))

    def lacking(self, batch: Batch) -> int:
        """How many of the answers that the provider counts cannot be read."""
        counted = batch.request_counts.completed if batch.request_counts else 0
        return max(counted - self._sound, int(self._torn))

    def conclude(self) -> None:
        """Sort what was not answered into refusals that cost a row, and asks that go into the next wave."""
        ticket, notes = self.ticket, self._notes
        for refusal in self._refusals:
            if not isinstance(refusal.error, RequestRefused):
                self.fatal = refusal.error
        refusals = [refusal for refusal in self._refusals if isinstance(refusal.error, RequestRefused)]
        if refusals and not self.answered and all(refusal.structured for refusal in refusals) and self._next_form():
            self.message = f"refused as {ticket.form.value}: {refusals[0].error}"
            refusals = []
        for refusal in refusals:
            notes.refused[refusal.key] = Refusal(kind=type(refusal.error).__name__, message=str(refusal.error))
        self.refused = len(refusals)
        for later in self._later:
            self.message = self.message or later.what
            if not later.counts:
                continue
            tries = notes.tries[later.key] = notes.tries.get(later.key, 0) + 1
            if tries >= TRIES:
                what = f"{ticket.model}: {tries} batches brought no answer; the last: {later.what}"
                notes.refused[later.key] = Refusal(kind=TeacherUnavailable.__name__, message=what)
                self.refused += 1  # the wave has settled something

    def _next_form(self) -> bool:
        """Put schemas in the next form from now on, where there is one."""
        position = FORMS.index(self.ticket.form)
        if position + 1 >= len(FORMS):
            return False
        self._notes.forms[self.ticket.model] = FORMS[position + 1]
        return True


def _names(tickets: Sequence[Ticket]) -> str:
    names = [ticket.batch_id or "no batch yet" for ticket in tickets[:NAMED]]
    more = [f"{len(tickets) - NAMED} more"] if len(tickets) > NAMED else []
    return ", ".join([*names, *more])


def _message(batch: Batch) -> str:
    said = [f"{problem.code}: {problem.message}" for problem in batch.problems[:3]]
    return "; ".join(said)[:1000]
