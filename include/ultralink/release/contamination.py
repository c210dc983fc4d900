"""Contamination: rows that hold an item of an evaluation set, found by the runs of units that they share with it.

The rules, in order:

1. Units are those of `release.words`, without signs: words, and characters where there are no spaces between words.
   Case, width, punctuation and line breaks make no difference.
2. Each word of a run counts 1/``words`` and each character 1/``characters``; a run that reaches 1 is enough, whatever
   its mixture of scripts. Figures count nothing, for series of numbers are alike everywhere; but they must be equal.
   Where a set ignores numbers, figures in a row are one placeholder (1,000 = 1.000,5 = ７ = seven) on both sides.
3. An item that is shorter than a run must be there whole, if it reaches SHORT of a run (8 words of 13). If it reaches
   only TINY of it, it must be all that a user says: "Is it raining?" in the midst of a story is no test item.
   What is shorter still is no evidence.
4. The texts of an item are also joined in their order, those of a list with the labels that tests have: A B C or 1 2 3.
   The first text, the question, counts by itself as well. No run goes beyond a message.
5. What is in more than COMMON items of a set, or in most of them, is the set's template or a licence, not an item.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ultralink.release.evaluation import Item
from ultralink.release.recipe import Decontamination
from ultralink.release.words import is_unspaced, normalised, units

SHORT = Fraction(8, 13)  # of a run: GPT-3 took no fewer than 8 words as evidence (Brown et al., 2020, appendix C)
TINY = Fraction(3, 13)  # of a run: three words
COMMON = 10  # items: GPT-3 ignored runs that it met more than 10 times
MOST = 3  # items at least, of which more than half share a run
EXCERPT = 80  # characters

_HEAD = 5  # units that must be known before a run is looked at in full
_REMEMBERED = 400_000  # units whose codes are kept
_BREAK = "\n"  # stands between texts: no unit is white space
_LABELS = "abcdefghijklmnopqrstuvwxyz"

Codes = NDArray[np.int64]
Places = NDArray[np.int64]
Hashes = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Text:
    """A text of a row by its units (`words.units`). ``question``: it is what a user says."""

    units: list[str]
    question: bool


@dataclass(frozen=True, slots=True)
class Match:
    """A row holds ``item`` of ``evaluation``; ``excerpt`` is the beginning of what matched."""

    evaluation: str
    item: str
    excerpt: str


class ItemIndex:
    """All items of all sets. Memory: about 50 bytes per unit of an item, three times that for multiple choice."""

    def __init__(self, rules: Decontamination, items: Callable[[str], Iterable[Item]]) -> None:
        """``items`` gives those of the set that is named; what it raises is raised."""
        self._vocabulary = _Vocabulary()
        scale = _Scale(rules.words, rules.characters, self._vocabulary)
        self._strict, self._loose = _Sequences(scale), _Sequences(scale)
        for evaluation in rules.sets:
            sequences = self._loose if evaluation.ignore_numbers else self._strict
            for item in items(evaluation.name):
                streams = []
                for variant in _variants(item):
                    self._vocabulary.learn(variant)
                    streams.append(_stream(self._vocabulary.codes(variant)))
                codes = [one.loose if evaluation.ignore_numbers else one.strict for one in streams]
                sequences.add(evaluation.name, item.label, codes)
        self._strict.freeze()
        self._loose.freeze()

    def find(self, rows: Sequence[Sequence[Text]]) -> list[list[Match]]:
        """For each row one match per set, that of the item which it shares most runs with.

        A few hundred rows at a time are fastest.
        """
        flat: list[str] = []
        starts: list[int] = []  # of rows
        questions: list[tuple[int, int]] = []
        for row in rows:
            starts.append(len(flat))
            for text in row:
                if text.question:
                    questions.append((len(flat), len(flat) + len(text.units)))
                flat += text.units
                flat.append(_BREAK)
        stream = _stream(self._vocabulary.codes(flat))
        found: list[dict[str, _Best]] = [{} for _ in rows]
        bounds = np.array(questions, np.int64).reshape(-1, 2)
        for sequences, codes, origin in (
            (self._strict, stream.strict, stream.strict_origin),
            (self._loose, stream.loose, stream.loose_origin),
        ):
            for hit in sequences.hits(codes, np.searchsorted(origin, bounds)):
                first, last = int(origin[hit.start]), int(origin[hit.end - 1])
                row_number = int(np.searchsorted(starts, first, side="right")) - 1
                evaluation, label = sequences.owners[hit.item]
                best = found[row_number].setdefault(evaluation, _Best(flat[first : last + 1]))
                best.items[label] += 1
        return [[best.match(name) for name, best in row.items()] for row in found]


@dataclass(frozen=True, slots=True)
class _Best:
    """What a row has of a set: the first run, and how many runs of each item."""

    run: list[str]
    items: Counter[str] = field(default_factory=Counter)

    def match(self, evaluation: str) -> Match:
        return Match(evaluation, self.items.most_common(1)[0][0], excerpt(self.run))


def excerpt(run: Iterable[str]) -> str:
    """Units as a text that can be read, clipped."""
    text, spaced = "", False
    for unit in run:
        follows = not is_unspaced(unit)
        text += (" " if spaced and follows and text else "") + ("" if unit == _BREAK else unit)
        spaced = follows
        if len(text) > EXCERPT:
            return text[: EXCERPT - 1] + "…"
    return text


def _variants(item: Item) -> Iterator[list[str]]:
    """The units of an item in the forms in which a row may hold it."""
    texts = [units(normalised(text)) for text in item.texts]
    yield [unit for text in texts for unit in text]
    if len(texts) == 1:
        return
    if not item.listed[0]:
        yield texts[0]
    if any(item.listed):
        for labels in (list(_LABELS), [str(number) for number in range(1, 27)]):
            unused = iter(labels)
            marked = zip(texts, item.listed, strict=True)
            yield [unit for text, listed in marked for unit in ([next(unused, ""), *text] if listed else text) if unit]


# --- units as numbers -----------------------------------------------------------------------------

_UNKNOWN, _NUMBER = 0, 1
_SIGN = -1  # of both halves of a code
_DIGITS = re.compile(r"\d+")
# Without what is an article as well ("une") or a common word of another language ("once", "cents").
_WRITTEN_NUMBERS = """
one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million
deux trois quatre cinq sept huit neuf dix onze douze treize quatorze quinze seize vingt trente quarante
cinquante soixante cent mille
dos tres cuatro cinco seis siete ocho nueve diez doce trece catorce quince veinte treinta cuarenta cincuenta
sesenta setenta ochenta noventa cien ciento mil
два две двух три трёх трех четыре пять шесть семь восемь девять десять одиннадцать двенадцать тринадцать
четырнадцать пятнадцать шестнадцать семнадцать восемнадцать девятнадцать двадцать тридцать сорок пятьдесят
шестьдесят семьдесят восемьдесят девяносто сто двести триста тысяча тысячи тысяч
〇 零 一 二 两 三 四 五 六 七 八 九 十 百 千 万"""
_NUMBER_WORDS = frozenset(_WRITTEN_NUMBERS.split())


def _is_sign(unit: str) -> bool:
    return not any(char.isalnum() for char in unit)


class _Vocabulary(dict[str, int]):
    """The units of all items. A unit's code has its number in the lower half, and in the upper half its number
    where figures make no difference; a unit that is in no item has 0."""

    def __init__(self) -> None:
        super().__init__({_BREAK: _UNKNOWN})
        self.known: dict[str, int] = {}
        self.names: list[str] = ["", "0"]

    def learn(self, words: Iterable[str]) -> None:
        for word in words:
            if word not in self.known and not _is_sign(word):
                for name in (word, _DIGITS.sub("0", word)):
                    if name not in self.known:
                        self.known[name] = len(self.names)
                        self.names.append(name)

    def codes(self, words: list[str]) -> Codes:
        return np.fromiter(map(self.__getitem__, words), np.int64, len(words))

    def __missing__(self, unit: str) -> int:
        code = self._code(unit)
        if len(self) < _REMEMBERED:
            self[unit] = code
        return code

    def _code(self, unit: str) -> int:
        if _is_sign(unit):
            return _SIGN
        is_number = unit.isdecimal() or unit in _NUMBER_WORDS
        loose = _NUMBER if is_number else self.known.get(_DIGITS.sub("0", unit), _UNKNOWN)
        return loose << 32 | self.known.get(unit, _UNKNOWN)


@dataclass(frozen=True, slots=True)
class _Stream:
    """Numbers of units without signs, and where each stood: with figures as they are, and without them."""

    strict: Codes
    strict_origin: Places
    loose: Codes
    loose_origin: Places


def _stream(codes: Codes) -> _Stream:
    origin = np.flatnonzero(codes != _SIGN)
    both = codes[origin]
    loose = both >> 32
    again = np.zeros(len(loose), bool)
    again[1:] = (loose[1:] == _NUMBER) & (loose[:-1] == _NUMBER)
    return _Stream(both & 0xFFFFFFFF, origin, loose[~again], origin[~again])


class _Scale:
    """How much units weigh, in parts of a run; exact in whole numbers."""

    def __init__(self, words: int, characters: int, vocabulary: _Vocabulary) -> None:
        self.run = words * characters
        self.short = -(-self.run * SHORT.numerator // SHORT.denominator)
        self.tiny = -(-self.run * TINY.numerator // TINY.denominator)
        self.head = min(_HEAD, -(-self.short // max(words, characters)))
        self._word, self._character = characters, words
        self._vocabulary = vocabulary

    def weights(self) -> NDArray[np.int64]:
        """Of every number of the vocabulary. What is unknown ends a run, so its weight is of no matter."""
        return np.fromiter(map(self._weight, self._vocabulary.names), np.int64)

    def _weight(self, name: str) -> int:
        if name.isdecimal():
            return 0
        return self._character if name and is_unspaced(name) else self._word


# --- runs -----------------------------------------------------------------------------------------

_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, so that it has an inverse modulo 2**64
_INVERSE = np.uint64(pow(0x9E3779B97F4A7C15, -1, 1 << 64))
_SPREAD = np.uint64(0xD6E8FEB86659FD93)


def _mixed(numbers: NDArray[np.uint64]) -> Hashes:
    """splitmix64: equal numbers give equal hashes in every process."""
    mixed = (numbers + np.uint64(1)) * _BASE
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


class _Runs:
    """Weights and hashes of all runs of a sequence of numbers, in constant time each."""

    def __init__(self, codes: Codes, weights: NDArray[np.int64], mixed: Hashes) -> None:
        size = len(codes)
        self.size = size
        self.weight = np.zeros(size + 1, np.int64)
        np.cumsum(weights[codes], out=self.weight[1:])
        self._unknown = np.zeros(size + 1, np.int64)
        np.cumsum(codes == _UNKNOWN, out=self._unknown[1:])
        powers, self._inverses = _powers(_ceiling(size))
        self._sums = np.zeros(size + 1, np.uint64)
        np.cumsum(mixed[codes] * powers[:size], out=self._sums[1:])

    def ends(self, starts: Places, weight: int) -> Places:
        """Where the shortest runs from ``starts`` end that weigh ``weight``; beyond the size if there is none."""
        return np.searchsorted(self.weight, self.weight[starts] + weight)

    def known(self, starts: Places, ends: Places) -> NDArray[np.bool_]:
        """Which of the runs are whole and of known units alone."""
        inside = ends <= self.size
        inside &= self._unknown[np.where(inside, ends, 0)] == self._unknown[starts]
        return inside

    def hashes(self, starts: Places, ends: Places) -> Hashes:
        return (self._sums[ends] - self._sums[starts]) * self._inverses[starts] * _SPREAD


def _ceiling(size: int) -> int:
    return 1 << max(10, size.bit_length())


@cache
def _powers(size: int) -> tuple[Hashes, Hashes]:
    bases, inverses = np.full(size, _BASE), np.full(size, _INVERSE)
    bases[0] = inverses[0] = 1
    return np.cumprod(bases), np.cumprod(inverses)


# --- sequences ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Hit:
    """A run of a row that is in an item; places in the row's numbers."""

    start: int
    end: int
    item: int


