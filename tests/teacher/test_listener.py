"""Listening to a task's spending: levels of the budget once each, what was paid for exactly."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.teacher.fake_teacher import CARDS, Asked, Reply, good, opened, say

from ultralink.errors import BudgetExceeded
from ultralink.teacher.budget import Budget, Purse, Spending
from ultralink.teacher.listener import Spent
from ultralink.teacher.record import Usage
from ultralink.teacher.tally import Counts


class Heard:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.levels: list[Spent] = []
        self.sums: dict[str, Counts] = {}
        self.latencies: list[float] = []

    def paid(self, model: str, paid: Counts, latencies_s: Sequence[float]) -> None:
        known = self.sums.setdefault(model, Counts())
        for name in Counts.__slots__:
            setattr(known, name, getattr(known, name) + getattr(paid, name))
        self.latencies += latencies_s

    def spent(self, spent: Spent) -> None:
        self.levels.append(spent)


def spend(purse: Purse, *tokens: int) -> None:
    async def main() -> None:
        for each in tokens:
            hold = await purse.reserve("priced", Usage(each, 0, 0))
            hold.settle(Usage(each, 0, 0), 0)

    asyncio.run(main())


def test_each_level_is_told_once() -> None:
    heard = Heard()
    purse = Purse(Budget(tokens=100), CARDS, Spending(), heard)
    spend(purse, 70, 9)
    assert heard.levels == []
    spend(purse, 1, 10, 5)
    assert [told.level for told in heard.levels] == [0.8]
    assert (heard.levels[0].tokens, heard.levels[0].tokens_cap) == (80, 100)
    spend(purse, 5)
    assert [told.level for told in heard.levels] == [0.8, 1.0]


def test_no_room_for_the_next_call_is_the_end() -> None:
    heard = Heard()
    purse = Purse(Budget(usd=1.0), CARDS, Spending(), heard)
    with pytest.raises(BudgetExceeded):
        spend(purse, 6_000, 6_000)
    assert [told.level for told in heard.levels] == [1.0]
    assert heard.levels[0].usd == pytest.approx(0.6)


def test_what_earlier_attempts_have_spent_counts() -> None:
    heard = Heard()
    Purse(Budget(tokens=100), CARDS, Spending(tokens=85), heard)
    assert [told.level for told in heard.levels] == [0.8]


@pytest.mark.parametrize("budget", [Budget(), Budget(usd=0.0), Budget(tokens=0)])
def test_without_a_cap_or_with_a_cap_of_nothing_nothing_is_near(budget: Budget) -> None:
    heard = Heard()
    Purse(budget, CARDS, Spending(5.0, 500), heard)
    assert heard.levels == []


def test_what_is_paid_is_told_to_the_last_token(tmp_path: Path) -> None:
    heard = Heard()

    def script(asked: Asked) -> Reply:
        return good("fine", prompt=100, completion=10)

    async def main() -> None:
        async with opened(script, str(tmp_path), listener=heard) as (ask, _):
            await asyncio.gather(*(ask("step", say(str(number))) for number in range(500)))
            await ask("step", say("3"))  # replayed: paid for once

    asyncio.run(main())
    sums = heard.sums["priced"]
    assert (sums.paid, sums.prompt_tokens, sums.completion_tokens) == (500, 50_000, 5_000)
    assert sums.cost_usd == pytest.approx(500 * (100 * 100 + 10 * 200) / 1e6)
    assert 100 <= len(heard.latencies) <= 500


def test_what_a_failed_task_has_paid_is_told_too(tmp_path: Path) -> None:
    heard = Heard()

    async def main() -> None:
        async with opened(lambda _: good("fine", prompt=30, completion=5), str(tmp_path), listener=heard) as (ask, _):
            await ask("step", say("one"))
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        asyncio.run(main())
    assert heard.sums["priced"].paid == 1
