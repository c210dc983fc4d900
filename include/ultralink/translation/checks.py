"""The checks of a translation: what code can tell about it, each with a reason code.

They look at the prose: what was masked is compared by the masks' own check and, restored, byte for byte.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from ultralink.gates.echoes import repetition
from ultralink.gates.turn import Turn, clip
from ultralink.language import MIN_LETTERS, language_score
from ultralink.pool.row import Kind
from ultralink.recipe import TextRules, Translation
from ultralink.translation.answers import ENGLISH_PHRASE, same_answer, stated_answer
from ultralink.translation.chatter import note, obeying_opening, refusal, without_marks
from ultralink.translation.masks import Masked, fences, prose
from ultralink.translation.numbers import missing_numbers, spelled_values
from ultralink.translation.operators import changed_operators
from ultralink.translation.remainder import remainder

SLACK_LETTERS = 25  # added to the source's length: short texts have wilder ratios
FAR_TOO_LONG = 2.0  # times the longest that is allowed: an answer, not a translation
MOST_FAULTS_OF_MASKS = 3
LARGEST_SPELLED = 12  # in chats, a number word up to it may be written in digits more than once

_NO_LETTER = re.compile(r"[\W\d_]+")
_LATIN = re.compile(r"[A-Za-zÀ-ÖØ-öø-ɏ]")
_QUESTION = re.compile("[?？؟\u037e՞፧⸮⁇⁈⁉‽][?？؟!！‽]*")  # \u037e is the Greek one


class Check(StrEnum):
    """What a translation must stand."""

    COUNT = "count"  # as many texts as were asked for
    EMPTY = "empty"
    PLACEHOLDERS = "placeholders"
    CODE = "code"
    NUMBERS = "numbers"
    OPERATORS = "operators"  # of mathematics: + - * / = < > ^ %
    ANSWER = "answer"
    LANGUAGE = "language"
    UNTRANSLATED = "untranslated"
    LENGTH_RATIO = "length_ratio"
    REPETITION = "repetition"
    OBEYED = "obeyed"  # the text was answered instead of translated
    NOTE = "note"  # talk about the translation
    QUESTIONS = "questions"


@dataclass(frozen=True, slots=True)
class Fault:
    """One failed check. ``reason`` is a stable code for counting, ``detail`` a clipped line for logs."""

    check: Check
    reason: str
    detail: str


class _Pair:
    """A source and its translation; what several checks need is computed once."""

    def __init__(self, source: Masked, translated: str) -> None:
        self.source = source
        self.translated = translated
        self.english = Turn(without_marks(prose(source.text)))
        self.other = Turn(without_marks(prose(translated)))

    @cached_property
    def letters(self) -> tuple[int, int]:
        """Letters of the source's prose and of the translation's."""
        return len(_NO_LETTER.sub("", self.english.text)), len(_NO_LETTER.sub("", self.other.text))

    @cached_property
    def questions(self) -> tuple[int, int]:
        """Question marks of both; several in a row are one."""
        return len(_QUESTION.findall(self.english.text)), len(_QUESTION.findall(self.other.text))

    @cached_property
    def restored(self) -> tuple[str, str]:
        """Source and translation with everything that was masked."""
        return self.source.restore(self.source.text), self.source.restore(self.translated)


def verify(
    kind: Kind, sources: Sequence[Masked], translated: Sequence[str], rules: Translation, text: TextRules
) -> list[Fault]:
    """What is wrong with ``translated``, the texts for ``sources`` in the same order, still masked; []: sound.

    Each check finds at most one thing in a text, the masks' a few.
    """
    if len(sources) != len(translated):
        return [Fault(Check.COUNT, "wrong_number_of_texts", f"{len(translated)} texts for {len(sources)}")]
    return [
        Fault(fault.check, fault.reason, f"text {number}: {fault.detail}" if len(sources) > 1 else fault.detail)
        for number, (source, target) in enumerate(zip(sources, translated, strict=True), 1)
        for fault in _faults(kind, _Pair(source, target), rules, text)
    ]


def _faults(kind: Kind, pair: _Pair, rules: Translation, text: TextRules) -> Iterator[Fault]:
    if not pair.source.text.strip():
        return
    yield from (empty := _empty(pair))
    if empty:
        return
    yield from _placeholders(pair)
    yield from _code(pair)
    yield from _numbers(kind, pair)
    yield from _operators(kind, pair)
    yield from _answer(kind, pair, rules)
    yield from _language(pair, rules, text)
    yield from _untranslated(pair, rules)
    yield from _length(pair, rules)
    yield from _repetition(pair, rules)
    yield from _obeyed(pair, rules, text)
    yield from _note(pair, rules)
    yield from _questions(pair)


# --- what must survive ------------------------------------------------------------------------


def _empty(pair: _Pair) -> list[Fault]:
    """No text, or no word where the source has words."""
    if not pair.translated.strip():
        return [Fault(Check.EMPTY, "empty", "")]
    before, after = pair.letters
    if before >= SLACK_LETTERS and not after:
        return [Fault(Check.EMPTY, "no_words", clip(pair.translated))]
    return []


def _placeholders(pair: _Pair) -> list[Fault]:
    found = pair.source.faults(pair.translated)[:MOST_FAULTS_OF_MASKS]
    return [Fault(Check.PLACEHOLDERS, fault.reason, clip(fault.placeholder)) for fault in found]


def _code(pair: _Pair) -> list[Fault]:
    """Fenced blocks are byte for byte those of the source; Python that parsed still does."""
    if not any(map(_may_fence, (pair.translated, *(span.text for span in pair.source.spans if span.is_block)))):
        return []
    before, after = ([text[start:end] for start, end in fences(text)] for text in pair.restored)
    if before == after:
        return []
    if len(before) != len(after):
        return [Fault(Check.CODE, "number_of_blocks", f"{len(after)} blocks for {len(before)}")]
    old, new = next((old, new) for old, new in zip(before, after, strict=True) if old != new)
    broken = _parses(old) and not _parses(new)
    return [Fault(Check.CODE, "python_broken" if broken else "block_changed", clip(new))]


def _may_fence(text: str) -> bool:
    return "```" in text or "~~~" in text


def _parses(block: str) -> bool:
    """Whether the fenced ``block`` is marked as Python and parses."""
    opening, _, rest = block.strip().partition("\n")
    if opening.strip("`~ ").lower() not in ("python", "py", "python3"):
        return False
    try:
        ast.parse(rest.rpartition("\n")[0])
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _numbers(kind: Kind, pair: _Pair) -> list[Fault]:
    missing = missing_numbers(pair.english.text, pair.other.text)
    lost, added = missing.lost, missing.added
    if added and kind is not Kind.MATH:
        spelled = spelled_values(pair.english.text)
        added = tuple(number for number in added if not (_is_small(number) and number in spelled))
    if not lost and not added:
        return []
    reason = "changed" if lost and added else "lost" if lost else "added"
    named = [f"{word} {', '.join(numbers[:6])}" for word, numbers in (("lost", lost), ("added", added)) if numbers]
    return [Fault(Check.NUMBERS, reason, clip("; ".join(named)))]


def _operators(kind: Kind, pair: _Pair) -> list[Fault]:
    if kind is not Kind.MATH:
        return []
    changed = changed_operators(pair.source.text, pair.translated)
    return [Fault(Check.OPERATORS, "changed", clip("; ".join(changed[:6])))] if changed else []


def _is_small(number: str) -> bool:
    return number.isdecimal() and len(number) <= 2 and int(number) <= LARGEST_SPELLED


def _answer(kind: Kind, pair: _Pair, rules: Translation) -> list[Fault]:
    """A solution's final answer is stated in the recipe's words, and is the same."""
    if kind is not Kind.MATH or _QUESTION.search(pair.english.text[-3:]):
        return []
    before, after = pair.restored
    wanted = stated_answer(before, [ENGLISH_PHRASE])
    if wanted is None:
        return []
    stated = stated_answer(after, [rules.answer_phrase])
    if stated is None:
        return [Fault(Check.ANSWER, "missing", clip(f"no {rules.answer_phrase!r} with {wanted}"))]
    return [] if same_answer(wanted, stated) else [Fault(Check.ANSWER, "changed", clip(f"{wanted} became {stated}"))]


# --- the language -----------------------------------------------------------------------------


def _language(pair: _Pair, rules: Translation, text: TextRules) -> list[Fault]:
    score = language_score(pair.other.text, text.detector_labels)
    if score is None and _is_hardly_latin(pair):  # only words in Latin letters are ever undecidable for being few
        score = 0.0
    if score is None or score >= rules.min_language_score:
        return []
    return [Fault(Check.LANGUAGE, "language", f"{score:.2f} < {rules.min_language_score:.2f}")]


def _is_hardly_latin(pair: _Pair) -> bool:
    letters = pair.letters[1]
    return letters >= MIN_LETTERS and len(_LATIN.findall(pair.other.text)) * 2 < letters


def _untranslated(pair: _Pair, rules: Translation) -> list[Fault]:
    left = remainder(pair.english.prose, pair.other.prose)
    if left.share > rules.max_untranslated:
        return [Fault(Check.UNTRANSLATED, "share", clip(f"{left.share:.2f}: {left.longest}"))]
    if left.is_sentence:
        return [Fault(Check.UNTRANSLATED, "sentence", clip(left.longest))]
    return []


def _length(pair: _Pair, rules: Translation) -> list[Fault]:
    before, after = pair.letters
    least, most = rules.length_ratio.min * (before - SLACK_LETTERS), rules.length_ratio.max * (before + SLACK_LETTERS)
    if after < least:
        return [Fault(Check.LENGTH_RATIO, "too_short", f"{after} letters for {before}")]
    if after > FAR_TOO_LONG * most:
        return [Fault(Check.OBEYED, "far_too_long", f"{after} letters for {before}")]
    if after > most:
        return [Fault(Check.LENGTH_RATIO, "too_long", f"{after} letters for {before}")]
    return []


def _repetition(pair: _Pair, rules: Translation) -> list[Fault]:
    """Loops that the source hasn't."""
    found = repetition(pair.other, rules.max_repetition)
    if not found or repetition(pair.english, rules.max_repetition / 2):
        return []
    return [Fault(Check.REPETITION, found[0].reason, found[0].detail)]


# --- obedience and chatter --------------------------------------------------------------------


def _obeyed(pair: _Pair, rules: Translation, text: TextRules) -> list[Fault]:
    """The model did what the text says, or refused to."""
    if pair.questions[0] and not pair.questions[1]:
        return [Fault(Check.OBEYED, "question_lost", clip(pair.english.text[-60:]))]
    if opening := obeying_opening(pair.english, pair.other, rules.openings):
        return [Fault(Check.OBEYED, "opening", clip(opening))]
    if refused := refusal(pair.english, pair.other, text):
        return [Fault(Check.OBEYED, "refusal", clip(refused))]
    return []


def _note(pair: _Pair, rules: Translation) -> list[Fault]:
    found = note(pair.english, pair.other, rules.notes)
    return [Fault(Check.NOTE, found.kind, clip(found.text))] if found else []


def _questions(pair: _Pair) -> list[Fault]:
    """Question marks: a few may come or go, as polite requests do."""
    before, after = pair.questions
    if (before and not after) or abs(before - after) <= max(1, before // 3):
        return []
    return [Fault(Check.QUESTIONS, "lost" if after < before else "added", f"{after} question marks for {before}")]
