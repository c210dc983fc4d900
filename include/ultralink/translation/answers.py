"""The final answer of a solution: cut off before a translation, put back after it, and compared.

Solutions end as those of GSM8K and MetaMathQA do: ``#### 42``, ``The answer is: 42``, ``\\boxed{42}``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from ultralink.translation.numbers import missing_numbers
from ultralink.translation.numerals import plain, source_numerals, translated_numerals

ENGLISH_PHRASE = "The answer is:"
LONGEST_ENDING = 200  # characters; a longer answer is prose, and prose must be translated
LONGEST_ANSWER = 500  # characters that are looked at

_HASHES = re.compile(r"####[ \t]*(\S.*)")
_HASHES_LINE = re.compile(rf"^{_HASHES.pattern}$", re.MULTILINE)
_ENGLISH_ENDING = re.compile(r"(\**)the answer is\b[ \t]*:?[ \t]*(\S.*)", re.IGNORECASE)
_SENTENCE_ENDS = ".!?:。！？"
_FORMULA = re.compile(r"\$[^$]+\$|\\\((?:(?!\\[()]).)*\\\)|\\(?:text|mathrm|mbox)\{[^{}]*\}|\\[A-Za-z]+")
_TWO_LETTERS = re.compile(r"[^\W\d_]{2}")
_NO_SKELETON = re.compile(r"[^\W\d_]{2,}|[\d\s.,;'’，；、]|[㐀-鿿]")
_BOXED = re.compile(r"\\boxed\s*\{")
_STOP = re.compile(r"(?<=\S)(?:\.(?=\s|$)|。).*", re.DOTALL)
_FRACTION = re.compile(r"\\[dt]?frac\s*(?:\{(-?[^{}\\]*)\}|(\d))\s*(?:\{([^{}\\]*)\}|(\d))")
_WORDING = re.compile(r"\\(?:text|mathrm|mbox|textbf)\s*\{[^{}]*\}|\\(?:left|right|quad|,|;|!|:| )")
_UNIT = re.compile(r"[^\W\d_][^\d\\=^{}()]+|[㐀-鿿]")
_WORDS_ONLY = re.compile(r"\\(?:text|mathrm|mbox|textbf)\s*\{([^{}]*)\}")
_WRAPPING = re.compile(r"\\[()\[\]]|\\?\$|[*`€£¥₽]|\^\s*\{?\\circ\}?|°|\\?%")


@dataclass(frozen=True, slots=True)
class Cut:
    """A solution without its last lines, which state the answer. ``endings``: these lines as they stand."""

    body: str
    endings: tuple[str, ...]


def cut_answer(text: str) -> Cut:
    """Cut off the ``#### 42`` and ``The answer is: 42`` at the end of an English solution.

    An answer in words ("42 apples") stays in the body: it has to be translated.
    """
    lines = text.rstrip().split("\n")
    endings: list[str] = []
    while lines and _is_ending(lines[-1].strip()):
        endings.append(lines.pop().strip())
        while lines and not lines[-1].strip():
            lines.pop()
    if not endings and (inline := _inline_ending(lines[-1])) is not None:
        endings.append(lines[-1][inline:].strip())
        lines[-1] = lines[-1][:inline].rstrip()
    if not endings:
        return Cut(text, ())
    return Cut("\n".join(lines).rstrip(), tuple(reversed(endings)))


def with_endings(body: str, endings: Sequence[str], phrase: str) -> str:
    """``body`` with what ``cut_answer`` took off; ``The answer is:`` becomes ``phrase``, ``####`` stays."""
    return "\n".join([*([body.rstrip()] if body.strip() else []), *(_localised(ending, phrase) for ending in endings)])


def final_answer(text: str, phrases: Sequence[str]) -> str | None:
    """The answer that ``text`` states, without units, markup and separators; None: it states none.

    It is what follows the last of ``phrases`` (which begins a line or a sentence), else the last ``####``, else
    what stands in the last ``\\boxed{}``. Numbers become plain ones ("1250.5"); an ambiguous one is read in English.
    """
    stated = stated_answer(text, phrases)
    return None if stated is None else _normal(stated)


def stated_answer(text: str, phrases: Sequence[str]) -> str | None:
    """The answer as it stands in ``text``; where it is looked for: see ``final_answer``."""
    for found in _last_first(_after_phrases(text, phrases)):
        if answer := _STOP.sub("", found).strip():
            return answer
    for found in _last_first(match[1] for match in _HASHES_LINE.finditer(text)):
        if len(found) <= LONGEST_ENDING and _is_universal(found):
            return found.strip()
    boxes = [match.end() for match in _BOXED.finditer(text)]
    return _braced(text, boxes[-1]) if boxes else None


