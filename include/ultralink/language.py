"""Which language a text is in: by langdetect's profiles where they can tell, by its script elsewhere.

The rules, in order:

1. Code, URLs, e-mail addresses, markup and digits are no evidence and are left out.
2. No letters left: None (undecidable).
3. Words in a foreign script count against the text, but a foreign *term* is no change of language: words with
   a capital, quoted titles and short runs of words weigh little. A text without one word in the right script
   scores 0, however short it is.
4. A script that a single language uses (Han for Chinese, Hangul, Greek, Thai ...) decides alone: langdetect
   takes short simplified Chinese for Korean or Japanese. Kana counts against Chinese.
5. Languages that share a script (Latin, Cyrillic, Arabic, Devanagari) are told apart by langdetect's
   profiles, piece by piece, so that a change of language half-way is seen. Names (capitals inside a sentence)
   are left out while enough other words remain.
6. Shorter than 20 letters, the profiles are not asked ("Hola" would be Turkish): None for Latin, the script's
   share for the others.

langdetect's own verdict is not used: it draws n-grams at random until it is sure of itself, which makes it
different from run to run without a seed, and with one it still takes "Why did tea houses open beside
monasteries?" for Afrikaans. Weighing every n-gram once, by the same profiles, needs no chance and errs less;
the text is presumed to be in its language until the evidence outweighs that.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache, lru_cache
from itertools import groupby
from threading import Lock
from typing import NamedTuple

from langdetect import DetectorFactory
from langdetect.detector import Detector
from langdetect.detector_factory import PROFILES_DIRECTORY
from langdetect.utils.ngram import NGram

# Nothing here draws, but whoever else asks langdetect in this process gets the same answer every time.
DetectorFactory.seed = 0

MIN_LETTERS = 20
PIECE_LETTERS = 60
# Nats per letter. Over 350 sentences in English, French and Spanish the right language fell behind by 0.18 a
# letter at most, and a wrong one, such as Portuguese or Catalan for Spanish, hardly ever by less than 0.4.
PRESUMPTION = 0.3
TERM_WORDS = 6  # longer runs of foreign words are no term
TERM_WEIGHT = 0.5

_SCRIPTS = {
    "Latin": r"A-Za-zÀ-ÖØ-öø-ʯḀ-ỿ",
    "Cyrillic": r"Ѐ-ԯ",
    "Greek": r"Ͱ-Ͽἀ-῿",
    "Hebrew": r"א-ת",
    "Arabic": r"ؠ-يٮ-ۓݐ-ݿ",
    "Devanagari": r"ऀ-ॣ",
    "Bengali": r"ঀ-৿",
    "Gurmukhi": r"਀-੿",
    "Gujarati": r"઀-૿",
    "Tamil": r"஀-௿",
    "Telugu": r"ఀ-౿",
    "Kannada": r"ಀ-೿",
    "Malayalam": r"ഀ-ൿ",
    "Thai": r"ก-๎",
    "Kana": r"ぁ-ゖゝ-ゟァ-ヺー-ヿ",
    "Hangul": r"ᄀ-ᇿ가-힣",
    "Han": r"㐀-䶿一-鿿豈-﫿\U00020000-\U0003134f",
}
_SCRIPTS_OF_LABEL = {
    "ar": ("Arabic",),
    "fa": ("Arabic",),
    "ur": ("Arabic",),
    "bg": ("Cyrillic",),
    "mk": ("Cyrillic",),
    "ru": ("Cyrillic",),
    "uk": ("Cyrillic",),
    "el": ("Greek",),
    "he": ("Hebrew",),
    "hi": ("Devanagari",),
    "mr": ("Devanagari",),
    "ne": ("Devanagari",),
    "bn": ("Bengali",),
    "pa": ("Gurmukhi",),
    "gu": ("Gujarati",),
    "ta": ("Tamil",),
    "te": ("Telugu",),
    "kn": ("Kannada",),
    "ml": ("Malayalam",),
    "th": ("Thai",),
    "ko": ("Hangul",),
    "ja": ("Han", "Kana"),
    "zh-cn": ("Han",),
    "zh-tw": ("Han",),
}
_SHARED = {"Latin", "Cyrillic", "Arabic", "Devanagari"}
_SOLID = {"Han", "Kana", "Thai"}  # written without spaces: a character is the unit, not a word

_NO_PROSE = re.compile(
    r"```.*?(?:```|\Z)|`[^`\n]*`|\$\$.*?\$\$|<[^<>\n]{1,200}>"
    r"|\b[A-Za-z]{2,12}://\S+|\bwww\.\S+|\b[\w.+-]{1,64}@[\w-]{1,63}\.[\w.-]+",
    re.DOTALL,
)
_QUOTED = re.compile(
    r"«[^«»\n]{1,60}»|“[^“”\n]{1,60}”|\"[^\"\n]{1,60}\"|《[^《》\n]{1,60}》|「[^「」\n]{1,60}」|[(（][^()（）\n]{1,60}[)）]"
)
_SENTENCE_END = re.compile(r"(?<=[.!?…؟।])\s+|\n+")
_UNIT = re.compile(
    "|".join(
        f"(?P<{script}>[{letters}])" if script in _SOLID else rf"(?P<{script}>[{letters}][{letters}'’\u0300-\u036f]*)"
        for script, letters in _SCRIPTS.items()
    )
)


class _Piece(NamedTuple):
    """Words that are judged together, and their letters in all."""

    words: Sequence[str]
    letters: int


class _Unit(NamedTuple):
    """A word, or a character where words are not spaced."""

    script: str
    plain: bool  # not spelled like a name


def language_score(text: str, labels: Sequence[str]) -> float | None:
    """How surely ``text`` is in the language that langdetect's ``labels`` mean: 0 to 1, None: undecidable.

    The same text gives the same score in every process and thread.
    """
    scripts = {script for label in labels for script in _SCRIPTS_OF_LABEL.get(label, ("Latin",))}
    prose = _NO_PROSE.sub(" ", text)
    share = _script_share(prose, scripts)
    if not share:
        return share
    if not scripts & _SHARED:
        return round(share, 4)
    certainty = _profile_score(prose, labels, scripts)
    if certainty is None:
        return None if "Latin" in scripts else round(share, 4)
    return round(share * certainty, 4)


def _script_share(prose: str, scripts: set[str]) -> float | None:
    """Share of the right script among the words (characters where none are spaced); None without a letter."""
    units = _units(_QUOTED.sub(_own_quotes(scripts), prose)) or _units(prose)
    if not units:
        return None
    own = sum(unit.script in scripts for unit in units)
    if own == 0:
        return 0.0
    if "Kana" in scripts and not any(unit.script == "Kana" for unit in units):
        return None if len(units) < MIN_LETTERS else 0.0  # Han alone is Chinese
    return own / (own + _foreign_weight(units, scripts))


def _units(prose: str) -> list[_Unit]:
    """The words of ``prose``; the first is plain even with a capital, as a sentence's first word."""
    return [
        _Unit(str(match.lastgroup), index == 0 or not match.group()[0].isupper())
        for index, match in enumerate(_UNIT.finditer(prose))
    ]


