"""A release in figures: what statistics.json holds, and the card and the pictures are made from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict, computed_field

TOKENIZER = "cl100k_base"  # gpt-3.5's encoding, which the paper counts with; bundled, nothing is downloaded
SCORE_BINS = 20  # of language scores, 0 to 1
_FOUND = {"decontaminate": "test items", "privacy": "private data", "blocklist": "blocked words"}


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Lengths(_Frozen):
    """Dialogues and turns, and tokens of all their questions and answers; grounding documents are not counted."""

    dialogues: int = 0
    turns: int = 0
    question_tokens: int = 0
    answer_tokens: int = 0

    def __add__(self, other: Lengths) -> Lengths:
        return Lengths(
            dialogues=self.dialogues + other.dialogues,
            turns=self.turns + other.turns,
            question_tokens=self.question_tokens + other.question_tokens,
            answer_tokens=self.answer_tokens + other.answer_tokens,
        )

    @computed_field  # type: ignore[prop-decorator]
    @property
    def mean_question_tokens(self) -> float | None:
        """Per turn; None without a turn."""
        return _mean(self.question_tokens, self.turns)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def mean_answer_tokens(self) -> float | None:
        """Per turn; None without a turn."""
        return _mean(self.answer_tokens, self.turns)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def mean_turn_tokens(self) -> float | None:
        """Question and answer; None without a turn."""
        return _mean(self.question_tokens + self.answer_tokens, self.turns)


def _mean(total: int, count: int) -> float | None:
    return round(total / count, 2) if count else None


class Diversity(_Frozen):
    """Mean lexical diversity of the ``rows`` that were measured; None where words cannot be told apart."""

    rows: int
    mtld: float | None
    hdd: float | None


class Configuration(_Frozen):
    """One language's rows of one subset."""

    language: str
    subset: str
    lengths: Lengths
    train: int
    validation: int
    parquet_bytes: int
    turns: dict[int, int]  # turns of a dialogue -> dialogues
    diversity: Diversity

    @property
    def name(self) -> str:
        """As ``datasets`` knows it."""
        return f"{self.language}_{self.subset}"


class RemovedRows(_Frozen):
    """Rows of the nights that a step of the release took out."""

    language: str
    subset: str
    stage: str
    reason: str
    rows: int


class CountedRows(_Frozen):
    """Findings that do not remove a row: they are only counted."""

    language: str
    stage: str
    reason: str
    rows: int


class RejectedRows(_Frozen):
    """What a gate turned away while the nights were made, so that it never was a sample."""

    language: str
    subset: str
    gate: str
    reason: str
    rows: int


class ModelUse(_Frozen):
    """What a model was asked in the nights of the release, whether or not a released row came of it."""

    model: str  # as it was asked for
    calls: int
    prompt_tokens: int
    cached_tokens: int  # of prompt_tokens
    completion_tokens: int
    cost_usd: float | None  # None: no price is known


class TeacherRows(_Frozen):
    """Rows of the release by the model that wrote or translated them, as its endpoint calls itself."""

    model: str
    rows: int


class NightRows(_Frozen):
    """Samples that a night made, and those of them that the release has."""

    language: str
    date: str
    made: int
    released: int


class Category(_Frozen):
    """A category of Wikipedia and the share of a language's grounded dialogues whose article is in it."""

    name: str
    rows: int
    share: float


class Topics(_Frozen):
    """How a language's grounded dialogues spread over Wikipedia's categories.

    ``effective``: as many equally large categories are as diverse (e to the power of the entropy of rows by category).
    """

    language: str
    rows: int  # whose article has a category
    categories: int
    effective: float
    top: tuple[Category, ...]


class Scores(_Frozen):
    """Rows of a language by how sure it is that they are in it: ``bins`` of equal width from 0 to 1."""

    language: str
    bins: tuple[int, ...]

    @property
    def rows(self) -> int:
        """Rows that have a score."""
        return sum(self.bins)


class LicenceRows(_Frozen):
    """Rows under a licence, as it is named where they come from."""

    licence: str
    kind: str  # wikipedia, english
    rows: int


class EnglishSource(_Frozen):
    """A data set that English rows and their translations come from."""

    dataset: str
    url: str
    licence: str
    rows: int


class Attribution(_Frozen):
    """A language's list of articles."""

    language: str
    path: str  # within the release
    articles: int
    rows: int


class ReleaseStatistics(_Frozen):
    """Everything that is counted of a release."""

    version: str
    tokenizer: str = TOKENIZER
    languages: tuple[str, ...]
    missing: dict[str, tuple[str, ...]]  # language -> subsets that its recipe makes and the release lacks
    samples: int  # of the nights, before anything was removed
    lengths: Lengths
    configurations: tuple[Configuration, ...]
    removed: tuple[RemovedRows, ...]
    counted: tuple[CountedRows, ...]
    rejected: tuple[RejectedRows, ...]
    without_rejects: int = 0  # nights of which it is not known
    scores: tuple[Scores, ...]
    teachers: tuple[TeacherRows, ...]
    models: tuple[ModelUse, ...]
    without_ledger: int = 0  # nights of which it is not known
    nights: tuple[NightRows, ...]
    topics: tuple[Topics, ...]
    licences: tuple[LicenceRows, ...]
    english: tuple[EnglishSource, ...]
    attribution: tuple[Attribution, ...]

    @property
    def filled(self) -> list[Configuration]:
        """The configurations that have rows."""
        return [each for each in self.configurations if each.lengths.dialogues]

    @property
    def train(self) -> int:
        """Rows to learn from."""
        return sum(each.train for each in self.configurations)

    @property
    def validation(self) -> int:
        """Rows kept back."""
        return sum(each.validation for each in self.configurations)

    @property
    def left_out(self) -> dict[str, int]:
        """Removed rows by what was found, most first; test items are one, and so is what is private or blocked."""
        counts: Counter[str] = Counter()
        for each in self.removed:
            counts[_FOUND.get(each.stage, each.reason)] += each.rows
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))

    @property
    def cost_usd(self) -> float | None:
        """Of all models; None where a price is not known."""
        costs = [model.cost_usd for model in self.models]
        return None if None in costs else sum(cost or 0.0 for cost in costs)

    @property
    def rehearsal(self) -> bool:
        """Whether a model that is no model took part: the offline teacher says so in its name."""
        names = [*(each.model for each in self.teachers), *(each.model for each in self.models)]
        return any(map(is_stand_in, names))

    def configuration(self, language: str, subset: str) -> Configuration | None:
        """One of ``configurations``."""
        found = (each for each in self.configurations if (each.language, each.subset) == (language, subset))
        return next(found, None)

    def of_subset(self, subset: str) -> Lengths:
        """All languages together."""
        return total(each.lengths for each in self.configurations if each.subset == subset)

    def of_language(self, language: str) -> Lengths:
        """All subsets together."""
        return total(each.lengths for each in self.configurations if each.language == language)


def total(lengths: Iterable[Lengths]) -> Lengths:
    """The sum of ``lengths``."""
    return sum(lengths, Lengths())


def is_stand_in(model: str) -> bool:
    """Whether a model's name says that it is none, as the offline teacher's does."""
    return "not an LLM" in model
