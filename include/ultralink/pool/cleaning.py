"""Cleaning: which rows of the pool are whole, of a fit length, and free of what spoils a chat."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from functools import cache

from ultralink.pool.recipe import Cleaning
from ultralink.pool.row import EnglishRow, Kind
from ultralink.tokens import count_tokens


class Unclean(StrEnum):
    """Why a row is turned away."""

    EMPTY = "empty_message"
    ROLES = "roles_do_not_alternate"
    UNFINISHED = "unfinished"
    TURNS = "too_many_turns"
    URL = "url"
    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"


def unclean(row: EnglishRow, cleaning: Cleaning) -> Unclean | None:
    """The first reason against ``row``, None where there is none. Lengths are cl100k tokens of all messages."""
    if not row.messages or any(not _has_text(message.content) for message in row.messages):
        return Unclean.EMPTY
    if any(message.role != _ROLES[index % 2] for index, message in enumerate(row.messages)):
        return Unclean.ROLES
    if len(row.messages) % 2 or _breaks_off(row.messages[-1].content):
        return Unclean.UNFINISHED
    if len(row.messages) > 2 * (cleaning.max_turns if row.kind is Kind.CHAT else 1):
        return Unclean.TURNS
    text = row.text
    if row.kind is Kind.CHAT and _any_of(tuple(cleaning.drop_chats)).search(text):
        return Unclean.URL
    bounds, tokens = cleaning.tokens(row.kind), count_tokens(text)
    if tokens < bounds.min:
        return Unclean.TOO_SHORT
    return Unclean.TOO_LONG if tokens > bounds.max else None


_ROLES = ("user", "assistant")
_VISIBLE = re.compile(r"[^\s\u200b-\u200f\u2060\ufeff\x00-\x1f]")


def _has_text(content: str) -> bool:
    return _VISIBLE.search(content) is not None


@cache
def _any_of(patterns: Sequence[str]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns) or r"(?!)", re.IGNORECASE)


# --- is the answer whole? -------------------------------------------------------------------------

_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})", re.MULTILINE)
_LIST_ITEM = re.compile(r"\s*(?:[-*+•#>|]|\d+[.)])")
_PROSE = 12  # words: a shorter last line may be a name, a heading or an answer that needs no full stop
_LEADS_ON = re.compile(r"\b(an?|the|and|or|but|of|to|in|for|with|from|by|as|at|that|which|because|if|is|are|was)$")


def _breaks_off(answer: str) -> bool:
    """Whether ``answer`` stops in the middle: in a code block, in a LaTeX environment, or in a sentence."""
    if _open_fence(answer) or answer.count(r"\begin{") > answer.count(r"\end{"):
        return True
    last = answer.rstrip().rpartition("\n")[2]
    if last.endswith((",", "(", "[", "{")):
        return True
    words = last.split()
    if _LIST_ITEM.match(last) or not last[-1].isalpha():
        return False
    return len(words) >= _PROSE or (len(words) > 3 and _LEADS_ON.search(last) is not None)


def _open_fence(answer: str) -> bool:
    """A fence is closed by one of the same sign, at least as long."""
    opened = ""
    for found in _FENCE.finditer(answer):
        fence = found[1]
        if not opened:
            opened = fence
        elif fence.startswith(opened):
            opened = ""
    return bool(opened)
