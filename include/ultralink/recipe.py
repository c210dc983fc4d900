"""The recipe: every setting of one language, read from include/languages/<code>.yaml and validated."""

from __future__ import annotations

import os
import re
from collections.abc import Hashable, Mapping, Sequence
from datetime import date
from enum import StrEnum
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal, TypeVar
from zoneinfo import ZoneInfo

import yaml
from croniter import CroniterError, croniter
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from ultralink.errors import PermanentError, RecipeError

INCLUDE = Path(__file__).resolve().parents[1]
LANGUAGES = INCLUDE / "languages"
LONGEST_PATTERN = 20_000

_FRAGMENT = re.compile(r"\{([a-z_]+)\}")

Share = Annotated[float, Field(ge=0, le=1)]
Mode = Literal["live", "batch"]  # answers at once, or by the Batch API: within hours, at a lower price
Model = TypeVar("Model", bound=BaseModel)


def _is_cron(value: str) -> str:
    try:
        croniter(value).get_next()
    except (CroniterError, KeyError) as error:
        raise ValueError(f"{value!r} is not a cron expression: {error}") from error
    if len(value.split()) > 5:
        raise ValueError(f"{value!r} has more than the five fields of a cron expression")
    return value


def _is_timezone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (OSError, ValueError, KeyError):
        raise ValueError(f"{value!r} is no time zone such as Europe/Paris") from None
    return value


def _is_regex(value: str) -> str:
    try:
        pattern = re.compile(value, re.IGNORECASE)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{value[:200]!r} is not a regular expression: {error}") from error
    if pattern.search(""):
        raise ValueError(f"{value[:200]!r} matches every text, because it matches nothing at all")
    return value


Cron = Annotated[str, AfterValidator(_is_cron)]
TimeZone = Annotated[str, AfterValidator(_is_timezone)]
Regex = Annotated[str, AfterValidator(_is_regex)]


class Section(BaseModel):
    """A part of the recipe: unknown keys are errors, values do not change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class TokenBounds(Section):
    """Inclusive bounds in cl100k_base tokens."""

    min: int = Field(ge=0)
    max: int = Field(gt=0)

    @model_validator(mode="after")
    def _ordered(self) -> TokenBounds:
        if self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        return self


# --- Wikipedia --------------------------------------------------------------------------------


ArticleUrl = Annotated[str, Field(pattern=r"^https?://.*\{title\}", description="page address with {title}")]


class DumpSource(Section):
    """A MediaWiki XML export (plain, .bz2 or multistream .bz2 with ``index``); relative to include/."""

    path: str
    index: str | None = None
    article_url: ArticleUrl

    @field_validator("path", "index")
    @classmethod
    def _from_include(cls, value: str | None) -> str | None:
        if value is None or "://" in value:
            return value
        return str(INCLUDE / value)


class CategoryWalk(Section):
    """Articles of a category and of its subcategories down to ``depth`` (0: the category itself)."""

    kind: Literal["category"]
    category: str = Field(min_length=1)
    depth: int = Field(default=2, ge=0, le=8)


class TitleList(Section):
    """Articles named one by one."""

    kind: Literal["titles"]
    titles: list[str] = Field(min_length=1)


class RandomDraw(Section):
    """A seeded draw from all articles of the wiki."""

    kind: Literal["random"]


Selection = Annotated[CategoryWalk | TitleList | RandomDraw, Field(discriminator="kind")]


class ApiSource(Section):
    """The wiki's Action API, asked politely (Wikimedia's etiquette: contact, maxlag, few at a time)."""

    base_url: str = Field(pattern=r"^https?://")
    article_url: ArticleUrl
    contact: str = Field(min_length=5, description="e-mail or URL, sent in the user agent")
    selection: Selection
    requests_per_second: float = Field(default=5, gt=0)
    concurrency: int = Field(default=4, ge=1, le=32)
    maxlag: int | None = 5
    timeout_s: float = Field(default=30, gt=0)


class Cleaning(Section):
    """What this wiki's markup looks like, in its own words (titles and names are compared casefolded)."""

    drop_sections: list[str] = Field(description="left out with their subsections: see also, references …")
    disambiguation_templates: list[str] = Field(description="template names; * stands for anything")
    stub_templates: list[str] = Field(description="template names; * stands for anything")
    list_title: Regex = Field(description="regular expression: a title that matches is a list page")
    file_namespaces: list[str]
    category_namespaces: list[str]
    template_namespaces: list[str] = ["Template"]
    inline_templates: dict[str, str] = Field(
        default={}, description="templates that leave text: name -> that text, {1} {2} … are the arguments"
    )


