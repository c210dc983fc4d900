"""A changed operator, operand or percent is found; words, units and notation around the arithmetic are not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ultralink.translation.operators import changed_operators

KEPT = [
    ("$20 * 3 = $60", "20 долларов * 3 = 60 долларов"),
    ("$20 * 3 = $60", "20美元×3＝60美元"),
    ("1,250 * 0.04 = 50", "1\u202f250 × 0,04 = 50"),
    ("5 million * 2 = 10 million", "500万 × 2 = 1000万"),
    ("10 - 5 = 5", "10 – 5 = 5"),
    ("(3 + 4) x 5 = 35", "(3 + 4) × 5 = 35"),
    ("x <= 5 and y >= 7", "x ≤ 5, y ≥ 7"),
    ("2x + 3y = 12", "2x+3y=12"),
    ("2**3 and x^2", "2^3, x²"),
    ("20% of it, 5 percent more", "它的百分之20，再多5%"),
    ("20% of it", "20 процентов"),
    ("20% of it", "20 por ciento"),
    ("10% or 20%", "10 ou 20 %"),
    # no arithmetic, or none that has to stay
    ("3/4 of a cup", "trois quarts de tasse"),
    ("a 5-year plan, 2010-2012, the x-axis", "план на 5 лет, 2010–2012 — ось x"),
    ("10 - 15 minutes", "10至15分钟"),
    ("on 2024-01-15 and 12/05/2024", "15.01.2024, 5 декабря 2024"),
    ("and/or, he/she, 60 km/h", "и/или, он/она, 60 км/ч"),
    ("a 4x4 grid", "сетка 4 на 4"),
    ("- 5 apples\n* 3 pears", "– 5 яблок\n• 3 груши"),
    ("the value *x* is **5**", "значение x равно 5"),
    ("x -> 5", "x стремится к 5"),
    ("x equals 5", "x = 5"),
]
CHANGED = [
    ("16 + 3 = 19", "16 - 3 = 19"),
    ("5 * 4 = 20", "5 ÷ 4 = 20"),
    ("x < 5 and y > 7", "x > 5 e y < 7"),
    ("a = b + c", "a = b - c"),
    ("2x + 3y", "2y + 3x"),
    ("3/4 of it", "4/3 de ello"),
    ("2^10 + 3^4", "10^2 + 4^3"),
    ("(3 + 4) x 5 = 35", "(3 x 4) + 5 = 35"),
    ("up 20%", "subió 20"),
    ("$20 and 10%", "20% y $10"),
    ("a 4x4 grid", "4 + 4"),
    ("He has 8.", "2 + 6 = 8."),
]


@pytest.mark.parametrize(("source", "translated"), KEPT)
def test_the_same_arithmetic_is_found_again(source: str, translated: str) -> None:
    assert changed_operators(source, translated) == ()


@pytest.mark.parametrize(("source", "translated"), CHANGED)
def test_other_arithmetic_is_found(source: str, translated: str) -> None:
    assert changed_operators(source, translated)


@given(st.text(alphabet="0123456789.,x y+-*/=<>^%()$⟦⟧\n", max_size=150), st.text(max_size=60))
def test_every_text_has_its_own_arithmetic(source: str, other: str) -> None:
    changed_operators(source, other)
    changed_operators(other, source)


@pytest.mark.parametrize(
    "piece", ["1 + ", "1+1 ", "1-", "1,", "9", "x", "x = ", "1 и ", "-", "*", "< ", "1 % ", "1 111"]
)
def test_a_long_hostile_text_is_read_in_linear_time(piece: str) -> None:
    text = piece * 20_000  # were the time quadratic, this would take minutes
    changed_operators(text, text + " 7 + 7")
