"""Cleaning: sections, leftovers, characters, Chinese, the gates in their order, and the bundled samples."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.wikipedia.markup import FETCHED, page, rules, wikipedia

from ultralink.recipe import Recipe, load_recipe
from ultralink.wikipedia.article import Article, Page, TurnedAway
from ultralink.wikipedia.clean import article_url, clean, normal
from ultralink.wikipedia.dump import DumpWiki

PROSE = "The old tea house stands by the river and is open every day of the year."


def kept(text: str, form: str = "extract") -> str:
    """The text that stays of a page with ``text`` around it."""
    given = page(f"{PROSE}\n{text}\n\n== End ==\n{PROSE}", form="wikitext" if form == "wikitext" else "extract")
    found = clean(given, wikipedia(), rules())
    assert isinstance(found, Article), found
    assert found.text.startswith(PROSE)
    assert found.text.endswith(f"\n\nEnd\n{PROSE}")
    return found.text.removeprefix(PROSE).removesuffix(f"\n\nEnd\n{PROSE}").removeprefix("\n")


def away(given: Page, least: int = 1, most: int = 10_000) -> tuple[str, str]:
    found = clean(given, wikipedia(least, most), rules())
    assert isinstance(found, TurnedAway)
    assert (found.page_id, found.revision_id, found.title) == (given.page_id, given.revision_id, given.title)
    assert len(found.text) <= 2000
    return found.gate, found.reason


# --- articles -------------------------------------------------------------------------------------------


def test_an_article_has_all_that_attribution_needs() -> None:
    found = clean(page(f"{PROSE} [[Category:Drinks]]\n[[Category:Tea]]", "Tea & «50%»: a/b?"), wikipedia(), rules())
    assert isinstance(found, Article)
    assert found == Article(
        page_id=7,
        revision_id=70,
        title="Tea & «50%»: a/b?",
        url="https://ultralink.example/enwiki/Tea_%26_%C2%AB50%25%C2%BB:_a/b%3F",
        licence="CC BY-SA 4.0",
        fetched=FETCHED,
        text=PROSE,
        tokens=17,
        language_score=found.language_score,
        categories=("Drinks", "Tea"),
    )


@pytest.mark.parametrize(
    ("title", "address"),
    [
        ("Tea (drink)", "Tea_(drink)"),
        ("C++", "C%2B%2B"),
        ("{title}", "%7Btitle%7D"),
        ("AC/DC: #1, é 茶", "AC/DC:_%231,_%C3%A9_%E8%8C%B6"),
    ],
)
def test_addresses(title: str, address: str) -> None:
    assert article_url(wikipedia(), title) == f"https://ultralink.example/enwiki/{address}"


# --- sections -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["extract", "wikitext"])
def test_sections(form: str) -> None:
    text = (
        f"== One ==\n{PROSE}\n\n=== Deep ===\n==== Deeper ====\n{PROSE}\n==Empty==\n=== Empty too ===\n"
        f"== see  ALSO: ==\nCup\nPot\n=== Of it ===\n{PROSE}\n\n\n==References==\n{PROSE}\n"
        f"==Two==\n\n\n{PROSE}\n{PROSE}"
    )
    assert kept(text, form) == f"\nOne\n{PROSE}\n\nDeep\n\nDeeper\n{PROSE}\n\nTwo\n{PROSE}\n{PROSE}"


def test_a_trailing_heading_and_a_page_without_a_lead() -> None:
    found = clean(page(f"== North ==\n{PROSE}\n\n\n== Rest ==", form="extract"), wikipedia(), rules())
    assert isinstance(found, Article)
    assert found.text == f"North\n{PROSE}"


@pytest.mark.parametrize(
    "line",
    [
        "Template:Foo bar",
        "Шаблон:Foo",
        "File:Tea.jpg",
        "Category:Tea",
        "—",
        "* * *",
        "( )",
        "\u200b \u00a0",
        "== ==",
    ],
)
def test_lines_that_are_no_text(line: str) -> None:
    assert kept(f"{PROSE}\n{line}\n{PROSE}") == f"{PROSE}\n{PROSE}"


def test_lines_that_only_look_so() -> None:
    for line in ("Template: a model for copies.", "File: see under files.", "Template:Foo is what it shows."):
        assert kept(line) == line


def test_formulas_of_extracts() -> None:
    tower = "  \n    \n      \n        E\n        =\n        m\n      \n    \n    {\\displaystyle E=mc^{2}}\n  \n"
    assert kept(f"The law\n{tower} holds, and so does\n{tower}.\nMore text.") == (
        "The law $E=mc^{2}$ holds, and so does $E=mc^{2}$.\nMore text."
    )


# --- characters -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("e\u0301 \u212b ﬁ", "é Å ﬁ"),
        ("a\u00a0b\u202fc\u3000d\u2009e\tf", "a b c d e f"),
        ("a\r\nb\rc\u2028d\x0be\x85f", "a\nb\nc\nd\ne\nf"),
        ("a\x00\x07\x1b[0m\x7f\x9fb", "a[0mb"),
        ("\u202eabc\u202c \u2066x\u2069 \u200ey\u200f", "abc x y"),
        ("z\u200bero\ufeff wi\u00addth\u2060", "zero width"),
        ("می\u200cخواهم क\u094d\u200dष a\u200db c\u200cd", "می\u200cخواهم क\u094d\u200dष ab cd"),
        ("tag\U000e0061\U000e007f \ue000 \U000f0000 \ufffd \ud800 \uffff.", "tag     ."),
        ("🙂 𝔘 \u0600 ё", "🙂 𝔘 \u0600 ё"),
    ],
)
def test_characters(given: str, text: str) -> None:
    assert normal(given) == text


_INVISIBLE = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u00a0\u00ad\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ue000-\uf8ff]"
)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.text() | st.sampled_from(["== H ==", "{{a|b}}", "()", " ,", "\n", "e\u0301.", PROSE])).map("\n".join)
)
def test_any_page_gives_clean_text_or_is_turned_away(text: str) -> None:
    for form in ("wikitext", "extract"):
        given = page(f"{PROSE * 30}\n{text}\n\n{PROSE * 30}", form="wikitext" if form == "wikitext" else "extract")
        found = clean(given, wikipedia(), rules())
        if isinstance(found, Article):
            assert found.text == unicodedata.normalize("NFC", found.text)
            assert not _INVISIBLE.search(found.text)
            assert not re.search(r"\n{3}|  |^\s|\s\Z|[ \t]$", found.text)
            assert found == clean(given, wikipedia(), rules())


def test_chinese_is_simplified_and_the_title_is_not() -> None:
    recipe = load_recipe("zh")
    text = "活字印刷術是把單個文字製成可以移動的字塊，經過排版、上墨、壓印而複製書籍的技術。" * 60
    found = clean(page(text, "活字印刷術"), recipe.wikipedia, recipe.text)
    assert isinstance(found, Article)
    assert found.text.startswith("活字印刷术是把单个文字制成可以移动的字块，经过排版")
    assert found.title == "活字印刷術"
    assert "%E8%A1%93" in found.url


# --- gates ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "gate"),
    [
        (page(PROSE, "List of teas"), "list"),
        (page("\n".join(f"* [[Tea {number}]], a tea" for number in range(99))), "list"),
        (page("\n".join(f"Tea {number}, a tea" for number in range(99)), form="extract"), "list"),
        (page(PROSE + "{{geo_Disambiguation|x}}"), "disambiguation"),
        (page(PROSE + "\n__DISAMBIG__"), "disambiguation"),
        (Page(7, 70, "Tea", PROSE, "extract", FETCHED, is_disambiguation=True), "disambiguation"),
        (page(PROSE + "{{Tea-STUB}}"), "stub"),
        (page("#REDIRECT [[Cup]]"), "redirect"),
        (page("#перенаправление [[Чай]]"), "redirect"),
        (page(""), "length"),
        (page("{{Infobox|a=b}}"), "length"),
        (page("Чайный дом стоит у реки и открыт каждый день в году, кроме зимы. " * 5), "language"),
        (page("该建筑位于河边，全年开放。" * 20), "language"),
        (page("12, 34; 56: 78. " * 20), "language"),
    ],
)
def test_gates(given: Page, gate: str) -> None:
    assert away(given)[0] == gate


def test_length_is_inclusive() -> None:
    assert isinstance(clean(page(PROSE), wikipedia(17, 17), rules()), Article)
    assert away(page(PROSE), 18, 20) == ("length", "17 tokens of text, must be 18 to 20")
    assert away(page(PROSE), 1, 16) == ("length", "17 tokens of text, must be 1 to 16")


@pytest.mark.parametrize("form", ["extract", "wikitext"])
def test_a_ten_megabyte_paragraph_is_turned_away(form: str) -> None:
    huge = page("tea " * 2_600_000, form="wikitext" if form == "wikitext" else "extract")
    gate, reason = away(huge)
    assert gate == "length"
    assert "10400000 characters" in reason


# --- samples --------------------------------------------------------------------------------------------

_MARKUP = re.compile(
    r"\[\[|\]\]|\{\{|\}\}(?!\$)|\{\||\|\}|''|<[a-zA-Z/!]|&[a-z]+;|^[*#|=!]|\|thumb|File:|https?://"
    r"|\( |\(\)| [,)]|  |__",
    re.MULTILINE,
)


def cleaned(recipe: Recipe) -> dict[str, Article | TurnedAway]:
    assert recipe.wikipedia.dump is not None
    wiki = DumpWiki(recipe.wikipedia.dump, FETCHED)
    pages = wiki.pages(list(wiki.candidates()))
    return {
        page.title: page if isinstance(page, TurnedAway) else clean(page, recipe.wikipedia, recipe.text)
        for page in pages
    }


@pytest.mark.parametrize("language", ["en", "zh", "ru", "fr", "es"])
def test_the_samples(language: str) -> None:
    recipe = load_recipe(language)
    found = cleaned(recipe)
    articles = [one for one in found.values() if isinstance(one, Article)]
    assert len(articles) >= 8
    assert sorted(one.gate for one in found.values() if isinstance(one, TurnedAway)) == [
        "disambiguation", "language", "list", "stub"
    ]  # fmt: skip
    dropped = {title.casefold() for title in recipe.wikipedia.cleaning.drop_sections}
    for article in articles:
        assert not (remains := _MARKUP.search(article.text)), article.text[max(0, remains.start() - 40) :][:80]
        assert not dropped & {line.casefold() for line in article.text.split("\n")}
        assert article.text.count("\n\n") >= 3
        assert article.categories
        assert article.language_score >= recipe.wikipedia.min_language_score


def test_the_traditional_sample_is_converted() -> None:
    article = cleaned(load_recipe("zh"))["活字印刷術"]
    assert isinstance(article, Article)
    assert not set("術個製動經過壓複書") & set(article.text)
