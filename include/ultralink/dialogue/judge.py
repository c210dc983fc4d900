"""The judge gate: is each answer grounded in the passage? A quotation that code can find has to prove it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from ultralink.dialogue.door import Ask, Said
from ultralink.dialogue.outcome import Evidence
from ultralink.errors import AnswerInvalid, ContextOverflow
from ultralink.prompts import PromptBook, Step, Turn, defuse
from ultralink.quotation import normalised, trimmed
from ultralink.recipe import Recipe
from ultralink.tokens import count_tokens
from ultralink.wikipedia.article import Passage

GATE = "judge"
QUOTE_TOKENS = 8  # a shorter quotation proves nothing: about six words, or six Chinese characters


class AnswerVerdict(BaseModel):
    """What the judge says of one answer, numbered from 1."""

    model_config = ConfigDict(extra="forbid")

    answer: int
    supported: bool
    quote: str


class Verdicts(BaseModel):
    """The judge's answer: one verdict for each answer of the dialogue."""

    model_config = ConfigDict(extra="forbid")

    answers: list[AnswerVerdict]

    def cover(self, turns: int) -> bool:
        """Whether each of so many answers has one verdict."""
        return sorted(verdict.answer for verdict in self.answers) == list(range(1, turns + 1))


class NoVerdict(Exception):
    """The judge was asked so many times and never gave a verdict that could be used; ``reason`` is its code."""

    def __init__(self, reason: str, attempts: int) -> None:
        super().__init__(reason, attempts)
        self.reason = reason
        self.attempts = attempts


@dataclass(frozen=True, slots=True)
class Judgement:
    """The share of grounded answers, the reason code of the worst fault (empty: none), and what both rest on."""

    grounded: float
    fault: str
    evidence: tuple[Evidence, ...]  # by answer


def is_judged(passage: Passage, recipe: Recipe) -> bool:
    """Whether the dialogue about ``passage`` is in the sample that the recipe wants judged."""
    draw = random.Random(f"judge {recipe.language} {passage.id}")
    return draw.random() < recipe.judge.sampling_rate


async def ask_judge(
    ask: Ask,
    book: PromptBook,
    passage: Passage,
    turns: Sequence[Turn],
    *,
    new_attempts: int,
    note: Callable[[Said], None],
) -> Judgement | None:
    """What the judge makes of ``turns``, None in a rehearsal; ``note`` gets each of its answers.

    A verdict that does not speak of each answer once is asked for again. Raises NoVerdict
    (``invalid_verdict``, ``incomplete_verdict``, ``no_room``), and what else ``ask`` raises.
    """
    sent = book.messages(Step.JUDGE, passage, turns)
    for attempt in range(1 + new_attempts):
        try:
            said = await ask.structured(Step.JUDGE, sent, Verdicts, attempt=attempt)
        except AnswerInvalid as problem:
            raise NoVerdict("invalid_verdict", attempt + 1) from problem
        except ContextOverflow as problem:
            raise NoVerdict("no_room", attempt + 1) from problem
        note(said)
        if said.rehearsed:
            return None
        if said.value.cover(len(turns)):
            return judgement(said.value.answers, passage)
    raise NoVerdict("incomplete_verdict", 1 + new_attempts)


def judgement(verdicts: Sequence[AnswerVerdict], passage: Passage) -> Judgement:
    """An answer is grounded if the judge says so and the quotation is in the passage.

    Reason codes: ``ungrounded`` before ``quote_not_in_passage``.
    """
    shown = normalised(defuse(passage.text))
    evidence = tuple(
        Evidence(verdict.answer, verdict.supported and is_quoted(verdict.quote, shown), verdict.quote)
        for verdict in sorted(verdicts, key=lambda verdict: verdict.answer)
    )
    ungrounded = sum(not each.grounded for each in evidence)
    worst = "" if not ungrounded else "quote_not_in_passage"
    if not all(verdict.supported for verdict in verdicts):
        worst = "ungrounded"
    return Judgement(grounded=1 - ungrounded / len(verdicts), fault=worst, evidence=evidence)


def is_quoted(quote: str, normalised_passage: str) -> bool:
    """Whether ``quote`` is long enough to prove something and, but for marks and spaces, in the passage."""
    sought = trimmed(quote)
    return count_tokens(sought) >= QUOTE_TOKENS and sought in normalised_passage
