"""Generate: one dialogue per passage of the shard, from the journal where the teacher has answered before."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import cast

from ultralink.dialogue.converse import converse
from ultralink.dialogue.outcome import Outcome as Conversation
from ultralink.dialogue.outcome import TurnedDown
from ultralink.dialogue.rows import PassageRow, dialogue_row, passage_of, turned_down_row
from ultralink.prompts import Step
from ultralink.schemas import DIALOGUE_REJECTS, DIALOGUES, PASSAGES
from ultralink.stages.calibrate import judge_may_reject
from ultralink.stages.casting import Casting, casting
from ultralink.stages.desks import count_asks, desk_of
from ultralink.stages.failures import Failures
from ultralink.stages.night import Night
from ultralink.stages.partition import Built
from ultralink.stages.rehearsal import rehearsed, shard_name
from ultralink.store import Part, fingerprint
from ultralink.teacher.ask import Ask, Style
from ultralink.teacher.desk import Desk, teacher
from ultralink.teacher.endpoint import Endpoint
from ultralink.teacher.program import Outcome, Progress, run_rows
from ultralink.teacher.request import Sampling
from ultralink.wikipedia.article import Passage

_QUESTIONS = [step for step in Step if step.startswith("question")]
_WRITING = {"temperature", "top_p", "question_max_tokens", "answer_max_tokens", "context_tokens"}


async def generate(night: Night, shard: int, endpoint: Endpoint) -> Built:
    """Write the shard's DIALOGUES and DIALOGUE_REJECTS; the dialogues come last and stand for both.

    Rows that the teacher left unanswered are rejects while they are at most ``teacher.tolerated_failures`` of
    the shard. Raises PartMissing, and TeacherUnavailable, KeyRejected, ModelUnknown, BudgetExceeded; what was
    answered until then is in the journal.
    """
    chosen = casting(night, endpoint)
    may_reject = not night.dry_run and judge_may_reject(night, chosen.judge)
    work = _Work(night, shard, chosen, judge_may_reject=may_reject)
    stamp = work.passages.stamp_or_missing("run extract of this shard first")
    if night.dry_run:
        return await work.rehearse(stamp.rows)
    made_by = work.made_by(stamp.digest)
    dialogues, rejects = night.part(DIALOGUES, shard), night.part(DIALOGUE_REJECTS, shard)
    paths = (dialogues.path, rejects.path)
    if kept := night.up_to_date(dialogues, made_by, night.parts(PASSAGES)):
        return Built(paths, f"Nothing to do: {kept.rows} dialogues are up to date")
    failures = Failures(stamp.rows, night.recipe.teacher.tolerated_failures)
    prompts = night.book.fingerprint()
    async with teacher(work.desk(), endpoint) as ask:
        with dialogues.writer(made_by) as kept_rows, rejects.writer(made_by) as rejected_rows:
            async with aclosing(work.outcomes(ask, stamp.rows)) as outcomes:
                async for outcome in outcomes:
                    conversation = outcome.result or _unanswered(outcome, failures)
                    if conversation.dialogue is not None:
                        row = dialogue_row(conversation.dialogue, night.recipe, chosen.writer, prompts, made_by)
                        kept_rows.add(row)
                    for turned_down in conversation.turned_down:
                        rejected_rows.add(turned_down_row(turned_down, night.recipe, made_by))
            failures.check()
        paid = ask.tally.line()
    return Built(
        paths,
        f"{stamp.rows} passages: {kept_rows.count} dialogues, {rejected_rows.count} rejects; {paid}",
        kept_rows.count,
        rejected_rows.count,
    )


def _unanswered(outcome: Outcome[Passage, Conversation], failures: Failures) -> Conversation:
    """A row that came to no end as one that was turned down."""
    reason = type(failures.count(outcome.row.id, outcome.error)).__name__
    return Conversation(None, (TurnedDown(outcome.row, "teacher", reason, 1, (), None),))


@dataclass(frozen=True)
class _Work:
    """One shard's task with its models."""

    night: Night
    shard: int
    cast: Casting
    judge_may_reject: bool

    @property
    def passages(self) -> Part:
        return self.night.part(PASSAGES, self.shard)

    def made_by(self, digest: str) -> str:
        recipe = self.night.recipe
        return fingerprint(
            DIALOGUES.version,
            DIALOGUE_REJECTS.version,
            digest,
            (self.cast.writer, self.cast.judge.model),
            self.judge_may_reject,
            self.night.book.fingerprint(),
            recipe.teacher.model_dump(include=_WRITING),
            recipe.judge.model_dump(mode="json", exclude={"min_agreement"}),
            *(section.model_dump(mode="json") for section in (recipe.dialogue, recipe.gates, recipe.text)),
        )

    def desk(self) -> Desk:
        recipe = self.night.recipe
        return desk_of(
            self.night,
            shard_name(self.shard),
            self.shard,
            style=self._style(recipe.teacher.answer_max_tokens),
            budget=self.night.dialogue_budget,
            steps={
                **dict.fromkeys(_QUESTIONS, self._style(recipe.teacher.question_max_tokens)),
                Step.JUDGE: self.cast.judge,
            },
        )

    def outcomes(self, ask: Ask, rows: int) -> AsyncGenerator[Outcome[Passage, Conversation], None]:
        """Each passage's conversation, in order."""
        recipe, book = self.night.recipe, self.night.book
        card = ask.cards.find(self.cast.writer)
        context = recipe.teacher.context_tokens or (card.context_tokens if card else None)

        async def program(passage: Passage, ask: Ask) -> Conversation:
            return await converse(passage, ask, book, recipe, context, judge_may_reject=self.judge_may_reject)

        return run_rows(program, self._rows(), ask, concurrency=recipe.teacher.concurrency, progress=Progress(rows))

    async def rehearse(self, rows: int) -> Built:
        """Count and price every ask of the shard; nobody is called."""
        expected = self.night.recipe.teacher.expected_answer_tokens
        total = await count_asks(self.desk(), lambda request: expected, lambda ask: self.outcomes(ask, rows))
        return rehearsed(self.night, shard_name(self.shard), f"{rows} passages with {self.cast.writer}", total)

    def _style(self, max_tokens: int) -> Style:
        teacher = self.night.recipe.teacher
        return Style(self.cast.writer, Sampling(teacher.temperature, teacher.top_p, max_tokens))

    def _rows(self) -> Iterator[Passage]:
        return (passage_of(cast(PassageRow, row)) for row in self.passages.rows())
