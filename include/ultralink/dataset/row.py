"""One row of a dataset, typed: a sample or a reject, which shows itself as a dialogue."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, field_validator

from ultralink.dataset import dialogue


class _Read(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Message(_Read):
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


class Source(_Read):
    """Where a row came from: an article (kind "wikipedia") or an English row (kind "english").

    What is not of its kind is None. ``passage_start`` and ``passage_end`` are characters of the article's text.
    """

    kind: str
    url: str
    licence: str
    dataset: str | None = None
    row_id: str | None = None
    row: int | None = None
    type: str | None = None
    english: tuple[Message, ...] | None = None
    page_id: int | None = None
    revision_id: int | None = None
    title: str | None = None
    fetched: datetime | None = None
    categories: tuple[str, ...] | None = None
    passage_id: str | None = None
    passage_start: int | None = None
    passage_end: int | None = None
    passage: str | None = None

    @property
    def name(self) -> str:
        """Title and revision of the article, or data set and id of the English row."""
        if self.kind == "wikipedia":
            return f"{self.title}, revision {self.revision_id}"
        return f"{self.dataset}, row {self.row_id}"


class Teacher(_Read):
    """The model that wrote or translated a row, and what that took. Cost in USD; None: a model without a price."""

    model: str
    requested_model: str
    prompts: str
    temperature: float
    top_p: float
    asks: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    cost_usd: float | None = None


class Evidence(_Read):
    """What the judge said of one answer, counted from 1, with its quotation from the passage.

    ``grounded``: it found the answer supported, and code found the quotation in the passage.
    """

    answer: int
    grounded: bool
    quote: str


class _Row(_Read):
    id: str
    language: str
    subset: str
    messages: tuple[Message, ...]
    source: Source
    date: str
    created: datetime | None = None
    evidence: tuple[Evidence, ...] | None = None  # None: not judged, or not kept: in releases, in older nights

    def __str__(self) -> str:
        return dialogue.as_text(self._heading(), self._turns())

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}: {len(self.messages)} messages>"

    def _repr_html_(self) -> str:
        return dialogue.as_html(self._heading(), self._turns(), self.language, self.source.url)

    def show(self) -> None:
        """Print the dialogue, in colour where the terminal has it."""
        dialogue.print_it(self._heading(), self._turns())

    def _turns(self) -> list[tuple[str, str]]:
        return [(message.role, message.content) for message in self.messages]

    def _heading(self) -> list[str]:
        raise NotImplementedError


class Sample(_Row):
    """A finished conversation. ``split`` is None in a night: only a release divides. ``date``: of its night."""

    split: str | None
    teacher: Teacher | None
    scores: dict[str, float]
    licence: str

    @field_validator("scores", mode="before")
    @classmethod
    def _without_nulls(cls, value: dict[str, float | None]) -> dict[str, float]:
        return {name: score for name, score in value.items() if score is not None}

    def _heading(self) -> list[str]:
        scores = ", ".join(f"{name} {score:.2f}" for name, score in self.scores.items())
        model = self.teacher.model if self.teacher else "none: taken as it is"
        told = [f"{self.id} ({self.language}, {self.subset})", f"source: {self.source.name}; {self.licence}"]
        return [*told, f"teacher: {model}", *([f"scores: {scores}"] if scores else [])]


class Reject(_Row):
    """A row that a gate turned away after ``attempts`` attempts: by which gate of which stage, and why."""

    stage: str
    gate: str
    reason: str
    attempts: int

    def _heading(self) -> list[str]:
        return [
            f"{self.id} ({self.language}, {self.subset})",
            f"rejected by {self.gate} of {self.stage}: {self.reason}",
            f"source: {self.source.name}; {self.source.licence}",
        ]
