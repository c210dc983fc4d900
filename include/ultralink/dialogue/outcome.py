"""What became of a passage: a dialogue, texts that were turned down, and what it took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ultralink.prompts import Step, Turn
from ultralink.teacher.request import Message
from ultralink.wikipedia.article import Passage


@dataclass(frozen=True, slots=True)
class Spending:
    """Answers of the teacher, their tokens (``cached`` is part of ``prompt``) and cost (None: not known)."""

    asks: int = 0
    prompt: int = 0
    cached: int = 0
    completion: int = 0
    cost_usd: float | None = 0.0

    def __add__(self, other: Spending) -> Spending:
        unpriced = self.cost_usd is None or other.cost_usd is None
        return Spending(
            self.asks + other.asks,
            self.prompt + other.prompt,
            self.cached + other.cached,
            self.completion + other.completion,
            None if unpriced else (self.cost_usd or 0.0) + (other.cost_usd or 0.0),
        )


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the judge said of one answer, numbered from 1, and its quotation as it gave it.

    ``grounded``: it finds the answer supported, and code has found the quotation in the passage.
    """

    answer: int
    grounded: bool
    quote: str


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A dialogue that passed its gates.

    ``scores``: ``grounded`` (if judged) and ``language`` (if decidable), 0 to 1. ``spent`` counts every
    answer that was needed, refused ones included. ``served`` names the models that wrote it, as the endpoint
    named them. ``created`` is when the last of its answers was given: UTC, ISO 8601. ``evidence`` is of each answer,
    in order; None: there is no verdict.
    """

    passage: Passage
    turns: tuple[Turn, ...]
    scores: Mapping[str, float]
    spent: Mapping[Step, Spending]
    served: str
    created: str
    evidence: tuple[Evidence, ...] | None = None


@dataclass(frozen=True, slots=True)
class TurnedDown:
    """A dialogue, or its last turn, that a gate turned down after so many ``attempts`` (0: never asked).

    ``messages`` are the conversation up to and with the text in question. ``turn`` is the failed turn's
    number from 1 where the turns before it were good enough for a dialogue, else None. ``evidence`` is the judge's
    where it was the judge who turned the dialogue down by a verdict.
    """

    passage: Passage
    gate: str
    reason: str
    attempts: int
    messages: tuple[Message, ...]
    created: str | None
    turn: int | None = None
    evidence: tuple[Evidence, ...] | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """A dialogue or none, and everything that was turned down on the way."""

    dialogue: Dialogue | None
    turned_down: tuple[TurnedDown, ...] = ()


def messages_of(turns: tuple[Turn, ...]) -> tuple[Message, ...]:
    """``turns`` as alternating user and assistant messages."""
    return tuple(
        message for turn in turns for message in (Message("user", turn.question), Message("assistant", turn.answer))
    )
