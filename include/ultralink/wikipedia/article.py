"""What passes between the Wikipedia steps: candidate, page, article, passage, and what was turned away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class Candidate:
    """A page that a night may choose. ``revision_id`` is None where the source's index does not tell it."""

    page_id: int
    title: str
    revision_id: int | None


@dataclass(frozen=True, slots=True)
class Page:
    """A page as its source gave it, text and revision of one and the same answer."""

    page_id: int
    revision_id: int
    title: str
    text: str
    form: Literal["wikitext", "extract"]  # extract: plain text with `== Heading ==` lines
    fetched: datetime
    categories: tuple[str, ...] = ()
    is_disambiguation: bool = False


@dataclass(frozen=True, slots=True)
class Article:
    """A cleaned article: NFC plain text, with all that attribution needs."""

    page_id: int
    revision_id: int
    title: str
    url: str
    licence: str
    fetched: datetime
    text: str
    tokens: int
    language_score: float
    categories: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Passage:
    """Whole sentences of an article: ``article.text[start:end]``."""

    id: str  # "<page_id>-<revision_id>-<index>"
    article: Article
    index: int
    start: int
    end: int
    text: str
    tokens: int


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """A page that did not become an article: why, and what it was."""

    page_id: int
    revision_id: int | None
    title: str
    gate: str  # redirect, missing, disambiguation, list, stub, length, language …
    reason: str
    text: str  # what was judged, clipped to 2,000 characters


class Source(Protocol):
    """A wiki, whatever it is read from."""

    @property
    def tells_revisions(self) -> bool:
        """Whether candidates carry their revision ids."""
        ...

    def candidates(self) -> Iterator[Candidate]:
        """All pages that may be chosen, in an order that does not change while the source does not."""
        ...

    def confirmed(self, candidates: Sequence[Candidate], amount: int) -> list[Candidate]:
        """The first ``amount`` of ``candidates`` that are articles, with their revisions if need be."""
        ...

    def pages(self, chosen: Sequence[Candidate]) -> Iterator[Page | TurnedAway]:
        """The chosen pages, each once, in bounded memory."""
        ...
