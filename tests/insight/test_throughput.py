"""The teacher's figures out of a ledger."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest

from ultralink.insight.damage import Damages
from ultralink.insight.throughput import Bill, LedgerRow, bill_of, quantile
from ultralink.schemas import LEDGER
from ultralink.store import Store


def row(**other: object) -> LedgerRow:
    usual = {
        "run": "nightly",
        "shard": 0,
        "step": "answer.first",
        "model": "small",
        "paid": 10,
        "lost": 0,
        "tries": 12,
        "limited": 1,
        "prompt_tokens": 1000,
        "cached_tokens": 250,
        "completion_tokens": 300,
        "cost_usd": 0.5,
        "latency_mean_s": 1.0,
        "latency_p50_s": 0.8,
        "latency_p95_s": 2.0,
    }
    return {**usual, **other}  # type: ignore[typeddict-item]


def test_calls_are_summed_by_step_and_model() -> None:
    bill = Bill(
        (row(), row(shard=1, paid=30, tries=30, limited=0), row(step="judge", model="large", cost_usd=2.0)), True
    )
    assert [(line.name, line.calls, line.retries, line.limited) for line in bill.steps] == [
        ("answer.first", 40, 2, 1),
        ("judge", 10, 2, 1),
    ]
    assert [(line.name, line.cost_usd) for line in bill.models] == [("large", 2.0), ("small", 1.0)]
    assert bill.total.cost_usd == 3.0
    assert bill.total.cached_share == 0.25


def test_without_a_price_the_sum_has_none() -> None:
    bill = Bill((row(), row(model="unknown", cost_usd=None)), True)
    assert bill.total.cost_usd is None
    assert [line.cost_usd for line in bill.models] == [0.5, None]


def test_a_run_and_a_shard_see_their_own() -> None:
    bill = Bill((row(), row(run="again"), row(shard=1), row(step="translate.math")), True)
    assert bill.of("again").total.calls == 10
    assert bill.of_shard("nightly", 0, ["answer."]).total.calls == 10
    assert bill.of("nobody").total.calls == 0
    assert bill.of("nobody").total.p50_s is None


def test_one_account_keeps_its_quantiles() -> None:
    assert quantile([row()], 0.5) == pytest.approx(0.8)
    assert quantile([row()], 0.95) == pytest.approx(2.0, rel=1e-3)


def test_quantiles_of_shards_together_are_near_the_true_ones() -> None:
    draw = random.Random(1)
    shards = [[draw.lognormvariate(math.log(middle), 0.5) for _ in range(4000)] for middle in (0.5, 1.0, 4.0)]
    rows = [row(paid=len(each), latency_p50_s=sorted(each)[2000], latency_p95_s=sorted(each)[3800]) for each in shards]
    every = sorted(latency for each in shards for latency in each)
    assert quantile(rows, 0.5) == pytest.approx(every[6000], rel=0.05)
    assert quantile(rows, 0.95) == pytest.approx(every[11400], rel=0.05)


def test_constant_latencies_make_no_trouble() -> None:
    assert quantile([row(latency_p50_s=0.0, latency_p95_s=0.0)], 0.5) == pytest.approx(0, abs=1e-5)
    assert quantile([row(latency_p50_s=1.0, latency_p95_s=1.0)], 0.95) == pytest.approx(1, rel=1e-3)


def test_a_published_night_is_read_from_its_ledger(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    store.part(LEDGER, "fr", "2026-11-01").write([dict(row())], "made")
    bill = bill_of(store, "fr", "2026-11-01", Damages())
    assert bill is not None
    assert bill.published
    assert bill.total.calls == 10


def test_a_night_without_anything_has_an_empty_bill(tmp_path: Path) -> None:
    bill = bill_of(Store.at(str(tmp_path)), "fr", "2026-11-01", Damages())
    assert bill is not None
    assert not bill.published
    assert bill.rows == ()
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_ledger_is_named_and_the_journal_takes_its_place(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    path = Path(store.part(LEDGER, "fr", "2026-11-01").path)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"PAR1")
    damages = Damages()
    bill = bill_of(store, "fr", "2026-11-01", damages)
    assert bill is not None
    assert not bill.published
    (line,) = damages.lines
    assert "ledger/fr/2026-11-01" in line
