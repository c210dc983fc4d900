"""Why a part is up to date or would be made again: its fingerprint beside the one that a run would give it today."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import NoReturn, cast

from ultralink.commands.traces import POOL_NAME, Trace, traces
from ultralink.configured import load_language
from ultralink.errors import PartMissing, SchemaMismatch, UltraLinkError
from ultralink.pool.recipe import load_pool_recipe
from ultralink.pool.row import Kind
from ultralink.pool.rows import LANGUAGE
from ultralink.recipe import Recipe
from ultralink.schemas import (
    ARTICLE_REJECTS,
    ARTICLES,
    CHOICE,
    DIALOGUE_REJECTS,
    DIALOGUES,
    DISTINCT_ROWS,
    DUPLICATES,
    ENGLISH_REJECTS,
    ENGLISH_ROWS,
    LEDGER,
    PASSAGES,
    POOL,
    POOL_LEDGER,
    POOL_REJECTS,
    REJECTS,
    SAMPLES,
    SCREEN_REJECTS,
    SCREENED_ROWS,
    SELECTION,
    TRANSLATION_REJECTS,
    TRANSLATIONS,
    Stage,
)
from ultralink.stages.edition import Edition
from ultralink.stages.extract import extract
from ultralink.stages.generate import generate
from ultralink.stages.night import Night
from ultralink.stages.pool_distinct import keep_distinct
from ultralink.stages.pool_publish import publish_pool
from ultralink.stages.pool_read import read_source
from ultralink.stages.pool_screen import screen_chats
from ultralink.stages.publish import publish
from ultralink.stages.translate import take_rows, translate_rows
from ultralink.store import Part, Stamp, Store, fingerprint
from ultralink.teacher.endpoint import Endpoint
from ultralink.wikipedia.source import source_settings

_NOBODY = Endpoint("http://nobody.invalid")


@dataclass(frozen=True)
class PartReason:
    """Of a part: whether a run would make it again, and why. ``beside``: stages that are made with it."""

    stage: str
    shard: int | None
    beside: tuple[str, ...]
    would_be_made_again: bool | None  # None: cannot be told
    verdict: str
    reasons: tuple[str, ...]


def part_reasons(store: Store, language: str, date: str, *, model: str | None = None) -> list[PartReason]:
    """The parts of a night (or an edition), in the order of the pipeline.

    Raises PartMissing for a night that left nothing, RecipeError and PromptError.
    """
    trace = next((one for one in traces(store, language) if one.date == date), None)
    if trace is None:
        dates = ", ".join(one.date for one in traces(store, language)) or "none"
        raise PartMissing(f"the store has nothing of {language} {date}; it has {dates}")
    with _quiet():
        if language == POOL_NAME:
            return list(_Pool(store, trace, model).reasons())
        return list(_Night(store, trace, model).reasons())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Stages log what they would do, which is not what was asked."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


# --- asking a stage for its fingerprint -------------------------------------------------------------


class _Seen(BaseException):
    """A stage has come to the point where it compares fingerprints, and shall go no further."""

    def __init__(self, made_by: str, upstream: list[Part]) -> None:
        self.made_by, self.upstream = made_by, upstream


class _Untouched(Store):
    """A store that cannot be written to: a stage that is only asked must change nothing."""

    def aside(self, path: str) -> NoReturn:
        raise AssertionError(f"{path}: a stage was only asked for its fingerprint")


@dataclass(frozen=True, kw_only=True)
class _AskedNight(Night):
    def up_to_date(self, part: Part, made_by: str, upstream: list[Part]) -> Stamp | None:
        raise _Seen(made_by, upstream)


@dataclass(frozen=True, kw_only=True)
class _AskedEdition(Edition):
    def up_to_date(self, part: Part, made_by: str, upstream: list[Part]) -> Stamp | None:
        raise _Seen(made_by, upstream)


def _fingerprint_of(stage: Callable[[], object]) -> tuple[str, list[Part]]:
    """What a stage would write as fingerprint, and from which parts. Raises what the stage raises before that."""
    try:
        stage()
    except _Seen as seen:
        return seen.made_by, seen.upstream
    raise AssertionError("a stage did not ask whether its part is up to date")


# --- one part ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Question:
    """A part, and how its fingerprint of today is found.

    ``known``: what its rows tell that has changed. ``others``: words for another setting, and the fingerprint with it;
    one that fits tells what differs. ``unknown``: what else the fingerprint is made of, in words.
    """

    part: Part
    shard: int | None
    beside: tuple[Stage, ...]
    ask: Callable[[], tuple[str, list[Part]]]
    known: Callable[[], list[str]]
    others: Mapping[str, Callable[[], tuple[str, list[Part]]]]
    unknown: str

    def answer(self) -> PartReason:
        try:
            stamp = self.part.stamp()
        except SchemaMismatch as error:
            return self._told(True, "must be made again, with rebuild", (str(error),))
        if stamp is None:
            return self._told(True, "is not there, so it would be made", ())
        try:
            made_by, upstream = self.ask()
        except UltraLinkError as error:
            return self._told(None, "cannot be compared", (str(error),))
        if made_by == stamp.fingerprint:
            return self._told(False, f"is up to date with its present input, {stamp.rows:,} rows", ())
        return self._told(True, "would be made again", tuple(self._why(stamp, upstream)))

    def _why(self, stamp: Stamp, upstream: list[Part]) -> Iterator[str]:
        for words, ask in self.others.items():
            with contextlib.suppress(UltraLinkError, ValueError):
                if ask()[0] == stamp.fingerprint:
                    yield words
                    return
        found = self.known()
        newer = self._newer(upstream)
        yield from found
        yield from newer
        if not found and not newer:
            yield f"Its input was not written since. So this has changed: {self.unknown}."
        else:
            yield f"Beside that, this may have changed, which a part does not tell: {self.unknown}."

    def _newer(self, upstream: list[Part]) -> list[str]:
        written, found = self.part.modified(), []
        for part in upstream:
            with contextlib.suppress(FileNotFoundError):
                if (when := part.modified()) > written:
                    found.append(f"Its input {part.stage.name!r} was written later, {when:%Y-%m-%d %H:%M}: {part.path}")
        return found

    def _told(self, again: bool | None, verdict: str, reasons: tuple[str, ...]) -> PartReason:
        beside = tuple(stage.name for stage in self.beside)
        return PartReason(self.part.stage.name, self.shard, beside, again, verdict, reasons)


def _nothing() -> list[str]:
    return []


# --- a night ------------------------------------------------------------------------------------------


class _Night:
    """The parts of a language's night."""

    def __init__(self, store: Store, trace: Trace, model: str | None) -> None:
        self._store, self._trace = store, trace
        recipe, book = load_language(trace.language)
        self._night = _AskedNight(
            recipe=recipe,
            book=book,
            store=_Untouched(store.fs, store.root),
            date=trace.date,
            run_id="explain",
            articles=recipe.wikipedia.articles_per_night,
            rows={kind: getattr(recipe.agnostic, kind.value).per_night for kind in Kind},
            shards=min(recipe.shards, max(1, len(trace.parts.get(PASSAGES.name, [])))),
            model=model or recipe.teacher.model,
        )
        self._model = model
        english = max(len(trace.parts.get(stage.name, [])) for stage in TRANSLATIONS.values())
        if not trace.parts.get(PASSAGES.name) and english:
            self._night = replace(self._night, shards=min(recipe.shards, english))

    def reasons(self) -> Iterator[PartReason]:
        for question in self._questions():
            yield question.answer()

    def _has(self, stage: Stage) -> bool:
        return bool(self._trace.parts.get(stage.name))

    def _questions(self) -> Iterator[_Question]:
        night = self._night
        if self._has(SELECTION):
            yield self._selection()
            for shard in range(night.shards):
                yield self._extracted(shard)
            for shard in range(night.shards):
                yield self._generated(shard)
        if self._has(CHOICE):
            yield self._choice()
            for kind in Kind:
                for shard in range(night.translated_shards):
                    yield self._english(kind, shard)
        if self._trace.statistics is not None or any(map(self._has, (SAMPLES, REJECTS, LEDGER))):
            yield self._published()

    def _selection(self) -> _Question:
        part, wikipedia = self._night.part(SELECTION), self._night.recipe.wikipedia

        def of(articles: int) -> tuple[str, list[Part]]:
            return fingerprint(SELECTION.version, articles, wikipedia.seed, source_settings(wikipedia)), []

        stamp = _stamp(part)
        chosen = stamp.rows if stamp else 0
        others = {
            f"The night was chosen with {amount} articles; the recipe says {wikipedia.articles_per_night}, "
            "which a run that is started by hand may change": (lambda amount=amount: of(amount))
            for amount in dict.fromkeys((chosen, *range(1, 4 * max(chosen, wikipedia.articles_per_night))))
        }
        unknown = "wikipedia.seed, or the source of articles and what is selected from it"
        return _Question(part, None, (), lambda: of(wikipedia.articles_per_night), _nothing, others, unknown)

    def _extracted(self, shard: int) -> _Question:
        night = self._night
        others = {
            f"The night was cut into {shards} shards when this was made, now into {night.shards}": (
                lambda shards=shards: _fingerprint_of(lambda: extract(replace(night, shards=shards), shard))
            )
            for shards in range(shard + 1, night.recipe.shards + 1)
            if shards != night.shards
        }
        return _Question(
            night.part(PASSAGES, shard),
            shard,
            (ARTICLES, ARTICLE_REJECTS),
            lambda: _fingerprint_of(lambda: extract(night, shard)),
            _nothing,
            others,
            "the recipe's section wikipedia (other than articles_per_night and seed), text.detector_labels or "
            "text.abbreviations",
        )

    def _generated(self, shard: int) -> _Question:
        part, recipe, book = self._night.part(DIALOGUES, shard), self._night.recipe, self._night.book
        night = self._asking_as(DIALOGUES, *TRANSLATIONS.values())

        def judged(least: float) -> tuple[str, list[Part]]:
            judge = recipe.judge.model_copy(update={"min_agreement": least})
            changed = recipe.model_copy(update={"judge": judge})
            return _ask(replace(night, recipe=changed), shard)

        def _ask(one: Night, shard: int) -> tuple[str, list[Part]]:
            return _fingerprint_of(lambda: asyncio.run(generate(one, shard, _NOBODY)))

        others: dict[str, Callable[[], tuple[str, list[Part]]]] = {
            "The judge may reject now; when this was made it only scored": lambda: judged(2.0),
            "The judge only scores now; when this was made it could reject": lambda: judged(0.0),
        }
        others = {**self._other_models(night, lambda one: _ask(one, shard)), **others}
        return _Question(
            part,
            shard,
            (DIALOGUE_REJECTS,),
            lambda: _ask(night, shard),
            lambda: _changes(part, recipe, book.fingerprint(), "the prompt book's texts for dialogues"),
            others,
            "the recipe's sections dialogue, gates, text, judge (other than min_agreement) or teacher (token limits, "
            "sampling), the model of the judge, or whether the judge may reject",
        )

    def _choice(self) -> _Question:
        night, part = self._night, self._night.part(CHOICE)
        rows = dict.fromkeys(Kind, 0)
        with contextlib.suppress(UltraLinkError):
            for row in part.rows(["kind"]):
                rows[Kind(str(row["kind"]))] += 1

        def of(amounts: Mapping[Kind, int]) -> tuple[str, list[Part]]:
            return fingerprint(CHOICE.version, dict(amounts), night.recipe.agnostic.seed), []

        said = ", ".join(f"{number} {kind}" for kind, number in rows.items())
        others = {f"The night was chosen with {said}; the recipe says otherwise": lambda: of(rows)}
        unknown = "agnostic.seed, or how many rows a night takes; rows that are chosen stay, more are added"
        return _Question(part, None, (), lambda: of(night.rows), _nothing, others, unknown)

    def _english(self, kind: Kind, shard: int) -> _Question:
        part, recipe = self._night.part(TRANSLATIONS[kind], shard), self._night.recipe
        beside, prompts = (TRANSLATION_REJECTS[kind],), self._night.book.translation
        if recipe.translation is None or prompts is None:
            ask = lambda: _fingerprint_of(lambda: take_rows(self._night, kind, shard))  # noqa: E731
            return _Question(part, shard, beside, ask, _nothing, {}, "the choice of rows, or the number of shards")
        night = self._asking_as(TRANSLATIONS[kind], *TRANSLATIONS.values(), DIALOGUES)

        def of(one: Night) -> tuple[str, list[Part]]:
            return _fingerprint_of(lambda: asyncio.run(translate_rows(one, kind, shard, _NOBODY)))

        others = self._other_models(night, of)
        return _Question(
            part,
            shard,
            beside,
            lambda: of(night),
            lambda: _changes(part, recipe, prompts.fingerprint(kind), f"the prompts that translate {kind} rows"),
            others,
            "the recipe's sections translation (other than token_ratio), text or teacher (sampling), or the number of "
            "shards",
        )

    def _published(self) -> _Question:
        night, part = self._night, self._night.part(SAMPLES)

        def ask() -> tuple[str, list[Part]]:
            if self._trace.statistics is None:
                raise PartMissing(f"{night.language} {night.date}: has no statistics, so it would be published again")
            return _fingerprint_of(lambda: publish(night))

        unknown = "a shard's rows, or the number of shards"
        return _Question(part, None, (REJECTS, LEDGER), ask, _nothing, {}, unknown)

    # --- models -----------------------------------------------------------------------------------

    def _asking_as(self, *stages: Stage) -> _AskedNight:
        """The night with the model that rows of the first of ``stages`` were asked of, unless another one was named."""
        if self._model is not None:
            return self._night
        made = (part for stage in stages for part in self._store.parts(stage, self._night.language, self._night.date))
        asked = next((told["requested_model"] for told in map(_teacher, made) if told), None)
        return self._night if asked is None else replace(self._night, model=str(asked))

    def _other_models(
        self, night: Night, ask: Callable[[Night], tuple[str, list[Part]]]
    ) -> dict[str, Callable[[], tuple[str, list[Part]]]]:
        """The same with each other model that this night has asked."""
        part = self._night.part(LEDGER)
        return {
            f"Only the model differs: it was made with {model!r}, the run would ask {night.model!r}": partial(
                ask, replace(night, model=model)
            )
            for model in _models(part)
            if model != night.model
        }


