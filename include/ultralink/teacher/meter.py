"""The meter between journal and listener: what was paid for, summed over some seconds."""

from __future__ import annotations

import asyncio
from array import array
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ultralink.teacher.journal import Journal
from ultralink.teacher.listener import Listener
from ultralink.teacher.models import ModelCards
from ultralink.teacher.record import Record
from ultralink.teacher.tally import Counts

EVERY_S = 5.0
LATENCIES = 200  # told at once, evenly picked: enough for a percentile, few enough for datagrams


class Meter:
    """Sums records by model until they are told."""

    def __init__(self, listener: Listener, cards: ModelCards) -> None:
        self._listener, self._cards = listener, cards
        self._paid: defaultdict[str, Counts] = defaultdict(Counts)
        self._latencies: defaultdict[str, array[float]] = defaultdict(lambda: array("f"))

    def heard(self, record: Record) -> None:
        """An answer is durable."""
        self._paid[record.model].pay(record, self._cards.cost(record))
        if not record.batch:
            self._latencies[record.model].append(record.latency_s)

    def tell(self) -> None:
        """Tell what was summed, and begin anew."""
        paid, latencies = dict(self._paid), dict(self._latencies)
        self._paid.clear()
        self._latencies.clear()
        for model, sums in paid.items():
            every = latencies.get(model, array("f"))
            self._listener.paid(model, sums, every[:: max(1, -(-len(every) // LATENCIES))])


@asynccontextmanager
async def metered(journal: Journal, listener: Listener, cards: ModelCards) -> AsyncIterator[None]:
    """Tell ``listener`` every EVERY_S, and in the end, what was put into ``journal``."""
    meter = Meter(listener, cards)
    journal.heard = meter.heard
    telling = asyncio.create_task(_tell(meter))
    try:
        yield
    finally:
        telling.cancel()
        meter.tell()


async def _tell(meter: Meter) -> None:
    while True:
        await asyncio.sleep(EVERY_S)
        meter.tell()
