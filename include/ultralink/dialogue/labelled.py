"""The labelled items of a language, read from include/judge/<code>.yaml: what measures the judge."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from pydantic import Field, StrictBool, ValidationError, field_validator

from ultralink.errors import RecipeError
from ultralink.recipe import INCLUDE, Section, read_yaml
from ultralink.tokens import count_tokens
from ultralink.wikipedia.article import Article, Passage

LABELLED = INCLUDE / "judge"
LEAST_OF_EACH = 5  # items per label: of fewer, one more or less would decide


class Item(Section):
    """An answer about a short passage, and whether the passage supports all that it says."""

    title: str = Field(min_length=1)
    passage: str = Field(min_length=1)
    question: str = Field(min_length=1)
    answer: str = Field(min_length=1)
    grounded: StrictBool

    def as_passage(self) -> Passage:
        """The passage as the judge's prompt takes it: an article that has nothing else."""
        text = self.passage
        article = Article(0, 0, self.title, "", "", datetime.fromtimestamp(0, UTC), "", 0, 1.0, ())
        return Passage("0-0-0", article, 0, 0, len(text), text, count_tokens(text))


class LabelledSet(Section):
    """All items of one language: some of each label, so that neither yes nor no to all can look good."""

    items: list[Item]

    @field_validator("items")
    @classmethod
    def _balanced(cls, items: list[Item]) -> list[Item]:
        grounded = sum(item.grounded for item in items)
        if min(grounded, len(items) - grounded) < LEAST_OF_EACH:
            raise ValueError(
                f"needs at least {LEAST_OF_EACH} items with grounded: true and as many with false, "
                f"found {grounded} and {len(items) - grounded}"
            )
        return items


def load_exported(path: Path) -> LabelledSet:
    """Items as the page exports them, one JSON object a line. Raises RecipeError: file, line and field."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # a text may hold other line ends
    except (OSError, UnicodeDecodeError) as problem:
        raise RecipeError(f"{path}: cannot be read: {problem}") from problem
    items = []
    try:
        for number, line in enumerate(lines, 1):
            if line.strip():
                where = f"{path}, line {number}"
                items.append(Item.model_validate_json(line))
        where = str(path)
        return LabelledSet(items=items)
    except ValidationError as problem:
        first = problem.errors(include_url=False)[0]
        field = ".".join(str(step) for step in first["loc"]) or "(whole line)"
        raise RecipeError(f"{where}: {field}: {first['msg']}") from None


def load_labelled(language: str, folder: Path = LABELLED) -> LabelledSet | None:
    """The labelled items of ``language``; None where it has no file. Raises RecipeError: file and field."""
    path = folder / f"{language}.yaml"
    return read_yaml(path, LabelledSet, RecipeError, {}) if path.exists() else None
