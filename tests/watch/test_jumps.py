"""Jumps: what stands out from the nights before, and what does not."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ultralink.pool.row import Kind
from ultralink.recipe import Jump
from ultralink.stages.edition import PoolStatistics, pool_statistics_path
from ultralink.stages.statistics import Statistics, Subset, sound_statistics, statistics_path
from ultralink.store import Store
from ultralink.watch.jumps import EDITION, Jumped, editions_before, jumps, nights_before
from ultralink.watch.pool import EditionFigures

RULES = Jump()


def night(
    samples: int = 90,
    rejects: int = 10,
    cost: float | None = 0.9,
    date: str = "2026-11-10",
    math: tuple[int, int] = (0, 0),
) -> Statistics:
    return Statistics(
        language="fr", date=date, articles=9, passages=9,
        subsets={
            "chat_specific": Subset(samples=samples, turns=samples, rejects={"leak: said 'text'": rejects}),
            "math": Subset(samples=math[0], turns=math[0], rejects={"numbers: lost": math[1]}),
        },
        pool=None, calls=5, prompt_tokens=1, cached_tokens=0, completion_tokens=1, cost_usd=cost,
        models=["m"], outputs={},
    )  # fmt: skip


def test_a_night_like_the_others_is_no_news() -> None:
    assert jumps(night(), [night()] * 7, RULES) == []
    assert jumps(night(100, 0), [night()] * 7, RULES) == []  # better is no alarm
    assert jumps(night(80, 20), [night()] * 7, RULES) == []  # ten points are not fifteen


def test_more_rejects_are_told_with_their_reason() -> None:
    (found,) = jumps(night(70, 30), [night()] * 7, RULES)
    assert found.what == "reject rate of chat_specific"
    assert (found.now, found.usual) == (pytest.approx(0.3), pytest.approx(0.1))
    assert "30% of the rows of chat_specific were rejected (30 of 100)" in found.sentence
    assert "leak: said 'text' (30)" in found.sentence


def test_one_small_subset_that_goes_wrong_is_seen_in_spite_of_the_rest() -> None:
    before = [night(900, 100, math=(20, 0))] * 7
    (found,) = jumps(night(900, 100, math=(0, 20)), before, RULES)
    assert found.what == "reject rate of math"


def test_a_night_without_any_sample_is_told() -> None:
    (found,) = jumps(night(0, 100, cost=1.0), [night()] * 7, RULES)
    assert found.now == 1.0


def test_a_sample_that_costs_more_is_told() -> None:
    (found,) = jumps(night(cost=1.4), [night()] * 7, RULES)
    assert found.what == "cost per sample"
    assert found.usual == pytest.approx(0.01)
    assert jumps(night(cost=1.3), [night()] * 7, RULES) == []


def test_one_odd_night_before_does_not_hide_it() -> None:
    assert jumps(night(70, 30), [night(1, 99), *[night()] * 6], RULES)


@pytest.mark.parametrize(
    ("tonight", "before", "rules"),
    [
        (night(70, 30), [night()] * 2, RULES),  # too few nights
        (night(1, 8), [night()] * 7, RULES),  # too few rows
        (night(70, 30), [night(1, 1)] * 7, RULES),  # too few rows in the others
        (night(70, 30), [night()] * 7, Jump(reject_rate=None)),
        (night(cost=9.0), [night()] * 7, Jump(cost_per_sample=None)),
        (night(cost=None), [night()] * 7, RULES),  # a price is not known
        (night(cost=9.0), [night(cost=None)] * 7, RULES),
        (night(cost=9.0), [night(cost=0.0)] * 7, RULES),  # it was free
    ],
)
def test_what_cannot_be_compared_is_left_alone(tonight: Statistics, before: list[Statistics], rules: Jump) -> None:
    assert jumps(tonight, before, rules) == []


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 200), st.none() | st.floats(0, 99)), max_size=9))
def test_any_history_can_be_compared(history: list[tuple[int, int, float | None]]) -> None:
    nights = [night(*each) for each in history]
    for tonight in nights[:2]:
        for jump in jumps(tonight, nights, RULES):
            assert jump.now > jump.usual


def test_the_nights_before_are_the_last_ones_before_this_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.at(str(tmp_path))
    read: list[str] = []

    def counted(store: Store, language: str, date: str) -> Statistics | None:
        read.append(date)
        return sound_statistics(store, language, date)

    monkeypatch.setattr("ultralink.watch.jumps.sound_statistics", counted)
    assert nights_before(store, "fr", "2026-11-10", 3) == []
    for day in range(1, 13):
        made = night(date=f"2026-11-{day:02}")
        store.write_text(statistics_path(store, "fr", made.date), made.model_dump_json())
    assert [each.date for each in nights_before(store, "fr", "2026-11-10", 3)] == [
        "2026-11-09",
        "2026-11-08",
        "2026-11-07",
    ]
    assert read == ["2026-11-09", "2026-11-08", "2026-11-07"]  # of years of nights, no more than that


# --- editions of the pool -------------------------------------------------------------------------


def edition(
    chats: int = 50, screened: int = 10, rest: int = 40, cost: float | None = 0.3, date: str = "2026-11-10"
) -> PoolStatistics:
    rows = {Kind.CHAT: chats, Kind.MATH: 100, Kind.CODE: 100}
    return PoolStatistics(
        date=date, run="r", changed=True, digest="d", rows=rows, clusters=dict.fromkeys(Kind, 1),
        rejects={"screen: place": screened, "duplicate": rest}, calls=60, prompt_tokens=1, cached_tokens=0,
        completion_tokens=1, cost_usd=cost, outputs={},
    )  # fmt: skip


def edition_jumps(tonight: PoolStatistics, before: list[PoolStatistics]) -> list[Jumped]:
    return jumps(EditionFigures(tonight), [EditionFigures(each) for each in before], RULES, EDITION)


def test_an_edition_like_the_others_is_no_news() -> None:
    assert edition_jumps(edition(), [edition()] * 5) == []


def test_a_screen_that_turns_more_away_is_seen_in_spite_of_the_rows_that_it_never_sees() -> None:
    (found,) = edition_jumps(edition(chats=30, screened=30), [edition()] * 5)
    assert found.what == "reject rate of the screen"
    assert "50% of the rows of the screen were rejected (30 of 60); the median of the 5 editions" in found.sentence
    assert "screen: place (30)" in found.sentence


def test_more_duplicates_are_seen_too() -> None:
    (found,) = edition_jumps(edition(rest=200), [edition()] * 5)
    assert found.what == "reject rate of cleaning and duplicates"


def test_a_row_that_costs_more_is_told_and_editions_that_paid_for_nothing_are_no_measure() -> None:
    (found,) = edition_jumps(edition(cost=0.6), [*[edition()] * 3, *[edition(cost=0.0)] * 4])
    assert found.what == "cost per row"
    assert "A row cost 0.00240 USD (0.6000 USD for 250 rows, 60 calls)" in found.sentence
    assert edition_jumps(edition(cost=0.6), [*[edition()] * 2, *[edition(cost=0.0)] * 5]) == []


def test_the_editions_before_are_the_complete_sound_ones(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    assert editions_before(store, "2026-11-10", 3) == []
    for day in range(1, 13):
        made = edition(date=f"2026-11-{day:02}")
        store.write_text(pool_statistics_path(store, made.date), made.model_dump_json())
    store.write_text(pool_statistics_path(store, "2026-11-08"), "not JSON")
    found = [each.statistics.date for each in editions_before(store, "2026-11-10", 3)]
    assert found == ["2026-11-09", "2026-11-07", "2026-11-06"]
