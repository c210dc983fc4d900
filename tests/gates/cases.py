"""The gates' cases in five languages, read from tests/data/gates, and the way to run them."""

from functools import cache
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict

from ultralink.gates import Finding, Gate, answer_findings, question_findings
from ultralink.recipe import Gates, Recipe, TokenBounds, load_recipe

DATA = Path(__file__).parents[1] / "data" / "gates"
LANGUAGES = ("en", "es", "fr", "ru", "zh")


class Pair(BaseModel):
    """A clean exchange."""

    q: str
    a: str


class Cases(BaseModel):
    """One language's file."""

    model_config = ConfigDict(extra="forbid")

    passage: str
    questions: dict[Gate, list[str]]
    earlier_question: str
    fine_questions: list[str]
    answers: dict[Gate, list[str]]
    earlier_answer: str
    fine_answers: list[str]
    pairs: list[Pair]


@cache
def cases(language: str) -> Cases:
    return Cases.model_validate(yaml.safe_load((DATA / f"{language}.yaml").read_text(encoding="utf-8")))


@cache
def recipe(language: str) -> Recipe:
    return load_recipe(language)


def of_question(language: str, text: str, gates: Gates | None = None) -> list[Finding]:
    known = cases(language)
    rules = recipe(language)
    return question_findings(text, [known.earlier_question], known.passage, rules.text, gates or rules.gates)


def of_answer(
    language: str, text: str, gates: Gates | None = None, finish_reason: str | None = "stop"
) -> list[Finding]:
    known = cases(language)
    rules = recipe(language)
    return answer_findings(
        text,
        finish_reason,
        known.earlier_question,
        [known.earlier_answer],
        known.passage,
        rules.text,
        gates or rules.gates,
    )


ANY_LENGTH = Gates(question_tokens=TokenBounds(min=0, max=5000), answer_tokens=TokenBounds(min=0, max=5000))
