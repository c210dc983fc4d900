"""The door to the teacher: an answer is found in the journal, or is asked for once and made durable."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from pydantic import BaseModel

from ultralink.errors import AnswerInvalid
from ultralink.teacher.journal import Journal
from ultralink.teacher.models import ModelCards
from ultralink.teacher.record import Record, Usage
from ultralink.teacher.request import AnswerSchema, Message, Request, Sampling
from ultralink.teacher.structured import Fit, answer_schema, correction, fit, stand_in
from ultralink.teacher.tally import Tally

Model = TypeVar("Model", bound=BaseModel)
Model_co = TypeVar("Model_co", bound=BaseModel, covariant=True)

DEFAULT_SAMPLING = Sampling()
REASKS = 2  # after an answer that does not fit its schema
DRAIN_S = 30.0


class Source(Protocol):
    """Where an answer comes from that is not in the journal."""

    rehearses: bool  # its answers are stand-ins that nobody gave

    @property
    def in_flight(self) -> int: ...

    async def answer(self, request: Request, step: str) -> Record:
        """The answer, durable if it was paid for."""

    def stop(self) -> None:
        """Begin nothing new; what is on the wire may finish."""


@dataclass(frozen=True, slots=True)
class Style:
    """Which model answers, and how it samples."""

    model: str
    sampling: Sampling = DEFAULT_SAMPLING


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer in free text. ``model`` served it; ``created`` is UTC, ISO 8601; None: no price is known.

    ``finish_reason`` is the server's, ``length`` for an answer that was cut off, or ``refusal``.
    ``rehearsed``: nobody was asked, and ``text`` means nothing.
    """

    text: str
    finish_reason: str
    model: str
    usage: Usage
    cost_usd: float | None
    created: str
    rehearsed: bool


@dataclass(frozen=True, slots=True)
class StructuredAnswer(Generic[Model_co]):
    """An answer that fits its model; tokens and cost are of all asks that it took."""

    value: Model_co
    model: str
    usage: Usage
    cost_usd: float | None
    created: str
    rehearsed: bool


@dataclass
class Ask:
    """The one door. ``style`` holds for all steps but those in ``steps``.

    Two asks at once for the same content make one call. A row that is cancelled does not take its call along:
    the answer still reaches the journal (see ``drain``).
    """

    journal: Journal
    source: Source
    cards: ModelCards
    style: Style
    steps: Mapping[str, Style] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)
    _flights: dict[str, asyncio.Task[Record]] = field(default_factory=dict, repr=False)

    async def __call__(self, step: str, messages: Sequence[Message], *, attempt: int = 0) -> Answer:
        """The teacher's answer to ``messages``; ``attempt`` asks for another one to the same messages.

        Raises ContextOverflow, RequestRefused (this row only), TeacherUnavailable, and at once KeyRejected,
        QuotaExhausted, ModelUnknown, BudgetExceeded, StoreFull, StoreReadOnly.
        """
        record = await self._record(self._request(step, messages, None, attempt), step)
        return Answer(
            text=record.text,
            finish_reason=record.finish_reason,
            model=record.served,
            usage=record.usage,
            cost_usd=self.cards.cost(record),
            created=record.created,
            rehearsed=self._is_rehearsed(record),
        )

    async def structured(
        self, step: str, messages: Sequence[Message], schema: type[Model], *, attempt: int = 0
    ) -> StructuredAnswer[Model]:
        """An answer that fits ``schema``. One that does not is asked for again, told what was wrong with it.

        Raises AnswerInvalid after REASKS new asks, and what a plain ask raises.
        """
        wanted = answer_schema(schema)
        conversation = tuple(messages)
        records: list[Record] = []
        while True:
            record = await self._record(self._request(step, conversation, wanted, attempt), step)
            records.append(record)
            if self._is_rehearsed(record):
                return self._structured(stand_in(schema, record.text), records)
            found = fit(record.text, schema, record.finish_reason)
            if isinstance(found, Fit):
                return self._structured(found.value, records)
            if len(records) > REASKS:
                raise AnswerInvalid(
                    f"step {step!r}: {len(records)} answers did not fit {wanted.name}; the last: {found.reason}"
                )
            self.tally.reasked(step, record.model)
            # Each new ask adds to the conversation, so that no two have the same content and the same key.
            conversation = (*conversation, *correction(record.text, found))

    async def drain(self, grace_s: float = DRAIN_S) -> None:
        """Begin nothing new, and let what is on the wire reach the journal, for ``grace_s`` at most."""
        self.source.stop()
        flights = list(self._flights.values())
        if flights:
            _, late = await asyncio.wait(flights, timeout=grace_s)
            for flight in late:
                flight.cancel()
            if late:
                await asyncio.wait(late)

    @property
    def in_flight(self) -> int:
        """Calls on the wire now."""
        return self.source.in_flight

    def _request(self, step: str, messages: Sequence[Message], schema: AnswerSchema | None, attempt: int) -> Request:
        style = self.steps.get(step, self.style)
        return Request(style.model, tuple(messages), style.sampling, schema, attempt)

    async def _record(self, request: Request, step: str) -> Record:
        self.tally.asked(step, request.model)
        found = await self.journal.get(request.key)
        if found is not None:
            self.tally.replayed(step, request.model)
            return found
        flight = self._flights.get(request.key)
        if flight is None:
            flight = asyncio.create_task(self._fly(request, step))
            flight.add_done_callback(_taken_note_of)
            self._flights[request.key] = flight
        else:
            self.tally.replayed(step, request.model)
        return await asyncio.shield(flight)

    async def _fly(self, request: Request, step: str) -> Record:
        try:
            record = await self.source.answer(request, step)
            self.tally.paid(step, record, self.cards.cost(record))
            return record
        finally:
            del self._flights[request.key]

    def _structured(self, value: Model, records: Sequence[Record]) -> StructuredAnswer[Model]:
        costs = [self.cards.cost(record) for record in records]
        last = records[-1]
        return StructuredAnswer(
            value=value,
            model=last.served,
            usage=Usage(
                sum(record.usage.prompt for record in records),
                sum(record.usage.cached for record in records),
                sum(record.usage.completion for record in records),
            ),
            cost_usd=None if None in costs else sum(each for each in costs if each is not None),
            created=last.created,
            rehearsed=self._is_rehearsed(last),
        )

    def _is_rehearsed(self, record: Record) -> bool:
        return self.source.rehearses and record.key not in self.journal


def _taken_note_of(flight: asyncio.Task[Record]) -> None:
    """A flight whose rows were all cancelled has nobody left to raise its error to: that is no accident."""
    if not flight.cancelled():
        flight.exception()