def _own_quotes(scripts: set[str]) -> Callable[[re.Match[str]], str]:
    """A replacement that drops quoted and bracketed titles holding a foreign letter, and keeps the others."""

    def replace(match: re.Match[str]) -> str:
        own = all(unit.lastgroup in scripts for unit in _UNIT.finditer(match.group()))
        return match.group() if own else " "

    return replace


def _foreign_weight(units: Sequence[_Unit], scripts: set[str]) -> float:
    """Foreign words in a text of ``scripts``: a run that may be a term weighs half a word, a name nothing."""
    plain = [unit.script in scripts for unit in units if unit.plain]
    if plain.count(False) > plain.count(True):
        return sum(unit.script not in scripts for unit in units)
    weight = 0.0
    for own, run in groupby(units, key=lambda unit: unit.script in scripts):
        words = [unit for unit in run if unit.plain and not own]
        term = len(words) <= TERM_WORDS and not any(unit.script in _SOLID for unit in words)
        weight += min(TERM_WEIGHT, len(words)) if term else len(words)
    return weight


def _profile_score(prose: str, labels: Sequence[str], scripts: set[str]) -> float | None:
    """Probability of ``labels`` by the profiles, averaged over the letters; None for too short a text."""
    pieces = list(_pieces(prose, scripts))
    letters = sum(piece.letters for piece in pieces)
    if letters < MIN_LETTERS:
        return None
    return sum(piece.letters * _probability(piece, labels) for piece in pieces) / letters


