"""Spend goes by the day on which it was paid."""

from __future__ import annotations

from tests.insight.made_nights import night

from ultralink.insight.spending import spend_by_month
from ultralink.teacher.models import load_models
from ultralink.teacher.record import Record, Usage
from ultralink.teacher.spending import Spending


def test_a_backfill_of_last_year_is_paid_this_month() -> None:
    old = night("fr", "2025-03-01", cost=5.0).model_copy(update={"paid_usd": {"2026-10-31": 2.0, "2026-11-01": 3.0}})
    new = night("fr", "2026-11-02", cost=1.5).model_copy(update={"paid_usd": {"2026-11-03": 1.5}})
    months = spend_by_month([old, new])
    assert [(each.month, each.usd, each.nights) for each in months.values()] == [
        ("2026-11", 4.5, 2),
        ("2026-10", 2.0, 1),
    ]


def test_a_night_that_does_not_say_when_counts_in_its_own_month() -> None:
    months = spend_by_month([night("fr", "2026-09-01", cost=5.0)])
    assert (months["2026-09"].usd, months["2026-09"].undated) == (5.0, 1)


def test_what_has_no_price_is_told() -> None:
    months = spend_by_month([night("fr", "2026-09-01", cost=None), night("zh", "2026-09-02", cost=0.0)])
    assert (months["2026-09"].usd, months["2026-09"].unpriced, months["2026-09"].undated) == (0.0, 1, 0)


def test_answers_are_summed_by_their_day() -> None:
    cards = load_models()
    model = next(name for name in ("gpt-4o-mini", "gpt-4o", "gpt-4.1-mini") if cards.find(name))

    def record(created: str, name: str = model) -> Record:
        usage = Usage(prompt=1_000_000, completion=0)
        return Record(
            key="00", text="", finish_reason="stop", model=name, served=name, usage=usage, latency_s=1.0,
            created=created, run="r", shard=0, step="s",
        )  # fmt: skip

    spending = Spending(cards)
    records = [record("2026-10-31T23:59:59.9"), record("2026-11-01T00:00:00.0"), record("2026-11-01T09:00:00.0")]
    assert list(spending.counted([*records, record("2026-11-02T00:00:00.0", "no-such-model")]))[:3] == records
    first, second = spending.by_day.items()
    assert (first[0], second[0]) == ("2026-10-31", "2026-11-01")
    assert second[1] == 2 * first[1] == 2 * cards.cost(records[0])  # type: ignore[operator]
