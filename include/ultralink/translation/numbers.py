"""The numbers of a text and of its translation, compared as multisets by value, however they are written.

1,250.5 may become 1 250,5 or 1.250,5, and 1.5 million may become 150万. Words of the source (three, a dozen)
allow digits and demand none; digits of the source must stay digits, except that an ordinal may become a Roman
numeral (19th century, XIXe siècle). An hour after noon may be counted on (3 pm, 15 h). Not followed: numbers
that a translator converts (miles to kilometres) or spells out.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from ultralink.translation.number_words import roman_numerals, worded_numbers
from ultralink.translation.numerals import Numeral, Reading, plain, source_numerals, translated_numerals

_ONE = re.compile(r"\b(?:an?|one|another|each|every|per)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Missing:
    """Numbers of the source that the translation lacks, and numbers that only the translation has."""

    lost: tuple[str, ...]
    added: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.lost or self.added)


def missing_numbers(source: str, translated: str) -> Missing:
    """Compare an English text with its translation into any language; both without what was masked."""
    english, other = plain(source), plain(translated)
    lost, added = _unmatched(source_numerals(english), translated_numerals(other))
    if any(numeral.ordinal for numeral in lost):
        ordinals = [numeral for numeral in lost if numeral.ordinal]
        without, _ = _unmatched(ordinals, roman_numerals(other))
        lost = [numeral for numeral in lost if not numeral.ordinal] + without
    if any(not numeral.optional for numeral in added):
        _, added = _unmatched(worded_numbers(english), added)
    return Missing(_surfaces(lost), _surfaces(added))


def spelled_values(source: str) -> frozenset[str]:
    """The numbers that words of an English text stand for, "a" and "each" included, as plain decimals."""
    values = {value for numeral in worded_numbers(plain(source)) for reading in numeral.readings for value in reading}
    return frozenset(values | {"1"} if _ONE.search(source) else values)


def _surfaces(numerals: Sequence[Numeral]) -> tuple[str, ...]:
    return tuple(numeral.surface for numeral in numerals if not numeral.optional)


def _unmatched(wanted: Sequence[Numeral], found: Sequence[Numeral]) -> tuple[list[Numeral], list[Numeral]]:
    """What is left of both when numerals with a common reading are paired, and lists with their items."""
    lost, added = _pair(wanted, found)
    if lost and added:
        lost, added = _take_apart(lost, added)
        added, lost = _take_apart(added, lost)
    return lost, added


def _pair(wanted: Sequence[Numeral], found: Sequence[Numeral]) -> tuple[list[Numeral], list[Numeral]]:
    """Pair one with one. Those with the fewest readings choose and are chosen first: others have more choice."""
    free: dict[Reading, list[int]] = defaultdict(list)
    for index in sorted(range(len(found)), key=lambda index: -len(found[index].readings)):
        for reading in found[index].readings:
            free[reading].append(index)
    used: set[int] = set()
    paired: set[int] = set()
    for number in sorted(range(len(wanted)), key=lambda number: len(wanted[number].readings)):
        for reading in wanted[number].readings:
            if (partner := _take(free[reading], used)) is not None:
                used.add(partner)
                paired.add(number)
                break
    return _without(wanted, paired), _without(found, used)


def _take_apart(lists: Sequence[Numeral], items: Sequence[Numeral]) -> tuple[list[Numeral], list[Numeral]]:
    """Pair numerals that may be a list ("3,5", "15.01.2024") with the single numbers that it holds."""
    free: dict[str, list[int]] = defaultdict(list)
    for index, item in enumerate(items):
        for reading in item.readings:
            if len(reading) == 1:
                free[reading[0]].append(index)
    used: set[int] = set()
    paired: set[int] = set()
    for number, numeral in enumerate(lists):
        for reading in numeral.readings:
            if len(reading) > 1 and _take_all(reading, free, used):
                paired.add(number)
                break
    return _without(lists, paired), _without(items, used)


def _take_all(values: Reading, free: dict[str, list[int]], used: set[int]) -> bool:
    """Use an index for each of ``values``, or none at all."""
    taken: list[int] = []
    for value in values:
        if (index := _take(free[value], used)) is None:
            used -= set(taken)
            for earlier, given_back in zip(values, taken, strict=False):
                free[earlier].append(given_back)
            return False
        taken.append(index)
        used.add(index)
    return True


def _take(free: list[int], used: set[int]) -> int | None:
    """The next unused index, taken off the list."""
    while free:
        if (index := free.pop()) not in used:
            return index
    return None


def _without(numerals: Sequence[Numeral], indexes: set[int]) -> list[Numeral]:
    return [numeral for index, numeral in enumerate(numerals) if index not in indexes]
