"""All gates over one turn, in the order in which a teacher should hear of them."""

from __future__ import annotations

from collections.abc import Sequence

from ultralink.gates.asking import not_a_question, several_questions
from ultralink.gates.echoes import copied_passage, repeated_turn, repetition
from ultralink.gates.ending import truncated
from ultralink.gates.finding import Finding, Gate
from ultralink.gates.measure import length, wrong_language
from ultralink.gates.remnants import remnants
from ultralink.gates.turn import Turn
from ultralink.gates.wording import dangling_opening, leaks, meta_openings, refusals, second_questions
from ultralink.recipe import Gates, TextRules


def question_findings(
    question: str, earlier_questions: Sequence[str], passage: str, rules: TextRules, gates: Gates
) -> list[Finding]:
    """What is wrong with ``question``; nothing: an empty list. A gate finds at most one thing."""
    turn = Turn(question)
    return [
        *wrong_language(turn, rules, gates.min_language_score),
        *length(turn, gates.question_tokens),
        *remnants(turn),
        *meta_openings(turn, rules),
        *not_a_question(turn),
        *(several_questions(turn) or second_questions(turn, rules)),
        *dangling_opening(turn, rules),
        *leaks(turn, rules),
        *repetition(turn, gates.max_repetition),
        *copied_passage(turn, passage, gates.max_copied),
        *repeated_turn(turn, earlier_questions),
    ]


def answer_findings(
    answer: str,
    finish_reason: str | None,
    question: str,
    earlier_answers: Sequence[str],
    passage: str,
    rules: TextRules,
    gates: Gates,
) -> list[Finding]:
    """What is wrong with ``answer`` to ``question``; nothing: an empty list. A gate finds at most one thing.

    ``finish_reason`` is the endpoint's: ``stop``, ``length``, ``content_filter`` or ``refusal``; None when it
    gives none.
    """
    turn = Turn(answer)
    return [
        *(_declared_refusal(finish_reason) or refusals(turn, rules)),
        *wrong_language(turn, rules, gates.min_language_score),
        *length(turn, gates.answer_tokens),
        *truncated(turn, finish_reason),
        *remnants(turn),
        *meta_openings(turn, rules),
        *leaks(turn, rules),
        *repetition(turn, gates.max_repetition),
        *copied_passage(turn, passage, gates.max_copied),
        *repeated_turn(turn, [question, *earlier_answers]),
    ]


def _declared_refusal(finish_reason: str | None) -> list[Finding]:
    """The endpoint itself says that the teacher did not answer; it wants no phrase to prove it."""
    if finish_reason in ("content_filter", "refusal"):
        return [Finding(Gate.REFUSAL, finish_reason, "")]
    return []
