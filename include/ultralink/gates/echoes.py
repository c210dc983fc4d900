"""Text that was there before: in the turn itself, in the passage, in earlier turns. All in linear time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

from ultralink.gates.finding import Finding, Gate
from ultralink.gates.turn import Turn, clip, units

LOOP_WORDS = 4
LOOP_CHARACTERS = 8  # a Chinese word has about two
RUN_WORDS = 10
RUN_CHARACTERS = 20
SENTENCE_WORDS = 6  # shorter sentences may well come twice
SENTENCE_CHARACTERS = 12
SAME_TURN = 0.9  # Jaccard index of unit pairs

_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？])|\n+")
_LETTER_RUN = re.compile(r"([^\W\d_])\1{7,}|([!?！？。…])\2{5,}", re.IGNORECASE)


def repetition(turn: Turn, most: float) -> list[Finding]:
    """Loops: a character, a sentence or too large a share of n-grams that come again."""
    if run := _LETTER_RUN.search(turn.prose):
        return [Finding(Gate.REPETITION, "characters", clip(run.group()))]
    if sentence := _repeated_sentence(turn):
        return [Finding(Gate.REPETITION, "sentence", clip(sentence))]
    share = _looped_share(turn.units, LOOP_CHARACTERS if turn.is_unspaced else LOOP_WORDS)
    if share > most:
        return [Finding(Gate.REPETITION, "ngrams", f"{share:.2f} > {most:.2f}")]
    return []


def copied_passage(turn: Turn, passage: str, most: float) -> list[Finding]:
    """Too large a share of the turn stands word for word in the passage, in long runs."""
    size = RUN_CHARACTERS if turn.is_unspaced else RUN_WORDS
    known = _windows(passage, size)
    found = turn.units
    copied = bytearray(len(found))
    for start in range(len(found) - size + 1):
        if hash(tuple(found[start : start + size])) in known:
            copied[start : start + size] = b"\1" * size
    share = sum(copied) / max(1, len(found))
    return [Finding(Gate.COPIED, Gate.COPIED.value, f"{share:.2f} > {most:.2f}")] if share > most else []


def repeated_turn(turn: Turn, earlier: Sequence[str]) -> list[Finding]:
    """The turn says again, word for word or nearly so, what an earlier one said."""
    pairs = _pairs(turn.units)
    for text in earlier:
        before = _pairs(units(text))
        if turn.units and len(pairs & before) >= SAME_TURN * len(pairs | before):
            return [Finding(Gate.REPEATED_TURN, Gate.REPEATED_TURN.value, clip(text))]
    return []


def _repeated_sentence(turn: Turn) -> str | None:
    least = SENTENCE_CHARACTERS if turn.is_unspaced else SENTENCE_WORDS
    seen: set[tuple[str, ...]] = set()
    for sentence in _SENTENCE_END.split(turn.prose):
        found = tuple(units(sentence))
        if len(found) >= least and found in seen:
            return sentence
        seen.add(found)
    return None


def _looped_share(found: Sequence[str], size: int) -> float:
    """Share of units inside n-grams that were seen before."""
    seen: set[tuple[str, ...]] = set()
    looped = bytearray(len(found))
    for start in range(len(found) - size + 1):
        gram = tuple(found[start : start + size])
        if gram in seen:
            looped[start : start + size] = b"\1" * size
        seen.add(gram)
    return sum(looped) / max(1, len(found))


@lru_cache(maxsize=128)
def _windows(passage: str, size: int) -> frozenset[int]:
    """Hashes of all runs of ``size`` units; kept, since a dialogue asks for the same passage every turn."""
    found = units(passage)
    return frozenset(hash(tuple(found[start : start + size])) for start in range(len(found) - size + 1))


def _pairs(found: Sequence[str]) -> set[tuple[str, str]]:
    """Neighbouring units, the edges included, so that one unit makes pairs as well."""
    padded = ["", *found, ""]
    return set(pairwise(padded))
