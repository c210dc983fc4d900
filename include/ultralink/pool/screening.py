"""The row program of the screen: one chat, one verdict on seven criteria, each with evidence that code can find."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ultralink.dialogue.converse import MESSAGE_TOKENS
from ultralink.dialogue.door import Ask, Said
from ultralink.dialogue.outcome import Spending
from ultralink.errors import AnswerInvalid, ContextOverflow
from ultralink.pool.recipe import Screen
from ultralink.pool.row import EnglishRow
from ultralink.pool.screen import STEP, ScreenPrompts, Verdict, too_much
from ultralink.teacher.request import Message
from ultralink.tokens import count_tokens

GATE = "screen"
NO_VERDICT = "no_verdict"


@dataclass(frozen=True, slots=True)
class Screened:
    """A chat that may be translated, with its verdict.

    ``served`` is the model as the endpoint named it; ``created`` is when the verdict was given: UTC, ISO 8601.
    """

    row: EnglishRow
    verdict: Verdict
    spent: Spending
    served: str
    created: str


@dataclass(frozen=True, slots=True)
class ScreenedOut:
    """A chat that is turned away.

    ``reason`` is the criteria that it fails by, joined by ``+``, or NO_VERDICT: then ``verdict`` is None, and
    ``detail`` one of ``invalid_verdict``, ``quote_not_found``, ``no_room``. Else ``detail`` is the evidence.
    ``attempts``: 0 where it was never asked.
    """

    row: EnglishRow
    verdict: Verdict | None
    reason: str
    detail: str
    attempts: int
    spent: Spending
    created: str | None


class _NoVerdict(Exception):
    """No verdict that could be used; the argument says why."""


async def screen(row: EnglishRow, ask: Ask, prompts: ScreenPrompts, settings: Screen) -> Screened | ScreenedOut:
    """The verdict on ``row``, a chat: kept or turned away as ``settings`` say.

    A verdict with a quote that is not in the chat is asked for again, told which one. Raises what ``ask``
    raises, but for an answer without a verdict and an overflowing context (``settings.context_tokens``, else what
    the endpoint says): these cost one row. In a rehearsal every chat is kept.
    """
    return await _Screening(row, ask, prompts, settings).decide()


class _Screening:
    """One row in progress."""

    def __init__(self, row: EnglishRow, ask: Ask, prompts: ScreenPrompts, settings: Screen) -> None:
        self._row, self._ask, self._prompts, self._settings = row, ask, prompts, settings
        self._attempts = 0
        self._spent = Spending()
        self._served = ""
        self._created = ""

    async def decide(self) -> Screened | ScreenedOut:
        """The whole program."""
        try:
            verdict = await self._verdict()
        except _NoVerdict as problem:
            return self._out(None, NO_VERDICT, str(problem))
        failed = too_much(verdict.violated, self._settings)
        if failed:
            evidence = "; ".join(f"{criterion}: {verdict.of(criterion).quote}" for criterion in failed)
            return self._out(verdict, "+".join(failed), evidence)
        return Screened(self._row, verdict, self._spent, self._served, self._created)

    async def _verdict(self) -> Verdict:
        """The first verdict whose quotes are all in the chat. Raises _NoVerdict."""
        sent = self._prompts.messages(self._row.messages)
        for attempt in range(1 + self._settings.new_attempts):
            if not self._fits(sent):
                raise _NoVerdict("no_room")
            self._attempts = attempt + 1
            try:
                said = await self._ask.structured(STEP, sent, Verdict, attempt=attempt)
            except AnswerInvalid as problem:
                raise _NoVerdict("invalid_verdict") from problem
            except ContextOverflow as problem:
                raise _NoVerdict("no_room") from problem
            self._note(said)
            unproved = {} if said.rehearsed else said.value.unproved(self._row.messages)
            if not unproved:
                return said.value
            sent += self._prompts.correction(said.value, unproved)
        raise _NoVerdict("quote_not_found")

    def _fits(self, sent: Sequence[Message]) -> bool:
        context = self._settings.context_tokens
        tokens = sum(count_tokens(message.content) + MESSAGE_TOKENS for message in sent)
        return context is None or tokens + self._settings.max_tokens <= context

    def _note(self, said: Said) -> None:
        usage = said.usage
        self._spent += Spending(1, usage.prompt, usage.cached, usage.completion, said.cost_usd)
        self._served, self._created = said.model, said.created

    def _out(self, verdict: Verdict | None, reason: str, detail: str) -> ScreenedOut:
        return ScreenedOut(self._row, verdict, reason, detail, self._attempts, self._spent, self._created or None)
