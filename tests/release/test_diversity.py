"""Lexical diversity against hand-computed values and plain implementations; words of many scripts."""

from __future__ import annotations

from collections import Counter
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ultralink.release.diversity import DRAWS, effective_number, hdd, mtld
from ultralink.release.sample import ROWS, chosen_rows
from ultralink.release.segment import words

texts = st.lists(st.sampled_from("abcdefghijklmnopqrstuvwxyz"), min_size=1, max_size=300)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a a", 2.0),  # one factor of two words
        ("a b a b", 4.0),  # a factor after three words; the rest has no partial factor
        ("a b c a", 4 / ((1 - 0.75) / 0.28)),  # no factor, a partial one of 0.893
        ("a b c d e", 5.0),  # nothing repeats: its length
        ("a a b b c d", (6 / 2 + 6 / 1) / 2),  # two factors forward, one backward
    ],
)
def test_mtld_of_short_texts_is_as_computed_by_hand(text: str, expected: float) -> None:
    assert mtld(text.split()) == pytest.approx(expected)


def test_a_factor_ends_at_exactly_the_threshold() -> None:
    eighteen = [f"w{number}" for number in range(18)]
    assert mtld([*eighteen, *eighteen[:7]]) == pytest.approx(25)  # 18 / 25 is 0.72, both ways


@given(texts)
def test_mtld_equals_a_plain_implementation(text: list[str]) -> None:
    def one_way(rest: list[str]) -> float:
        length, factors = len(rest), 0.0
        while rest:
            for end in range(1, len(rest) + 1):
                if len(set(rest[:end])) / end <= 0.72:
                    factors += 1
                    rest = rest[end:]
                    break
            else:
                factors += (1 - len(set(rest)) / len(rest)) / (1 - 0.72)
                rest = []
        return length / factors if factors else length

    assert mtld(text) == pytest.approx((one_way(text) + one_way(text[::-1])) / 2)


@given(st.lists(st.sampled_from("abcdefghijklmnop"), min_size=DRAWS, max_size=400))
def test_hdd_equals_the_exact_hypergeometric_chance(text: list[str]) -> None:
    total = len(text)
    exact = sum(1 - comb(total - times, DRAWS) / comb(total, DRAWS) for times in Counter(text).values()) / DRAWS
    assert hdd(text) == pytest.approx(exact, abs=1e-9)


def test_hdd_at_its_ends() -> None:
    assert hdd(["a"] * 100) == pytest.approx(1 / DRAWS)
    assert hdd([str(number) for number in range(100)]) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="41 words"):
        hdd(["a"] * 41)
    with pytest.raises(ValueError, match="no words"):
        mtld([])


def test_the_effective_number_counts_equal_things_and_discounts_rare_ones() -> None:
    assert effective_number([5, 5, 5, 5]) == pytest.approx(4)
    assert effective_number([7]) == pytest.approx(1)
    assert effective_number([]) == 0
    assert 1 < effective_number([1000, 1]) < 1.02


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("L'été, aujourd'hui : 12 vols !", "fr", ["l'été", "aujourd'hui", "vols"]),
        ("re\u0301sume\u0301", "fr", ["re\u0301sume\u0301"]),  # decomposed accents stay with their letters
        ("हिन्दी भाषा", "hi", ["हिन्दी", "भाषा"]),
        ("Привет, мир — 2026!", "ru", ["привет", "мир"]),
        ("서울의 역사", "ko", ["서울의", "역사"]),
        ("北京大学的学生。2026", "zh", ["北京大学", "的", "学生"]),
        ("12 + 3 = 15", "en", []),
        ("日本語の文章です", "ja", None),
        ("ภาษาไทย", "th", None),
        ("漢字だけ", "yue", None),
    ],
)
def test_words_of_many_scripts(text: str, language: str, expected: list[str] | None) -> None:
    assert words(text, language) == expected


def test_the_draw_of_rows_is_fixed_whole_for_few_and_from_several_places_for_many() -> None:
    few = {"2026-11-01": np.arange(40), "2026-11-02": np.arange(300, 500)}
    assert {date: rows.tolist() for date, rows in chosen_rows("fr", few).items()} == {
        date: rows.tolist() for date, rows in few.items()
    }
    many = {f"2026-11-{day:02d}": np.arange(0, 20_000, 2) for day in range(1, 4)}
    drawn = chosen_rows("fr", many)
    assert sum(map(len, drawn.values())) == ROWS
    assert len(drawn) == 3
    assert all(set(rows.tolist()) <= set(many[date].tolist()) for date, rows in drawn.items())
    assert all((np.diff(rows) > 0).all() for rows in drawn.values())
    again = chosen_rows("fr", dict(reversed(many.items())))
    assert {date: rows.tolist() for date, rows in again.items()} == {d: rows.tolist() for d, rows in drawn.items()}
    assert chosen_rows("fr", {}) == {}
