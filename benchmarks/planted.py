"""What is planted among made-up rows: duplicates of known similarity, look-alikes, test items, secrets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from functools import cached_property

import numpy as np
from benchmarks.lexicon import LANGUAGES

# Dialogues per language and subset (paper, table 1, where translated chats are 45,000 together).
PAPER = {
    "en": {"chat_specific": 10_000, "chat_agnostic": 67_000, "math": 395_000, "code": 186_000},
    "es": {"chat_specific": 34_000, "chat_agnostic": 11_250, "math": 32_000, "code": 16_000},
    "fr": {"chat_specific": 30_000, "chat_agnostic": 11_250, "math": 32_000, "code": 16_000},
    "ru": {"chat_specific": 37_000, "chat_agnostic": 11_250, "math": 32_000, "code": 16_000},
    "zh": {"chat_specific": 36_000, "chat_agnostic": 11_250, "math": 32_000, "code": 16_000},
}
SUBSETS = tuple(PAPER["en"])
PAPER_ROWS = sum(sum(subsets.values()) for subsets in PAPER.values())
ROWS_PER_NIGHT = 34_400
FIRST_NIGHT = date(2026, 11, 1)

Cell = tuple[str, str]  # language, subset


class Kind(StrEnum):
    """What a planted row is to the one that it was made from."""

    NEAR = "near duplicate"
    FOREIGN = "near duplicate in another language's night"
    RELATED = "related, not a duplicate"
    TRANSLATION = "translation of the same English row"
    TEXT = "same text"
    ROW = "same English row"
    REVISION = "same article revision"
    PASSAGE = "same passage"
    ITEM = "test item"
    EMAIL = "email"
    PHONE = "phone"
    CREDENTIAL = "credential"


# Which stage has to take it out; what is not here has to stay.
STAGE = {
    **dict.fromkeys((Kind.NEAR, Kind.FOREIGN), "near"),
    **dict.fromkeys((Kind.TEXT, Kind.ROW, Kind.REVISION, Kind.PASSAGE), "exact"),
    Kind.ITEM: "decontaminate",
    **dict.fromkeys((Kind.EMAIL, Kind.PHONE, Kind.CREDENTIAL), "privacy"),
}


@dataclass(frozen=True, slots=True)
class Amount:
    """How many of a cell's rows are copies of a kind, and how similar they are to their originals."""

    kind: Kind
    share: float
    similarity: float = 1.0
    close: bool = False  # mostly in one night


_PAIRS = (
    Amount(Kind.NEAR, 0.006, 0.8),
    Amount(Kind.NEAR, 0.004, 0.8, close=True),
    Amount(Kind.NEAR, 0.004, 0.9),
    Amount(Kind.NEAR, 0.002, 0.9, close=True),
    Amount(Kind.NEAR, 0.004, 0.95),
    Amount(Kind.RELATED, 0.003, 0.5),
    Amount(Kind.RELATED, 0.002, 0.4, close=True),
    Amount(Kind.TEXT, 0.003),
    Amount(Kind.TEXT, 0.002, close=True),
)
_OF_ENGLISH = (Amount(Kind.ROW, 0.003), Amount(Kind.ROW, 0.001, close=True))
_OF_ARTICLES = (Amount(Kind.REVISION, 0.005), Amount(Kind.PASSAGE, 0.003, close=True))
_SINGLE = (
    Amount(Kind.ITEM, 0.002),
    Amount(Kind.EMAIL, 0.001),
    Amount(Kind.PHONE, 0.0005),
    Amount(Kind.CREDENTIAL, 0.0005),
)
_TRANSLATIONS = Amount(Kind.TRANSLATION, 0.002, 0.9)
_FOREIGN = Amount(Kind.FOREIGN, 0.005, 0.9)


@dataclass(frozen=True, slots=True)
class Place:
    """A row: the how manieth of its language and subset, over all nights."""

    language: str
    subset: str
    index: int


@dataclass(frozen=True, slots=True)
class Role:
    """A planted row's part. ``seed`` is that of its text; a copy has an ``original``, an original has none."""

    kind: Kind
    seed: int
    text_language: str
    similarity: float = 1.0
    original: Place | None = None


