"""Screen: the teacher's verdict on each chat of the shard, and which chats are bound to no culture."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import cast

from ultralink.pool.row import EnglishRow, Kind
from ultralink.pool.rows import StoredRow, english_row, reject, stored
from ultralink.pool.screen import ScreenPrompts, load_screen_prompts
from ultralink.pool.screening import GATE, NO_VERDICT, Screened, ScreenedOut, screen
from ultralink.schemas import DISTINCT_ROWS, SCREEN_REJECTS, SCREENED_ROWS
from ultralink.stages.desks import count_asks, desk_of
from ultralink.stages.edition import SHARD_OF, Edition
from ultralink.stages.failures import Failures, Hope
from ultralink.stages.partition import Built
from ultralink.store import Part, fingerprint
from ultralink.teacher.ask import Ask, Style
from ultralink.teacher.budget import Budget
from ultralink.teacher.desk import Desk, teacher
from ultralink.teacher.endpoint import Endpoint
from ultralink.teacher.program import Outcome, Progress, run_rows
from ultralink.teacher.request import Sampling

_UNREAD = {"conn_id", "mode", "concurrency", "timeout_s", "tolerated_failures", "expected_answer_tokens"}


async def screen_chats(edition: Edition, shard: int, endpoint: Endpoint) -> Built:
    """Write the shard's SCREENED_ROWS and SCREEN_REJECTS; the rows come last and stand for both.

    Raises PartMissing and what asking the teacher raises; what was answered until then is in the journal.
    """
    model = endpoint.model(edition.model, usual=edition.recipe.screen.model)
    work = _Work(edition, shard, model, load_screen_prompts())
    rows = sum(1 for _ in work.rows())
    if edition.dry_run:
        return await work.rehearse(rows)
    made_by, paths = work.made_by(), (work.kept.path, work.rejected.path)
    if done := edition.up_to_date(work.kept, made_by, [work.chats]):
        return Built(paths, f"Nothing to do: {done.rows} chats are up to date")
    failures, hope = Failures(rows, edition.recipe.screen.tolerated_failures), Hope("chats")
    async with teacher(work.desk(), endpoint) as ask:
        with work.kept.writer(made_by) as kept, work.rejected.writer(made_by) as rejected:
            async with aclosing(work.outcomes(ask, rows)) as outcomes:
                async for outcome in outcomes:
                    hope.saw(_failure(outcome.result))
                    match outcome.result:
                        case Screened(row=row, verdict=verdict):
                            kept.add({**stored(row), "screen": verdict.stored()})
                        case ScreenedOut(row=row, reason=reason, detail=detail, attempts=attempts):
                            why = f"{reason} ({detail})" if detail else reason
                            rejected.add(reject(row, "screened_rows", GATE, why, made_by, attempts=attempts))
                        case None:
                            error = failures.count(outcome.row.id, outcome.error)
                            why = type(error).__name__
                            rejected.add(reject(outcome.row, "screened_rows", "teacher", why, made_by))
            failures.check()
            hope.check()
        paid = ask.tally.line()
    return Built(
        paths,
        f"{rows} chats: {kept.count} kept, {rejected.count} turned away; {paid}",
        kept.count,
        rejected.count,
    )


def _failure(result: Screened | ScreenedOut | None) -> str | None:
    """A chat without a verdict is a failure of the teacher; one that a verdict turns away is not."""
    if isinstance(result, ScreenedOut) and result.reason == NO_VERDICT:
        return f"chat {result.row.id}: {result.reason}, {result.detail}"
    return None if result is None else ""


@dataclass(frozen=True)
class _Work:
    """One shard's task."""

    edition: Edition
    shard: int
    model: str
    prompts: ScreenPrompts

    @property
    def chats(self) -> Part:
        return self.edition.part(DISTINCT_ROWS, SHARD_OF[Kind.CHAT])

    @property
    def kept(self) -> Part:
        return self.edition.part(SCREENED_ROWS, self.shard)

    @property
    def rejected(self) -> Part:
        return self.edition.part(SCREEN_REJECTS, self.shard)

    def rows(self) -> Iterator[EnglishRow]:
        """Every ``shards``-th chat."""
        self.chats.stamp_or_missing("run distinct of this edition first")
        for number, row in enumerate(self.chats.rows()):
            if number % self.edition.shards == self.shard:
                yield english_row(cast(StoredRow, row))

    def made_by(self) -> str:
        stamp = self.chats.stamp()
        return fingerprint(
            SCREENED_ROWS.version,
            SCREEN_REJECTS.version,
            stamp.digest if stamp else None,
            (self.shard, self.edition.shards),
            self.model,
            self.prompts.fingerprint,
            self.edition.recipe.screen.model_dump(mode="json", exclude=_UNREAD),
        )

    def desk(self) -> Desk:
        recipe = self.edition.recipe
        sampling = Sampling(temperature=recipe.screen.temperature, max_tokens=recipe.screen.max_tokens)
        budget = Budget(recipe.budget.usd, recipe.budget.tokens).share(self.edition.shards)
        return desk_of(self.edition, f"{self.shard:05d}", self.shard, Style(self.model, sampling), budget)

    def outcomes(self, ask: Ask, rows: int) -> AsyncGenerator[Outcome[EnglishRow, Screened | ScreenedOut], None]:
        """Each chat's verdict, in order."""
        card = ask.cards.find(self.model)
        context = self.edition.recipe.screen.context_tokens or (card.context_tokens if card else None)
        settings = self.edition.recipe.screen.model_copy(update={"context_tokens": context})

        async def program(row: EnglishRow, ask: Ask) -> Screened | ScreenedOut:
            return await screen(row, ask, self.prompts, settings)

        return run_rows(program, self.rows(), ask, concurrency=settings.concurrency, progress=Progress(rows))

    async def rehearse(self, rows: int) -> Built:
        """Count and price every ask of the shard; nobody is called."""
        expected = self.edition.recipe.screen.expected_answer_tokens
        total = await count_asks(self.desk(), lambda request: expected, lambda ask: self.outcomes(ask, rows))
        return Built(
            (),
            f"Dry run, {rows} chats with {self.model}: {total.paid} calls to pay for, "
            f"{total.prompt_tokens + total.completion_tokens} tokens, ${total.cost_usd:.4f}",
        )
