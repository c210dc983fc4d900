"""Debris is mended where markup was cut, and text that only looks like debris stays as it is."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.wikipedia.markup import CLEANING, page, rules, wikipedia

from ultralink.recipe import Cleaning, load_recipe
from ultralink.wikipedia.article import Article
from ultralink.wikipedia.clean import clean
from ultralink.wikipedia.debris import CUT, mended, mended_opening
from ultralink.wikipedia.wikitext import plain

PROSE = "The old tea house stands by the river and is open every day of the year."

WORDS = [  # with nothing cut out of them
    ".NET is a free platform.",
    "The function main() returns int.",
    "Let f(·) be convex, and g ( · ) too.",
    "He said (...) and left [...] at once.",
    ".com is a domain, .5 a number.",
    "Use the printf(,) call, or a[0] , b and the set {1, 2} .",
    "Emoticons :) and :-( and (: are old.",
    "Le thé ; chaud : oui !",
    "Il dit : « (…) » , puis rien.",
    ", : and ; are marks.",
    "1,000 , and f(x) = .5, ...",
]


def shown(wikitext: str, cleaning: Cleaning = CLEANING) -> str:
    return plain(wikitext, cleaning)


def of_page(text: str, form: str) -> str:
    """``text`` as the second paragraph of an article."""
    given = page(f"{PROSE}\n\n{text}\n\n{PROSE}", form="wikitext" if form == "wikitext" else "extract")
    found = clean(given, wikipedia(), rules())
    assert isinstance(found, Article)
    return found.text.removeprefix(f"{PROSE}\n").removesuffix(f"\n{PROSE}")


@pytest.mark.parametrize("form", ["wikitext", "extract"])
@pytest.mark.parametrize("words", WORDS)
def test_words_that_look_like_debris_stay(words: str, form: str) -> None:
    marked = f"\u200b{words}" if words[0] in ":;*#" else words  # not the mark of a list
    assert of_page(marked, form) == words


@pytest.mark.parametrize("words", WORDS)
def test_words_beside_a_cut_stay(words: str) -> None:
    assert shown(f"Tea<ref>x</ref> is hot. {words}") == f"Tea is hot. {words}"
    assert shown(f"{words} Tea is {{{{x}}}}hot.") == f"{words} Tea is hot."


@pytest.mark.parametrize(
    ("wikitext", "text"),
    [
        # brackets
        ("Tea ({{IPA|x}}) is", "Tea is"),
        ("Tea ({{IPA|x}}, ; {{y}}) is", "Tea is"),
        ("Tea ( ({{x}}; {{y}}) ) is", "Tea is"),
        ("Tea [{{IPA|x}}]<ref>y</ref> is", "Tea is"),
        ("Tea ({{x}}; Chinese: 茶, {{y}} ) is {{z}}, hot {{z}}.", "Tea (Chinese: 茶) is, hot."),
        ("茶（{{x}}，{{y}}；）是（{{x}}，饮料、{{y}}）{{z}}。", "茶是（饮料）。"),
        ("Ada ({{birth date|1|2|3}} – {{death date|4|5|6}}) wrote", "Ada wrote"),
        ("Ada (born {{x}}, {{y}}) wrote", "Ada (born) wrote"),
        ("main() ({{x}}) f(·){{y}} (...) {{z}}", "main() f(·) (...)"),
        ("Tea (<math></math>, <chem></chem>) is", "Tea is"),
        # separators
        ("at {{x}}, {{x}},{{x}}, or {{x}} , {{x}}, the end,{{x}}.", "at, or, the end."),
        ("tea,<ref>x</ref> and milk.<ref name=y /> Then: {{x}}", "tea, and milk. Then:"),
        ("tea <ref>x</ref>, milk <ref>y</ref>.<ref>z</ref> Then", "tea, milk. Then"),
        ("茶、{{x}}、咖啡{{x}}，{{x}}。水", "茶、咖啡。水"),
        ("Le thé {{x}} ; chaud{{x}} : oui {{x}} !", "Le thé ; chaud : oui !"),
        ("Tea {{x}}; hot {{x}}! Yes{{x}}?", "Tea; hot! Yes?"),
        ("1,<!-- x -->000, 1,<ref>x</ref>000 and 12:<ref>x</ref>30", "1,000, 1,000 and 12:30"),
        # a line's start and end
        ("{{x}}, also known as '''X'''", "also known as X"),
        ("{{x}}.NET is", ".NET is"),
        ("{{x}} '''.NET''' is", ".NET is"),
        ("'''.NET''' ({{x}}) is", ".NET is"),
        ("Tea {{x}}", "Tea"),
        ("Tea “{{x}} is {{y}}” hot", "Tea “ is” hot"),
        # other cuts
        ("Tea ([[Category:X]][[fr:Thé]]) is", "Tea is"),
        ("Tea ([https://x.org]) is", "Tea is"),
        ("Tea (-{H|zh:x}-) is", "Tea is"),
        ("Tea ({{{1|x}}}) is", "Tea is"),
        ("Tea ({{ill|}}) is", "Tea is"),
        ("Tea ({{lang|zh|{{x}}}}) is", "Tea is"),
        ("Tea ({{ill|<ref>x</ref>|Thé}}) is", "Tea (Thé) is"),
        ("== Tea ({{x}})<ref>y</ref> ==<ref>z</ref>\n<ref>x</ref>\n* a{{x}}", "== Tea ==\n\na"),
        ("<ref>x</ref>{|\n| a\n|}\nb", "\nb"),
        ("{{x}}| a row\nb", "b"),
        ("{{con<ref>x</ref>vert|5<ref>y</ref>|km<ref>z</ref>}}", "5 km"),
    ],
)
def test_debris_of_wikitext(wikitext: str, text: str) -> None:
    assert shown(wikitext) == text


def test_formulas_are_not_touched() -> None:
    assert shown("f ({{x}}) is <math>f(,) , (;) .</math> {{x}}.") == "f is $f(,) , (;) .$."


@pytest.mark.parametrize(
    ("sentence", "text"),
    [
        ("Tea () is hot.", "Tea is hot."),
        ("Tea ( ; ) or chai ( , ; ) is hot.", "Tea or chai is hot."),
        ("Tea (; Chinese: 茶, ) is hot.", "Tea (Chinese: 茶) is hot."),
        ("Ada (, born 1815; ) wrote.", "Ada (born 1815) wrote."),
        ("Ada ( – ) wrote.", "Ada wrote."),
        ("Ada (1815 – ) wrote.", "Ada (1815 –) wrote."),
        ("Tea ( (; ) ) is hot.", "Tea is hot."),
        ("茶（，；）是饮料（，热的）。", "茶是饮料（热的）。"),
        *((words, words) for words in WORDS if "(,)" not in words and "( · )" not in words),
        ("Let f (·) be convex, and g ( · ) too.", "Let f (·) be convex, and g (·) too."),
    ],
)
def test_debris_of_an_extracts_first_sentence(sentence: str, text: str) -> None:
    assert mended_opening(sentence) == text


def test_only_the_first_sentence_of_an_extracts_lead_is_mended() -> None:
    lead = f"Tea ( ; ) in St. Ives ( ), and main(), are old. Then ( ; ) comes. {PROSE}\nIt () too."
    found = clean(page(f"{lead}\n== H ==\nSo ( ; ) is it.", form="extract"), wikipedia(), rules())
    assert isinstance(found, Article)
    assert found.text == (
        f"Tea in St. Ives, and main(), are old. Then ( ; ) comes. {PROSE}\nIt () too.\n\nH\nSo ( ; ) is it."
    )
    headed = clean(page(f"== H ==\n{PROSE} So ( ; ) is it.", form="extract"), wikipedia(), rules())
    assert isinstance(headed, Article)
    assert headed.text.endswith("So ( ; ) is it.")


@pytest.mark.parametrize(
    ("language", "template", "text"),
    [
        ("en", "{{val|5.3|e=6|u=m}}", "5.3×10^6 m"),
        ("en", "{{val|5.3}}", "5.3"),
        ("en", "{{val|5.3|ul=km|upl=s}}", "5.3 km/s"),
        ("en", "{{val|5.3|e=-9}}", "5.3×10^-9"),
        ("en", "5.3{{e|6}}", "5.3×10^6"),
        ("fr", "{{unité|5,3|e=6|m}}", "5,3×10^6 m"),
        ("fr", "{{unité|5,3}}", "5,3"),
        ("fr", "{{nombre|5|ans}}", "5 ans"),
    ],
)
def test_a_number_keeps_its_exponent_and_its_unit(language: str, template: str, text: str) -> None:
    assert shown(f"It is {template}.", load_recipe(language).wikipedia.cleaning) == f"It is {text}."


def test_a_part_of_a_template_needs_its_argument() -> None:
    patterns = {"a": "{1}[ ({2|x}, {3})] [sic]", "b": "[{1}][{2}]"}
    cleaning = CLEANING.model_copy(update={"inline_templates": patterns})
    assert shown("{{a|1}}, {{a|1|2}}, {{a|1|x={3}|3=4}}", cleaning) == "1 [sic], 1 (2, ) [sic], 1 ({3}, 4) [sic]"
    assert shown("{{b||2}} ({{b}})", cleaning) == "2"


@pytest.mark.parametrize(
    "debris", [", ", "( , ; ", ". ", "(", "( ", " ", ") ", f"{CUT} , ", f"({CUT}", f"{CUT} ", f" {CUT}"]
)
def test_a_long_line_takes_linear_time(debris: str) -> None:
    line = debris * 200_000  # quadratic time would be hours
    assert CUT not in mended(f"{CUT}a{line}b{line}{CUT}")
    mended_opening(f"a {line}")
    for form in ("wikitext", "extract"):
        text = f"{{{{x}}}}a{line.replace(CUT, '{{x}}')[:400_000]}b."
        clean(page(text, form="wikitext" if form == "wikitext" else "extract"), wikipedia(), rules())


_PIECES = ["{{x}}", "<ref>y</ref>", "(...)", "main()", *"()（） ,;:.，。ab\u00a0"]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(_PIECES), max_size=30).map("".join))
def test_cutting_leaves_all_words_and_no_marks(wikitext: str) -> None:
    wikitext = f"a{wikitext}"  # not the mark of a list
    text = shown(wikitext)
    assert CUT not in text
    assert [c for c in text if c.isalpha()] == [
        c for c in wikitext.replace("{{x}}", "").replace("<ref>y</ref>", "") if c.isalpha()
    ]
    if "{{x}}" not in wikitext and "<ref>" not in wikitext:
        assert text == wikitext


def test_characters_that_mark_places_cannot_be_smuggled_in() -> None:
    smuggled = "Tea (&#xE002;) is &#xE000;7&#xE001; [[a&#xE002;]] \ue000\ue001\ue002<nowiki>&#xE002;</nowiki>."
    assert shown(smuggled).replace("\ue002", "?") == "Tea () is 7 a ?."
