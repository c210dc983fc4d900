"""An answer that was cut off: told by the finish reason, the last character, and what stays open."""

from __future__ import annotations

import re

from ultralink.gates.finding import Finding, Gate
from ultralink.gates.turn import Turn, clip

_FINAL = ".!?…。！？．؟।‽"
_CLOSERS = " \"'”“’»」』》)）】]*_`"
_PAIRS = ("«»", "「」", "『』", "《》", "（）", "【】", "()")
_ITEM = re.compile(r"^\s*(?:[-*•–—]\s+|[(（]?\d{1,2}[.)）、．]\s*|[(（]?[a-zа-я][)）]\s+)")


def truncated(answer: Turn, finish_reason: str | None) -> list[Finding]:
    """The model ran into its token limit, or the text stops in the middle."""
    if finish_reason == "length":
        return [Finding(Gate.TRUNCATED, "token_limit", clip(answer.text[-50:]))]
    if answer.text.count("```") % 2:
        return [Finding(Gate.TRUNCATED, "open_code", "```")]
    if not _is_closed(answer.text):
        return [Finding(Gate.TRUNCATED, "no_closing_punctuation", clip(answer.text[-50:]))]
    if opened := _still_open(answer.prose):
        return [Finding(Gate.TRUNCATED, "open_pair", opened)]
    return []


def _is_closed(text: str) -> bool:
    """Whether the last line is a whole one: a sentence, code, a formula, a table, an item like others."""
    if text.endswith(("```", "$$", "\\]", "|")):
        return True
    if text.rstrip(_CLOSERS)[-1:] in tuple(_FINAL):
        return True
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) < 2 or not _ITEM.match(lines[-1]):
        return False
    siblings = [line for line in lines[:-1] if _ITEM.match(line)]
    bare = [line for line in siblings if line.rstrip(_CLOSERS)[-1:] not in tuple(_FINAL + ";；,，:：")]
    return bool(bare) and len(bare) * 2 >= len(siblings)


def _still_open(prose: str) -> str | None:
    """The kind of bracket or quotation mark that is opened more often than closed."""
    if "„" in prose:  # here “ closes
        if prose.count("„") > prose.count("“") + prose.count("”"):
            return "„"
    elif prose.count("“") > prose.count("”"):
        return "“"
    return next((pair[0] for pair in _PAIRS if prose.count(pair[0]) > prose.count(pair[1])), None)
