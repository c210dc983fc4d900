"""The teacher in figures: calls, retries, latency by step, tokens and cost by model, summed from a ledger."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict, cast

from ultralink.insight.damage import Damages
from ultralink.pool.rows import LANGUAGE as ENGLISH
from ultralink.schemas import LEDGER, POOL, POOL_LEDGER
from ultralink.store import Part, Store
from ultralink.teacher.journal import Journal
from ultralink.teacher.ledger import ledger
from ultralink.teacher.models import load_models

_MOST_JOURNAL_BYTES = 64_000_000  # a journal of this size is summed in about a second; a larger one waits for publish
_SPREAD_95 = 1.6449  # standard deviations from the median to the 95th percentile


class LedgerRow(TypedDict):
    """A row of LEDGER."""

    run: str
    shard: int
    step: str
    model: str
    paid: int
    lost: int
    tries: int
    limited: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    cost_usd: float | None
    latency_p50_s: float | None
    latency_p95_s: float | None


@dataclass(frozen=True)
class Line:
    """Calls of one step, of one model, or of all. ``retries`` counts tries near the call beyond the first."""

    name: str
    calls: int
    retries: int
    limited: int
    lost: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    cost_usd: float | None
    p50_s: float | None
    p95_s: float | None

    @property
    def cached_share(self) -> float | None:
        """Of the prompt's tokens, those that the provider had cached."""
        return self.cached_tokens / self.prompt_tokens if self.prompt_tokens else None


@dataclass(frozen=True)
class Bill:
    """What a night's teacher did. ``published``: from the night's ledger; else summed from its journal."""

    rows: tuple[LedgerRow, ...]
    published: bool

    def of(self, run: str) -> Bill:
        """What ``run`` paid for."""
        return Bill(tuple(row for row in self.rows if row["run"] == run), self.published)

    def of_shard(self, run: str, shard: int, steps: Sequence[str]) -> Bill:
        """What one shard of ``run`` paid for; steps by the beginning of their names."""
        mine = (row for row in self.of(run).rows if row["shard"] == shard and row["step"].startswith(tuple(steps)))
        return Bill(tuple(mine), self.published)

    @property
    def total(self) -> Line:
        """All calls."""
        return _line("all", self.rows)

    @property
    def steps(self) -> list[Line]:
        """By step, in order of names."""
        return self._by("step")

    @property
    def models(self) -> list[Line]:
        """By model, in order of names."""
        return self._by("model")

    def _by(self, column: str) -> list[Line]:
        groups: dict[str, list[LedgerRow]] = defaultdict(list)
        for row in self.rows:
            groups[str(cast(Mapping[str, object], row)[column])].append(row)
        return [_line(name, groups[name]) for name in sorted(groups)]


def bill_of(store: Store, language: str, date: str, damages: Damages) -> Bill | None:
    """The night's bill: its ledger; of a night that isn't published its journal, unless that is too large: None."""
    return _bill(store, store.part(LEDGER, language, date), store.folder("journal", language, date), damages)


def bill_of_pool(store: Store, date: str, damages: Damages) -> Bill | None:
    """The bill of an edition of the English pool, like a night's."""
    return _bill(store, store.part(POOL_LEDGER, ENGLISH, date), store.folder("journal", POOL.name, date), damages)


def _bill(store: Store, part: Part, folder: str, damages: Damages) -> Bill | None:
    with damages.noted(part.path):
        if part.stamp() is not None:
            return Bill(tuple(cast(LedgerRow, row) for row in part.rows()), published=True)
    with damages.noted(folder):
        if store.fs.exists(folder) and store.fs.du(folder) > _MOST_JOURNAL_BYTES:
            return None
        rows = ledger(Journal.open(store.fs, folder, "page").records(), load_models()).to_pylist()
        return Bill(tuple(cast(LedgerRow, row) for row in rows), published=False)
    return Bill((), published=False)


def _line(name: str, rows: Sequence[LedgerRow]) -> Line:
    costs = [row["cost_usd"] for row in rows]
    priced = [cost for cost in costs if cost is not None]
    calls = sum(row["paid"] for row in rows)
    return Line(
        name=name,
        calls=calls,
        retries=sum(row["tries"] for row in rows) - calls,
        limited=sum(row["limited"] for row in rows),
        lost=sum(row["lost"] for row in rows),
        prompt_tokens=sum(row["prompt_tokens"] for row in rows),
        cached_tokens=sum(row["cached_tokens"] for row in rows),
        completion_tokens=sum(row["completion_tokens"] for row in rows),
        cost_usd=sum(priced) if len(priced) == len(costs) else None,
        p50_s=quantile(rows, 0.50),
        p95_s=quantile(rows, 0.95),
    )


def quantile(rows: Iterable[LedgerRow], share: float) -> float | None:
    """The latency under which ``share`` of all calls of ``rows`` lie, s; exact for one row, else an estimate.

    A ledger keeps two quantiles per account. Each account is taken as log-normal through them, and the mixture's
    quantile is found by halving.
    """
    parts = [
        (row["paid"], math.log(max(row["latency_p50_s"], 1e-6)), _spread(row["latency_p50_s"], row["latency_p95_s"]))
        for row in rows
        if row["paid"] and row["latency_p50_s"] is not None and row["latency_p95_s"] is not None
    ]
    if not parts:
        return None
    calls = sum(paid for paid, _, _ in parts)
    low = min(middle - 4 * spread for _, middle, spread in parts) - 1
    high = max(middle + 4 * spread for _, middle, spread in parts) + 1
    for _ in range(60):
        halfway = (low + high) / 2
        below = sum(paid * _share_below((halfway - middle) / spread) for paid, middle, spread in parts)
        low, high = (halfway, high) if below < share * calls else (low, halfway)
    return math.exp(high)


def _spread(p50: float, p95: float) -> float:
    return max(1e-4, (math.log(max(p95, 1e-6)) - math.log(max(p50, 1e-6))) / _SPREAD_95)


def _share_below(deviations: float) -> float:
    return 0.5 * (1 + math.erf(deviations / math.sqrt(2)))
