"""Answers from the endpoint: within the budget, journaled, in the form that the server understands."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from ultralink.teacher.budget import Hold, Purse, estimate_prompt_tokens
from ultralink.teacher.client import Call, FormRefused, Reply, TeacherClient
from ultralink.teacher.journal import Journal
from ultralink.teacher.record import Record, Usage
from ultralink.teacher.request import AnswerSchema, Form, Request
from ultralink.teacher.structured import has_shape
from ultralink.tokens import count_tokens

FORMS = (Form.JSON_SCHEMA, Form.JSON_OBJECT, Form.INSTRUCTED)


@dataclass(frozen=True, slots=True)
class Origin:
    """Which run and which shard of it an answer was paid by."""

    run: str
    shard: int


class Forms:
    """What one model's server makes of a schema, learned from its answers.

    Nothing of this is in a request's key, so a replay finds what was paid for under any form.
    """

    def __init__(self) -> None:
        self._best = 0  # index into FORMS
        self._proven = False

    @property
    def candidates(self) -> tuple[Form, ...]:
        """The forms to try, in order."""
        return FORMS[self._best :]

    @property
    def is_doubtful(self) -> bool:
        """The first candidate never brought an object yet."""
        return not self._proven

    def saw(self, form: Form, reply: Reply, schema: AnswerSchema) -> None:
        """Learn from an answer to a request that was put in ``form``.

        One answer of another shape, while none of the right one was seen, shows that the server ignores
        the schema; should it have been an accident, the next good answer under that form tells.
        """
        position = FORMS.index(form)
        if has_shape(reply.text, schema):
            if not self._proven or position < self._best:
                self._best, self._proven = position, True
        elif not self._proven and reply.finish_reason == "stop":
            self._best = len(FORMS) - 1  # who ignores one response_format ignores the other


class Live:
    """The source that asks the endpoint."""

    rehearses = False

    def __init__(self, client: TeacherClient, journal: Journal, purse: Purse, origin: Origin) -> None:
        self._client, self._journal, self._purse, self._origin = client, journal, purse, origin
        self._forms: dict[str, Forms] = {}

    @property
    def in_flight(self) -> int:
        """Calls on the wire now."""
        return self._client.in_flight

    async def answer(self, request: Request, step: str) -> Record:
        """Ask, journal, return. Raises what ``TeacherClient.call`` and ``Journal.put`` raise."""
        prompt_tokens = estimate_prompt_tokens(request) if self._client.counts_tokens or self._purse.counts else 0
        hold = await self._purse.reserve(request.model, Usage(prompt_tokens, 0, request.sampling.max_tokens))
        try:
            reply = await self._call(request, prompt_tokens, hold)
            # Some local servers send no usage: cl100k_base is then the best guess there is.
            usage = reply.usage or Usage(estimate_prompt_tokens(request), 0, count_tokens(reply.text))
            hold.settle(usage, reply.lost)
        finally:
            hold.drop()  # does nothing once settled
        try:
            record = self._record(request, step, reply, usage)
            await self._journal.put(record)
        finally:
            reply.permit.done()
        return record

    def stop(self) -> None:
        """Send nothing more; calls on the wire may finish."""
        self._client.stop()

    async def _call(self, request: Request, prompt_tokens: int, hold: Hold) -> Reply:
        tokens = prompt_tokens + request.sampling.max_tokens
        if request.schema is not None:
            return await self._structured(request, request.schema, tokens, hold)
        call = Call(request.body(), request.model, tokens, Form.INSTRUCTED, form_is_doubtful=False)
        return await self._client.call(call, hold)

    async def _structured(self, request: Request, schema: AnswerSchema, tokens: int, hold: Hold) -> Reply:
        forms = self._forms.setdefault(request.model, Forms())
        *better, last = forms.candidates
        for form in better:
            call = Call(request.body(form), request.model, tokens, form, forms.is_doubtful)
            try:
                reply = await self._client.call(call, hold)
            except FormRefused:
                continue
            forms.saw(form, reply, schema)
            return reply
        # In words there is no form left to refuse, so this raises nothing but what it means.
        call = Call(request.body(last), request.model, tokens, last, form_is_doubtful=False)
        reply = await self._client.call(call, hold)
        forms.saw(last, reply, schema)
        return reply

    def _record(self, request: Request, step: str, reply: Reply, usage: Usage) -> Record:
        return Record(
            key=request.key,
            text=reply.text,
            finish_reason=reply.finish_reason,
            model=request.model,
            served=reply.served,
            usage=usage,
            latency_s=round(reply.latency_s, 4),
            created=datetime.now(UTC).isoformat(timespec="microseconds"),
            run=self._origin.run,
            shard=self._origin.shard,
            step=step,
            tries=reply.tries,
            limited=reply.limited,
            lost=reply.lost,
        )
