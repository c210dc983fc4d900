"""The ledger: sums by run, shard, step and model, under an explicit schema."""

from __future__ import annotations

import pytest
from tests.teacher.fake_teacher import CARDS

from ultralink.teacher.ledger import LEDGER, ledger
from ultralink.teacher.record import Record, Usage


def record(
    number: int, run: str = "r", shard: int = 0, step: str = "q", model: str = "priced", **changes: object
) -> Record:
    settings: dict[str, object] = {
        "key": f"{number:032x}",
        "text": "x",
        "finish_reason": "stop",
        "model": model,
        "served": model,
        "usage": Usage(1000, 400, 100),
        "latency_s": number / 10,
        "created": "2026-11-01T12:00:00.000000+00:00",
        "run": run,
        "shard": shard,
        "step": step,
    }
    return Record(**(settings | changes))  # type: ignore[arg-type]


def test_sums() -> None:
    records = [record(number, tries=2, limited=1) for number in range(1, 101)]
    (row,) = ledger(records, CARDS).to_pylist()
    one = (600 * 100 + 400 * 50 + 100 * 200) / 1e6
    assert (row["run"], row["shard"], row["step"], row["model"]) == ("r", 0, "q", "priced")
    assert (row["paid"], row["tries"], row["limited"], row["lost"]) == (100, 200, 100, 0)
    assert (row["prompt_tokens"], row["cached_tokens"], row["completion_tokens"]) == (100_000, 40_000, 10_000)
    assert row["cost_usd"] == pytest.approx(100 * one)
    assert row["latency_mean_s"] == pytest.approx(5.05)
    assert row["latency_p50_s"] == pytest.approx(5.1)
    assert row["latency_p95_s"] == pytest.approx(9.6)


def test_each_run_shard_step_and_model_has_its_row_in_order() -> None:
    records = [
        record(1, run="s"),
        record(2, shard=1),
        record(3, step="a"),
        record(4, model="else"),
        record(5),
    ]
    table = ledger(records, CARDS)
    assert table.schema == LEDGER
    keys = [(row["run"], row["shard"], row["step"], row["model"]) for row in table.to_pylist()]
    assert keys == sorted(keys)
    assert len(keys) == 5


def test_no_price_is_null_and_not_zero() -> None:
    (row,) = ledger([record(1, model="else")], CARDS).to_pylist()
    assert row["cost_usd"] is None


def test_a_lost_try_costs_like_the_answer() -> None:
    plain, lost = (ledger([record(1, lost=lost)], CARDS).to_pylist()[0] for lost in (0, 2))
    assert lost["cost_usd"] == pytest.approx(3 * plain["cost_usd"])
    assert lost["lost"] == 2


def test_nothing_is_an_empty_table() -> None:
    table = ledger([], CARDS)
    assert table.num_rows == 0
    assert table.schema == LEDGER
