"""Quotations are found at their place in a text as it is, whatever script it is in and however they were copied."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.dialogue.material import LANGUAGES, sample_passages

from ultralink.quotation import Quotable, normalised, trimmed
from ultralink.recipe import load_recipe
from ultralink.wikipedia.segment import sentences

# What normalising changes: ligatures, widths, marks alone and joined, jamo, vowels of two parts, dropped signs, blanks.
PIECES = [
    *"aAéßİıſﬁ½①㍿ﷺΣς .…。-—−\"«»'´`", "e\u0301", "\u0301", "\u0327\u0323",
    "\u200b", "\u200f", "\u00ad", "\u00a0", "\u3000", "\n",
    "ᄀ", "ᅡ", "ᆨ", "각", "ﾊ", "ﾟ", "\uffa1", "\uffc2", "\u09c7", "\u09be", "ำ", "ا\u0653", "שׁ", "运", "（", "Ⅻ", "\u0344",
    "\U0001d15e",
]  # fmt: skip
texts = st.one_of(st.text(max_size=60), st.lists(st.sampled_from(PIECES), max_size=40).map("".join))


@given(texts)
@example("\u0301a")
@example("e\u200b\u0301 x")
@example("ᄀ\u00adᅡ«ᆨ")
def test_the_places_are_those_of_the_normalised_text(text: str) -> None:
    assert Quotable(text).normalised == normalised(text)


@given(texts, st.data())
def test_what_is_found_holds_the_quotation(text: str, data: st.DataObject) -> None:
    quote, place = _quoted_from(text, data)
    sought = trimmed(quote)
    assert (place is None) == (not sought or sought not in normalised(text))
    if place is not None:
        assert sought in normalised(text[slice(*place)])


@given(st.text(st.sampled_from('aA .。-—"«»\u200b\u200f\u00ad\u00a0\n运（שи'), max_size=60), st.data())
def test_what_is_found_is_the_quotation_where_no_letter_becomes_several(text: str, data: st.DataObject) -> None:
    quote, place = _quoted_from(text, data)
    if place is not None:
        assert normalised(text[slice(*place)]) == trimmed(quote)
        assert text[place[0]] not in " \n\u00a0"
        assert text[place[1] - 1] not in " \n\u00a0"


def _quoted_from(text: str, data: st.DataObject) -> tuple[str, tuple[int, int] | None]:
    start = data.draw(st.integers(0, len(text)))
    quote = text[start : data.draw(st.integers(start, len(text)))]
    return quote, Quotable(text).find(quote)


@pytest.mark.parametrize(
    ("text", "quote", "found"),
    [
        ("Said «The  Canal – was\u00a0opened» in 1681.", "the canal - was opened", "The  Canal – was\u00a0opened"),
        ("Eﬃcient caﬁno", "efficient", "Eﬃcient"),
        ("运河于一六八一年通航，去世数月之后。", "“于一六八一年通航,去世数月”", "于一六八一年通航，去世数月"),
        ("ВОЙНА и\u00ad мир — роман", "война и мир - роман.", "ВОЙНА и\u00ad мир — роман"),
        ("\u202bכתב\u200f אֶת הספר\u202c.", "כתב אֶת הספר", "כתב\u200f אֶת הספר"),
        ("نصّ ﷲ هنا", "الله هنا", "ﷲ هنا"),
        ("Cafe\u0301 noir", "café", "Cafe\u0301"),
        ("가\u1100\u1161\u11a8나", "각나", "\u1100\u1161\u11a8나"),
        ("…and so on…", "…and so on.", "and so on"),
    ],
)
def test_a_quotation_is_found_as_the_text_has_it(text: str, quote: str, found: str) -> None:
    place = Quotable(text).find(quote)
    assert place is not None
    assert text[slice(*place)] == found


@pytest.mark.parametrize("quote", ["", " … ", "«»", "no such words"])
def test_what_is_not_there_is_found_nowhere(quote: str) -> None:
    assert Quotable("The canal … was opened.").find(quote) is None


@pytest.mark.parametrize("language", LANGUAGES)
def test_sentences_of_real_passages_are_found_where_they_are(language: str) -> None:
    for about in sample_passages(language)[:2]:
        quotable = Quotable(about.text)
        assert quotable.normalised == normalised(about.text)
        for start, stop in sentences(about.text, load_recipe(language).text):
            copied = about.text[start:stop].strip().swapcase()
            place = quotable.find(re.sub(r"\s+", "  ", copied))
            if place is not None:  # some letters are another pair in capitals
                assert normalised(about.text[slice(*place)]) == trimmed(copied)
                continue
            assert trimmed(copied) not in quotable.normalised


def test_a_long_run_of_marks_is_one_piece() -> None:
    place = Quotable("a" + "\u0301" * 100_000 + " b").find("b")
    assert place == (100_002, 100_003)
