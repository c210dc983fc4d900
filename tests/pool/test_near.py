"""Duplicates: the first row stays, whatever comes later and looks like it goes, and nothing else."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.pool.sources import row

from ultralink.pool.near import PERMUTATIONS, NearDuplicates, bands
from ultralink.pool.recipe import NearDuplicateRules
from ultralink.pool.row import EnglishRow, Kind

WORDS = [
    f"{syllable}{ending}"
    for syllable in ("ba", "de", "fi", "go", "hu", "ka", "le", "mi", "no", "pu")
    for ending in "rstnlm"
]


def text(draw: random.Random, words: int = 120) -> list[str]:
    return [draw.choice(WORDS) + str(draw.randrange(50)) for _ in range(words)]


def changed(words: list[str], share: float, draw: random.Random) -> list[str]:
    places = set(draw.sample(range(len(words)), round(share * len(words))))
    return [f"new{draw.random()}" if place in places else word for place, word in enumerate(words)]


def chat(words: list[str], name: str = "sample") -> EnglishRow:
    half = len(words) // 2
    return row(" ".join(words[:half]) + "?", " ".join(words[half:]) + ".", name=name)


def verdicts(rows: list[EnglishRow], rules: NearDuplicateRules | None = None) -> list[str | None]:
    seen = NearDuplicates(rules or NearDuplicateRules())
    return [seen.of(each) for each in rows]


def test_the_first_stays() -> None:
    draw = random.Random(1)
    words = text(draw)
    first, again, other = chat(words), chat(changed(words, 0.03, draw), "later"), chat(text(draw))
    assert verdicts([first, again, other]) == [None, first.id, None]
    assert verdicts([again, other, first]) == [None, None, again.id]


def test_a_duplicate_of_a_duplicate_names_the_row_that_stayed() -> None:
    draw = random.Random(2)
    words = text(draw, 400)
    first, second, third = chat(words), chat(changed(words, 0.02, draw)), chat(changed(words, 0.02, draw))
    assert verdicts([first, second, third]) == [None, first.id, first.id]


@pytest.mark.parametrize(
    "other", ["how do  I boil an egg?\n", "HOW DO I BOIL AN EGG?", "\uff28ow do I boil an egg?"], ids=ascii
)
def test_exact_but_for_case_width_and_space(other: str) -> None:
    first, again = row("How do I boil an egg?", "In water."), row(other, "In water.", name="later")
    assert verdicts([first, again]) == [None, first.id]


def test_the_same_row_of_two_sources() -> None:
    assert verdicts([row("How?", "So.", name="one"), row("How?", "So.", name="two")])[1] is not None


def test_short_rows_that_differ_in_a_word_or_sign() -> None:
    rows = [row("What is 3 + 5?", "8"), row("What is 3 * 5?", "15"), row("What is 3 - 5?", "-2"), row("Hi", "Ho")]
    assert verdicts(rows) == [None] * 4


def test_rows_without_any_word() -> None:
    assert verdicts([row("?", "!"), row("...", "!!"), row("?", "!")])[0] is None


def test_code_is_compared_too() -> None:
    body = "\n".join(f"    total_{number} = values[{number}] * {number}" for number in range(40))
    first = row("Write it.", f"def f(values):\n{body}", kind=Kind.CODE)
    second = row("Write it.", f"def g(values):\n{body}", kind=Kind.CODE)
    assert verdicts([first, second]) == [None, first.id]


@pytest.mark.parametrize(("share", "least", "most"), [(0.02, 0.99, 1.0), (0.04, 0.9, 1.0), (0.15, 0.0, 0.02)])
def test_how_many_are_found(share: float, least: float, most: float) -> None:
    """Of 150 words 2, 4 and 15 in a hundred are others: similarities of 0.89, 0.79 and 0.44 on average."""
    draw = random.Random(3)
    texts = [text(draw, 150) for _ in range(400)]
    rows = [chat(words) for words in texts] + [chat(changed(words, share, draw)) for words in texts]
    found = verdicts(rows)
    assert found[:400] == [None] * 400
    right = [each == original.id for each, original in zip(found[400:], rows[:400], strict=True) if each]
    assert all(right)
    assert least <= len(right) / 400 <= most


def test_the_threshold_is_the_recipes() -> None:
    draw = random.Random(4)
    words = text(draw, 300)
    rows = [chat(words), chat(changed(words, 0.08, draw))]  # similarity about 0.64
    assert verdicts(rows, NearDuplicateRules(threshold=0.5))[1] is not None
    assert verdicts(rows, NearDuplicateRules(threshold=0.8))[1] is None


@given(
    texts=st.lists(
        st.lists(st.sampled_from(["a", "b", "c d e", "x+y", "été", "1.5", "```"]), min_size=1, max_size=9), max_size=12
    )
)
def test_reading_again_says_the_same(texts: list[list[str]]) -> None:
    rows = [row(" ".join(words), "Yes.", name=f"s{number}") for number, words in enumerate(texts)]
    first = verdicts(rows)
    assert first == verdicts(rows)
    kept = [each for each, earlier in zip(rows, first, strict=True) if earlier is None]
    assert verdicts(kept) == [None] * len(kept)  # nothing that stayed is a duplicate
    assert all(earlier is None or earlier in {each.id for each in kept} for earlier in first)


def test_bands() -> None:
    for threshold in (0.3, 0.5, 0.7, 0.8, 0.9, 1.0):
        number = bands(threshold)
        assert PERMUTATIONS % number == 0
        assert 1 - (1 - threshold ** (PERMUTATIONS // number)) ** number >= 0.9
    assert bands(0.7) == 20
