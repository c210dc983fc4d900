"""What a gate found wrong with a turn."""

from dataclasses import dataclass
from enum import StrEnum


class Gate(StrEnum):
    """The deterministic gates, one for each rule that a prompt gives and code can check."""

    LANGUAGE = "language"
    LEAK = "leak"
    SEVERAL_QUESTIONS = "several_questions"
    NOT_A_QUESTION = "not_a_question"
    META = "meta"  # talk about the task: "Here is a deeper question:"
    DANGLING = "dangling"  # an opening that points outside the question
    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    REPETITION = "repetition"  # within the turn
    REPEATED_TURN = "repeated_turn"  # of an earlier turn
    COPIED = "copied"
    REFUSAL = "refusal"
    TRUNCATED = "truncated"
    REMNANT = "remnant"  # separators, role markers, HTML, wikitext, control characters


@dataclass(frozen=True, slots=True)
class Finding:
    """One failed gate. ``reason`` is a stable code for counting, ``detail`` an English line for logs."""

    gate: Gate
    reason: str
    detail: str
