"""A text changed until its similarity to the original is the one that is asked for."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from benchmarks.lexicon import STOCK, WORDS, Ints, Units, lexicon
from numpy.typing import NDArray

SHINGLE = 3  # words, or characters of Chinese, that are looked at together

_WORD = re.compile(r"[\u4e00-\u9fff]|(?:(?![\u4e00-\u9fff])\w)+|[+=<>$|~%&@/\\\-{}^]")

Shingles = NDArray[np.uint64]


@dataclass(frozen=True)
class _Words:
    """The words of all units, as numbers: those of unit u are ``words[first[u] : first[u + 1]]``."""

    words: NDArray[np.uint64]
    first: Ints


@cache
def _words(language: str) -> _Words:
    numbers: dict[str, int] = {}
    words, first = [], [0]
    for unit in lexicon(language).units.to_pylist():
        words += [numbers.setdefault(word, len(numbers) + 1) for word in _WORD.findall(unit.casefold())]
        first.append(len(words))
    return _Words(np.array(words, np.uint64), np.array(first))


def shingles(language: str, units: Units) -> Shingles:
    """The set of runs of SHINGLE words, as sorted hashes."""
    known = _words(language)
    begins = known.first[units]
    counts = known.first[units + 1] - begins
    places = np.repeat(begins - np.concatenate(([0], np.cumsum(counts)[:-1])), counts) + np.arange(counts.sum())
    words = known.words[places]
    if len(words) < SHINGLE:
        return np.unique(words)
    runs = words[: len(words) - SHINGLE + 1].copy()
    for further in range(1, SHINGLE):
        runs = runs * np.uint64(0x9E3779B97F4A7C15) + words[further : len(words) - SHINGLE + 1 + further]
    return np.unique(runs)


def similarity(one: Shingles, other: Shingles) -> float:
    """Jaccard's, of two sets."""
    common = len(np.intersect1d(one, other, assume_unique=True))
    return common / (len(one) + len(other) - common)


@dataclass(frozen=True)
class Edited:
    """A changed text. ``grown`` units of it were added before the last one."""

    units: Units
    grown: int
    similarity: float


def edited(language: str, units: Units, target: float, seed: int, *, from_above: bool) -> Edited:
    """``units`` changed as far as their similarity allows.

    ``from_above``: to the last change that leaves it at ``target`` or more; else to the first that leaves it at
    ``target`` or less. Words are replaced here and there, or in one run, or some are added, by turns.
    """
    draw = np.random.default_rng((seed, 7))
    before = shingles(language, units)
    fresh = draw.integers(500, WORDS, 4 * len(units) + 4, dtype=np.int32)
    change = _change(seed % 3, units, fresh, draw)
    least, most = 0, len(units) + 1  # similarity(least) >= target > similarity(most), as far as that is monotonous
    while most - least > 1:
        middle = (least + most) // 2
        enough = similarity(before, shingles(language, change(middle))) >= target
        least, most = (middle, most) if enough else (least, middle)
    changes = least if from_above else most
    after = change(changes)
    return Edited(after, len(after) - len(units), similarity(before, shingles(language, after)))


def _change(way: int, units: Units, fresh: Units, draw: np.random.Generator) -> Callable[[int], Units]:
    """What makes a text with so many changes; of formulas and code only what has to change after all words did."""
    words, others = np.flatnonzero(units < STOCK), np.flatnonzero(units >= STOCK)
    first = draw.permutation(words) if way == 0 else np.roll(words, -int(draw.integers(len(words))))
    places, forms = np.concatenate((first, others)), np.where(units < STOCK, units // WORDS * WORDS, 0)

    def replaced(changes: int) -> Units:
        after = units.copy()
        chosen = places[:changes]
        after[chosen] = fresh[: len(chosen)] + forms[chosen]
        return after

    def added(changes: int) -> Units:
        return np.concatenate((units[:-1], fresh[: 4 * changes], units[-1:]))

    return added if way == 2 else replaced
