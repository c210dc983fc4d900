"""Numbers as they are written: digits of any script, separators of either convention, read as values.

A numeral may be read in several ways: "1,250" is 1250 in English and 1.25 in French, "3,5" is a decimal in
Russian and may be two numbers in English. A reading is a tuple of values, mostly of one; a value is a plain
decimal string ("1250", "-0.5"), so that numerals of any length are read in linear time.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

Reading = tuple[str, ...]


class Numeral(NamedTuple):
    """A number in a text. ``optional``: it may stand there or not, such as the minutes of 15:00."""

    surface: str
    readings: tuple[Reading, ...]
    ordinal: bool = False
    optional: bool = False


_DIGITS = {
    chr(code): str(unicodedata.decimal(chr(code)))
    for code in range(0x80, sys.maxunicode + 1)
    if unicodedata.category(chr(code)) == "Nd"
}
_CIRCLED = {chr(0x2460 + index): f" {index + 1} " for index in range(20)}
_SIGNS = dict(zip("．，٫٬％－−﹣：’", ".,.'%---:'", strict=True))
_INVISIBLE = dict.fromkeys(
    "\u061c\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff", ""
)
_SPELLED = _DIGITS | _CIRCLED | _SIGNS | _INVISIBLE
_COMPOSED = frozenset("⁰¹²³⁴⁵⁶⁷⁸⁹⁻₀₁₂₃₄₅₆₇₈₉¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞↉^")
_SPECIAL = _COMPOSED.union(_SPELLED)
_UNIT_POWER = re.compile(
    r"(?<![^\W\d_])((?:[kcdmμ]?m|ft|in|mi|yd|[кдсм]?м) ?)(?:[²³]|\^[23])(?![\d⁰-⁹])", re.IGNORECASE
)
_RAISED = re.compile(r"[⁰¹²³⁴-⁹⁻]+")
_RAISED_DIGITS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_LOWERED = re.compile(r"[₀-₉]+")
_LOWERED_DIGITS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_VULGAR = re.compile(r"([0-9]?)([¼½¾⅐-⅞↉])")

_BLANKS = " \u00a0\u2007\u2009\u202f"
_NUMERAL = re.compile(rf"[0-9]+(?:[.,'][0-9]+|[{_BLANKS}][0-9]{{3}}(?![0-9]))*")
_SEPARATOR = re.compile(rf"[.,'{_BLANKS}]")
_KEPT_LENGTH = 24  # readings of longer numerals are not worth keeping
# a minus sign, currency before the digits, a point without a digit before it
_PREFIX = re.compile(r"(?:(?<![^\W぀-ヿ㐀-鿿])(?<![)\]⟧}'\"])([-–])[$€£¥₽]?)?((?<![\w.,…])\.)?\Z")
_PREFIX_ENDS = "-–.$€£¥₽"
_PREFIX_LENGTH = 3
_AFTER_UNIT = re.compile(r"[0-9][㐀-鿿]{1,3}\Z")
_MINUS_WORDS = ("负", "負", "минус", "moins", "menos", "minus", "negative")
_MINUS_WORD_LENGTH = 9

_ENGLISH_SCALE = re.compile(
    rf"[-{_BLANKS}]?(?:(?P<p2>hundred)|(?P<p3>thousand)|(?P<p6>million)|(?P<p9>billion)|(?P<p12>trillion))s?\b"
    r"|(?:(?P<s3>k)|(?P<s6>mn?)|(?P<s9>bn?)|(?P<s12>tn))\b",
    re.IGNORECASE,
)
_SCALES = {  # longer words first; billions are those of French and Spanish
    12: r"[万萬][亿億]|триллион\w*|трлн\b|billions?\b|bill[oó]n(?:es)?\b",
    11: r"千[亿億]",
    10: r"百[亿億]",
    9: r"十[亿億]|миллиард\w*|млрд\b|milliards?\b|mil millones\b",
    8: r"[亿億억]",
    7: r"千[万萬]",
    6: r"百[万萬]|миллион\w*|млн\b|millions?\b|mill[oó]n(?:es)?\b",
    4: r"[万萬만]",
    3: r"[千仟](?![米克瓦卡赫帕伏焦字兆])|тыс(?:\.|яч\w*)|mil(?:le)?\b",
    2: r"百(?![分米])",
}
_SCALE = re.compile(
    rf"[{_BLANKS}]?(?:" + "|".join(f"(?P<p{power}>{words})" for power, words in _SCALES.items()) + ")", re.IGNORECASE
)
# words that may scale a number in languages whose scale words aren't known here: Millionen, tusen, लाख
_MAYBE_SCALE = re.compile(
    rf"[{_BLANKS}]?(?:mi[lj]|m(?:ld|ln|rd|io)|bi[ln]|tri|trl|t[auy][uys]|tis[ií]c|duiz|hund|hond|cent|cient|st[oa]\b"
    r"|y[üu]z|rat|rib|jut|ngh|tri[eệ]|tỷ|тис|тыс|міл|мил|сот|хил|[^\W\d_A-Za-zÀ-ɏЀ-ӿḀ-ỿ㐀-鿿])",
    re.IGNORECASE,
)
_ENGLISH_CONTEXT = re.compile(
    rf"(?P<ordinal>st|nd|rd|th)\b|(?P<decade>'?s)\b|(?P<half> and a half)\b|(?P<dozen>[{_BLANKS}]dozen)"
    r"|(?P<afternoon>(?:[:.][0-5][0-9])? ?p\.?m)\b|(?P<morning>(?:[:.][0-5][0-9])? ?a\.?m)\b",
    re.IGNORECASE,
)


def plain(text: str) -> str:
    """``text`` with ASCII digits, points and minus signs; raised digits as ``^2``, ½ as ``1/2``, m² as m."""
    special = _SPECIAL.intersection(text)
    spelled = text
    if special & _COMPOSED:
        spelled = _UNIT_POWER.sub(r"\1", spelled)
        spelled = _RAISED.sub(lambda found: "^" + found.group().translate(_RAISED_DIGITS), spelled)
        spelled = _LOWERED.sub(lambda found: "_" + found.group().translate(_LOWERED_DIGITS), spelled)
        spelled = _VULGAR.sub(_spelled_fraction, spelled)
    for sign in sorted(special - _COMPOSED):
        spelled = spelled.replace(sign, _SPELLED[sign])
    return spelled


def source_numerals(text: str) -> list[Numeral]:
    """The numbers of an English text (as ``plain`` gives it), in its order."""
    numerals: list[Numeral] = []
    for found in _NUMERAL.finditer(text):
        prefixed = _is_prefixed(text, found.start())
        context = _ENGLISH_CONTEXT.match(text, found.end())
        scale = None if context else _ENGLISH_SCALE.match(text, found.end())
        if not prefixed and not context and not scale:
            numerals += _english(found.group())
        else:
            numerals += _source_numeral(found, context, scale)
    return numerals


def translated_numerals(text: str) -> list[Numeral]:
    """The numbers of a text in any language (as ``plain`` gives it), in its order."""
    numerals: list[Numeral] = []
    for found in _NUMERAL.finditer(text):
        prefixed = _is_prefixed(text, found.start())
        scale = _SCALE.match(text, found.end()) or _ENGLISH_SCALE.match(text, found.end())
        unsure = None if scale else _MAYBE_SCALE.match(text, found.end())
        if not prefixed and not scale and not unsure:
            numerals += _foreign(found.group())
        else:
            numerals += _translated_numeral(found, scale, unsure)
    return numerals


def _spelled_fraction(found: re.Match[str]) -> str:
    whole, fraction = found[1], unicodedata.normalize("NFKC", found[2]).replace("\u2044", "/")
    return f"{whole} {fraction}" if whole else fraction


def _is_prefixed(text: str, start: int) -> bool:
    """Whether what stands before the digits may change their value."""
    before = text[start - 1 : start]
    if not before or before not in _BLANKS:
        return bool(before) and (before in _PREFIX_ENDS or before in "负負" or before == ":")
    return text[start - 2 : start - 1] in ("с", "s", "e", "h", "ч")


def _source_numeral(
    found: re.Match[str], context: re.Match[str] | None, scale: re.Match[str] | None
) -> Iterator[Numeral]:
    digits = found.group()
    *listed, last = _english(digits)
    yield from listed
    readings = list(last.readings)
    kind = context.lastgroup if context else None
    if scale:
        scaled = _scaled(readings, int(str(scale.lastgroup)[1:]))
        is_word = str(scale.lastgroup).startswith("p")
        readings = scaled + (_marked(readings) if is_word else readings)
    elif kind and digits.isdecimal():
        readings += [(value,) for value in _other_ways(digits, kind)]
        if kind == "decade" and len(digits) == 4 and digits[2] != "0":  # 1990s: 20世纪90年代
            yield Numeral(digits, ((_century(digits),),), optional=True)
    yield from _prefixed(found, readings, ordinal=kind == "ordinal")


def _other_ways(digits: str, kind: str) -> list[str]:
    """What a translator may make of an English decade, dozen, hour or half."""
    if len(digits) > 4:
        return []
    number = int(digits)
    if kind == "decade" and number % 10 == 0:
        return [f"19{digits}"] if number < 100 else [_value(digits[2:]) if number % 100 else _century(digits)]
    if kind == "afternoon" and 0 < number < 12:
        return [str(number + 12)]
    others = {"dozen": str(number * 12), "half": f"{number}.5"} | ({"morning": "0"} if number == 12 else {})
    return [others[kind]] if kind in others else []


def _century(year: str) -> str:
    return str(int(year[:-2]) + 1)


def _translated_numeral(
    found: re.Match[str], scale: re.Match[str] | None, unsure: re.Match[str] | None
) -> Iterator[Numeral]:
    *listed, last = _foreign(found.group())
    yield from listed
    readings = list(last.readings)
    if scale:
        scaled = _scaled(readings, int(str(scale.lastgroup)[1:]))
        readings = readings + scaled if scale.re is _ENGLISH_SCALE else scaled or readings
    elif unsure:
        readings += _marked(readings)
    yield from _prefixed(found, readings, ordinal=False)


def _prefixed(found: re.Match[str], readings: list[Reading], *, ordinal: bool) -> Iterator[Numeral]:
    """The numeral with what stands before it: a minus sign or word, a bare point, the hour of full minutes."""
    text, start = found.string, found.start()
    prefix = _PREFIX.search(text, max(0, start - _PREFIX_LENGTH), start)
    if prefix and prefix[2]:
        readings = [(_value("0", "".join(_SEPARATOR.split(found.group()))),)]
    if prefix and prefix[1]:
        readings = [*_negative(readings), *(readings if _may_be_a_dash(prefix) else [])]
    elif text[max(0, start - _MINUS_WORD_LENGTH) : start].rstrip().lower().endswith(_MINUS_WORDS):
        readings = [*readings, *_negative(readings)]
    minutes = found.group() == "00" and text[max(0, start - 2) : start].rstrip()[-1:] in (":", "h", "ч")
    surface = text[prefix.start() : found.end()] if prefix else found.group()
    yield Numeral(surface, tuple(dict.fromkeys(readings)), ordinal, minutes)


def _negative(readings: list[Reading]) -> list[Reading]:
    return [("-" + first, *others) for first, *others in readings]


def _may_be_a_dash(minus: re.Match[str]) -> bool:
    """Whether the minus sign may as well be a bullet, a dash or a subtraction."""
    before = minus.string[max(0, minus.start() - 4) : minus.start()]
    return (
        minus[1] == "–"
        or not before
        or before[-1] == "\n"
        or (not before[-1].isascii() and not before[-1].isalpha())
        or before[-1] in "从從到至"
        or _AFTER_UNIT.search(before) is not None  # 3月-5月
        or (before[-1] == " " and (before[-2:-1].isdigit() or before[-2:-1] in (")", "]", "⟧")))
    )


def _english(numeral: str) -> tuple[Numeral, ...]:
    return (_kept_english if len(numeral) <= _KEPT_LENGTH else _read_english)(numeral)


def _foreign(numeral: str) -> tuple[Numeral, ...]:
    return (_kept_foreign if len(numeral) <= _KEPT_LENGTH else _read_foreign)(numeral)


def _read_english(numeral: str) -> tuple[Numeral, ...]:
    """Readings of an English numeral: a point is a decimal's, commas group by three or part a list."""
    parts, separators = _parts(numeral)
    if not separators:
        return _numerals(numeral, [(_value(numeral),)])
    readings: list[Reading] = []
    grouped = _groups_by_three(parts, separators)
    head_grouped = _groups_by_three(parts[:-1], separators[:-1])
    if grouped and separators != ".":
        readings.append((_value("".join(parts)),))
    elif separators[-1] == "." and head_grouped:
        readings.append((_value("".join(parts[:-1]), parts[-1]),))
    if separators != ".":
        readings.append(_list(parts))
    if separators[-1] == "," and head_grouped and not grouped:  # no English: 1.250,5
        readings.append((_value("".join(parts[:-1]), parts[-1]),))
    return _numerals(numeral, readings or [_list(parts)])


