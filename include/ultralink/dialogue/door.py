"""The door to the teacher as a row program sees it: an ask with an answer, free text or structured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from pydantic import BaseModel

from ultralink.teacher.record import Usage
from ultralink.teacher.request import Message

Value = TypeVar("Value", bound=BaseModel)
Value_co = TypeVar("Value_co", bound=BaseModel, covariant=True)


class Said(Protocol):
    """What any answer tells: ``created`` is UTC in ISO 8601; ``rehearsed`` means that nobody was asked."""

    @property
    def model(self) -> str: ...
    @property
    def usage(self) -> Usage: ...
    @property
    def cost_usd(self) -> float | None: ...
    @property
    def created(self) -> str: ...
    @property
    def rehearsed(self) -> bool: ...


class Answer(Said, Protocol):
    """An answer in free text."""

    @property
    def text(self) -> str: ...
    @property
    def finish_reason(self) -> str: ...


class StructuredAnswer(Said, Protocol[Value_co]):
    """An answer that was checked against a model."""

    @property
    def value(self) -> Value_co: ...


class Ask(Protocol):
    """The one door: journaled, validated, counted behind it."""

    async def __call__(self, step: str, messages: Sequence[Message], *, attempt: int = 0) -> Answer: ...

    async def structured(
        self, step: str, messages: Sequence[Message], schema: type[Value], *, attempt: int = 0
    ) -> StructuredAnswer[Value]: ...
