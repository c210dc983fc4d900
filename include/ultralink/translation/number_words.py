"""English words that a translator may write in digits: three, a dozen, half an hour, July, XIV.

They allow digits and demand none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ultralink.translation.numerals import Numeral

_UNITS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = {
    f"{word}ty": 10 * n for n, word in enumerate(("twen", "thir", "for", "fif", "six", "seven", "eigh", "nine"), 2)
}
_SMALL = {word: value for value, word in enumerate(_UNITS)} | _TENS
_POWERS = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_ORDINALS = {"first": 1, "second": 2, "third": 3, "fifth": 5, "eighth": 8, "ninth": 9, "twelfth": 12} | {
    word.removesuffix("y") + ("ieth" if word.endswith("y") else "th"): value
    for word, value in (_SMALL | _POWERS).items()
    if value not in (0, 1, 2, 3, 5, 8, 9, 12)
}
_AMOUNTS: dict[str, tuple[str, ...]] = {
    "half": ("2", "0.5", "50", "30"),
    "quarter": ("4", "0.25", "25", "15"),
    "dozen": ("12",),
    "noon": ("12",),
    "midnight": ("0", "12", "24"),
    "decade": ("10",),
    "century": ("100",),
    "fortnight": ("2", "14"),
    "once": ("1",),
    "single": ("1",),
    "triple": ("3",),
    "thrice": ("3",),
    "quadruple": ("4",),
} | dict.fromkeys(("twice", "both", "pair", "couple", "double", "twofold"), ("2",))
_MONTHS = {
    "January": 1, "February": 2, "March": 3, "April": 4, "May": 5, "June": 6, "July": 7, "August": 8, "September": 9,
    "October": 10, "November": 11, "December": 12, "Jan": 1, "Feb": 2, "Mar": 3, "Apr": 4, "Jun": 6, "Jul": 7,
    "Aug": 8, "Sept": 9, "Sep": 9, "Oct": 10, "Nov": 11, "Dec": 12,
}  # fmt: skip
_MEASURES = (
    "second|minute|hour|day|night|week|month|year|decade|century|dollar|cent|euro|pound|percent|kilogram|gram|litre|"
    "liter|metre|meter|kilometre|kilometer|mile|foot|inch|person|point|time|degree|page|step"
)

_CARDINAL = rf"(?:{'|'.join((*_SMALL, *_POWERS))})"
_SEQUENCE = rf"{_CARDINAL}(?:(?:[- ]|,? and ){_CARDINAL})*"
_WORDS = re.compile(
    rf"\b(?:(?P<ordinal>(?:(?:{'|'.join(_TENS)})[- ])?(?:{'|'.join(_ORDINALS)}))s?\b"
    rf"|(?P<cardinal>{_SEQUENCE})(?P<more>s| dozen)?(?P<half> and a half)?(?![a-z])"
    rf"|(?P<amount>{'|'.join(_AMOUNTS)}|halve)s?\b"
    rf"|(?:an?|per|each|every) (?P<measure>{_MEASURES})\b)",
    re.IGNORECASE,
)
_MONTH = re.compile(rf"\b({'|'.join(_MONTHS)})\b")
_ROMAN = re.compile(
    r"(?<![^\W㐀-鿿])(?=[IVXLCDM])(M{0,3}(?:C[MD]|D?C{0,3})(?:X[CL]|L?X{0,3})(?:I[XV]|V?I{0,3}))"
    r"(?:(?![^\W㐀-鿿])|(?=(?:ᵉ|e|er|re|ème|ère)\b))"  # XIX, XIX世纪, XIXe
)
_ROMAN_VALUES = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}


def worded_numbers(text: str) -> list[Numeral]:
    """What the words of an English text allow a translation to write in digits."""
    worded = [numeral for found in _WORDS.finditer(text) for numeral in _allowed(found)]
    months = [_allowance(found[1], str(_MONTHS[found[1]])) for found in _MONTH.finditer(text)]
    roman = [numeral for numeral in roman_numerals(text) if numeral.surface != "I"]
    return [*worded, *months, *roman]


def roman_numerals(text: str) -> list[Numeral]:
    """Words that may be Roman numerals."""
    return [_allowance(found[1], str(_roman(found[1]))) for found in _ROMAN.finditer(text) if found[1]]


def _allowed(found: re.Match[str]) -> Iterator[Numeral]:
    if words := found["cardinal"]:
        yield from _cardinals(words.lower(), dozen=found["more"] == " dozen", half=bool(found["half"]))
    elif words := found["ordinal"]:
        value = sum(_ORDINALS.get(word, 0) or _TENS.get(word, 0) for word in re.split("[- ]", words.lower()))
        yield _allowance(words, str(value))
        yield _allowance(words, "1")  # a third: 1/3
    elif words := found["amount"]:
        yield _allowance(words, *_AMOUNTS["half" if words.lower() == "halve" else words.lower()])
        yield _allowance(words, "1")  # half: 1/2
    else:
        yield _allowance(found["measure"], "1")


def _cardinals(words: str, *, dozen: bool, half: bool) -> Iterator[Numeral]:
    """Numbers of a run of number words, the last of them counting dozens or having a half on top."""
    *values, last = _values(words)
    yield from (_allowance(words, str(value)) for value in values)
    readings = [str(last)]
    readings += [str(last * 12)] if dozen else []
    readings += [f"{last}.5"] if half else []
    readings += [str(last // power) for power in _POWERS.values() if last > power and last % power == 0]
    yield _allowance(words, *readings)


def _values(words: str) -> list[int]:
    """``two hundred and five thousand`` is one number, ``one two`` and ``three and four`` are two."""
    done: list[int] = []
    total, below, before = 0, 0, 0  # whole thousands, what is below them, and what the word before is worth
    for word in re.findall("[a-z]+", words):
        if word == "and":
            continue
        value = _POWERS.get(word) or _SMALL[word]
        joins = before >= 100 or (before >= 20 and 0 < value < 10) if word in _SMALL else before < value
        if before and not joins:
            done.append(total + below)
            total, below = 0, 0
        if word in _SMALL:
            below += value
        elif value == 100:
            below = (below or 1) * 100
        else:
            total, below = total + (below or 1) * value, 0
        before = value or 1
    return [*done, total + below]


def _allowance(surface: str, *values: str) -> Numeral:
    return Numeral(surface, tuple((value,) for value in dict.fromkeys(values)))


def _roman(letters: str) -> int:
    values = [_ROMAN_VALUES[letter] for letter in letters]
    return sum(-value if value < after else value for value, after in zip(values, [*values[1:], 0], strict=True))