class Wikipedia(Section):
    """Where articles come from, how many a night, and how they are cut."""

    source: Literal["dump", "api"]
    articles_per_night: int = Field(ge=1)
    seed: int = 0
    licence: str = "CC BY-SA 4.0"
    simplify_chinese: bool = False
    min_language_score: Share = 0.8
    document_tokens: TokenBounds = TokenBounds(min=1000, max=10000)
    passage_tokens: TokenBounds = TokenBounds(min=1000, max=2000)
    cleaning: Cleaning
    dump: DumpSource | None = None
    api: ApiSource | None = None

    @property
    def article_url(self) -> str:
        """The address of a page of the source in use, with {title}."""
        source = self.api if self.source == "api" else self.dump
        if source is None:
            raise AssertionError("validation lets no source through without its section")
        return source.article_url

    @model_validator(mode="after")
    def _source_described(self) -> Wikipedia:
        if getattr(self, self.source) is None:
            raise ValueError(f"source is {self.source!r} but there is no section {self.source!r}")
        return self


# --- text, teacher, dialogue, gates -------------------------------------------------------------


class TextRules(Section):
    """What sentences of this language look like, for splitting and for the gates.

    Patterns are regular expressions; ``{name}`` in one stands for ``fragments[name]``.
    """

    detector_labels: list[str] = Field(min_length=1, description="langdetect labels that mean this language")
    abbreviations: list[str] = Field(description="words before a full stop that do not end a sentence")
    fragments: dict[str, str] = Field(default={}, description="named parts of the patterns below")
    leaks: list[str] = Field(description="'according to the text' and its kin")
    dangling_openings: list[str] = Field(description="an opening that points outside the question")
    second_questions: list[str] = Field(default=[], description="'..., and also, what ...'")
    meta_openings: list[str] = Field(default=[], description="'Here is a deeper question:', 'Answer:'")
    refusals: list[str] = Field(description="refusal boilerplate")

    @field_validator("detector_labels")
    @classmethod
    def _known_to_the_detector(cls, values: list[str]) -> list[str]:
        known = _detector_labels()
        if unknown := [value for value in values if value not in known]:
            raise ValueError(f"langdetect has no label {unknown[0]!r}; it has {', '.join(known)}")
        return values

    @field_validator("leaks", "dangling_openings", "second_questions", "meta_openings", "refusals")
    @classmethod
    def _complete(cls, values: list[str], info: ValidationInfo) -> list[str]:
        fragments = info.data.get("fragments", {})
        return [_expand(value, fragments) for value in values]


@cache
def _detector_labels() -> list[str]:
    """langdetect's profiles by name, found without importing the package: Dags are parsed often."""
    package = find_spec("langdetect")
    folders = package.submodule_search_locations if package else None
    return sorted(path.name for folder in folders or [] for path in Path(folder, "profiles").iterdir())


def _expand(pattern: str, fragments: Mapping[str, str]) -> str:
    """``pattern`` with its fragments filled in; it compiles."""
    expanded = pattern
    while found := _FRAGMENT.search(expanded):
        if found[1] not in fragments:
            raise ValueError(f"{pattern!r} names an unknown fragment {found[1]!r}")
        if len(expanded) > LONGEST_PATTERN:
            raise ValueError(f"{pattern!r} grows beyond {LONGEST_PATTERN} characters: a circle of fragments")
        expanded = expanded[: found.start()] + f"(?:{fragments[found[1]]})" + expanded[found.end() :]
    _is_regex(expanded)
    return expanded


class Teacher(Section):
    """The model that writes, how it samples, and how hard it is driven."""

    conn_id: str = "openai_default"
    model: str = Field(min_length=1)
    mode: Mode = "live"
    temperature: float = Field(default=0.7, ge=0, le=2)
    top_p: float = Field(default=1.0, gt=0, le=1)
    question_max_tokens: int = Field(default=256, ge=16)
    answer_max_tokens: int = Field(default=1024, ge=16)
    expected_answer_tokens: int = Field(default=300, ge=1, description="per call, for the price of a dry run")
    context_tokens: int | None = Field(default=None, gt=0, description="null: the model's own, models.yaml")
    concurrency: int = Field(default=32, ge=1, description="dialogues in flight per shard")
    timeout_s: float = Field(default=120, gt=0)
    tolerated_failures: Share = Field(default=0.01, description="share of rows that may stay unanswered")


class Dialogue(Section):
    """The turn loop of the paper (section 2.1.2): stop with p, doubled each turn; depth or width."""

    stop_probability: float = Field(default=0.1, gt=0, le=1)
    depth_share: Share = 0.5
    new_attempts: int = Field(default=2, ge=0, le=5, description="after a gate failed, before the reject")


class Gates(Section):
    """Thresholds of the deterministic gates."""

    question_tokens: TokenBounds = TokenBounds(min=5, max=100)
    answer_tokens: TokenBounds = TokenBounds(min=20, max=1200)
    min_language_score: Share = 0.8
    max_repetition: Share = Field(default=0.3, description="share of words in repeated word 4-grams")
    max_copied: Share = Field(default=0.8, description="share of the answer copied in long runs")


