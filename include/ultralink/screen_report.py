"""``python -m ultralink.screen_report --labelled FILE``: how well the screen knows labelled chats, as tables.

It asks the endpoint of OPENAI_API_KEY and OPENAI_BASE_URL for the pool recipe's screen model, or without a key the
offline teacher, which it serves itself. Nothing is kept: each time the endpoint is asked anew.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, ValidationError, model_validator
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ultralink.command import run
from ultralink.dialogue.agreement import shown
from ultralink.dialogue.door import Ask
from ultralink.errors import RecipeError
from ultralink.measured import measured_teacher
from ultralink.pool.recipe import Criterion, Screen, load_pool_recipe
from ultralink.pool.row import EnglishRow, Kind
from ultralink.pool.screen import ScreenPrompts, is_quoted, load_screen_prompts
from ultralink.pool.screening import ScreenedOut, screen
from ultralink.quotation import normalised
from ultralink.recipe import Section
from ultralink.teacher.request import Message, Sampling

ALL = "all criteria"
TURNED_AWAY = "met any"
SHOWN = 60  # characters of evidence


# --- the labelled set -------------------------------------------------------------------------


class Item(Section):
    """A chat, and for each criterion that it meets the words that meet it."""

    id: str = Field(min_length=1)
    messages: list[str] = Field(min_length=2, description="user and assistant in turn")
    violates: dict[Criterion, str]

    @model_validator(mode="after")
    def _quotes_are_there(self) -> Item:
        texts = [normalised(text) for text in self.messages]
        for criterion, quote in self.violates.items():
            if not any(is_quoted(quote, text) for text in texts):
                raise ValueError(f"violates.{criterion}: {quote[:SHOWN]!r} is in none of the messages")
        return self

    @property
    def row(self) -> EnglishRow:
        """The chat as the screen takes it."""
        messages = tuple(
            Message("assistant" if number % 2 else "user", text) for number, text in enumerate(self.messages)
        )
        return EnglishRow(self.id, Kind.CHAT, messages, "labelled", 0, "", "", "")


def load_items(path: Path) -> list[Item]:
    """The labelled chats, one JSON object per line. Raises RecipeError: file, line and field."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        raise RecipeError(f"{path}: cannot be read: {problem}") from problem
    items = [_item(f"{path}, line {number}", line) for number, line in enumerate(lines, 1) if line.strip()]
    if not items:
        raise RecipeError(f"{path}: no labelled chat in it")
    return items


def _item(where: str, line: str) -> Item:
    try:
        return Item.model_validate_json(line)
    except ValidationError as problem:
        first = problem.errors(include_url=False)[0]
        field = ".".join(str(step) for step in first["loc"]) or "(whole line)"
        raise RecipeError(f"{where}: {field}: {first['msg']}") from None


# --- the figures ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the screen made of one item: criteria with evidence, or None where it gave no verdict (``detail``)."""

    item: Item
    found: dict[Criterion, str] | None
    detail: str

    @property
    def missed(self) -> list[Criterion]:
        """What the label says and the screen does not: without a verdict, all of it."""
        return [criterion for criterion in self.item.violates if criterion not in (self.found or {})]

    @property
    def invented(self) -> list[Criterion]:
        """What the screen says and the label does not."""
        return [criterion for criterion in self.found or {} if criterion not in self.item.violates]

    @property
    def is_right(self) -> bool:
        """A verdict, and the label's."""
        return self.found is not None and not self.missed and not self.invented


@dataclass(frozen=True, slots=True)
class Figures:
    """Verdicts that are right, that are wrong, and labels that were missed; shares are 0 to 1, None of nothing."""

    right: int
    wrong: int
    missed: int

    @property
    def precision(self) -> float | None:
        """Of what the screen found, the share that is there."""
        found = self.right + self.wrong
        return self.right / found if found else None

    @property
    def recall(self) -> float | None:
        """Of what is there, the share that the screen found."""
        there = self.right + self.missed
        return self.right / there if there else None

    @property
    def f1(self) -> float | None:
        """The harmonic mean of both."""
        weight = 2 * self.right + self.wrong + self.missed
        return 2 * self.right / weight if weight else None


