"""Words: a text as the units that duplicates and test items are found by, in any script."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable

from opencc import OpenCC

# Scripts that write no spaces between words: Thai, Lao, Myanmar, Khmer, Kana, Han. Korean has spaces.
_UNSPACED = (
    (0x0E00, 0x0EFF),
    (0x1000, 0x109F),
    (0x1780, 0x17FF),
    (0x3005, 0x3007),
    (0x3021, 0x30FF),
    (0x31F0, 0x31FF),
    (0x3400, 0x9FFF),
    (0xA9E0, 0xA9FF),
    (0xAA60, 0xAA7F),
    (0xF900, 0xFAFF),
)
_SIGNS_OF_CODE = "%&@/\\-{}^"  # no symbols to Unicode, but they mean something in a formula or in code


def normalised(text: str) -> str:
    """``text`` without differences of width, of composed letters and of case (NFKC, case folded).

    Traditional Chinese becomes simplified, character by character.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return folded if folded.isascii() else _TRADITIONAL.sub(lambda found: _SIMPLIFIED[found[0]], folded)


def units(text: str) -> list[str]:
    """The units of a ``normalised`` text, in order.

    A unit is a word or number; in scripts without spaces a character with its marks; or a sign that carries meaning
    in a formula, in code or as an emoji. The punctuation of prose is none.
    """
    return _UNIT.findall(text)


def is_unspaced(unit: str) -> bool:
    """Whether a unit is a single character of a script without spaces, not a word."""
    return _UNSPACED_LETTER.match(unit) is not None


def _ranges(codes: Iterable[int]) -> str:
    """The inside of a character class that holds ``codes``, which ascend."""
    spans: list[list[int]] = []
    for code in codes:
        if spans and code == spans[-1][1] + 1:
            spans[-1][1] = code
        else:
            spans.append([code, code])
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in spans)


def _where(holds: Callable[[str], bool], spans: Iterable[tuple[int, int]]) -> str:
    return _ranges(code for first, last in spans for code in range(first, last + 1) if holds(chr(code)))


def _is_mark(char: str) -> bool:
    return unicodedata.category(char) in ("Mn", "Mc") and not "\ufe00" <= char <= "\ufe0f"  # styles of an emoji


def _is_in_a_word(char: str) -> bool:
    return (char.isalnum() or char == "_" or _is_mark(char)) and not _UNSPACED_LETTER.match(char)


def _is_symbol(char: str) -> bool:
    return unicodedata.category(char) in ("Sm", "Sc", "So") and not char.isalnum()


def _simplified() -> dict[str, str]:
    """The simplified character of each traditional one."""
    ideographs = [chr(code) for code in range(0x3400, 0xA000)]
    converted = OpenCC("t2s").convert("\n".join(ideographs)).split("\n")
    return {before: after for before, after in zip(ideographs, converted, strict=True) if before != after}


_SIMPLIFIED = _simplified()
_TRADITIONAL = re.compile(f"[{_ranges(map(ord, _SIMPLIFIED))}]")

# Sets of characters below U+10000 are looked up in a table: several times as fast as a class like [^\W...]. What lies
# above is emoji and rare ideographs, each a unit.
_ALL = ((0, 0xFFFF),)
_ABOVE = "\U00010000-\U000323af"
_LETTERS = _where(str.isalpha, _UNSPACED)
_UNSPACED_LETTER = re.compile(f"[{_LETTERS}\U00020000-\U000323af]")
_UNIT = re.compile(
    f"[{_where(_is_in_a_word, _ALL)}]+"
    f"|[{_LETTERS}][{_where(_is_mark, _ALL)}]*"
    f"|[{re.escape(_SIGNS_OF_CODE)}{_where(_is_symbol, _ALL)}]"
    f"|[{_ABOVE}]"
)
