"""What was left untranslated: runs of the source's words that stand in the translation."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass

GRAM_WORDS = 4
SENTENCE_WORDS = 9  # so many words in a row are a sentence that was overlooked, however long the text is

_QUOTED = re.compile(
    r"«[^«»\n]{1,200}»|“[^“”\n]{1,200}”|„[^„“”\n]{1,200}[“”]|\"[^\"\n]{1,200}\"|‘[^‘’\n]{1,200}’(?!\w)"
    r"|「[^「」\n]{1,200}」|『[^『』\n]{1,200}』|《[^《》\n]{1,200}》|[(（][^()（）\n]{1,200}[)）]"
    r"|(?<!\w)'[^'\n]{1,200}'(?!\w)|(?<!\*)\*[^*\n]{1,200}\*(?!\*)|(?<!\w)_[^_\n]{1,200}_(?!\w)"
)
_WORD = re.compile(r"[A-Za-zÀ-ÖØ-öø-ɏ]+(?:['’][A-Za-z]+)*")
_WORD_OR_BREAK = re.compile(rf"({_WORD.pattern})|[^\W\d_]+")
_NO_LETTER = re.compile(r"[\W\d_]+")


Gram = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Remainder:
    """``share`` of the source's word 4-grams; ``longest``: the longest run of words."""

    share: float
    longest: str

    @property
    def is_sentence(self) -> bool:
        """Whether the longest run is too long for a term."""
        return self.longest.count(" ") + 1 >= SENTENCE_WORDS


def remainder(source: str, translated: str) -> Remainder:
    """What ``translated`` has taken over from the English ``source``; names and quoted terms may stay.

    In a translation without Latin letters of its own (Chinese, Russian) every run of Latin words counts, whether
    the source has it or not.
    """
    english, said = _WORD.findall(source), _WORD.findall(translated)
    size = min(GRAM_WORDS, len(english))
    if size < 2 or len(said) < size:
        return Remainder(0.0, "")
    if sum(map(len, said)) * 2 < len(_NO_LETTER.sub("", translated)):
        return _latin_runs(translated, len(english), size)
    left = set(_grams(said, size))
    return Remainder(0.0, "") if left.isdisjoint(_grams(english, size)) else _taken_over(source, left, size)


def _latin_runs(translated: str, source_words: int, size: int) -> Remainder:
    words = [found[1] or "" for found in _WORD_OR_BREAK.finditer(_QUOTED.sub(" ", translated))]
    starts = [start for start in range(len(words) - size + 1) if _is_plain(words[start : start + size])]
    return Remainder(min(1.0, len(starts) / (source_words - size + 1)), " ".join(_longest(words, starts, size)))


def _taken_over(source: str, left: Container[Gram], size: int) -> Remainder:
    words = _WORD.findall(_QUOTED.sub(" ", source))
    grams = enumerate(_grams(words, size))
    starts = [start for start, gram in grams if gram in left and _is_plain(words[start : start + size])]
    return Remainder(len(starts) / max(1, len(words) - size + 1), " ".join(_longest(words, starts, size)))


def _grams(words: Sequence[str], size: int) -> Iterator[Gram]:
    folded = [word.casefold() for word in words]
    return zip(*(folded[start:] for start in range(size)), strict=False)


def _is_plain(words: Sequence[str]) -> bool:
    """Neither a name nor a title: at most one capital, and no word of another script among them."""
    return all(words) and sum(map(str.islower, words)) >= max(2, len(words) - 1)


def _longest(words: Sequence[str], starts: Sequence[int], size: int) -> Sequence[str]:
    """The longest run of words that the n-grams at ``starts`` (ascending) cover without a gap."""
    best = run = range(0)
    for start in starts:
        run = range(run.start if start <= run.stop - size + 1 else start, start + size)
        best = max(best, run, key=len)
    return words[best.start : best.stop]