def figures(rulings: Sequence[Ruling]) -> dict[str, Figures]:
    """Per criterion, over ALL of them, and for the question whether a chat meets any (TURNED_AWAY)."""
    found = {criterion.value: _figures(rulings, [criterion]) for criterion in Criterion}
    found[ALL] = _figures(rulings, Criterion)
    pairs = [(bool(ruling.item.violates), bool(ruling.found)) for ruling in rulings]
    found[TURNED_AWAY] = Figures(pairs.count((True, True)), pairs.count((False, True)), pairs.count((True, False)))
    return found


def _figures(rulings: Sequence[Ruling], criteria: Iterable[Criterion]) -> Figures:
    wanted = set(criteria)
    missed = sum(len(wanted.intersection(ruling.missed)) for ruling in rulings)
    there = sum(len(wanted & ruling.item.violates.keys()) for ruling in rulings)
    wrong = sum(len(wanted.intersection(ruling.invented)) for ruling in rulings)
    return Figures(there - missed, wrong, missed)


async def measure(items: Sequence[Item], ask: Ask, prompts: ScreenPrompts, settings: Screen) -> list[Ruling]:
    """Have each item screened, ``settings.concurrency`` at once. Raises what ``screen`` raises."""
    room = asyncio.Semaphore(settings.concurrency)

    async def rule(item: Item) -> Ruling:
        async with room:
            outcome = await screen(item.row, ask, prompts, settings)
        detail = outcome.detail if isinstance(outcome, ScreenedOut) else ""
        return Ruling(item, outcome.verdict.violated if outcome.verdict else None, detail)

    return list(await asyncio.gather(*map(rule, items)))


# --- the report -------------------------------------------------------------------------------


async def report(labelled: Path, console: Console) -> None:
    """Measure and show. Raises RecipeError, PromptError, and what asking raises."""
    items, settings, prompts = load_items(labelled), load_pool_recipe().screen, load_screen_prompts()
    sampling = Sampling(temperature=settings.temperature, max_tokens=settings.max_tokens)
    async with measured_teacher("Screen", settings.model, sampling, settings.timeout_s, console) as ask:
        rulings = await measure(items, ask, prompts, settings)
    show(rulings, labelled, console)


def show(rulings: Sequence[Ruling], labelled: Path, console: Console) -> None:
    """Print the figures, and the chats that the screen got wrong."""
    table = Table("", "labelled", "found", "right", "precision", "recall", "F1", title="The screen's verdicts")
    for name, found in figures(rulings).items():
        if name == ALL:
            table.add_section()
        counts = (found.right + found.missed, found.right + found.wrong, found.right)
        table.add_row(name, *map(str, counts), shown(found.precision), shown(found.recall), shown(found.f1))
    console.print(table)
    silent = sum(ruling.found is None for ruling in rulings)
    console.print(f"{len(rulings)} chats, {silent} without a verdict", highlight=False)
    if all(ruling.is_right for ruling in rulings):
        return
    wrong = Table("chat", "missed", "found without a label", title=f"Got wrong ({labelled})")
    for ruling in rulings:
        if not ruling.is_right:
            wrong.add_row(ruling.item.id, escape(_missed(ruling)), escape(_invented(ruling)))
    console.print(wrong)


def _missed(ruling: Ruling) -> str:
    return _evidence(ruling.missed, ruling.item.violates)


def _invented(ruling: Ruling) -> str:
    if ruling.found is None:
        return f"no verdict: {ruling.detail}"
    return _evidence(ruling.invented, ruling.found)


def _evidence(criteria: Iterable[Criterion], quotes: dict[Criterion, str]) -> str:
    return "\n".join(f"{criterion}: {quotes[criterion][:SHOWN]}" for criterion in criteria)


def main() -> int:
    """Parse the command line and run it; returns the exit code."""
    parser = argparse.ArgumentParser(prog="ultralink.screen_report", description=__doc__)
    parser.add_argument("--labelled", type=Path, required=True, metavar="FILE", help="JSON Lines: labelled chats")
    labelled, console = parser.parse_args().labelled, Console()
    return run(lambda: asyncio.run(report(labelled, console)), console)


if __name__ == "__main__":
    sys.exit(main())
