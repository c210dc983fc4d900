"""Gates with a figure: language and length."""

from __future__ import annotations

from ultralink.gates.finding import Finding, Gate
from ultralink.gates.turn import Turn
from ultralink.language import language_score
from ultralink.recipe import TextRules, TokenBounds
from ultralink.tokens import count_tokens


def wrong_language(turn: Turn, rules: TextRules, least: float) -> list[Finding]:
    """The turn is not in the recipe's language; an undecidable one passes."""
    score = language_score(turn.text, rules.detector_labels)
    if score is None or score >= least:
        return []
    return [Finding(Gate.LANGUAGE, Gate.LANGUAGE.value, f"{score:.2f} < {least:.2f}")]


def length(turn: Turn, bounds: TokenBounds) -> list[Finding]:
    """Fewer or more cl100k_base tokens than ``bounds`` allow."""
    tokens = count_tokens(turn.text)
    if tokens < bounds.min:
        return [Finding(Gate.TOO_SHORT, Gate.TOO_SHORT.value, f"{tokens} < {bounds.min}")]
    if tokens > bounds.max:
        return [Finding(Gate.TOO_LONG, Gate.TOO_LONG.value, f"{tokens} > {bounds.max}")]
    return []