def same_answer(source: str, translated: str) -> bool:
    """Whether two stated answers are equal; answers in words alone can't be compared and pass."""
    if _normal(source) == _normal(translated):
        return True
    if not any(map(str.isdecimal, source)):
        return not _is_universal(source)
    english, other = _tidy(source), _tidy(translated)
    if _skeleton(english) != _skeleton(other):
        return False
    return not missing_numbers(english, other) if _TWO_LETTERS.search(english) else _is_same_series(english, other)


def _is_same_series(english: str, other: str) -> bool:
    """The same numbers in the same order; where there are no words, their order means something: 3/4."""
    before, after = source_numerals(english), translated_numerals(other)
    if len(before) == len(after):
        return all(set(old.readings) & set(new.readings) for old, new in zip(before, after, strict=True))
    first, second = ([value for numeral in numerals for value in numeral.readings[0]] for numerals in (before, after))
    return first == second


def _is_ending(line: str) -> bool:
    if len(line) > LONGEST_ENDING:
        return False
    found = _HASHES.fullmatch(line) or _ENGLISH_ENDING.fullmatch(line)
    return bool(found and _is_universal(found[found.lastindex or 0]))


def _inline_ending(line: str) -> int | None:
    """Where the last sentence of ``line`` begins, if it is an ending."""
    start = line.lower().rfind("the answer is", -LONGEST_ENDING)
    before = line[:start].rstrip() if start > 0 else ""
    if before and before[-1] in _SENTENCE_ENDS + "$)]}" and _is_ending(line[start:].strip()):
        return start
    return None


def _is_universal(answer: str) -> bool:
    """Numbers, signs, formulas and single letters: nothing that has to be translated."""
    return bool(answer.strip(" .")) and not _TWO_LETTERS.search(_FORMULA.sub(" ", answer))


def _localised(ending: str, phrase: str) -> str:
    found = _ENGLISH_ENDING.fullmatch(ending)
    if not found:
        return ending
    blank = "" if phrase.endswith(("：", " ", "\u00a0")) else " "
    return found[1] + phrase + blank + found[2]


def _after_phrases(text: str, phrases: Sequence[str]) -> Iterator[str]:
    """What follows each phrase on its line."""
    for match in _phrases(tuple(phrases)).finditer(text) if phrases else ():
        before = text[max(0, match.start() - 20) : match.start()].rstrip(" \t\u00a0*_$)]}»”\"'")
        if not before or before[-1] == "\n" or before[-1] in _SENTENCE_ENDS:
            yield text[match.end() : match.end() + LONGEST_ANSWER].split("\n", 1)[0]


@lru_cache(maxsize=64)
def _phrases(phrases: tuple[str, ...]) -> re.Pattern[str]:
    """The phrases, however their blanks are written; the colon may lack before a number or a formula."""
    bare = (phrase.strip().rstrip(":：").split() for phrase in phrases)
    wording = "|".join(r"\s{1,3}".join(map(re.escape, words)) for words in bare)
    return re.compile(rf"(?:{wording})(?:[^\S\n]{{0,3}}[:：]|(?=[^\S\n]{{0,3}}[\d$\\(+−-]))[^\S\n]*\**", re.IGNORECASE)


def _last_first(found: Iterator[str]) -> list[str]:
    return list(found)[::-1]


def _braced(text: str, start: int) -> str | None:
    """What stands between the brace that opens before ``start`` and the one that closes it."""
    depth = 1
    for found in re.finditer(r"[{}]", text[start : start + LONGEST_ANSWER]):
        depth += 1 if found.group() == "{" else -1
        if depth == 0:
            return text[start : start + found.start()].strip()
    return None


def _tidy(answer: str) -> str:
    """Without LaTeX's wrapping and units, fractions as 3/4, digits and signs as in English."""
    if (box := _BOXED.search(answer)) and (inside := _braced(answer, box.end())) is not None:
        answer = inside
    answer = _WORDING.sub("", answer.replace("{,}", ",")).strip() or _WORDS_ONLY.sub(r"\1", answer)
    answer = _FRACTION.sub(lambda found: f"{found[1] or found[2]}/{found[3] or found[4]}", answer)
    return plain(_WRAPPING.sub(" ", answer)).strip().rstrip(".。,;，；").strip()


def _normal(answer: str) -> str:
    """One form for all that mean the same: a plain number where it is one, with or without a unit."""
    tidy = _tidy(answer)
    numbers = source_numerals(tidy)
    if len(numbers) == 1 and _is_unit(tidy.replace(numbers[0].surface, "", 1).strip()):
        surface, readings = numbers[0].surface, numbers[0].readings
        if len(readings[0]) == 1 or len(set(re.findall(r"[\s.,']", surface))) > 1:  # 1 250,5 is no list
            return next(reading[0] for reading in readings if len(reading) == 1)
    return re.sub(r"\s+", "", tidy).casefold()


def _is_unit(text: str) -> bool:
    return not text or bool(_UNIT.fullmatch(text))


def _skeleton(tidy: str) -> str:
    """What is neither number nor word: the brackets of "(3; 5)"."""
    return _NO_SKELETON.sub("", tidy)
