"""The phrases of one language that the offline teacher builds its questions and answers from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from pydantic import Field

from ultralink.errors import PromptError
from ultralink.recipe import Section, read_yaml

TEMPLATES = Path(__file__).with_name("templates")


class Leaning(Section):
    """Regular expressions: a sentence that opens so, or holds such a word, needs its neighbours."""

    opening: str
    anywhere: str


class QuestionTemplates(Section):
    """With {fact} and {title}."""

    first: list[str] = Field(min_length=1)
    depth: list[str] = Field(min_length=1)
    width: list[str] = Field(min_length=1)


class AnswerTemplates(Section):
    """An opening, a first statement, some links, a closing."""

    openings: list[str] = Field(min_length=1)
    first: list[str] = Field(min_length=1)
    links: list[str] = Field(min_length=1)
    closings: list[str] = Field(min_length=1)


class MischiefPhrases(Section):
    """What breaks the rules on purpose, so that gates have something to reject."""

    leak_question: str
    leak_answer: str
    second_question: str
    dangling_question: str
    foreign_question: str
    foreign_answer: str
    refusal: str


class Templates(Section):
    """All phrases of one language."""

    leaning: Leaning
    question: QuestionTemplates
    answer: AnswerTemplates
    mischief: MischiefPhrases
    repairs: Mapping[str, str] = Field(default={}, description="pattern -> replacement, after filling")

    def fill(self, template: str, **values: str) -> str:
        """``template`` with its placeholders filled and its seams repaired."""
        text = fill(template, **values)
        for pattern, replacement in self.repairs.items():
            text = re.sub(pattern, replacement, text)
        return text


def fill(template: str, **values: str) -> str:
    """``template`` with its placeholders filled, in one pass."""
    return re.sub(r"\{(\w+)\}", lambda found: values[found[1]], template)


@cache
def templates_of(language: str) -> Templates | None:
    """The templates of ``language``, or None: then the offline teacher has the passage's own words only."""
    path = TEMPLATES / f"{language}.yaml"
    return read_yaml(path, Templates, PromptError, {}) if path.is_file() else None
