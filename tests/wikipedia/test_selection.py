"""choose: disjoint slices, the same ones again, whatever the order; and its rows."""

from __future__ import annotations

import itertools
import random
import tracemalloc
from collections.abc import Iterator

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ultralink.errors import SelectionEmpty
from ultralink.schemas import SELECTION
from ultralink.wikipedia.article import Candidate
from ultralink.wikipedia.selection import Chosen, Draw, choose, selected, selection_rows

revisions = st.none() | st.integers(1, 9)
candidates = st.builds(
    lambda page_id, revision_id: Candidate(page_id, f"Title {page_id}", revision_id),
    st.integers(-5, 40),
    revisions,
)
wikis = st.lists(candidates, min_size=1, max_size=60, unique_by=lambda candidate: candidate.page_id)
earlier_nights = st.sets(st.tuples(st.integers(-5, 40), revisions), max_size=30)


def taken(night: list[Candidate]) -> set[Chosen]:
    return {(candidate.page_id, candidate.revision_id) for candidate in night}


@given(wikis, st.integers(1, 10), st.integers(), st.booleans())
def test_nights_are_disjoint_and_together_the_whole_wiki(
    wiki: list[Candidate], amount: int, seed: int, drawn: bool
) -> None:
    earlier: set[Chosen] = set()
    nights: list[list[Candidate]] = []
    while night := choose(Draw(wiki) if drawn else wiki, earlier, amount, seed):
        nights.append(night)
        earlier |= taken(night)
    assert sorted(itertools.chain(*nights), key=lambda c: c.page_id) == sorted(wiki, key=lambda c: c.page_id)
    assert all(len(night) == amount for night in nights[:-1])


@given(wikis, earlier_nights, st.integers(1, 70), st.integers(), st.randoms())
def test_neither_order_nor_repetition_matters(
    wiki: list[Candidate], earlier: set[Chosen], amount: int, seed: int, order: random.Random
) -> None:
    shuffled = [*wiki, *order.sample(wiki, len(wiki) // 2)]
    order.shuffle(shuffled)
    assert choose(shuffled, earlier, amount, seed) == choose(wiki, earlier, amount, seed)


@given(wikis, earlier_nights, st.integers(1, 70), st.booleans())
def test_an_earlier_page_comes_again_only_when_it_has_changed(
    wiki: list[Candidate], earlier: set[Chosen], amount: int, drawn: bool
) -> None:
    chosen = choose(Draw(wiki) if drawn else wiki, earlier, amount, 0)
    before = {page_id: {rev for page, rev in earlier if page == page_id} for page_id, _ in earlier}
    new = {
        candidate
        for candidate in wiki
        if candidate.page_id not in before
        or (not before[candidate.page_id] & {None, candidate.revision_id} and candidate.revision_id is not None)
    }
    assert set(chosen) <= new
    assert len(chosen) == len(set(chosen)) == min(amount, len(new))


@given(wikis, earlier_nights, st.integers(1, 20))
def test_a_larger_night_begins_with_the_smaller(wiki: list[Candidate], earlier: set[Chosen], amount: int) -> None:
    assert choose(wiki, earlier, amount + 5, 0)[:amount] == choose(wiki, earlier, amount, 0)


def test_a_page_met_at_two_revisions_counts_once_at_the_later() -> None:
    wiki = [Candidate(1, "Old", 4), Candidate(2, "Other", 3), Candidate(1, "New", 5)]
    for order in itertools.permutations(wiki):
        assert sorted(choose(order, set(), 3, 0), key=lambda c: c.page_id) == [wiki[2], wiki[1]]


def test_seeds_give_different_nights_and_no_page_is_favoured() -> None:
    wiki = [Candidate(page_id, str(page_id), 1) for page_id in range(50)]
    times = [0] * 50
    for seed in range(2000):
        for candidate in choose(wiki, set(), 5, seed):
            times[candidate.page_id] += 1
    assert sum(times) == 10_000
    assert 140 < min(times) <= max(times) < 260  # 200 expected, standard deviation 13


def test_a_golden_choice_never_changes() -> None:
    wiki = [Candidate(page_id, str(page_id), 1) for page_id in range(1000)]
    assert [candidate.page_id for candidate in choose(wiki, set(), 5, 7)] == [821, 437, 162, 265, 354]


def test_nothing_new_is_an_empty_night_but_nothing_at_all_is_an_error() -> None:
    page = Candidate(1, "Only", 2)
    assert choose([page], {(1, 2)}, 3, 0) == []
    assert choose(Draw([page]), {(1, 2)}, 3, 0) == []
    with pytest.raises(SelectionEmpty, match="no article at all"):
        choose([], {(1, 2)}, 3, 0)
    with pytest.raises(SelectionEmpty, match="no article at all"):
        choose(Draw([]), {(1, 2)}, 3, 0)


def test_a_draw_is_read_no_further_than_needed() -> None:
    endless = (Candidate(page_id, str(page_id), 1) for page_id in itertools.count())
    assert [c.page_id for c in choose(Draw(endless), {(1, 1)}, 3, 0)] == [0, 2, 3]
    assert next(endless).page_id == 4


def test_memory_does_not_grow_with_the_wiki() -> None:
    def wiki(size: int) -> Iterator[Candidate]:
        return (Candidate(page_id, f"Title {page_id}", 1) for page_id in range(size))

    peaks = []
    for size in (2_000, 60_000):
        tracemalloc.start()
        choose(wiki(size), set(), 100, 0)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 2 * peaks[0]


@pytest.mark.parametrize("amount", [0, -1])
def test_a_night_of_nothing_is_a_mistake(amount: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        choose([Candidate(1, "Only", 2)], set(), amount, 0)


@given(wikis)
def test_rows_fit_the_stage_and_come_back(wiki: list[Candidate]) -> None:
    rows = pa.Table.from_pylist(selection_rows(wiki), schema=SELECTION.schema).to_pylist()
    assert [row["position"] for row in rows] == list(range(len(wiki)))
    assert [selected(row) for row in rows] == wiki


@pytest.mark.parametrize("row", [{}, {"page_id": "1", "title": "Only", "revision_id": None}])
def test_a_foreign_row_is_refused(row: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="not a row of the selection stage"):
        selected(row)