def _read_foreign(numeral: str) -> tuple[Numeral, ...]:
    """Readings of a numeral in either convention."""
    parts, separators = _parts(numeral)
    if not separators:
        return _numerals(numeral, [(_value(numeral),)])
    readings: list[Reading] = []
    if _groups_by_three(parts, separators):
        readings.append((_value("".join(parts)),))
    last = separators[-1]
    if last in ".," and last not in separators[:-1] and _groups_by_three(parts[:-1], separators[:-1]):
        readings.append((_value("".join(parts[:-1]), parts[-1]),))
    if separators != "." or (len(parts[0]) <= 2 and len(parts[1]) == 2):  # 15.01 may be a date
        readings.append(_list(parts))
    return _numerals(numeral, readings or [_list(parts)])


_kept_english = lru_cache(maxsize=4096)(_read_english)
_kept_foreign = lru_cache(maxsize=4096)(_read_foreign)


def _numerals(surface: str, readings: list[Reading]) -> tuple[Numeral, ...]:
    """One numeral; several where it can only be a list."""
    if len(readings) == 1:
        return tuple(Numeral(surface if len(readings[0]) == 1 else value, ((value,),)) for value in readings[0])
    return (Numeral(surface, tuple(dict.fromkeys(readings))),)


def _parts(numeral: str) -> tuple[list[str], str]:
    """Digits between the separators, and the separators, all blanks as one."""
    separators = "".join(" " if sign in _BLANKS else sign for sign in _SEPARATOR.findall(numeral))
    return _SEPARATOR.split(numeral), separators


