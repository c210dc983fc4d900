"""Texts as a quotation is compared with them: without what a model changes when it copies."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

_QUOTATION_MARKS = re.compile(r"[\"'`´“”„‟‘’‚‛«»‹›「」『』《》〈〉＂＇]")
_DASHES = re.compile(r"[-‐‑‒–—―−]")
_INVISIBLE = re.compile(r"[\u200b-\u200f\u2060\ufeff\u00ad]")


def normalised(text: str) -> str:
    """NFKC and casefolded; quotation marks gone, dashes alike, runs of space as one blank."""
    # Marks first: NFKC takes an acute accent that stands alone apart into a blank and a combining accent.
    text = unicodedata.normalize("NFKC", _kept(text)).casefold()
    return " ".join(_DASHES.sub("-", text).split())


def trimmed(quote: str) -> str:
    """``quote`` normalised, without the stops and dots around it that a model likes to add."""
    return normalised(quote).strip(" .…。")


class Quotable:
    """A text in which quotations are looked for, and found at their place in the text as it is."""

    def __init__(self, text: str) -> None:
        letters: list[str] = []
        starts: list[int] = []
        stops: list[int] = []
        for start, stop in _pieces(text):
            for letter in _DASHES.sub("-", unicodedata.normalize("NFKC", _kept(text[start:stop])).casefold()):
                if letter.isspace() and (not letters or letters[-1] == " "):
                    continue
                letters.append(" " if letter.isspace() else letter)
                starts.append(start)
                stops.append(stop)
        self.normalised = "".join(letters).rstrip(" ")
        self._starts = starts
        self._stops = stops

    def find(self, quote: str) -> tuple[int, int] | None:
        """Where ``quote`` stands first: its first character and that after its last; None: nowhere, or it is empty.

        A character of which it has a part only (a ligature) is in it as a whole.
        """
        sought = trimmed(quote)
        at = self.normalised.find(sought) if sought else -1
        return None if at < 0 else (self._starts[at], self._stops[at + len(sought) - 1])


def _kept(text: str) -> str:
    return _INVISIBLE.sub("", _QUOTATION_MARKS.sub("", text))


def _pieces(text: str) -> Iterator[tuple[int, int]]:
    """Pieces of ``text`` that can be normalised each by itself; what is dropped is in none, or within one."""
    start = stop = 0
    for at, character in enumerate(text):
        if not _kept(character):
            continue
        if start < stop and not _joins(character):
            yield start, stop
            start = at
        elif start == stop:
            start = at
        stop = at + 1
    if start < stop:
        yield start, stop


@lru_cache(maxsize=4096)
def _joins(character: str) -> bool:
    """Whether ``character`` may become one with those before it: a mark, or a jamo that is not the first."""
    first = unicodedata.normalize("NFKD", character)[0]
    return unicodedata.category(first).startswith("M") or "\u1160" <= first <= "\u11ff"
