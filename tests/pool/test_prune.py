"""Pruning: a choice that is spread as widely as can be, the same every time, and stays when the pool grows."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ultralink.errors import PoolEmpty
from ultralink.pool import prune
from ultralink.pool.prune import CLUSTERS, Choice, choose, clusters

# --- clusters -------------------------------------------------------------------------------------


def numbers(*texts: str | None) -> list[int]:
    return [int(number) for number in clusters(pa.array(texts, pa.string()))]


def test_a_cluster_is_that_of_the_word_used_most() -> None:
    beans, bean, bread, none = numbers(
        "How long do I soak dried beans? Soak the beans for a night.",
        "A bean is a seed. Which bean should I buy, and should it be soaked?",
        "Why does my bread not rise? The bread may be too cold.",
        "Is it that? Yes, it is: 3 + 5 = 8.",
    )
    assert beans == bean
    assert beans != bread
    assert none == 0


def test_of_words_used_as_often_one_and_the_same_is_taken() -> None:
    one, other = numbers("cold water kettle", "kettle water cold")
    assert one == other


@given(
    texts=st.lists(st.none() | st.text() | st.sampled_from(["bean bread", "water"]), max_size=20), cut=st.integers(1, 5)
)
def test_a_cluster_depends_on_the_text_alone(texts: list[str | None], cut: int) -> None:
    together = numbers(*texts)
    assert together == [number for text in texts for number in numbers(text)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prune, "TEXTS_PER_BATCH", cut)
        assert numbers(*texts) == together
    assert all(0 <= number < CLUSTERS for number in together)


def test_clusters_stay_from_version_to_version() -> None:
    assert numbers("garden", "triangle", "the", "") == [47, 235, 0, 0]


def test_a_slice_of_texts() -> None:
    texts = pa.array(["bread", "garden garden", "river", "bean"])
    assert list(clusters(texts.slice(1, 2))) == list(clusters(texts))[1:3]


def test_a_word_without_end() -> None:
    assert numbers("x" * 2_000_000 + " bread") == numbers("bread")


def test_topics_are_told_apart() -> None:
    draw = random.Random(5)
    vocabulary = ["".join(draw.choices("abcdefghijklmnop", k=7)) for _ in range(5000)]
    topics = [draw.sample(vocabulary, 30) for _ in range(100)]
    weights = [1 / (rank + 2) for rank in range(30)]
    of = [draw.randrange(100) for _ in range(2000)]
    texts = [" ".join(draw.choices(topics[topic], weights, k=30) + draw.choices(vocabulary, k=60)) for topic in of]
    found = clusters(pa.array(texts))
    topic = np.array(of)
    same = (topic[:, None] == topic[None, :]) & ~np.eye(len(of), dtype=bool)
    meet = found[:, None] == found[None, :]
    assert meet[same].mean() > 10 * meet[topic[:, None] != topic[None, :]].mean()


# --- choice ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pool:
    """Rows of a pool."""

    ids: list[str]
    types: list[str]
    clusters: list[int]

    def choose(self, amount: int, before: frozenset[str] = frozenset(), seed: int = 0) -> Choice:
        return choose(self.ids, self.types, np.array(self.clusters, dtype=np.int64), before, amount, seed)

    def chosen(self, amount: int, before: frozenset[str] = frozenset(), seed: int = 0) -> list[str]:
        return [self.ids[row] for row in self.choose(amount, before, seed).rows]

    def per_stratum(self, ids: list[str]) -> Counter[tuple[str, int]]:
        stratum = dict(zip(self.ids, zip(self.types, self.clusters, strict=True), strict=True))
        return Counter(stratum[each] for each in ids)

    def part(self, rows: list[int]) -> Pool:
        return Pool([self.ids[n] for n in rows], [self.types[n] for n in rows], [self.clusters[n] for n in rows])


@st.composite
def pools(draw: st.DrawFn) -> Pool:
    strata = draw(st.lists(st.tuples(st.sampled_from(["SV", "FOBAR", ""]), st.integers(0, 4)), min_size=1, max_size=40))
    return Pool(
        [f"row-{number}" for number in range(len(strata))],
        [own_type for own_type, _ in strata],
        [cluster for _, cluster in strata],
    )


@given(pool=pools(), amount=st.integers(1, 50), seed=st.integers(0, 5), data=st.data())
def test_a_chosen_row_stays_when_the_pool_grows(pool: Pool, amount: int, seed: int, data: st.DataObject) -> None:
    small = data.draw(st.lists(st.sampled_from(range(len(pool.ids))), min_size=1, unique=True))
    before = pool.part(small).chosen(amount, seed=seed)
    after = pool.chosen(amount, frozenset(before), seed)
    assert set(before) <= set(after)
    assert len(after) == len(set(after)) == min(amount, len(pool.ids))
    grown = pool.chosen(amount + 5, frozenset(before), seed)
    assert set(after) <= set(grown)


@given(pool=pools(), amount=st.integers(1, 50), data=st.data())
def test_a_choice_is_as_even_as_can_be(pool: Pool, amount: int, data: st.DataObject) -> None:
    before = frozenset(data.draw(st.lists(st.sampled_from(pool.ids), unique=True, max_size=amount)))
    chosen = pool.chosen(amount, before)
    gave, available = pool.per_stratum(chosen), pool.per_stratum(pool.ids)
    new = pool.per_stratum([each for each in chosen if each not in before])
    for giver in new:
        # Whoever has rows left has given no less than the last giver had given before its last row.
        assert all(gave[other] >= gave[giver] - 1 for other in available if available[other] > gave[other])
    if not before:
        assert len(gave) == min(amount, len(available))


@given(pool=pools(), amount=st.integers(1, 50), data=st.data())
def test_the_order_of_the_pool_does_not_matter(pool: Pool, amount: int, data: st.DataObject) -> None:
    shuffled = pool.part(data.draw(st.permutations(range(len(pool.ids)))))
    before = frozenset(data.draw(st.lists(st.sampled_from(pool.ids), unique=True)))
    assert pool.chosen(amount, before) == shuffled.chosen(amount, before)


@given(pool=pools(), less=st.integers(1, 20), more=st.integers(0, 20), data=st.data())
def test_a_smaller_amount_is_a_beginning(pool: Pool, less: int, more: int, data: st.DataObject) -> None:
    before = frozenset(data.draw(st.lists(st.sampled_from(pool.ids), unique=True)))
    assert pool.chosen(less + more, before)[:less] == pool.chosen(less, before)


@given(pool=pools(), amount=st.integers(1, 10), data=st.data())
def test_no_more_than_the_amount_of_those_chosen_before(pool: Pool, amount: int, data: st.DataObject) -> None:
    before = frozenset(data.draw(st.lists(st.sampled_from(pool.ids), unique=True, min_size=1)))
    chosen = pool.chosen(amount, before)
    assert set(chosen) <= before if len(before) >= amount else before <= set(chosen)


def test_a_seed_is_a_choice() -> None:
    pool = Pool([f"row-{number}" for number in range(200)], ["a"] * 200, [0] * 200)
    assert pool.chosen(20, seed=1) == pool.chosen(20, seed=1)
    assert set(pool.chosen(20, seed=1)) != set(pool.chosen(20, seed=2))


def test_the_report() -> None:
    pool = Pool(["a", "b", "c", "d"], ["SV", "SV", "SV", "FOBAR"], [1, 1, 2, 1])
    choice = pool.choose(3, frozenset({"a", "gone"}))
    assert choice.lost == 1
    assert choice.missing == 0
    assert [(each.type, each.cluster, each.available, each.chosen, each.before) for each in choice.strata] == [
        ("FOBAR", 1, 1, 1, 0),
        ("SV", 1, 2, 1, 1),
        ("SV", 2, 1, 1, 0),
    ]
    assert choice.said() == (
        "3 rows chosen from 3 of 3 strata (type and cluster); 1 rows chosen before are no longer in the pool"
    )


def test_a_pool_smaller_than_the_amount() -> None:
    choice = Pool(["a", "b"], ["", ""], [0, 0]).choose(11_000)
    assert sorted(choice.rows) == [0, 1]
    assert choice.missing == 10_998
    assert "the pool is 10998 short of the 11000 asked for" in choice.said()


def test_what_cannot_be_chosen_from() -> None:
    with pytest.raises(PoolEmpty, match="no row to choose from"):
        Pool([], [], []).choose(5)
    with pytest.raises(ValueError, match="amount 0"):
        Pool(["a"], [""], [0]).choose(0)
    with pytest.raises(ValueError, match="twice"):
        Pool(["a", "a"], ["", ""], [0, 0]).choose(1)
    with pytest.raises(ValueError, match="as many of each"):
        choose(["a"], [], np.array([0]), [], 1, 0)
