"""Translate: one row of the language per English row of the shard; English itself takes the rows as they are."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import cast

from ultralink.errors import NothingNew, RecipeError
from ultralink.pool.row import EnglishRow, Kind
from ultralink.pool.rows import StoredRow, english_row
from ultralink.prompts import TranslationPrompts
from ultralink.recipe import Translation
from ultralink.schemas import CHOICE, TRANSLATION_REJECTS, TRANSLATIONS
from ultralink.stages.casting import casting
from ultralink.stages.desks import count_asks, desk_of
from ultralink.stages.failures import Failures, Hope
from ultralink.stages.night import Night
from ultralink.stages.partition import Built
from ultralink.stages.rehearsal import rehearsed, translation_name
from ultralink.store import Part, fingerprint
from ultralink.teacher.ask import Ask, Style
from ultralink.teacher.desk import Desk, teacher
from ultralink.teacher.endpoint import Endpoint
from ultralink.teacher.program import Outcome, Progress, run_rows
from ultralink.teacher.request import Request, Sampling
from ultralink.translation.program import NotTranslated, Translated, translate
from ultralink.translation.rows import direct_row, not_translated_row, translated_row
from ultralink.translation.texts import expected_tokens

ORIGIN = {kind: 1000 * (number + 1) for number, kind in enumerate(Kind)}  # a ledger's shards of each kind, from here
_SAMPLING = {"temperature", "top_p"}


async def translate_rows(night: Night, kind: Kind, shard: int, endpoint: Endpoint) -> Built:
    """Write the shard's translations of ``kind`` and its rejects; the translations come last and stand for both.

    Raises NothingNew (this language translates nothing), PartMissing, TeacherUnfit (every row fails its checks),
    and what asking the teacher raises; what was answered until then is in the journal.
    """
    work = _work(night, kind, shard, casting(night, endpoint).writer)
    rows = work.count()
    if night.dry_run:
        return await work.rehearse(rows)
    made_by, paths = work.made_by(), (work.kept.path, work.rejected.path)
    if done := night.up_to_date(work.kept, made_by, [work.choice]):
        return Built(paths, f"Nothing to do: {done.rows} rows are up to date")
    prompts = work.prompts.fingerprint(kind)
    failures, hope = Failures(rows, night.recipe.teacher.tolerated_failures), Hope(f"{kind} rows")
    async with teacher(work.desk(), endpoint) as ask:
        with work.kept.writer(made_by) as kept, work.rejected.writer(made_by) as rejected:
            async with aclosing(work.outcomes(ask, rows)) as outcomes:
                async for outcome in outcomes:
                    hope.saw(None if outcome.result is None else _failure(outcome.result))
                    result = outcome.result or work.unanswered(outcome, failures)
                    if isinstance(result, Translated):
                        kept.add(translated_row(result, night.recipe, work.model, prompts, made_by))
                    else:
                        rejected.add(not_translated_row(result, night.recipe, made_by))
            failures.check()
            hope.check()
        paid = ask.tally.line()
    return Built(
        paths,
        f"{rows} {kind} rows: {kept.count} translated, {rejected.count} rejects; {paid}",
        kept.count,
        rejected.count,
    )


def take_rows(night: Night, kind: Kind, shard: int) -> Built:
    """Write the shard's English rows as they are: nobody is asked. Raises PartMissing."""
    kept, rejected = night.part(TRANSLATIONS[kind], shard), night.part(TRANSLATION_REJECTS[kind], shard)
    choice = night.part(CHOICE)
    made_by = fingerprint(TRANSLATIONS[kind].version, _digest(choice), (shard, night.translated_shards))
    if done := night.up_to_date(kept, made_by, [choice]):
        return Built((kept.path,), f"Nothing to do: {done.rows} rows are up to date")
    chosen = choice.modified()
    with kept.writer(made_by) as rows, rejected.writer(made_by):
        for row in _slice(choice, kind, shard, night.translated_shards):
            rows.add(direct_row(row, night.recipe, made_by, chosen))
    return Built((kept.path, rejected.path), f"{rows.count} {kind} rows taken as they are", rows.count)


def _failure(result: Translated | NotTranslated) -> str:
    """What to tell of a row that failed its checks; empty for a good one."""
    if isinstance(result, Translated):
        return ""
    return f"row {result.row.id}: {result.check}, {result.reason}: {result.detail[:80]!r}"