class Judge(Section):
    """The judge gate: is each answer grounded in the passage?"""

    sampling_rate: Share = Field(default=1.0, description="share of dialogues that are judged")
    min_grounded: Share = Field(default=1.0, description="least share of grounded answers; under it: reject")
    min_agreement: Share = Field(default=0.8, description="with labelled items; under it: it rejects nothing")
    model: str | None = Field(default=None, description="default: the teacher's")
    max_tokens: int = Field(default=512, ge=16)


class Ratio(Section):
    """Inclusive bounds of translation / source."""

    min: float = Field(gt=0)
    max: float = Field(gt=0)

    @model_validator(mode="after")
    def _ordered(self) -> Ratio:
        if self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        return self


class BackTranslation(Section):
    """Translating back into English and comparing with the source, by chrF (0 to 100)."""

    sampling_rate: Share = Field(default=0.0, description="share of rows that are translated back")
    min_chrf: float = Field(default=40.0, ge=0, le=100, description="under it: reject")


class Translation(Section):
    """How English rows become rows of this language, and what a sound translation looks like.

    Patterns are regular expressions for the beginning of a line; case does not matter.
    """

    length_ratio: Ratio = Field(description="letters of the prose; short texts get some letters on top")
    min_language_score: Share = 0.8
    max_untranslated: Share = Field(default=0.1, description="share of the source's word 4-grams taken over")
    max_repetition: Share = Field(default=0.3, description="share of words in repeated word 4-grams")
    answer_phrase: str = Field(min_length=1, description="stands for 'The answer is:'")
    notes: list[Regex] = Field(default=[], description="'Here is the translation:', 'Translator's note'")
    openings: list[Regex] = Field(default=[], description="of one who obeys instead: 'Sure, here is'")
    token_ratio: float = Field(gt=0, description="cl100k tokens of the words, translation / source, for a dry run")
    window_tokens: int = Field(default=1500, ge=1, description="cl100k tokens of the source in one call")
    max_tokens: int = Field(
        default=4096, ge=16, description="of one answer: a window's translation, with room to spare"
    )
    new_attempts: int = Field(default=2, ge=0, le=5, description="after a check failed, before the reject")
    translate_comments: bool = Field(default=False, description="comments and docstrings of Python blocks too")
    back_translation: BackTranslation = BackTranslation()
    judge_rate: Share = Field(default=0.0, description="share of rows whose faithfulness is judged")


class Amount(Section):
    """Rows of one kind: how many in all, and how many a night takes until then."""

    budget: int = Field(ge=0)
    per_night: int = Field(ge=0)


class Agnostic(Section):
    """What this language takes of the English pool. The budgets are the paper's (Table 1)."""

    seed: int = 0
    shards: int = Field(default=2, ge=1, le=256, description="parallel tasks per kind")
    chat: Amount = Amount(budget=11_000, per_night=110)
    math: Amount = Amount(budget=32_000, per_night=320)
    code: Amount = Amount(budget=16_000, per_night=160)


class Budget(Section):
    """A hard cap per run; null means none. ``english`` is the part for translating English rows."""

    usd: float | None = Field(default=None, ge=0)
    tokens: int | None = Field(default=None, ge=0)
    english: Share = Field(default=0.5, description="of the cap, for English rows, where they are translated")


# --- alarms -----------------------------------------------------------------------------------------


class AlarmKind(StrEnum):
    """What an alarm is about."""

    FAILURE = "failure"  # a task has failed for good
    LATE = "late"  # a scheduled run is not done at its deadline
    BUDGET = "budget"  # a task has spent most of its part of the budget, or all of it
    JUMP = "jump"  # a night's rejects or its price went up suddenly


class Channel(Section):
    """A notifier of Airflow's, from any provider, and what it is made with.

    Text in ``kwargs`` is a Jinja template where the notifier takes one; ``alarm.title``, ``alarm.text`` and
    ``alarm.html`` (escaped) are the alarm's words. Passwords belong into the connection that the notifier names.
    """

    notifier: str = Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$", description="path of the class")
    kwargs: dict[str, JsonValue] = {}
    kinds: list[Annotated[AlarmKind, Field(strict=False)]] = Field(default=list(AlarmKind), min_length=1)

    @field_validator("kwargs")
    @classmethod
    def _context_is_ours(cls, values: dict[str, JsonValue]) -> dict[str, JsonValue]:
        if "context" in values:
            raise ValueError("'context' is given by the alarm itself")
        return values


