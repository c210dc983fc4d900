"""What the tests of dialogues share: real sample passages, and teachers that need no server."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Generic

from ultralink.dialogue.door import Value
from ultralink.offline_teacher import checking, compose
from ultralink.offline_teacher.reading import PromptShelf, Task
from ultralink.prompts import PROMPTS, Step, load_prompts
from ultralink.recipe import DumpSource, Recipe, load_recipe
from ultralink.teacher.record import Usage
from ultralink.teacher.request import Message
from ultralink.tokens import count_tokens
from ultralink.wikipedia.article import Article, Page, Passage
from ultralink.wikipedia.clean import clean
from ultralink.wikipedia.dump import DumpWiki
from ultralink.wikipedia.segment import passages

LANGUAGES = ["en", "zh", "ru", "fr", "es"]
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
DATA = Path(__file__).parents[1] / "data"

ADDRESS = "https://example.org/wiki/{title}"


# --- passages ---------------------------------------------------------------------------------


def passage(text: str, identifier: str = "1-10-0", title: str = "Dry-stone wall") -> Passage:
    """A passage of an article that has nothing else."""
    article = Article(
        page_id=1,
        revision_id=10,
        title=title,
        url="https://en.wikipedia.org/wiki/Dry-stone_wall",
        licence="CC BY-SA 4.0",
        fetched=NOON,
        text="",
        tokens=0,
        language_score=0.99,
        categories=("Walls",),
    )
    return Passage(identifier, article, 0, 0, len(text), text, count_tokens(text))


@cache
def sample_passages(language: str) -> tuple[Passage, ...]:
    """The passages of the bundled dump."""
    return tuple(dump_passages(load_recipe(language)))


def dump_passages(recipe: Recipe) -> Iterator[Passage]:
    """The passages of the dump that ``recipe`` names."""
    wikipedia = recipe.wikipedia
    wiki = DumpWiki(wikipedia.dump or DumpSource(article_url=ADDRESS, path="none"), NOON)
    for page in wiki.pages(list(wiki.candidates())):
        article = clean(page, wikipedia, recipe.text) if isinstance(page, Page) else page
        if isinstance(article, Article):
            cut = passages(article, wikipedia.passage_tokens, recipe.text)
            yield from cut if isinstance(cut, list) else []


WRITTEN = Usage(prompt=100, cached=40, completion=10)
JUDGED = Usage(prompt=1000, cached=0, completion=100)

# --- teachers ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Told:
    """An answer in free text."""

    text: str
    finish_reason: str = "stop"
    model: str = "fake-2026"
    usage: Usage = WRITTEN
    cost_usd: float | None = 0.25
    created: str = "2026-11-01T12:00:00.000000+00:00"
    rehearsed: bool = False


@dataclass(frozen=True)
class Judged(Generic[Value]):
    """A structured answer."""

    value: Value
    model: str = "fake-judge"
    usage: Usage = JUDGED
    cost_usd: float | None = 1.0
    created: str = "2026-11-01T13:00:00.000000+00:00"
    rehearsed: bool = False


@dataclass(frozen=True)
class Call:
    """One ask as the teacher saw it."""

    step: str
    messages: tuple[Message, ...]
    attempt: int

    turn: int  # from 1

    @property
    def place(self) -> str:
        """``answer 2``: the answer of the second turn; ``judge``."""
        return "judge" if self.step == Step.JUDGE else f"{self.step.split('.')[0]} {self.turn}"


_SHELF = PromptShelf([PROMPTS])


@dataclass
class Teacher:
    """The offline teacher at its best, in this process, but for what ``spoil`` puts in its mouth.

    ``spoil`` gets each call and returns the text to give instead, or None; it may raise.
    """

    spoil: Callable[[Call], str | None] = lambda call: None
    calls: list[Call] = field(default_factory=list)
    rehearse: bool = False

    async def __call__(self, step: str, messages: Sequence[Message], *, attempt: int = 0) -> Told:
        call, task = self._heard(step, messages, attempt)
        spoilt = self.spoil(call)
        created = f"2026-11-01T12:{len(self.calls):02}:00.000000+00:00"
        if self.rehearse:
            return Told("", created=created, rehearsed=True)
        if spoilt is None:
            spoilt = compose.answer(task) if step.startswith("answer") else compose.question(task)
        return Told(spoilt, created=created)

    async def structured(
        self, step: str, messages: Sequence[Message], schema: type[Value], *, attempt: int = 0
    ) -> Judged[Value]:
        call, task = self._heard(step, messages, attempt)
        spoilt = self.spoil(call)
        text = checking.verdicts(task).model_dump_json() if spoilt is None else spoilt
        return Judged(schema.model_validate_json(text), rehearsed=self.rehearse)

    def _heard(self, step: str, messages: Sequence[Message], attempt: int) -> tuple[Call, Task]:
        task = _SHELF.understand(messages)
        assert task.step == step
        call = Call(step, tuple(messages), attempt, len(task.turns) + 1)
        self.calls.append(call)
        return call, task


@cache
def english() -> tuple[Passage, Recipe]:
    """A real English passage and the English recipe."""
    return sample_passages("en")[0], load_recipe("en")


BOOK = load_prompts("en")
