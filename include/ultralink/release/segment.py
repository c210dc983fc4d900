"""Words of a text for measures of vocabulary: runs of letters where words are spaced, rjieba's words for Chinese."""

from __future__ import annotations

import re
import sys
import unicodedata
from functools import cache

_CHINESE = "zh"
# Scripts that put no space between words: Han, kana, Thai, Lao, Tibetan, Myanmar, Khmer.
_UNSPACED = re.compile(
    r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f\u3041-\u30ff"
    r"\u0e00-\u0e7f\u0e80-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff]"
)
_OPENING = 1000  # characters that tell the script
_LETTER = re.compile(r"[^\W\d_]")


def words(text: str, language: str) -> list[str] | None:
    """The words of ``text``, casefolded, without numbers and punctuation; letters keep their combining marks.

    None where nothing here can tell words apart: most letters at its beginning are of a script without
    spaces, and the language is not Chinese.
    """
    if language == _CHINESE:
        return _chinese_words(text)
    opening = text[:_OPENING]
    if 2 * len(_UNSPACED.findall(opening)) > len(_LETTER.findall(opening)):
        return None
    found: list[str] = _word().findall(text.casefold())
    return found


def _chinese_words(text: str) -> list[str]:
    import rjieba  # its dictionary takes a moment

    return [word for word in rjieba.cut(text.casefold()) if _LETTER.search(word)]


@cache
def _word() -> re.Pattern[str]:
    """A letter and what follows of letters and marks, with apostrophes and hyphens inside.

    ``\\w`` knows no combining marks, without which the words of Hindi or of decomposed French fall apart.
    """
    marks = "".join(map(re.escape, filter(_is_mark, map(chr, range(sys.maxunicode + 1)))))
    piece = rf"[^\W\d_]+(?:[{marks}]+[^\W\d_]*)*"
    return re.compile(rf"{piece}(?:['’\-]{piece})*")


def _is_mark(character: str) -> bool:
    return unicodedata.category(character).startswith("M")
