"""Wording that gives the passage, the task or the machine away, told by the recipe's patterns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from ultralink.gates.finding import Finding, Gate
from ultralink.gates.turn import Turn, clip
from ultralink.recipe import TextRules

REFUSAL_REACH = 200  # boilerplate opens an answer; later, "I cannot" is somebody's quoted words
QUESTION_REACH = 1000  # what is longer is too long anyway, and these patterns take quadratic time


def leaks(turn: Turn, rules: TextRules) -> list[Finding]:
    """'According to the text' and its kin, anywhere."""
    return _first(Gate.LEAK, rules.leaks, [turn.flat], anywhere=True)


def meta_openings(turn: Turn, rules: TextRules) -> list[Finding]:
    """'Here is a deeper question:', 'Answer:' where the turn or one of its lines begins."""
    return _first(Gate.META, rules.meta_openings, turn.line_openings, anywhere=False)


def dangling_opening(question: Turn, rules: TextRules) -> list[Finding]:
    """A question whose opening points at something outside it: 'Why did it spread?'"""
    return _first(Gate.DANGLING, rules.dangling_openings, [question.opening], anywhere=False)


def second_questions(question: Turn, rules: TextRules) -> list[Finding]:
    """A second question told by its words: '..., and also, what ...'"""
    said = question.unquoted[:QUESTION_REACH]
    return _first(Gate.SEVERAL_QUESTIONS, rules.second_questions, [said], anywhere=True)


def refusals(answer: Turn, rules: TextRules) -> list[Finding]:
    """'As an AI language model, I cannot ...' in the opening."""
    return _first(Gate.REFUSAL, rules.refusals, [answer.unquoted[:REFUSAL_REACH]], anywhere=True)


def _first(gate: Gate, patterns: Sequence[str], texts: Iterable[str], *, anywhere: bool) -> list[Finding]:
    """A finding for the first pattern that is found; a turn needs no second reason of one kind."""
    for text in texts:
        for pattern in _compiled(tuple(patterns)):
            if found := pattern.search(text) if anywhere else pattern.match(text):
                return [Finding(gate, gate.value, clip(found.group()))]
    return []


@lru_cache(maxsize=256)
def _compiled(patterns: tuple[str, ...]) -> list[re.Pattern[str]]:
    return [re.compile(pattern, re.IGNORECASE) for pattern in patterns]
