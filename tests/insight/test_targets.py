"""Totals, pace and the date at which a target is reached."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.insight.made_nights import night

from ultralink.insight.targets import progress, target_of
from ultralink.recipe import load_recipe

TODAY = date(2026, 11, 23)
FRENCH = load_recipe("fr")


def of(subset: str, nights: list) -> object:
    return next(each for each in progress(FRENCH, nights, TODAY) if each.subset == subset)


def days(amount: int, *, step: int = 1) -> list[str]:
    return [(TODAY - timedelta(days=step * back)).isoformat() for back in range(amount, 0, -1)]


def test_a_target_is_reached_at_the_pace_of_the_last_seven_nights() -> None:
    slow = [night("fr", day, math=10) for day in days(30)[:20]]
    fast = [night("fr", day, math=300, rejects={"math": {"numbers: lost": 20}}) for day in days(30)[20:]]
    math = of("math", [*fast, *slow])
    assert (math.samples, math.taken, math.target) == (3200, 3400, 32_000)
    assert math.per_night == 320
    assert math.reached == TODAY + timedelta(days=90)  # 28,600 rows more, rounded up
    assert math.share == pytest.approx(3400 / 32_000)


def test_nights_that_are_missing_slow_the_pace() -> None:
    math = of("math", [night("fr", day, math=100) for day in days(10, step=2)])
    assert math.per_night == pytest.approx(400 / 7)  # four of seven nights


def test_a_single_night_is_its_own_pace() -> None:
    assert of("math", [night("fr", "2026-11-01", math=64)]).per_night == 64


def test_without_nights_there_is_no_date() -> None:
    assert [each.reached for each in progress(FRENCH, [], TODAY)] == [None] * 4


def test_a_reached_target_needs_no_date() -> None:
    math = of("math", [night("fr", day, math=8_000) for day in days(4)])
    assert math.is_reached
    assert math.share == 1
    assert math.reached is None


def test_dialogues_have_the_papers_range_instead_of_a_target() -> None:
    dialogues = of("chat_specific", [night("fr", "2026-11-22", chat_specific=250)])
    assert dialogues.target is None
    assert dialogues.reached is None
    assert dialogues.orientation == (30_000, 37_000)
    assert dialogues.samples_per_night == 250


def test_a_language_without_translation_has_no_target() -> None:
    alone = FRENCH.model_copy(update={"translation": None})
    assert target_of(alone, "math") is None
    assert target_of(load_recipe("en"), "math") is not None


def test_a_date_beyond_the_calendar_is_none() -> None:
    agnostic = FRENCH.agnostic.model_copy(update={"math": FRENCH.agnostic.math.model_copy(update={"budget": 10**12})})
    endless = FRENCH.model_copy(update={"agnostic": agnostic})
    nights = [night("fr", "2026-11-22", math=1)]
    assert next(each for each in progress(endless, nights, TODAY) if each.subset == "math").reached is None


@given(st.lists(st.integers(0, 400), min_size=1, max_size=30))
def test_the_projected_date_is_when_the_target_is_met(counts: list[int]) -> None:
    nights = [night("fr", day, code=count) for day, count in zip(days(len(counts)), counts, strict=True)]
    code = of("code", nights)
    if code.reached is not None:
        wait = (code.reached - TODAY).days
        assert code.taken + wait * code.per_night >= 16_000 - 1e-6
        assert code.taken + (wait - 1) * code.per_night < 16_000
