"""Exactly one question: told by its marks and its lists."""

from __future__ import annotations

import re

from ultralink.gates.finding import Finding, Gate
from ultralink.gates.turn import Turn, clip
from ultralink.gates.wording import QUESTION_REACH

_MARKS = re.compile(r"[?？؟][?？؟!！‽]*")
_ITEM = re.compile(
    r"^[^\S\n]*(?:\d{1,2}[.)、．]|[(（]?(?:\d{1,2}|[a-dа-г])[)）]|[-*•]\s|[①-⑨])", re.MULTILINE | re.IGNORECASE
)
_INLINE_ITEMS = re.compile(
    r"[(（]?\b[1aа][)）.、．]\s?.+?[\s;,；，(（][2bб][)）.、．]\s?\S|①.+②|第一[，、,].+第二[，、,]",
    re.IGNORECASE,
)
_CLOSERS = " \"'“”’»」』》)）]*_`。."


def several_questions(question: Turn) -> list[Finding]:
    """More than one question mark outside quotations, or a list of sub-questions."""
    said = question.unquoted
    marks = max(len(_MARKS.findall(said)), said.count("¿"))
    if marks > 1:
        return [Finding(Gate.SEVERAL_QUESTIONS, "question_marks", f"{marks} ?")]
    if len(_ITEM.findall(question.prose)) > 1 or _INLINE_ITEMS.search(question.flat[:QUESTION_REACH]):
        return [Finding(Gate.SEVERAL_QUESTIONS, "list", clip(question.flat))]
    return []


def not_a_question(question: Turn) -> list[Finding]:
    """The text does not end in a question mark."""
    if _MARKS.search(question.flat.rstrip(_CLOSERS + "!！‽")[-1:]):
        return []
    reason = "text_after_question" if _MARKS.search(question.flat) else Gate.NOT_A_QUESTION.value
    return [Finding(Gate.NOT_A_QUESTION, reason, clip(question.flat[-50:]))]