@dataclass(frozen=True, slots=True)
class _Table:
    """Runs of items by their hashes, sorted. ``checked``: where that ends which must be equal."""

    hashes: Hashes
    starts: Places
    checked: Places

    def candidates(self, hashes: Hashes) -> Iterator[tuple[int, int]]:
        """Which of ``hashes`` are there, each with the places in this table."""
        left = np.searchsorted(self.hashes, hashes)
        there = left < len(self.hashes)
        there[there] = self.hashes[left[there]] == hashes[there]
        for number in np.flatnonzero(there):
            place = int(left[number])
            while place < len(self.hashes) and self.hashes[place] == hashes[number]:
                yield int(number), place
                place += 1


class _Sequences:
    """The items of the sets that treat figures alike: their numbers one after the other, each ended by 0."""

    def __init__(self, scale: _Scale) -> None:
        self._scale = scale
        self.owners: list[tuple[str, str]] = []  # of an item: set and label
        self._chunks: list[Codes] = []
        self._items: list[int] = []  # of a sequence
        self._lengths: list[int] = []

    def add(self, evaluation: str, label: str, variants: Iterable[Codes]) -> None:
        self.owners.append((evaluation, label))
        end = np.zeros(1, np.int64)
        for variant in variants:
            if len(variant):
                self._chunks += [variant, end]
                self._items.append(len(self.owners) - 1)
                self._lengths.append(len(variant) + 1)

    def freeze(self) -> None:
        """Build the tables. Nothing can be added afterwards."""
        scale = self._scale
        self._weights = scale.weights()
        self._mixed = _mixed(np.arange(len(self._weights), dtype=np.uint64))
        self._codes = np.concatenate([np.zeros(0, np.int64), *self._chunks])
        self._chunks = []
        runs = _Runs(self._codes, self._weights, self._mixed)
        ends = np.cumsum(np.array(self._lengths, np.int64)) - 1
        starts = ends - np.array(self._lengths, np.int64) + 1
        heavy = runs.weight[ends] - runs.weight[starts]
        self._sequence_starts, self._sequence_items = starts, np.array(self._items, np.int64)
        every = np.arange(runs.size)
        self._full = self._table(runs, every, runs.ends(every, scale.run), None)
        short = (heavy >= scale.short) & (heavy < scale.run)
        self._short = self._table(runs, starts[short], runs.ends(starts[short], scale.short), ends[short])
        tiny = (heavy >= scale.tiny) & (heavy < scale.short)
        self._tiny = self._table(runs, starts[tiny], ends[tiny], None)
        self._heads = _Heads(self._head_hashes(runs, np.concatenate([self._full.starts, self._short.starts])))

    def _table(self, runs: _Runs, starts: Places, ends: Places, checked: Places | None) -> _Table:
        checked = ends if checked is None else checked
        whole = runs.known(starts, ends)
        starts, ends, checked = starts[whole], ends[whole], checked[whole]
        hashes = runs.hashes(starts, ends)
        kept = self._telling(runs, starts, checked)
        starts, checked, hashes = starts[kept], checked[kept], hashes[kept]
        # Of equal runs of one item, the first is enough.
        order = np.lexsort((starts, self._item_of(starts), checked - starts, hashes))
        starts, checked, hashes = starts[order], checked[order], hashes[order]
        item = self._item_of(starts)
        new = np.ones(len(starts), bool)
        new[1:] = (hashes[1:] != hashes[:-1]) | (item[1:] != item[:-1]) | (np.diff(checked - starts) != 0)
        return _Table(hashes[new], starts[new], checked[new])

    def _telling(self, runs: _Runs, starts: Places, ends: Places) -> NDArray[np.bool_]:
        """Which runs tell items apart: those that are not in too many of a set. Equal items count as one."""
        if not len(starts):
            return np.zeros(0, bool)
        names = sorted({evaluation for evaluation, _ in self.owners})
        set_of_item = np.array([names.index(evaluation) for evaluation, _ in self.owners], np.int64)
        identity = self._identities(runs)
        item = self._item_of(starts)
        # A run in a set, and the different items that it is in.
        inside = runs.hashes(starts, ends) ^ _mixed(set_of_item[item].astype(np.uint64))
        order = np.lexsort((identity[item], inside))
        distinct, group = np.unique(inside[order], return_index=True)
        other = np.ones(len(order), np.int64)
        other[1:] = (np.diff(inside[order]) != 0) | (np.diff(identity[item][order]) != 0)
        times = np.add.reduceat(other, group)
        sizes = np.array([len(np.unique(identity[set_of_item == number])) for number in range(len(names))])
        count = times[np.searchsorted(distinct, inside)]
        most = (count >= MOST) & (2 * count > sizes[set_of_item[item]])
        return (count <= COMMON) & ~most

    def _identities(self, runs: _Runs) -> Hashes:
        """Of each item a hash of its first sequence, which is all of its texts."""
        identity = np.zeros(len(self.owners), np.uint64)
        starts, lengths = self._sequence_starts, np.array(self._lengths, np.int64)
        owners, first = np.unique(self._sequence_items, return_index=True)
        identity[owners] = runs.hashes(starts[first], starts[first] + lengths[first] - 1)
        return identity

    def _item_of(self, places: Places) -> Places:
        sequence = np.searchsorted(self._sequence_starts, places, side="right") - 1
        return self._sequence_items[sequence]

    def _head_hashes(self, runs: _Runs, starts: Places) -> Hashes:
        return runs.hashes(starts, np.minimum(starts + self._scale.head, runs.size))

    def hits(self, codes: Codes, questions: Places) -> Iterator[_Hit]:
        """All runs of ``codes`` that are in an item. ``questions``: start and end of what users say."""
        if not self.owners:
            return
        runs, scale = _Runs(codes, self._weights, self._mixed), self._scale
        starts = np.arange(max(runs.size - scale.head + 1, 0))
        starts = starts[runs.known(starts, starts + scale.head)]
        starts = starts[self._heads.may_hold(self._head_hashes(runs, starts))]
        for table, weight in ((self._full, scale.run), (self._short, scale.short)):
            ends = runs.ends(starts, weight)
            whole = runs.known(starts, ends)
            yield from self._equal(table, codes, starts[whole], runs.hashes(starts[whole], ends[whole]))
        begins, ends = questions[:, 0], questions[:, 1]
        whole = (begins < ends) & runs.known(begins, ends)
        asked = self._equal(self._tiny, codes, begins[whole], runs.hashes(begins[whole], ends[whole]))
        last = dict(zip(begins.tolist(), ends.tolist(), strict=True))
        yield from (hit for hit in asked if hit.end == last[hit.start])

    def _equal(self, table: _Table, codes: Codes, starts: Places, hashes: Hashes) -> Iterator[_Hit]:
        for number, place in table.candidates(hashes):
            first, last = int(table.starts[place]), int(table.checked[place])
            start = int(starts[number])
            end = start + last - first
            if np.array_equal(codes[start:end], self._codes[first:last]):
                yield _Hit(start, end, int(self._item_of(table.starts[place : place + 1])[0]))


class _Heads:
    """The beginnings of all runs, in a table that says "no" for sure and "yes" wrongly once in 16 times."""

    def __init__(self, hashes: Hashes) -> None:
        self._bits = min(max(16, (16 * len(hashes)).bit_length()), 27)
        self._there = np.zeros(1 << self._bits, bool)
        self._there[self._slots(hashes)] = True

    def may_hold(self, hashes: Hashes) -> NDArray[np.bool_]:
        return self._there[self._slots(hashes)]

    def _slots(self, hashes: Hashes) -> Hashes:
        return hashes >> np.uint64(64 - self._bits)