def _pieces(prose: str, scripts: set[str]) -> Iterator[_Piece]:
    """Whole sentences, joined until they make PIECE_LETTERS; the last piece may be shorter."""
    words: list[str] = []
    for sentence in _SENTENCE_END.split(prose):
        words += _evidence(sentence, scripts)
        if sum(map(len, words)) >= PIECE_LETTERS:
            yield _Piece(words, sum(map(len, words)))
            words = []
    if words:
        yield _Piece(words, sum(map(len, words)))


def _evidence(sentence: str, scripts: set[str]) -> list[str]:
    """The words that tell the language: in the right script, no names (capitals inside a sentence)."""
    everything: list[str] = []
    plain: list[str] = []
    end = None
    for match in _UNIT.finditer(sentence):
        if match.lastgroup in scripts:
            word = match.group()
            everything.append(word)
            if end is None or not word[0].isupper() or not sentence[end : match.start()].isspace():
                plain.append(word)
        end = match.end()
    return plain if sum(map(len, plain)) >= MIN_LETTERS else everything


def _probability(piece: _Piece, labels: Sequence[str]) -> float:
    """Naive Bayes over langdetect's n-grams, with the presumption in favour of ``labels``."""
    known = _profiles().langlist
    weights = [sum(column) for column in zip(*map(_log_likelihoods, piece.words), strict=True)]
    for index, label in enumerate(known):
        weights[index] += PRESUMPTION * piece.letters * (label in labels)
    highest = max(weights)
    shares = {label: math.exp(weight - highest) for label, weight in zip(known, weights, strict=True)}
    return sum(shares[label] for label in shares if label in labels) / sum(shares.values())


@lru_cache(maxsize=8192)
def _log_likelihoods(word: str) -> tuple[float, ...]:
    """Log-likelihood of the word's n-grams under each profile, smoothed as langdetect does."""
    profiles = _profiles()
    smoothing = Detector.ALPHA_DEFAULT / Detector.BASE_FREQ
    spelled = word.lower() if word.isupper() else word
    parts = "".join(map(NGram.normalize, spelled)).split()
    seen = [profiles.word_lang_prob_map[gram] for gram in _grams(parts) if gram in profiles.word_lang_prob_map]
    return tuple(
        sum(math.log(smoothing + frequencies[index]) for frequencies in seen) for index in range(len(profiles.langlist))
    )


def _grams(parts: Sequence[str]) -> Iterator[str]:
    """Runs of one to three letters, the blank before and after a word being one of them."""
    for part in parts:
        yield from part
        for size in (2, 3):
            padded = f" {part} "
            yield from (padded[start : start + size] for start in range(len(padded) - size + 1))


_loading = Lock()


def _profiles() -> DetectorFactory:
    """The profiles, loaded once: other threads see langdetect's own factory before it is complete."""
    with _loading:
        return _loaded_profiles()


@cache
def _loaded_profiles() -> DetectorFactory:
    factory = DetectorFactory()
    factory.load_profile(PROFILES_DIRECTORY)
    return factory
