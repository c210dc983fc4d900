"""The sentences of a passage that can be asked about or said alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache

from ultralink.errors import RecipeError
from ultralink.gates.turn import units
from ultralink.offline_teacher.templates import Templates, templates_of
from ultralink.recipe import TextRules, load_recipe
from ultralink.tokens import count_tokens
from ultralink.wikipedia import segment

_WORD = re.compile(r"\w+")
_UNFIT = re.compile(r"[?？!！:：;；…\"()\[\]（）<>{}]")  # would make a nested question or a broken quotation
_ABBREVIATED = re.compile(r"(?:\b\w{1,3}|\d)\.?$")
_PAIRS = (("(", ")"), ("[", "]"), ("«", "»"), ("“", "”"), ("（", "）"), ("《", "》"), ("「", "」"))
ASKED_UNITS = 20  # words
ASKED_CHARACTERS = 34  # where a character is the unit, as in Chinese
SAID_TOKENS = 130
LEAST_TOKENS = 9


@dataclass(frozen=True, slots=True)
class Fact:
    """A sentence by its place in the passage.

    ``bare`` is the sentence to be built into another one; None when it can't be told whether its first word
    would keep its capital.
    """

    index: int
    sentence: str
    bare: str | None
    askable: bool


@lru_cache(maxsize=4096)
def sentences(passage: str, language: str) -> tuple[str, ...]:
    """The sentences of ``passage``, headings among them, without the space around them."""
    spans = segment.sentences(passage, _rules(language))
    return tuple(stripped for start, end in spans if (stripped := passage[start:end].strip()))


@cache
def _rules(language: str) -> TextRules:
    """The recipe's rules for text; none for a language whose recipe is elsewhere, as in a test."""
    try:
        return load_recipe(language).text
    except RecipeError:
        return TextRules(detector_labels=[language], abbreviations=[], leaks=[], dangling_openings=[], refusals=[])


@lru_cache(maxsize=4096)
def facts(passage: str, language: str) -> tuple[Fact, ...]:
    """The sentences of ``passage`` that stand alone, in their order."""
    templates = templates_of(language)
    whole = sentences(passage, language)
    inside = frozenset(stem(word) for sentence in whole for word in _WORD.findall(sentence)[1:])
    return tuple(
        _fact(index, sentence, inside) for index, sentence in enumerate(whole) if _stands_alone(sentence, templates)
    )


def _stands_alone(sentence: str, templates: Templates | None) -> bool:
    if not sentence.endswith((".", "。")) or not sentence[0].isalnum() or sentence[0].islower():
        return False
    if any(sentence.count(left) != sentence.count(right) for left, right in _PAIRS):
        return False
    if not LEAST_TOKENS <= count_tokens(sentence) <= SAID_TOKENS:
        return False
    return templates is None or not (
        re.match(templates.leaning.opening, sentence, re.IGNORECASE)
        or re.search(templates.leaning.anywhere, sentence, re.IGNORECASE)
    )


def _fact(index: int, sentence: str, inside: frozenset[str]) -> Fact:
    bare = _decapitalised(sentence[:-1].rstrip(), inside)
    askable = (
        bare is not None
        and not _UNFIT.search(bare)
        and not _ABBREVIATED.search(bare)
        and len(units(bare)) <= (ASKED_CHARACTERS if sentence.endswith("。") else ASKED_UNITS)
    )
    return Fact(index, sentence, bare, askable)


def _decapitalised(sentence: str, inside: frozenset[str]) -> str | None:
    """``sentence`` as it goes on inside another one: what else the passage writes small is no name."""
    found = _WORD.match(sentence)
    opening = found[0] if found else ""
    lowered = opening[:1].lower() + opening[1:]
    if lowered == opening:
        return sentence
    if stem(lowered) in inside:
        return lowered + sentence[len(opening) :]
    return sentence if stem(opening) in inside else None


def stem(word: str) -> str:
    """The word without what may be its ending: enough to know an inflected form again."""
    return word[: max(4, len(word) - 3)]
