"""Made-up conversations: their turns, topics and lengths as in the paper, and the words, formulas and code in them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from benchmarks.lexicon import (
    ANSWER,
    ANSWERS,
    CODE,
    CODE_HEAD,
    CODE_LINES,
    CODE_TAIL,
    FORMULA,
    FORMULAS,
    TOPICS,
    Ints,
    Units,
    lexicon,
    tokens_per_fragment,
    tokens_per_unit,
)
from numpy.typing import NDArray

from ultralink.store import fingerprint

ITEMS = 200  # of an evaluation set

# Mean tokens of a question and of an answer (paper, table 2); those of English are what is left of the means of all.
TOKENS = {"en": (118.4, 172.5), "es": (61.4, 325.1), "fr": (58.4, 453.8), "ru": (47.5, 332.1), "zh": (55.2, 553.8)}
SPREAD = 0.6  # of the logarithm of lengths
FRAGMENTED = {"math": (1, 4), "code": (3, 14)}  # formulas and lines of code in an answer
STOPPING = 0.22  # after the second turn, doubled by each: 3.3 turns in the mean, as the paper's chats have


def generator(*named: object) -> np.random.Generator:
    """Draws that belong to what is named, and to nothing else."""
    return np.random.default_rng(int(fingerprint(*named), 16))


@dataclass(frozen=True)
class Shape:
    """What an English row and its translations have in common: turns, topics, lengths, and formulas or code.

    ``turns`` and ``topics`` are per row; the others per message, ``fragments`` one after the other.
    """

    turns: Ints
    topics: Ints
    sizes: NDArray[np.float64]
    fragments: Units
    fragment_lengths: Ints


@dataclass(frozen=True)
class Conversations:
    """Rows of messages as units: ``lengths`` per message, two messages per turn."""

    turns: Ints
    units: Units
    lengths: Ints


def shape(subset: str, draw: np.random.Generator, rows: int) -> Shape:
    """Draw the shape of ``rows`` rows."""
    turns = np.ones(rows, np.int64) if subset in FRAGMENTED else _turns(draw, rows)
    messages = 2 * int(turns.sum())
    sizes = draw.standard_normal(messages)
    topics = (TOPICS * draw.random(rows) ** 2).astype(np.int64)
    lengths = np.zeros(messages, np.int64)
    if subset not in FRAGMENTED:
        return Shape(turns, topics, sizes, np.zeros(0, np.int32), lengths)
    low, high = FRAGMENTED[subset]
    answers = draw.integers(low, high + 1, rows)
    pieces: list[NDArray[np.signedinteger]] = []
    for count in answers.tolist():
        if subset == "math":
            pieces += [FORMULA + draw.integers(0, FORMULAS, count), ANSWER + draw.integers(0, ANSWERS, 1)]
        else:
            pieces += [np.array([CODE_HEAD]), CODE + draw.integers(0, CODE_LINES, count), np.array([CODE_TAIL])]
    lengths[1::2] = answers + (1 if subset == "math" else 2)
    return Shape(turns, topics, sizes, np.concatenate(pieces).astype(np.int32), lengths)


def _turns(draw: np.random.Generator, rows: int) -> Ints:
    turns, going, stop = np.full(rows, 2), np.ones(rows, bool), STOPPING
    while stop < 2 * STOPPING * 4:
        going &= draw.random(rows) >= stop
        turns += going
        stop *= 2
    return turns


def spoken(language: str, subset: str, made: Shape, draw: np.random.Generator) -> Conversations:
    """The shape's conversations in a language."""
    lengths = _lengths(language, subset, made.sizes)
    prose = lexicon(language).prose(draw, lengths, np.repeat(made.topics, 2 * made.turns))
    if not len(made.fragments):
        return Conversations(made.turns, prose, lengths)
    whole = lengths + made.fragment_lengths
    units = np.empty(int(whole.sum()), np.int32)
    first = np.cumsum(whole) - whole
    units[places_from(first, lengths)] = prose
    units[places_from(first + lengths, made.fragment_lengths)] = made.fragments
    return Conversations(made.turns, units, whole)


def places_from(first: Ints, lengths: Ints) -> Ints:
    """The numbers from ``first[i]`` on, ``lengths[i]`` of them, for each i."""
    return np.repeat(first - (np.cumsum(lengths) - lengths), lengths) + np.arange(int(lengths.sum()))


def _lengths(language: str, subset: str, sizes: NDArray[np.float64]) -> Ints:
    question, answer = TOKENS[language]
    if subset in FRAGMENTED:
        low, high = FRAGMENTED[subset]
        answer -= (low + high) / 2 * tokens_per_fragment()[subset]
    means = np.tile(np.log([question, answer]) - np.log(tokens_per_unit(language)) - SPREAD**2 / 2, len(sizes) // 2)
    return np.maximum(np.exp(means + SPREAD * sizes), 6).astype(np.int64)


@cache
def evaluation_items(language: str, subset: str) -> tuple[str, ...]:
    """The texts of an evaluation set: questions, or the heads of functions with what they are to do."""
    draw = generator("items", language, subset)
    words = lexicon(language)
    lengths = draw.integers(25, 60, ITEMS)
    units = words.prose(draw, lengths, draw.integers(0, TOPICS, ITEMS))
    texts = words.texts(units, lengths).to_pylist()
    if subset != "code":
        return tuple(texts)
    return tuple(f'def task_{number}(value):\n    """{text}"""\n' for number, text in enumerate(texts))