class Jump(Section):
    """When a night differs from those before it. It is compared with the median of the last ``nights``."""

    nights: int = Field(default=7, ge=1, le=90)
    at_least: int = Field(default=3, ge=1, description="earlier nights, without which nothing is compared")
    rows: int = Field(default=10, ge=1, description="samples and rejects, under which a night says nothing")
    reject_rate: Share | None = Field(default=0.15, description="rise of rejects / rows, as a share; null: off")
    cost_per_sample: float | None = Field(default=1.5, gt=1, description="times the median; null: off")


class Alarms(Section):
    """Who is told when a run goes wrong, and when that is. Without notifiers an alarm is a line in the task's log."""

    late_after_hours: float | None = Field(default=None, gt=0, description="after the run was due; null: no deadline")
    notifiers: list[Channel] = []
    jump: Jump = Jump()


class Recipe(Section):
    """Everything that makes one language's dataset."""

    language: str = Field(pattern=r"^[a-z]{2,3}(-[a-z0-9]+)*$")
    name: str
    owner: str = "ultralink"
    schedule: Cron
    timezone: TimeZone = "UTC"
    start_date: date = Field(default=date(2026, 11, 1), strict=False)  # quoted or not
    shards: int = Field(default=4, ge=1, le=256)
    wikipedia: Wikipedia
    text: TextRules
    teacher: Teacher
    dialogue: Dialogue = Dialogue()
    gates: Gates = Gates()
    judge: Judge = Judge()
    agnostic: Agnostic = Agnostic()
    translation: Translation | None = None  # none: English rows are taken as they are
    budget: Budget = Budget()
    alarms: Alarms = Alarms()

    @model_validator(mode="after")
    def _fits(self) -> Recipe:
        if self.wikipedia.document_tokens.max < self.wikipedia.passage_tokens.min:
            raise ValueError("wikipedia.document_tokens: max is below passage_tokens.min, so no article would do")
        if self.wikipedia.passage_tokens.min * 2 > self.wikipedia.passage_tokens.max + 1:
            raise ValueError("wikipedia.passage_tokens: max must be at least twice min, or some texts cannot be cut")
        return self


# --- loading ------------------------------------------------------------------------------------


class _NoDoubles(yaml.SafeLoader):
    """YAML in which a key that is given twice is an error, not a silent choice of the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:
        keys: set[str] = set()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:str" and key.value in keys:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} is given twice", key.start_mark)
            keys.add(str(key.value))
        return super().construct_mapping(node, deep)


def read_yaml(path: Path, model: type[Model], error: type[PermanentError], overlay: dict[str, object]) -> Model:
    """Read ``path`` as ``model``; every mistake becomes an ``error`` that names file and field.

    ``overlay`` holds dotted fields that replace the file's (``{"wikipedia.source": "api"}``).
    """
    try:
        loaded = yaml.load(path.read_text(encoding="utf-8"), _NoDoubles)  # noqa: S506  # a SafeLoader
    except FileNotFoundError:
        raise error(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as problem:
        raise error(f"{path}: cannot be read: {problem}") from problem
    except (yaml.YAMLError, ValueError, RecursionError) as problem:  # a date of no month is a ValueError to PyYAML
        raise error(f"{path}: not valid YAML: {problem}") from problem
    if not isinstance(loaded, dict):
        raise error(f"{path}: must hold a mapping, found {type(loaded).__name__}")
    for dotted, value in overlay.items():
        _lay_over(loaded, dotted.split("."), value)
    try:
        return model.model_validate(loaded)
    except ValidationError as problem:
        raise error(f"{path}: " + "; ".join(_explain(problem))) from None


def _lay_over(section: object, path: Sequence[str], value: object) -> None:
    """Set the field at ``path``; where a section on the way is no mapping, validation will say so."""
    if isinstance(section, dict):
        if len(path) == 1:
            section[path[0]] = value
        else:
            _lay_over(section.setdefault(path[0], {}), path[1:], value)


def _explain(problem: ValidationError) -> list[str]:
    return [
        f"{'.'.join(str(step) for step in mistake['loc']) or '(whole file)'}: {mistake['msg']}"
        for mistake in problem.errors()
    ]


def configured_languages(folder: Path = LANGUAGES) -> list[str]:
    """Codes of all languages that have a recipe file, sorted."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def load_recipe(language: str, folder: Path = LANGUAGES) -> Recipe:
    """The recipe of ``language``; ``WIKI_SOURCE`` in the environment (``dump``, ``api``) wins over the file.

    Raises RecipeError naming the file and the field.
    """
    path = folder / f"{language}.yaml"
    if not path.is_file():
        known = ", ".join(configured_languages(folder)) or "none"
        raise RecipeError(f"{path}: no recipe for language {language!r}; configured: {known}")
    source = os.environ.get("WIKI_SOURCE")
    recipe = read_yaml(path, Recipe, RecipeError, {"wikipedia.source": source} if source else {})
    if recipe.language != language:
        raise RecipeError(f"{path}: language: is {recipe.language!r}, but the file is named {language!r}")
    return recipe
