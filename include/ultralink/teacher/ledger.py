"""Tokens, cost and latency by run, shard, step and model, summed from the journal."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import pyarrow as pa

from ultralink.teacher.models import ModelCards
from ultralink.teacher.record import Record
from ultralink.teacher.tally import Counts

# cost_usd is null where no price is known; it includes tries that were billed without a usable answer (lost).
LEDGER = pa.schema(
    [
        pa.field("run", pa.string(), nullable=False),
        pa.field("shard", pa.int32(), nullable=False),
        pa.field("step", pa.string(), nullable=False),
        pa.field("model", pa.string(), nullable=False),
        pa.field("paid", pa.int64(), nullable=False),
        pa.field("lost", pa.int64(), nullable=False),
        pa.field("tries", pa.int64(), nullable=False),
        pa.field("limited", pa.int64(), nullable=False),
        pa.field("prompt_tokens", pa.int64(), nullable=False),
        pa.field("cached_tokens", pa.int64(), nullable=False),
        pa.field("completion_tokens", pa.int64(), nullable=False),
        pa.field("cost_usd", pa.float64()),
        pa.field("latency_mean_s", pa.float64()),
        pa.field("latency_p50_s", pa.float64()),
        pa.field("latency_p95_s", pa.float64()),
    ]
)


class Account(NamedTuple):
    """What a ledger row is about."""

    run: str
    shard: int
    step: str
    model: str


@dataclass
class _Sums:
    counts: Counts = field(default_factory=Counts)
    lost: int = 0
    latencies: array[float] = field(default_factory=lambda: array("f"))

    def add(self, record: Record, usd: float | None) -> None:
        self.counts.pay(record, usd)
        self.lost += record.lost
        if not record.batch:  # a batch's hours say nothing of the endpoint's speed
            self.latencies.append(record.latency_s)


def ledger(records: Iterable[Record], cards: ModelCards) -> pa.Table:
    """The ledger of ``records``, sorted. Streams: memory is 4 bytes per record."""
    sums: dict[Account, _Sums] = {}
    for record in records:
        account = Account(record.run, record.shard, record.step, record.model)
        sums.setdefault(account, _Sums()).add(record, cards.cost(record))
    return pa.Table.from_pylist([_row(account, sums[account]) for account in sorted(sums)], schema=LEDGER)


def _row(account: Account, sums: _Sums) -> dict[str, object]:
    counts = sums.counts
    latencies = sorted(sums.latencies)
    return {
        **account._asdict(),
        "paid": counts.paid,
        "lost": sums.lost,
        "tries": counts.tries,
        "limited": counts.limited,
        "prompt_tokens": counts.prompt_tokens,
        "cached_tokens": counts.cached_tokens,
        "completion_tokens": counts.completion_tokens,
        "cost_usd": None if counts.unpriced else counts.cost_usd,
        "latency_mean_s": sum(latencies) / len(latencies) if latencies else None,
        "latency_p50_s": _quantile(latencies, 0.50),
        "latency_p95_s": _quantile(latencies, 0.95),
    }


def _quantile(ordered: list[float], share: float) -> float | None:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None
