"""The screen of English chats: the prompt, the verdict on seven criteria, and what a verdict has to prove."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from ultralink.errors import PromptError
from ultralink.pool.recipe import Criterion, Screen
from ultralink.prompts import defuse
from ultralink.quotation import normalised, trimmed
from ultralink.recipe import INCLUDE, Section, read_yaml
from ultralink.teacher.request import Message

POOL_PROMPTS = INCLUDE / "pool_prompts.yaml"
STEP = "screen"
LEAST_QUOTE = 2  # characters: a brand may be as short, a single letter is in every dialogue


# --- the verdict ------------------------------------------------------------------------------


class Finding(BaseModel):
    """Whether one criterion is met, and the words that meet it."""

    model_config = ConfigDict(extra="forbid")

    quote: str  # first: evidence comes before judgement
    violated: Literal[0, 1]


class Verdict(BaseModel):
    """One finding for each criterion."""

    # This docstring reaches the teacher with the schema. The fields are named as Criterion is. Six of the criteria
    # are in the paper (section 2.2.1) and in its code; code_or_formula is in the code alone.

    model_config = ConfigDict(extra="forbid")

    person_name: Finding
    code_or_formula: Finding
    place: Finding
    customs: Finding
    literary: Finding
    culture_item: Finding
    organisation: Finding

    def of(self, criterion: Criterion) -> Finding:
        """What it says of ``criterion``."""
        finding: Finding = getattr(self, criterion.value)
        return finding

    @property
    def violated(self) -> dict[Criterion, str]:
        """The criteria that are met, with the teacher's evidence."""
        return {each: self.of(each).quote for each in Criterion if self.of(each).violated}

    def stored(self) -> list[dict[str, object]]:
        """As SCREENED_ROWS holds it: criterion, score 0 or 1, and the quote (empty with 0) of all seven."""
        violated = self.violated
        return [
            {"criterion": each.value, "score": int(each in violated), "quote": violated.get(each, "")}
            for each in Criterion
        ]

    def unproved(self, messages: Sequence[Message]) -> dict[Criterion, str]:
        """The criteria that are said to be met, with a quote that is in none of ``messages``."""
        shown = [normalised(defuse(message.content)) for message in messages]
        return {
            criterion: quote
            for criterion, quote in self.violated.items()
            if not any(is_quoted(quote, text) for text in shown)
        }


def is_quoted(quote: str, normalised_text: str) -> bool:
    """Whether ``quote`` is in the text, from the beginning of a word on ("Thor" is no quote of "author")."""
    sought = trimmed(quote)
    if len(sought) < LEAST_QUOTE:
        return False
    edge = r"(?<!\w)" if sought[0].isalnum() else ""
    return re.search(edge + re.escape(sought), normalised_text) is not None


# --- the decision -----------------------------------------------------------------------------


def total(violated: Mapping[Criterion, str], settings: Screen) -> int:
    """How many of the criteria that count are met."""
    return sum(criterion in settings.criteria for criterion in violated)


def too_much(violated: Mapping[Criterion, str], settings: Screen) -> list[Criterion]:
    """The criteria for which a chat is turned away, in their order; none: it is kept.

    With a total above ``max_total`` these are all that count; else those above their own threshold.
    """
    if total(violated, settings) > settings.max_total:
        return [criterion for criterion in violated if criterion in settings.criteria]
    return [criterion for criterion in violated if settings.thresholds.get(criterion, 1) < 1]


# --- the prompt -------------------------------------------------------------------------------


class ScreenPrompts(Section):
    """The screen's texts; ``{dialogue}`` and ``{findings}`` are the only braces of the last two."""

    system: str = Field(min_length=1)
    user: Annotated[str, Field(pattern=r"^[^{}]*\{dialogue\}[^{}]*$")]
    again: Annotated[str, Field(pattern=r"^[^{}]*\{findings\}[^{}]*$")] = Field(
        description="asks for another verdict, after one with quotes that are not in the dialogue"
    )

    def messages(self, dialogue: Sequence[Message]) -> list[Message]:
        """The first ask. The system message is the same for every dialogue, so a provider can cache it."""
        shown = "\n".join(_shown(number, message) for number, message in enumerate(dialogue))
        user = self.user.replace("{dialogue}", f"<dialogue>\n{shown}\n</dialogue>")
        return [Message("system", self.system), Message("user", user)]

    def correction(self, verdict: Verdict, unproved: Mapping[Criterion, str]) -> list[Message]:
        """What follows a verdict with ``unproved`` criteria: the verdict itself, and what is wrong with it."""
        told = "\n".join(f"- {criterion}: {defuse(quote)!r}" for criterion, quote in unproved.items())
        return [
            Message("assistant", verdict.model_dump_json()),
            Message("user", self.again.replace("{findings}", told)),
        ]

    @property
    def fingerprint(self) -> str:
        """16 hex digits of all texts."""
        return hashlib.sha256(json.dumps(self.model_dump(), sort_keys=True).encode()).hexdigest()[:16]


def _shown(number: int, message: Message) -> str:
    tag = f"{'question' if message.role == 'user' else 'answer'} {number // 2 + 1}"
    return f"<{tag}>\n{defuse(message.content)}\n</{tag}>"


class _PoolPrompts(Section):
    screen: ScreenPrompts


def load_screen_prompts(path: Path = POOL_PROMPTS) -> ScreenPrompts:
    """The prompts of the screen. Raises PromptError naming the file and the field."""
    return read_yaml(path, _PoolPrompts, PromptError, {}).screen