def _groups_by_three(parts: list[str], separators: str) -> bool:
    """Whether ``parts`` are a whole number with one kind of thousands sign, or none."""
    if not separators:
        return True
    regular = len(parts[0]) <= 3 and parts[0][0] != "0" and all(len(part) == 3 for part in parts[1:])
    return regular and separators == separators[0] * len(separators)


def _list(parts: list[str]) -> Reading:
    return tuple(_value(part) for part in parts)


def _marked(readings: list[Reading]) -> list[Reading]:
    """Readings that only match those of a number with a scale word of its own: 5 million, 5 Millionen."""
    return [(f"{reading[0]} scaled",) for reading in readings if len(reading) == 1]


def _scaled(readings: list[Reading], power: int) -> list[Reading]:
    """The readings of one value, times ten to ``power``."""
    scaled: list[Reading] = []
    for value in (reading[0] for reading in readings if len(reading) == 1):
        whole, _, decimals = value.partition(".")
        decimals = decimals.ljust(power, "0")
        scaled.append((_value(whole + decimals[:power], decimals[power:]),))
    return scaled


def _value(whole: str, decimals: str = "") -> str:
    """Canonical: no leading zeros, no trailing ones after the point."""
    kept = decimals.rstrip("0")
    return (whole.lstrip("0") or "0") + (f".{kept}" if kept else "")
