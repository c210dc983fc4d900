"""The offline teacher as judge: word by word and number by number, for it understands nothing.

A claim is supported if one sentence of the passage has most of its words, and that sentence or its neighbours
all of its numbers. So a changed figure, an invented detail and two facts mixed up are found; a cause that was
reversed in the passage's own words is not, and a free paraphrase is taken for an invention.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from ultralink.dialogue.judge import AnswerVerdict, Verdicts
from ultralink.offline_teacher.facts import LEAST_TOKENS, sentences, stem
from ultralink.offline_teacher.reading import Task
from ultralink.offline_teacher.templates import templates_of
from ultralink.tokens import count_tokens

# Both set with the labelled items (include/judge) in view: its agreement with these flatters it.
LEAST_HELD = 0.62  # of a claim's words in the one sentence that supports it
MOST_ELSEWHERE = 0.24  # of a claim's words in other sentences alone: more, and it mixes facts
LEAST_WORDS = 5  # a claim of fewer is an introduction, or too short to be checked
SMALL_WORD = 3  # characters: articles, prepositions, pronouns

_HAN = re.compile(r"[\u3400-\u9fff]+")
_WORD = re.compile(r"[^\W\u3400-\u9fff]+")
_THOUSANDS = re.compile(r"(?<=\d)[\s,](?=\d{3}(?!\d))")
_NUMBER = re.compile(r"\d+|[一二三四五六七八九十百千万]{2,}|[二三四五六七八九]")
_PLACEHOLDER = re.compile(r"\{\w+\}")


@dataclass(frozen=True, slots=True)
class _Sentence:
    """One of the passage's, with its words, and the numbers in it and on either side of it."""

    text: str
    words: frozenset[str]
    numbers: frozenset[str]


def verdicts(task: Task) -> Verdicts:
    """For each answer whether its claims are supported, and the passage's sentence that does most for it."""
    known = _known(task)
    idle = _frame(task.language) | frozenset(_words(task.title))
    given = []
    for number, turn in enumerate(task.turns, 1):
        quote = _support(turn.answer, task.language, known, idle)
        given.append(AnswerVerdict(answer=number, supported=bool(quote), quote=quote))
    return Verdicts(answers=given)


def _known(task: Task) -> Sequence[_Sentence]:
    whole = sentences(task.passage, task.language)
    if templates_of(task.language) is None:  # then answers are put together from all over the passage
        words, numbers = frozenset(_words(task.passage)), _numbers(task.passage)
        known = [_Sentence(sentence, words, numbers) for sentence in whole]
    else:
        known = [
            _Sentence(sentence, frozenset(_words(sentence)), _numbers(" ".join(whole[max(0, at - 1) : at + 2])))
            for at, sentence in enumerate(whole)
        ]
    return [sentence for sentence in known if count_tokens(sentence.text) >= LEAST_TOKENS]  # others prove nothing


def _support(answer: str, language: str, known: Sequence[_Sentence], idle: frozenset[str]) -> str:
    """The sentence that supports the longest claim of ``answer``; empty where some claim has no support."""
    longest, quote = 0, ""
    for claim in sentences(answer, language):
        words = _words(claim)
        best = max(known, key=lambda sentence: sum(word in sentence.words for word in words), default=None)
        # Frames and the title are in no sentence of the passage, but claim nothing either.
        telling = [word for word in words if word not in idle or (best and word in best.words)]
        if len(telling) < LEAST_WORDS:
            continue
        if best is None or not _holds(best, telling, known) or not _numbers(claim) <= best.numbers:
            return ""
        if len(telling) > longest:
            longest, quote = len(telling), best.text
    return quote


def _holds(best: _Sentence, telling: Sequence[str], known: Sequence[_Sentence]) -> bool:
    missing = [word for word in telling if word not in best.words]
    elsewhere = sum(any(word in sentence.words for sentence in known) for word in missing)
    return len(telling) - len(missing) >= LEAST_HELD * len(telling) and elsewhere <= MOST_ELSEWHERE * len(telling)


@cache
def _frame(language: str) -> frozenset[str]:
    """The words that the offline teacher's own phrases put around the passage's sentences."""
    templates = templates_of(language)
    if templates is None:
        return frozenset()
    phrases = templates.answer
    texts = (*phrases.openings, *phrases.first, *phrases.links, *phrases.closings)
    return frozenset(word for text in texts for word in _words(_PLACEHOLDER.sub(" ", text)))


def _words(text: str) -> list[str]:
    """The stems of longer words, numbers, and pairs of characters where words are not spaced."""
    folded = _THOUSANDS.sub("", text.casefold())
    spaced = [
        word if word[0].isdigit() else stem(word)
        for word in _WORD.findall(folded)
        if len(word) > SMALL_WORD or word[0].isdigit()
    ]
    pairs = [run[at : at + 2] for run in _HAN.findall(folded) for at in range(len(run) - 1)]
    return spaced + pairs


def _numbers(text: str) -> frozenset[str]:
    return frozenset(_NUMBER.findall(_THOUSANDS.sub("", text)))