def _models(ledger: Part) -> list[str]:
    """The models that a bill is about."""
    with contextlib.suppress(UltraLinkError):
        return sorted({str(row["model"]) for row in ledger.rows(["model"])})
    return []


def _stamp(part: Part) -> Stamp | None:
    try:
        return part.stamp()
    except SchemaMismatch:
        return None


def _teacher(part: Part) -> dict[str, object]:
    """What a row of the part says of its teacher; empty where it has no row that was asked for."""
    with contextlib.suppress(UltraLinkError):
        for row in part.rows(["teacher"]):
            if row["teacher"] is not None:
                return cast(dict[str, object], row["teacher"])
    return {}


def _changes(part: Part, recipe: Recipe, prompts: str, name: str) -> list[str]:
    """What the part's rows tell of their making that is different now."""
    told, found = _teacher(part), []
    if not told:
        return []
    if told["prompts"] != prompts:
        found.append(f"Prompts: {name} were {told['prompts']}, now they are {prompts}")
    for field in ("temperature", "top_p"):
        was, now = told[field], getattr(recipe.teacher, field)
        if was != now:
            found.append(f"teacher.{field}: was {was}, now it is {now}")
    return found


# --- an edition of the pool ---------------------------------------------------------------------------


class _Pool:
    """The parts of an edition of the English pool."""

    def __init__(self, store: Store, trace: Trace, model: str | None) -> None:
        recipe = load_pool_recipe()
        self._trace = trace
        shards = len(trace.parts.get(SCREENED_ROWS.name, [])) or recipe.shards
        asked = next(iter(_models(store.part(POOL_LEDGER, LANGUAGE, trace.date))), recipe.screen.model)
        self._edition = _AskedEdition(
            recipe=recipe,
            store=_Untouched(store.fs, store.root),
            date=trace.date,
            run_id="explain",
            shards=shards,
            model=model or asked,
        )

    def reasons(self) -> Iterator[PartReason]:
        for question in self._questions():
            yield question.answer()

    def _questions(self) -> Iterator[_Question]:
        edition = self._edition
        for number, source in enumerate(edition.recipe.sources):
            yield self._question(
                edition.part(ENGLISH_ROWS, number),
                number,
                (ENGLISH_REJECTS,),
                partial(read_source, edition, number),
                f"the file of the source {source.name!r}, its entry in pool.yaml, cleaning or malformed",
            )
        yield self._question(
            edition.part(DISTINCT_ROWS),
            None,
            (DUPLICATES,),
            lambda: keep_distinct(edition),
            "rows of a source, or near_duplicates",
        )
        for shard in range(edition.shards):
            yield self._question(
                edition.part(SCREENED_ROWS, shard),
                shard,
                (SCREEN_REJECTS,),
                partial(_screened, edition, shard),
                "the distinct chats, the model that screens, pool_prompts.yaml or the section screen",
            )
        if self._trace.statistics is not None:
            yield self._question(
                edition.part(POOL), None, (POOL_REJECTS, POOL_LEDGER), lambda: publish_pool(edition), "rows of a stage"
            )

    def _question(
        self, part: Part, shard: int | None, beside: tuple[Stage, ...], stage: Callable[[], object], unknown: str
    ) -> _Question:
        return _Question(part, shard, beside, lambda: _fingerprint_of(stage), _nothing, {}, unknown)


def _screened(edition: Edition, shard: int) -> object:
    return asyncio.run(screen_chats(edition, shard, _NOBODY))
