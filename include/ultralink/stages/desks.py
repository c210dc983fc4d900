"""The desk of one task: where its answers are kept, in whose name and in which style it asks."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing

from ultralink.stages.partition import Partition
from ultralink.teacher.ask import Ask, Style
from ultralink.teacher.budget import Budget
from ultralink.teacher.desk import Desk, rehearsal
from ultralink.teacher.live import Origin
from ultralink.teacher.models import load_models
from ultralink.teacher.program import Outcome, Result, Row
from ultralink.teacher.request import Request
from ultralink.teacher.tally import Counts


def desk_of(
    partition: Partition,
    name: str,
    number: int,
    style: Style,
    budget: Budget,
    steps: Mapping[str, Style] | None = None,
) -> Desk:
    """The desk of the task ``name``; the ledger knows it by ``number``."""
    return Desk(
        fs=partition.store.fs,
        journal_folder=partition.journal_folder,
        writer=f"{name}-{secrets.token_hex(6)}",
        origin=Origin(partition.run_id, number),
        cards=load_models(),
        style=style,
        steps=steps or {},
        budget=budget,
        roster_folder=partition.store.folder("roster"),
        mode=partition.mode,
        task=name,
        listener=partition.listener,
        earlier_journals=partition.earlier_journals,
    )


async def count_asks(
    desk: Desk,
    expected_tokens: Callable[[Request], int],
    outcomes: Callable[[Ask], AsyncGenerator[Outcome[Row, Result], None]],
) -> Counts:
    """Every ask of all rows, counted and priced; nobody is called."""
    async with rehearsal(desk, expected_tokens) as ask:
        async with aclosing(outcomes(ask)) as rows:
            async for _ in rows:
                pass
        return ask.tally.total