@dataclass(frozen=True)
class Layout:
    """Where which row of a made-up store is: computed, never looked up."""

    rows: int
    nights: int
    seed: int

    def count(self, cell: Cell) -> int:
        """Rows of a language and subset, in the paper's proportions."""
        language, subset = cell
        return max(1, round(PAPER[language][subset] * self.rows / PAPER_ROWS))

    def span(self, cell: Cell, night: int) -> range:
        """The indices of a cell's rows of a night."""
        count = self.count(cell)
        return range(count * night // self.nights, count * (night + 1) // self.nights)

    def date(self, night: int) -> str:
        """A night's partition date."""
        return (FIRST_NIGHT + timedelta(days=night)).isoformat()

    def night_of(self, place: Place) -> int:
        """The night that a row is in."""
        return ((place.index + 1) * self.nights - 1) // self.count((place.language, place.subset))

    def row_of(self, place: Place) -> int:
        """A row's number in its night."""
        night = self.night_of(place)
        before = SUBSETS[: SUBSETS.index(place.subset)]
        first = sum(len(self.span((place.language, subset), night)) for subset in before)
        return first + place.index - self.span((place.language, place.subset), night).start

    def order(self, place: Place) -> tuple[int, int, int]:
        """Ascends from the rows that stay to those that go."""
        return self.night_of(place), LANGUAGES.index(place.language), self.row_of(place)

    def english_row(self, place: Place) -> int:
        """The English row that a row is, or is a translation of; two languages share half of theirs.

        Of a row that is grounded on an article: its own number.
        """
        if place.language == "en" or is_article((place.language, place.subset)):
            return place.index
        offset = (LANGUAGES.index(place.language) - 1) * self.count((place.language, place.subset)) // 2
        return (place.index + offset) % self.count(("en", place.subset))

    @cached_property
    def roles(self) -> dict[Cell, dict[int, Role]]:
        """All planted rows, by cell and index."""
        return _Planting(self).roles


def is_article(cell: Cell) -> bool:
    """Whether a cell's rows are grounded on articles; English has conversations of a data set in their place."""
    return cell[1] == "chat_specific" and cell[0] != "en"


class _Planting:
    """Deals out roles to rows, one role for a row at most."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.roles: dict[Cell, dict[int, Role]] = {(name, subset): {} for name in LANGUAGES for subset in SUBSETS}
        self._draw = np.random.default_rng((layout.seed, 0))
        self._seeds = iter(range(1 << 40))
        self._translations()
        self._free = {cell: self._shuffled(cell) for cell in self.roles}
        for cell in self.roles:
            for amount in (*_PAIRS, *(_OF_ARTICLES if is_article(cell) else _OF_ENGLISH)):
                self._pairs(cell, amount)
            for amount in _SINGLE:
                for index in self._take(cell, self._amount(cell, amount)):
                    self._give(Place(*cell, index), Role(amount.kind, next(self._seeds), cell[0]))
        self._foreign()

    def _amount(self, cell: Cell, amount: Amount) -> int:
        return max(1, round(amount.share * self.layout.count(cell)))

    def _shuffled(self, cell: Cell) -> Iterator[int]:
        indices = self._draw.permutation(self.layout.count(cell)).tolist()
        return (index for index in indices if index not in self.roles[cell])

    def _take(self, cell: Cell, amount: int) -> list[int]:
        return [index for _, index in zip(range(amount), self._free[cell], strict=False)]

    def _give(self, place: Place, role: Role) -> None:
        self.roles[place.language, place.subset][place.index] = role

    def _pair(self, amount: Amount, one: Place, other: Place, text_language: str) -> None:
        """The row that comes first is the original."""
        original, copy = sorted((one, other), key=self.layout.order)
        seed = next(self._seeds)
        self._give(original, Role(amount.kind, seed, text_language))
        self._give(copy, Role(amount.kind, seed, text_language, amount.similarity, original))

    def _pairs(self, cell: Cell, amount: Amount) -> None:
        wanted = self._amount(cell, amount)
        taken = self._take(cell, 2 * wanted)
        if amount.close:
            taken.sort()
        for first, second in zip(taken[::2], taken[1::2], strict=False):
            one, other = Place(*cell, first), Place(*cell, second)
            same_night = self.layout.night_of(one) == self.layout.night_of(other)
            if same_night if amount.kind is Kind.REVISION else amount.kind is Kind.PASSAGE and not same_night:
                continue
            self._pair(amount, one, other, cell[0])

    def _translations(self) -> None:
        """Rows that read nearly like the English row that they are a translation of."""
        for language in LANGUAGES[1:]:
            for subset in ("math", "code"):
                amount = self._amount((language, subset), _TRANSLATIONS)
                count = self.layout.count((language, subset))
                for index in self._draw.choice(count, amount, replace=False).tolist():
                    place = Place(language, subset, index)
                    english = Place("en", subset, self.layout.english_row(place))
                    if english.index not in self.roles["en", subset]:
                        self._pair(_TRANSLATIONS, place, english, "en")

    def _foreign(self) -> None:
        """Rows that were left in English, and that English has too."""
        for language in LANGUAGES[1:]:
            cell = (language, "chat_agnostic")
            amount = self._amount(cell, _FOREIGN)
            ours, theirs = self._take(cell, amount), self._take(("en", "chat_agnostic"), amount)
            for mine, other in zip(ours, theirs, strict=False):
                self._pair(_FOREIGN, Place(*cell, mine), Place("en", "chat_agnostic", other), "en")
