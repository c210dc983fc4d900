"""Opening the teacher for one task: journal, limits, budget and door, wired together and closed in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import fsspec

from ultralink.recipe import Mode
from ultralink.teacher.ask import Ask, Style
from ultralink.teacher.batch.client import BatchClient
from ultralink.teacher.batch.elsewhere import Elsewhere
from ultralink.teacher.batch.source import Collector
from ultralink.teacher.batch.spool import Spool
from ultralink.teacher.batch.tickets import Stage, Tickets
from ultralink.teacher.batch.waves import Waves
from ultralink.teacher.budget import NO_BUDGET, Budget, Purse, Spending, cost
from ultralink.teacher.client import TeacherClient
from ultralink.teacher.endpoint import Endpoint
from ultralink.teacher.journal import Journal
from ultralink.teacher.limiter import Limiter
from ultralink.teacher.listener import NOBODY, Listener
from ultralink.teacher.live import Live, Origin
from ultralink.teacher.meter import metered
from ultralink.teacher.models import ModelCards
from ultralink.teacher.rehearsal import Rehearsal
from ultralink.teacher.request import Request
from ultralink.teacher.roster import Roster
from ultralink.teacher.tally import Counts
from ultralink.teacher.waiting import Unanswered, Waiting

TAKEN_IN_S = 0.1  # nothing is under way: the task only has to begin anew, with the answers


@dataclass(frozen=True)
class Desk:
    """All that one shard's task needs to ask the teacher.

    ``journal_folder`` is the partition's; ``roster_folder`` is one for the whole store, or None where no
    other task uses the endpoint. ``budget`` is this shard's part (``Budget.share``). ``task`` names the shard's task
    in the partition: in batch mode its batches are kept under that name. What the journals in ``earlier_journals``
    answer is not paid for again.
    """

    fs: fsspec.AbstractFileSystem
    journal_folder: str
    writer: str
    origin: Origin
    cards: ModelCards
    style: Style
    steps: Mapping[str, Style] = field(default_factory=dict)
    budget: Budget = NO_BUDGET
    roster_folder: str | None = None
    mode: Mode = "live"
    task: str = "task"
    listener: Listener = NOBODY
    earlier_journals: tuple[str, ...] = ()

    def open_journal(self) -> Journal:
        """Blocks."""
        return Journal.open(self.fs, self.journal_folder, self.writer, self.earlier_journals)


@asynccontextmanager
async def teacher(desk: Desk, endpoint: Endpoint) -> AsyncIterator[Ask]:
    """The door to ``endpoint``. On the way out what is on the wire reaches the journal.

    Raises StoreReadOnly, StoreFull, ModelUnknown before anything is paid for. In batch mode it also raises Waiting, on
    the way in and on the way out: then the same is to be done again later, and goes on from there. In live mode it does
    so on the way in, where the task was in batch mode before and a batch is still under way.
    """
    if desk.mode == "batch":
        async with _in_waves(desk, endpoint) as ask:
            yield ask
        return
    done = await asyncio.to_thread(_done, desk)
    async with _writable_journal(desk) as journal:
        async with BatchClient(endpoint) as batches:
            await _waves(desk, batches, journal, endpoint, done).call_in()
            elsewhere = _elsewhere(desk, batches, journal, endpoint)
            if waiting := await elsewhere.take_in(await elsewhere.sent()):
                raise waiting
        purse = await _purse(desk, journal)
        roster = None
        if desk.roster_folder is not None:
            roster = Roster(desk.fs, desk.roster_folder, endpoint.base_url, desk.writer)
        limiter = Limiter(endpoint.limits, roster)
        async with limiter, TeacherClient(endpoint, limiter) as client:
            ask = Ask(journal, Live(client, journal, purse, desk.origin), desk.cards, desk.style, desk.steps)
            try:
                yield ask
            finally:
                await asyncio.shield(ask.drain())


async def call_off(desk: Desk, endpoint: Endpoint) -> None:
    """Close what tasks of the partition have sent by batch and nobody asks for any more; what is paid for is journaled.

    Nobody must be at work on the partition. Raises Waiting; then the same is to be done again later.
    """
    async with _writable_journal(desk) as journal, BatchClient(endpoint) as client:
        if waiting := await _elsewhere(desk, client, journal, endpoint).call_off():
            raise waiting


@asynccontextmanager
async def _in_waves(desk: Desk, endpoint: Endpoint) -> AsyncIterator[Ask]:
    """The door in batch mode: answers come from the journal; what is not there goes out as the next wave."""
    done = await asyncio.to_thread(_done, desk)
    async with _writable_journal(desk) as journal, BatchClient(endpoint) as client:
        waves = _waves(desk, client, journal, endpoint, done)
        await waves.settle()
        purse = await _purse(desk, journal)
        elsewhere = _elsewhere(desk, client, journal, endpoint)
        sent = await elsewhere.asks(await elsewhere.sent())
        with Spool(endpoint.limits) as spool:
            collector = Collector(spool, purse, waves.notes, sent)
            ask = Ask(journal, collector, desk.cards, desk.style, desk.steps)
            ask.tally.by_batch = await asyncio.to_thread(_by_batch, journal, desk)
            try:
                yield ask
            except Unanswered:
                waiting = await elsewhere.take_in(collector.awaited.values())
                if collector.awaited and not len(spool):
                    raise waiting or Waiting("what other tasks had asked is answered", pause_s=TAKEN_IN_S) from None
                if not len(spool) and collector.no_room is not None:
                    await waves.over()
                    purse.used_up()
                    raise collector.no_room from None
                raise await waves.send(spool) from None
            except Exception:
                await waves.over()
                raise
            await waves.over()


@asynccontextmanager
async def _writable_journal(desk: Desk) -> AsyncIterator[Journal]:
    """The journal, found to take answers; what it takes is told to the listener."""
    journal = await asyncio.to_thread(desk.open_journal)
    await asyncio.to_thread(journal.check_writable)
    async with journal, metered(journal, desk.listener, desk.cards):
        yield journal


async def _purse(desk: Desk, journal: Journal) -> Purse:
    """What is left of the task's budget, at prices that are known. Raises ModelUnknown."""
    spent = await asyncio.to_thread(_spent, journal, desk)
    purse = Purse(desk.budget, desk.cards, spent, desk.listener, batch=desk.mode == "batch")
    purse.check_models(desk.style.model, *(style.model for style in desk.steps.values()))
    return purse


