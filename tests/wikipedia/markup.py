"""A wiki's words for the tests of wikitext and cleaning."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Literal

from ultralink.recipe import Cleaning, TextRules, TokenBounds, Wikipedia, load_recipe
from ultralink.wikipedia.article import Article, Page

FETCHED = datetime(2026, 11, 23, tzinfo=UTC)

CLEANING = Cleaning(
    drop_sections=["See also", "References", "参考文献"],
    disambiguation_templates=["Disambiguation", "* disambiguation"],
    stub_templates=["Stub", "*-stub"],
    list_title="(?i)^lists? of ",
    file_namespaces=["File", "Image", "Fichier", "Файл"],
    category_namespaces=["Category", "Категория"],
    template_namespaces=["Template", "Шаблон"],
    inline_templates={
        "convert": "{1} {2}",
        "lang": "{2}",
        "formatnum:": "{0}",
        "ill": "{lt|2|1}",
        "snd": " – ",
    },
)


@cache
def rules(language: str = "en") -> TextRules:
    """The text rules of a configured language."""
    return load_recipe(language).text


def wikipedia(least: int = 1, most: int = 10_000, chinese: bool = False) -> Wikipedia:
    """A recipe's section with CLEANING and documents of ``least`` to ``most`` tokens."""
    given = load_recipe("zh" if chinese else "en").wikipedia
    return given.model_copy(update={"cleaning": CLEANING, "document_tokens": TokenBounds(min=least, max=most)})


def page(text: str, title: str = "Tea", form: Literal["wikitext", "extract"] = "wikitext") -> Page:
    """A page at revision 70 with ``text``."""
    return Page(7, 70, title, text, form, FETCHED)


def article(text: str) -> Article:
    """An article that holds ``text`` as it is."""
    return Article(7, 70, "Tea", "https://en.wikipedia.org/wiki/Tea", "CC BY-SA 4.0", FETCHED, text, 0, 1.0, ())
