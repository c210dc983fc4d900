"""What a model says instead of a translation or around it: obedience, refusals, notes.

Each is told by its wording, and allowed where the English source has such wording itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from ultralink.gates.turn import Turn
from ultralink.gates.wording import refusals
from ultralink.recipe import TextRules

REFUSAL_REACH = 600  # characters, of which the gate looks at the first 200 outside quotations

_INVISIBLE = re.compile(r"[\u200b-\u200f\u061c\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
_BRACKETED = re.compile(r"[(（\[【]\s{0,3}\*{0,2}([^()（）\[\]【】]{3,80})")
_DELIMITER = re.compile(r"<[/\\]?text\s?\d*>", re.IGNORECASE)

_OPENING = (
    r"(?:sure|certainly|of course|absolutely|no problem)[,!.]",
    r"(?:sure|okay|ok)[,!.]? here\b",
    r"i(?:'d| would) be happy to\b",
)
_OWN_OPENING = re.compile(
    r"(?:sure|certainly|naturally|of course|by all means|absolutely|definitely|indeed|exactly|precisely|correct|true|"
    r"right|that(?:'s|s| is) (?:right|correct|true|fine)|oka?y?|all ?right|great|good|fine|nice|very well|well|perfect|"
    r"excellent|wonderful|agreed|understood|got it|i see|yes|yeah|yep|no problem|gladly|glad|happy|with pleasure|"
    r"i(?:'d| would|'m| am|'ll| will)|here|below|the following|these are|this is|there (?:is|are)|let(?:'s| us| me)|"
    r"(?:it|they|you|we|i|he|she|that|this|both|mine|ours) "
    r"(?:do(?:es)?|did|is|are|can|will|would|should|could|may|might|has|have)|"
    r"please|clearly|undoubtedly|no doubt|without (?:a )?doubt|you bet|my pleasure|done|thanks?|now)\b",
    re.IGNORECASE,
)
_REFUSAL = (
    r"(?:i(?:'m| am) )?(?:very |so |really )?sorry,? (?:but )?i\b",
    r"i (?:cannot|can't|am unable to) (?:assist|help|translate)",
    r"as an (?:ai|artificial)\b",
)
_OWN_REFUSAL = re.compile(
    r"\b(?:sorry|apolog\w+|excuse|pardon|forgive|unfortunately|regret\w*|alas|sadly|pity|condolences"
    r"|(?:ai|language) (?:model|assistant)|artificial intelligence|chatbot|an? ai|virtual assistant"
    r"|i(?:'m| am) (?:not|unable|just|only|an?)|i(?: can(?:no|')t| couldn't| won't| do(?:n't| not))"
    r"|(?:not|isn't|no) (?:enough|sufficient) (?:information|context|data)|unable to|my (?:training|knowledge))",
    re.IGNORECASE,
)
_NOTES = (
    r"(?:(?:sure|certainly|of course|okay|ok)[,!.]? )?here(?:'s| is| are)[^.:\n]{0,40}\btranslat\w+[^.:\n]{0,40}[.:]",
    r"(?:\w+ )?translat(?:ion|ed (?:text|version))\b[^.:\n]{0,30}:",
    r"(?:(?:translator'?s?|please|additional|side) )?notes?(?: [\w']+){0,3}:",
    r"i(?:'ve| have)? (?:translated|kept|preserved)\b",
)
_OWN_NOTE = re.compile(
    r"(?:[\w']+ ){0,3}(?:notes?|n\.?b\.?|important|remember|warning|caution|attention|tips?|hints?|remarks?|comments?|"
    r"keep in mind|be (?:aware|careful)|translat\w+|explanation|clarification|observation|footnote|p\.?s\.?|look out|"
    r"pay attention|mind|i (?:kept|preserved)|annotation)\b",
    re.IGNORECASE,
)


class Note(NamedTuple):
    """Talk about the translation. delimiter: a tag of the request came back."""

    kind: Literal["preface", "note", "delimiter"]
    text: str


def without_marks(text: str) -> str:
    """``text`` without marks of direction and other characters that nobody sees."""
    return text if text.isascii() else _INVISIBLE.sub("", text)


def obeying_opening(english: Turn, other: Turn, openings: Sequence[str]) -> str | None:
    """'Sure, here is ...' where the source neither opens so nor announces anything."""
    opening = _first((*openings, *_OPENING), other.line_openings[:1])
    if opening is None:
        return None
    first_line = next(iter(english.line_openings), "")
    return None if _OWN_OPENING.match(first_line) or first_line.endswith(":") else opening


def refusal(english: Turn, other: Turn, rules: TextRules) -> str | None:
    """'I'm sorry, but I can't ...' in the recipe's language or in English."""
    beginning = other if len(other.text) <= REFUSAL_REACH else Turn(other.text[:REFUSAL_REACH])
    refused = refusals(beginning, rules)
    wording = refused[0].detail if refused else _first(_REFUSAL, [beginning.opening])
    return None if wording is None or _OWN_REFUSAL.search(english.flat[:REFUSAL_REACH]) else wording


def note(english: Turn, other: Turn, patterns: Sequence[str]) -> Note | None:
    """'Here is the translation:' before it, 'Note: ...' after it, or the request's delimiters around it.

    A source with as many notes of its own may have them in translation.
    """
    if delimiter := _DELIMITER.search(other.text):
        return Note("delimiter", delimiter.group())
    known = (*patterns, *_NOTES)
    notes = [found for beginning in _beginnings(other) if (found := _first(known, [beginning]))]
    if not notes or len(notes) <= sum(bool(_OWN_NOTE.match(beginning)) for beginning in _beginnings(english)):
        return None
    preface = _first(known, other.line_openings[:1])
    return Note("preface", preface) if preface else Note("note", notes[-1])


def _beginnings(turn: Turn) -> Iterator[str]:
    """Where a note may begin: a line, a bracket."""
    yield from turn.line_openings
    yield from _BRACKETED.findall(turn.prose)


def _first(patterns: tuple[str, ...], beginnings: Iterable[str]) -> str | None:
    pattern = _any(patterns)
    return next((found.group() for beginning in beginnings if (found := pattern.match(beginning))), None)


@lru_cache(maxsize=64)
def _any(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.IGNORECASE)
