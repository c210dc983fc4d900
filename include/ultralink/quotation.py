"""Texts as a quotation is compared with them: without what a model changes when it copies."""

from __future__ import annotations

import re
import unicodedata

_QUOTATION_MARKS = re.compile(r"[\"'`´“”„‟‘’‚‛«»‹›「」『』《》〈〉＂＇]")
_DASHES = re.compile(r"[-‐‑‒–—―−]")
_INVISIBLE = re.compile(r"[\u200b-\u200f\u2060\ufeff\u00ad]")


def normalised(text: str) -> str:
    """NFKC and casefolded; quotation marks gone, dashes alike, runs of space as one blank."""
    # Marks first: NFKC takes an acute accent that stands alone apart into a blank and a combining accent.
    text = unicodedata.normalize("NFKC", _INVISIBLE.sub("", _QUOTATION_MARKS.sub("", text))).casefold()
    return " ".join(_DASHES.sub("-", text).split())


def trimmed(quote: str) -> str:
    """``quote`` normalised, without the stops and dots around it that a model likes to add."""
    return normalised(quote).strip(" .…。")