def _work(night: Night, kind: Kind, shard: int, model: str) -> _Work:
    rules, prompts = night.recipe.translation, night.book.translation
    if rules is None:
        raise NothingNew(f"The recipe of {night.language!r} has no section translation: English rows are not used.")
    if prompts is None:
        raise RecipeError(f"the recipe of {night.language!r} has a section translation, its prompt book has none")
    return _Work(night, kind, shard, model, rules, prompts)


@dataclass(frozen=True)
class _Work:
    """One shard's task."""

    night: Night
    kind: Kind
    shard: int
    model: str
    rules: Translation
    prompts: TranslationPrompts

    @property
    def name(self) -> str:
        return translation_name(self.kind, self.shard)

    @property
    def choice(self) -> Part:
        return self.night.part(CHOICE)

    @property
    def kept(self) -> Part:
        return self.night.part(TRANSLATIONS[self.kind], self.shard)

    @property
    def rejected(self) -> Part:
        return self.night.part(TRANSLATION_REJECTS[self.kind], self.shard)

    def rows(self) -> Iterator[EnglishRow]:
        """The shard's English rows."""
        return _slice(self.choice, self.kind, self.shard, self.night.translated_shards)

    def count(self) -> int:
        """How many rows the shard has. Raises PartMissing."""
        _digest(self.choice)
        of_kind = sum(row["kind"] == self.kind for row in self.choice.rows(["kind"]))
        return len(range(self.shard, of_kind, self.night.translated_shards))

    def made_by(self) -> str:
        recipe = self.night.recipe
        return fingerprint(
            TRANSLATIONS[self.kind].version,
            TRANSLATION_REJECTS[self.kind].version,
            _digest(self.choice),
            (self.kind, self.shard, self.night.translated_shards),
            self.model,
            self.prompts.fingerprint(self.kind),
            self.rules.model_dump(mode="json", exclude={"token_ratio"}),
            recipe.text.model_dump(mode="json"),
            recipe.teacher.model_dump(mode="json", include=_SAMPLING),
        )

    def desk(self) -> Desk:
        teacher = self.night.recipe.teacher
        sampling = Sampling(teacher.temperature, teacher.top_p, self.rules.max_tokens)
        number = ORIGIN[self.kind] + self.shard
        return desk_of(self.night, self.name, number, Style(self.model, sampling), self.night.english_budget)

    def outcomes(self, ask: Ask, rows: int) -> AsyncGenerator[Outcome[EnglishRow, Translated | NotTranslated], None]:
        """Each row's translation, in order."""
        recipe = self.night.recipe

        async def program(row: EnglishRow, ask: Ask) -> Translated | NotTranslated:
            return await translate(row, ask, self.prompts, recipe)

        return run_rows(program, self.rows(), ask, concurrency=recipe.teacher.concurrency, progress=Progress(rows))

    def unanswered(self, outcome: Outcome[EnglishRow, Translated | NotTranslated], failures: Failures) -> NotTranslated:
        """A row that the teacher left unanswered, as a reject."""
        error = failures.count(outcome.row.id, outcome.error)
        return NotTranslated(outcome.row, "teacher", type(error).__name__, str(error)[:200], 1, (), None)

    def likely_tokens(self, request: Request) -> int:
        """How long the answer to ``request`` will be: that of a text that is asked for, by the language's ratio."""
        expected = expected_tokens(request, self.rules.token_ratio)
        return self.night.recipe.teacher.expected_answer_tokens if expected is None else expected

    async def rehearse(self, rows: int) -> Built:
        """Count and price every ask of the shard; nobody is called."""
        total = await count_asks(self.desk(), self.likely_tokens, lambda ask: self.outcomes(ask, rows))
        return rehearsed(self.night, self.name, f"{rows} {self.kind} rows with {self.model}", total)


def _digest(choice: Part) -> str:
    return choice.stamp_or_missing("run choose of this night first").digest


def _slice(choice: Part, kind: Kind, shard: int, shards: int) -> Iterator[EnglishRow]:
    """Every ``shards``-th row of the kind."""
    names = [name for name in CHOICE.schema.names if name not in {"position", "edition"}]
    of_kind = (row for row in choice.rows(names) if row["kind"] == kind)
    return (english_row(cast(StoredRow, row)) for number, row in enumerate(of_kind) if number % shards == shard)
