"""The offline teacher as screen: words and patterns that it knows, for it understands nothing.

A chat meets a criterion where a listed word or pattern stands in it, and the first such place is the evidence.
So it misses every place, dish and company that is not on its lists, and customs that are only described. The lists
were made with the labelled chats (tests/data/screen.jsonl) in view: what it reaches with these flatters it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain, dropwhile

from pydantic import Field

from ultralink.errors import PromptError
from ultralink.offline_teacher.templates import TEMPLATES
from ultralink.pool.recipe import Criterion
from ultralink.pool.screen import Finding, Verdict
from ultralink.recipe import Section, read_yaml

# Two capitalised words or more, with what stands between the parts of some names.
_NAME = re.compile(
    r"(?<![\w'’])[A-Z][\w'’-]*\w(?: (?:(?:van|von|de|der|den|da|di|del|la|le|bin|ibn|al) )*[A-Z][\w'’-]*\w)+"
)
_SENTENCE_START = re.compile(r"(?:^|[.?!:\n\"“(>*-])\s*$")
_NOTHING = Finding(quote="", violated=0)


class _Names(Section):
    given_names: str
    no_names: str


class _Signs(Section):
    words: str = Field(default="", description="split at |")
    patterns: list[str] = Field(default=[])

    def expression(self) -> re.Pattern[str]:
        """All of it in one: words with regard to case, patterns without."""
        words = [rf"(?-i:{word.strip()})" for word in self.words.split("|") if word.strip()]
        listed = [rf"(?<![\w-])(?:{'|'.join(words)})(?:['’]?s)?(?![\w-])"] if words else []
        return re.compile("|".join(f"(?:{each})" for each in [*self.patterns, *listed]), re.IGNORECASE)


class _Knowledge(Section):
    person_name: _Names
    code_or_formula: _Signs
    place: _Signs
    customs: _Signs
    literary: _Signs
    culture_item: _Signs
    organisation: _Signs


def verdict(messages: Sequence[str]) -> Verdict:
    """For each criterion the first place in ``messages`` that meets it."""
    expressions = _expressions()
    found = {criterion: _first(expression, messages) for criterion, expression in expressions.items()}
    found[Criterion.PERSON_NAME] = next(chain.from_iterable(map(_full_names, messages)), "")
    findings = {each.value: Finding(quote=found[each], violated=1) if found[each] else _NOTHING for each in Criterion}
    return Verdict(**findings)


def _first(expression: re.Pattern[str], messages: Sequence[str]) -> str:
    matches = (expression.search(message) for message in messages)
    return next((match[0].strip() for match in matches if match), "")


def _full_names(message: str) -> Iterator[str]:
    """Names of two parts: of a given name that is known, or of words that nothing else explains."""
    known = _knowledge().person_name
    given, others = frozenset(known.given_names.split()), frozenset(known.no_names.split())
    taken = [match.span() for expression in _expressions().values() for match in expression.finditer(message)]
    for match in _NAME.finditer(message):
        if any(start < match.end() and match.start() < end for start, end in taken):
            continue
        words = match[0].split()
        led = list(dropwhile(others.__contains__, words))  # "Take Rosa Parks", "The Amina Yusuf Reading Room"
        if len(led) < 2 or others & set(led):
            continue
        is_opening = len(led) == len(words) and _SENTENCE_START.search(message, 0, match.start())
        if led[0] in given or not is_opening:
            yield " ".join(led)


@cache
def _knowledge() -> _Knowledge:
    return read_yaml(TEMPLATES / "screen.yaml", _Knowledge, PromptError, {})


@cache
def _expressions() -> dict[Criterion, re.Pattern[str]]:
    """The expression of each criterion but the first."""
    known = _knowledge()
    signs: dict[Criterion, _Signs] = {
        each: getattr(known, each.value) for each in Criterion if each is not Criterion.PERSON_NAME
    }
    return {criterion: sign.expression() for criterion, sign in signs.items()}
