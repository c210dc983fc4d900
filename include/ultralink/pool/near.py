"""Exact and near duplicates: of rows that say the same, the first that is read stays."""

from __future__ import annotations

import hashlib
import math
import re
import unicodedata

import numpy as np
from numpy.typing import NDArray
from rensa import RMinHash, RMinHashLSH  # type: ignore[import-untyped]  # ships no types

from ultralink.pool.recipe import NearDuplicateRules
from ultralink.pool.row import EnglishRow

PERMUTATIONS = 120  # numbers per signature: divided by many, so that bands of many sizes fit
FOUND = 0.9  # the chance with which a pair that is just at the threshold shares a band
SEED = 42

# A word, or a sign that carries meaning in a formula or in code; the punctuation of prose does not count.
_TOKEN = re.compile(r"\w+|[^\w\s.,;:!?'\"’‘“”()\[\]…—–*_`#]")


class NearDuplicates:
    """Remembers the rows that it let pass: about 2.4 kB for each at the usual threshold, whatever its length.

    Similarities are estimated from MinHash signatures of word shingles, with a standard error of 0.04: close to the
    threshold a pair may fall on either side of it, the same one in every run.
    """

    def __init__(self, rules: NearDuplicateRules) -> None:
        self._rules = rules
        self._bands = bands(rules.threshold)
        self._index = RMinHashLSH(rules.threshold, PERMUTATIONS, self._bands)
        self._exact: dict[bytes, int] = {}
        self._ids: list[str] = []
        self._signatures = bytearray()

    def of(self, row: EnglishRow) -> str | None:
        """The id of the earlier row that ``row`` repeats; None where it is new, and it is remembered."""
        text = unicodedata.normalize("NFKC", row.text).casefold()
        exact = hashlib.blake2b(" ".join(text.split()).encode(), digest_size=16).digest()
        if (earlier := self._exact.get(exact)) is not None:
            return self._ids[earlier]
        sketch = RMinHash(PERMUTATIONS, SEED)
        sketch.update(_shingles(text, self._rules.shingle_words))
        # Half of each number is kept: two different ones agree in it once in 65,536 times.
        signature = np.array(sketch.digest(), dtype=np.uint32).astype(np.uint16)
        if (earlier := self._like(sketch, signature)) is not None:
            return self._ids[earlier]
        self._index.insert(len(self._ids), sketch)
        self._exact[exact] = len(self._ids)
        self._ids.append(row.id)
        self._signatures += signature.tobytes()
        return None

    def _like(self, sketch: RMinHash, signature: NDArray[np.uint16]) -> int | None:
        """The first of the remembered rows whose estimated similarity reaches the threshold."""
        least = math.ceil(self._rules.threshold * PERMUTATIONS - 1e-9)
        for number in sorted(self._index.query(sketch)):
            remembered = np.frombuffer(self._signatures, np.uint16, PERMUTATIONS, 2 * PERMUTATIONS * number)
            if np.count_nonzero(remembered == signature) >= least:
                return int(number)
        return None


def bands(threshold: float) -> int:
    """The fewest bands in which a pair at ``threshold`` meets with the chance FOUND: memory grows with them."""
    for number in range(1, PERMUTATIONS):
        if PERMUTATIONS % number == 0 and 1 - (1 - threshold ** (PERMUTATIONS // number)) ** number >= FOUND:
            return number
    return PERMUTATIONS


def _shingles(text: str, length: int) -> list[str]:
    words: list[str] = _TOKEN.findall(text)
    if len(words) <= length:
        return [" ".join(words)]
    return [" ".join(words[start : start + length]) for start in range(len(words) - length + 1)]
