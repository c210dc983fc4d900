"""Words: what counts as one unit in which script, and what is no difference between two texts."""

from __future__ import annotations

import re
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ultralink.release.words import is_unspaced, normalised, units


def of(text: str) -> list[str]:
    return units(normalised(text))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The well-known Café, isn't it?", ["the", "well", "-", "known", "café", "isn", "t", "it"]),
        ("Straße 12.5", ["strasse", "12", "5"]),
        ("Привет, мир", ["привет", "мир"]),
        ("हिन्दी में है", ["हिन्दी", "में", "है"]),
        ("مُدَرِّس جديد", ["مُدَرِّس", "جديد"]),
        ("한국어 문장", ["한국어", "문장"]),
        ("关于《红楼梦》，有12.5 GB。", ["关", "于", "红", "楼", "梦", "有", "12", "5", "gb"]),
        ("用Python写代码", ["用", "python", "写", "代", "码"]),
        ("カタカナー、です", ["カ", "タ", "カ", "ナ", "ー", "で", "す"]),
        ("ที่นี่ 123", ["ที่", "นี่", "123"]),
        ("ລາວ", ["ລ", "າ", "ວ"]),
        ("မြန်", ["မြ", "န်"]),
        ("ភាសា", ["ភា", "សា"]),
        ("𠀀𠀁", ["𠀀", "𠀁"]),
        ("x_1 = 3*5^2 + a/b;", ["x_1", "=", "3", "5", "^", "2", "+", "a", "/", "b"]),
        ("{x} <= $4 & 50%", ["{", "x", "}", "<", "=", "$", "4", "&", "50", "%"]),
        ("∑ → ≤ 😀👍", ["∑", "→", "≤", "😀", "👍"]),
        ("…—“”‘’`*#!?「」・", []),
        ("", []),
    ],
    ids=ascii,
)
def test_units(text: str, found: list[str]) -> None:
    assert of(text) == found


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ＡＢＣ１２", "abc12"),
        ("e\u0301te\u0301", "ÉTÉ"),
        ("ﬁn", "FIN"),
        ("ｶﾞ", "ガ"),
        ("⼀", "一"),
        ("簡體與著名", "简体与著名"),
    ],
)
def test_no_difference(one: str, other: str) -> None:
    assert of(one) == of(other)


def test_unspaced() -> None:
    assert [unit for unit in of("用 Python 写 𠀀 12 한국 カ ที่ +") if is_unspaced(unit)] == ["用", "写", "𠀀", "カ", "ที่"]


@given(st.text())
def test_every_letter_and_digit_is_in_a_unit_and_white_space_in_none(text: str) -> None:
    text = normalised(text)
    found = units(text)
    letters = re.sub(r"[\W_]", "", text)
    assert re.sub(r"[\W_]", "", "".join(found)) == letters
    assert all(unit and not any(char.isspace() for char in unit) for unit in found)


@given(st.text(), st.text())
def test_units_do_not_run_over_a_space(one: str, other: str) -> None:
    # A mark at the beginning would join the letter before it; after a space it stands alone, which is no word.
    assert units(f"{one} {other}") == units(one) + units(other)


def test_every_letter_of_unicode_is_in_a_unit() -> None:
    letters = [char for char in map(chr, range(sys.maxunicode + 1)) if char.isalnum()]
    lost = [char for char in letters if "".join(units(char)) != char]
    assert lost == []


def test_ideographs_are_units_of_their_own() -> None:
    ideographs = [chr(code) for code in range(0x3400, 0x9FFF) if unicodedata.category(chr(code)) == "Lo"]
    assert units("".join(ideographs)) == ideographs
