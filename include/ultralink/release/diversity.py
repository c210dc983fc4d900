"""Lexical diversity of one text: MTLD and HD-D over its words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from math import exp, lgamma, log

FACTOR = 0.72  # type-token ratio that ends a factor (McCarthy and Jarvis, 2010)
DRAWS = 42  # words of a sample of HD-D (McCarthy and Jarvis, 2010)
LEAST_WORDS = 50  # both are unsteady below


def mtld(words: Sequence[str]) -> float:
    """The measure of textual lexical diversity: mean length of a run of words whose type-token ratio stays above 0.72.

    The mean of a pass forward and one backward, each with its partial factor at the end (McCarthy and Jarvis,
    2010). A text without a repeated word has its length. Raises ValueError for no words.
    """
    if not words:
        raise ValueError("no words")
    return (_pass(words) + _pass(words[::-1])) / 2


def _pass(words: Sequence[str]) -> float:
    factors, types, length = 0.0, set[str](), 0
    for word in words:
        types.add(word)
        length += 1
        if len(types) / length <= FACTOR:
            factors += 1
            types.clear()
            length = 0
    if length:
        factors += (1 - len(types) / length) / (1 - FACTOR)
    return len(words) / factors if factors else float(len(words))


def hdd(words: Sequence[str]) -> float:
    """HD-D: expected type-token ratio of 42 words drawn without putting back, 0 to 1, in closed form.

    Each type adds its chance to be drawn at all, by the hypergeometric distribution, over 42. Raises ValueError for
    fewer than 42 words.
    """
    total = len(words)
    if total < DRAWS:
        raise ValueError(f"{total} words, needs {DRAWS}")
    # How often types of the same frequency are missed is computed once.
    frequencies = Counter(Counter(words).values())
    missed = {times: _missed(total, times) for times in frequencies}
    return sum(types * (1 - missed[times]) for times, types in frequencies.items()) / DRAWS


def _missed(total: int, times: int) -> float:
    """Chance that 42 of ``total`` words hold none of the ``times`` that are of one type."""
    if total - times < DRAWS:
        return 0.0
    return exp(
        _log_factorial(total - times)
        - _log_factorial(total - times - DRAWS)
        - _log_factorial(total)
        + _log_factorial(total - DRAWS)
    )


@cache
def _log_factorial(number: int) -> float:
    return lgamma(number + 1)


def effective_number(weights: Iterable[float]) -> float:
    """How many equally heavy things are as diverse as these: e to the power of Shannon's entropy; 0 for none."""
    heavy = [weight for weight in weights if weight > 0]
    total = sum(heavy)
    if not heavy:
        return 0.0
    return exp(-sum(weight / total * log(weight / total) for weight in heavy))