def _done(desk: Desk) -> frozenset[str]:
    tickets = Tickets.of(desk.fs, desk.journal_folder, desk.task).all()
    return frozenset(ticket.name for ticket in tickets if ticket.stage is Stage.DONE)


def _waves(desk: Desk, client: BatchClient, journal: Journal, endpoint: Endpoint, done: frozenset[str]) -> Waves:
    tickets = Tickets.of(desk.fs, desk.journal_folder, desk.task)
    return Waves(tickets, client, journal, desk.origin, endpoint.limits, done_before=done)


def _elsewhere(desk: Desk, client: BatchClient, journal: Journal, endpoint: Endpoint) -> Elsewhere:
    return Elsewhere(desk.fs, desk.journal_folder, desk.task, client, journal, endpoint.limits)


@asynccontextmanager
async def rehearsal(desk: Desk, expected_tokens: Callable[[Request], int]) -> AsyncIterator[Ask]:
    """The door of a dry run: what is journaled is free, all else is counted and priced in ``Ask.tally``.

    ``expected_tokens`` says how long an answer is likely to be.
    """
    journal = await asyncio.to_thread(desk.open_journal)
    async with journal:
        source = Rehearsal(expected_tokens, batch=desk.mode == "batch")
        yield Ask(journal, source, desk.cards, desk.style, desk.steps)


def _by_batch(journal: Journal, desk: Desk) -> Counts:
    """What this task of this run has paid for by batch, in all its attempts."""
    counts = Counts()
    for record in journal.records():
        if record.batch and (record.run, record.shard) == (desk.origin.run, desk.origin.shard):
            counts.pay(record, desk.cards.cost(record))
    return counts


def _spent(journal: Journal, desk: Desk) -> Spending:
    # Earlier attempts of this shard in this run have spent from the same part of the budget.
    spent = Spending()
    if desk.budget.is_open:
        return spent
    for record in journal.records():
        if (record.run, record.shard) == (desk.origin.run, desk.origin.shard):
            spent.add(cost(record.usage, desk.cards.prices(record.model, batch=record.batch)), 1 + record.lost)
    return spent
