"""Attribution, as Wikipedia's licence asks: every article of a language at its revision, and the rows made from it."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, TextIO

COLUMNS = ("title", "page_id", "revision_id", "url", "licence", "rows")


class Article(NamedTuple):
    """An article at one revision."""

    page_id: int
    revision_id: int


@dataclass
class Cited:
    """What the attribution of an article needs, and how many rows were made from it."""

    title: str
    url: str
    licence: str
    rows: int = 0


def attribution_path(language: str) -> str:
    """Where the list of a language's articles lies within a release."""
    return f"attribution/{language}.csv"


def write_attribution(file: TextIO, articles: Mapping[Article, Cited]) -> None:
    """The articles as CSV (RFC 4180, every field quoted), by page and revision; titles are as Wikipedia has them."""
    rows = csv.writer(file, quoting=csv.QUOTE_ALL)
    rows.writerow(COLUMNS)
    for article, cited in sorted(articles.items()):
        rows.writerow([cited.title, article.page_id, article.revision_id, cited.url, cited.licence, cited.rows])
