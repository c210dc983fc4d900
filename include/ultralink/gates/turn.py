"""A turn as the gates look at it: cleaned of code and typography, cut into comparable units."""

from __future__ import annotations

import re
import unicodedata
from functools import cached_property

_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]+`", re.DOTALL)
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_BLANKS = re.compile(r"\s+")
_OPENERS = " \"'“”‘’«»„「『《(（[¿¡*_#>—–-•·"
_QUOTED = re.compile(
    r"«[^«»]*»|“[^“”]*”|„[^„“”]*[“”]|\"[^\"]*\"|「[^「」]*」|『[^『』]*』|《[^《》]*》|[(（][^()（）]*[)）]"
    r"|(?<!\w)'[^']{1,80}'(?!\w)|\*[^*]{1,80}\*"
)
_UNIT = re.compile(r"[㐀-䶿一-鿿豈-﫿ぁ-ヿ฀-๿]|[^\W㐀-䶿一-鿿豈-﫿ぁ-ヿ฀-๿]+")
_UNSPACED = re.compile(r"[㐀-䶿一-鿿豈-﫿ぁ-ヿ฀-๿]")
_APOSTROPHES = str.maketrans({"’": "'", "‘": "'", "ʼ": "'"})

CLIP = 60  # characters of a turn that a finding's detail may show


class Turn:
    """A question or an answer. What is derived from it is computed once, when first asked for."""

    def __init__(self, text: str) -> None:
        # half a surrogate pair, as JSON may smuggle in, can be neither counted nor stored
        self.text = _SURROGATE.sub("\ufffd", text).strip()

    @cached_property
    def prose(self) -> str:
        """NFC, without code, lines kept."""
        return _CODE.sub(" ", unicodedata.normalize("NFC", self.text)).strip()

    @cached_property
    def flat(self) -> str:
        """``prose`` on one line, with straight apostrophes: what patterns are searched in."""
        return _BLANKS.sub(" ", self.prose).translate(_APOSTROPHES)

    @cached_property
    def opening(self) -> str:
        """``flat`` from its first word."""
        return self.flat.lstrip(_OPENERS)

    @cached_property
    def unquoted(self) -> str:
        """``flat`` without quotations and brackets: what the turn says itself, unless it is one quotation."""
        said = _QUOTED.sub(" ", self.flat)
        return said if _UNIT.search(said) else self.flat

    @cached_property
    def line_openings(self) -> list[str]:
        """Every line of ``prose`` from its first word."""
        lines = (line.translate(_APOSTROPHES).lstrip(_OPENERS) for line in self.prose.splitlines())
        return [_BLANKS.sub(" ", line) for line in lines if line]

    @cached_property
    def units(self) -> list[str]:
        """Words, casefolded; characters where words are not spaced (Chinese, Japanese, Thai)."""
        return units(self.prose)

    @cached_property
    def is_unspaced(self) -> bool:
        """Whether most units are characters."""
        return len(_UNSPACED.findall(self.prose)) * 2 > len(self.units)


def units(text: str) -> list[str]:
    """Words of ``text``, casefolded; characters where words are not spaced."""
    return _UNIT.findall(text.casefold())


def clip(text: str) -> str:
    """At most CLIP characters on one line."""
    line = _BLANKS.sub(" ", text).strip()
    return line if len(line) <= CLIP else line[: CLIP - 1] + "…"
