"""Opening the teacher for one task: journal, limits, budget and door, wired together and closed in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import fsspec

from ultralink.teacher.ask import Ask, Style
from ultralink.teacher.budget import NO_BUDGET, Budget, Purse, Spending, cost
from ultralink.teacher.client import TeacherClient
from ultralink.teacher.endpoint import Endpoint
from ultralink.teacher.journal import Journal
from ultralink.teacher.limiter import Limiter
from ultralink.teacher.live import Live, Origin
from ultralink.teacher.models import ModelCards
from ultralink.teacher.rehearsal import Rehearsal
from ultralink.teacher.request import Request
from ultralink.teacher.roster import Roster


@dataclass(frozen=True)
class Desk:
    """All that one shard's task needs to ask the teacher.

    ``journal_folder`` is the partition's; ``roster_folder`` is one for the whole store, or None where no
    other task uses the endpoint. ``budget`` is this shard's part (``Budget.share``).
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


@asynccontextmanager
async def teacher(desk: Desk, endpoint: Endpoint) -> AsyncIterator[Ask]:
    """The door to ``endpoint``. On the way out what is on the wire reaches the journal.

    Raises StoreReadOnly, StoreFull, ModelUnknown before anything is paid for.
    """
    journal = await asyncio.to_thread(Journal.open, desk.fs, desk.journal_folder, desk.writer)
    await asyncio.to_thread(journal.check_writable)
    purse = Purse(desk.budget, desk.cards, await asyncio.to_thread(_spent, journal, desk))
    purse.check_models(desk.style.model, *(style.model for style in desk.steps.values()))
    roster = None
    if desk.roster_folder is not None:
        roster = Roster(desk.fs, desk.roster_folder, endpoint.base_url, desk.writer)
    limiter = Limiter(endpoint.limits, roster)
    async with journal, limiter, TeacherClient(endpoint, limiter) as client:
        ask = Ask(journal, Live(client, journal, purse, desk.origin), desk.cards, desk.style, desk.steps)
        try:
            yield ask
        finally:
            await asyncio.shield(ask.drain())


@asynccontextmanager
async def rehearsal(desk: Desk, expected_tokens: Callable[[Request], int]) -> AsyncIterator[Ask]:
    """The door of a dry run: what is journaled is free, all else is counted and priced in ``Ask.tally``.

    ``expected_tokens`` says how long an answer is likely to be.
    """
    journal = await asyncio.to_thread(Journal.open, desk.fs, desk.journal_folder, desk.writer)
    async with journal:
        yield Ask(journal, Rehearsal(expected_tokens), desk.cards, desk.style, desk.steps)


def _spent(journal: Journal, desk: Desk) -> Spending:
    # Earlier attempts of this shard in this run have spent from the same part of the budget.
    spent = Spending()
    if desk.budget.is_open:
        return spent
    for record in journal.records():
        if (record.run, record.shard) == (desk.origin.run, desk.origin.shard):
            spent.add(cost(record.usage, desk.cards.prices(record.model)), 1 + record.lost)
    return spent
