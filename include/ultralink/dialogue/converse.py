"""The row program of a dialogue: the paper's loop of questions and answers about one passage, with its gates.

What it draws is drawn from the passage's id, it reads no clock, and it talks to nobody but ``ask``: a replay
with the same answers makes the same calls and the same dialogue.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count

from ultralink.dialogue.door import Answer, Ask, Said
from ultralink.dialogue.judge import GATE as JUDGE_GATE
from ultralink.dialogue.judge import NoVerdict, ask_judge, is_judged
from ultralink.dialogue.outcome import Dialogue, Evidence, Outcome, Spending, TurnedDown, messages_of
from ultralink.errors import ContextOverflow
from ultralink.gates import Finding, answer_findings, question_findings
from ultralink.language import language_score
from ultralink.prompts import PromptBook, Refused, Step, Turn
from ultralink.recipe import Recipe
from ultralink.teacher.request import Message
from ultralink.tokens import count_tokens
from ultralink.wikipedia.article import Passage

CONTEXT_GATE = "context"
LEAST_TURNS = 2  # of a dialogue that a failed turn ended: a lone exchange is no conversation
MESSAGE_TOKENS = 4  # what a chat format adds to each message


async def converse(
    passage: Passage,
    ask: Ask,
    book: PromptBook,
    recipe: Recipe,
    context_tokens: int | None,
    *,
    judge_may_reject: bool,
) -> Outcome:
    """A dialogue about ``passage``, or why there is none.

    It has 2 to 6 turns with the paper's settings (section 2.1.2). It ends early, with one turn at least,
    where ``context_tokens``, the model's context (None: unknown), has no room for another exchange. A
    follow-up turn that keeps failing its gates ends it too: from LEAST_TURNS good turns on these are the
    dialogue, and the failed turn is turned down by itself; with fewer the whole is. So is a dialogue that the
    judge finds ungrounded, if ``judge_may_reject``; else the judge's verdict is a score and nothing more.

    Raises what ``ask`` raises, but for an invalid verdict and an overflowing context: these cost one row.
    """
    return await _Conversation(passage, ask, book, recipe, context_tokens, judge_may_reject).hold()


def follow_ups(passage: Passage, recipe: Recipe) -> Iterator[Step]:
    """The steps of the follow-up questions, drawn from the passage's id: 1 to 5 with the paper's 0.1."""
    draw = random.Random(f"turns {recipe.language} {passage.id}")
    stop = recipe.dialogue.stop_probability
    while True:
        deeper = draw.random() < recipe.dialogue.depth_share
        yield Step.QUESTION_DEPTH if deeper else Step.QUESTION_WIDTH
        if draw.random() < stop:
            return
        stop *= 2


class _Refused(Exception):
    """The teacher's last attempt at a text failed its gates, or there is no text of it that could be used."""

    def __init__(self, gate: str, reason: str, attempts: int, said: Sequence[Message] = ()) -> None:
        super().__init__(gate, reason)
        self.gate = gate
        self.reason = reason
        self.attempts = attempts
        self.said = tuple(said)  # of the turn that failed


class _NoRoom(Exception):
    """The next call would not fit the model's context."""


def _given_up(question: str, refused: Refused, attempts: int) -> _Refused:
    finding = refused.findings[0]
    asked = [Message("user", question)] if question else []
    said = Message("assistant" if question else "user", refused.text)
    return _Refused(finding.gate.value, finding.reason, attempts, [*asked, said])


class _Conversation:
    """One row in the making."""

    def __init__(
        self,
        passage: Passage,
        ask: Ask,
        book: PromptBook,
        recipe: Recipe,
        context_tokens: int | None,
        judge_may_reject: bool,
    ) -> None:
        self._passage = passage
        self._ask = ask
        self._book = book
        self._recipe = recipe
        self._context = context_tokens
        self._judged = is_judged(passage, recipe)
        self._judge_may_reject = judge_may_reject
        self._turns: tuple[Turn, ...] = ()
        self._spent: dict[Step, Spending] = {}
        self._served: set[str] = set()
        self._created = ""
        self._evidence: tuple[Evidence, ...] | None = None

    async def hold(self) -> Outcome:
        """All turns, then the judge."""
        dropped: tuple[TurnedDown, ...] = ()
        try:
            await self._exchange(Step.QUESTION_FIRST, Step.ANSWER_FIRST)
            for asking in follow_ups(self._passage, self._recipe):
                await self._exchange(asking, Step.ANSWER_FOLLOWING)
        except _Refused as refused:
            if len(self._turns) < LEAST_TURNS:
                return Outcome(None, (self._turned_down(refused),))
            dropped = (self._turned_down(refused, turn=len(self._turns) + 1),)
        except (_NoRoom, ContextOverflow):
            if not self._turns:
                return Outcome(None, (self._turned_down(_Refused(CONTEXT_GATE, "no_room", 0)),))
        try:
            scores = await self._scores()
        except _Refused as refused:
            return Outcome(None, (*dropped, self._turned_down(refused)))
        return Outcome(self._dialogue(scores), dropped)

    # --- turns ----------------------------------------------------------------------------------

    async def _exchange(self, asking: Step, answering: Step) -> None:
        """One more turn. Raises _Refused, _NoRoom or ContextOverflow; then the turns are as they were."""
        if not self._has_room(answering):
            raise _NoRoom
        rules, gates, text = self._recipe.text, self._recipe.gates, self._passage.text
        questions = [turn.question for turn in self._turns]
        answers = [turn.answer for turn in self._turns]

        def wrong_question(said: Answer) -> list[Finding]:
            return question_findings(said.text, questions, text, rules, gates)

        question = await self._good(asking, "", wrong_question)

        def wrong_answer(said: Answer) -> list[Finding]:
            return answer_findings(said.text, said.finish_reason, question, answers, text, rules, gates)

        self._turns += (Turn(question, await self._good(answering, question, wrong_answer)),)

    async def _good(self, step: Step, question: str, wrong: Callable[[Answer], list[Finding]]) -> str:
        """The teacher's first text with nothing wrong in it; each new attempt is told what was wrong."""
        refused: Refused | None = None
        for attempt in count():
            sent = self._book.messages(step, self._passage, self._turns, question=question, refused=refused)
            has_room = self._fits(sent, self._most(step))
            if refused and (attempt > self._recipe.dialogue.new_attempts or not has_room):
                raise _given_up(question, refused, attempt)
            if not has_room:
                break
            said = await self._ask(step, sent, attempt=attempt)
            self._note(step, said)
            findings = [] if said.rehearsed else wrong(said)
            if not findings:
                return said.text.strip()
            refused = Refused(said.text.strip(), findings)
        raise _NoRoom

    # --- context --------------------------------------------------------------------------------

    def _has_room(self, answering: Step) -> bool:
        """Whether another exchange fits, and the judge's call after it, be its texts as long as they may."""
        teacher = self._recipe.teacher
        answer = self._book.messages(answering, self._passage, self._turns)
        if not self._fits(answer, teacher.question_max_tokens + teacher.answer_max_tokens):
            return False
        judge = self._book.messages(Step.JUDGE, self._passage, self._turns)
        longest = teacher.question_max_tokens + teacher.answer_max_tokens + self._most(Step.JUDGE)
        return not self._judged or self._fits(judge, longest)

    def _fits(self, sent: Sequence[Message], most: int) -> bool:
        if self._context is None:
            return True
        return sum(count_tokens(message.content) + MESSAGE_TOKENS for message in sent) + most <= self._context

    def _most(self, step: Step) -> int:
        """The most tokens that the teacher may answer with."""
        match step:
            case Step.ANSWER_FIRST | Step.ANSWER_FOLLOWING:
                return self._recipe.teacher.answer_max_tokens
            case Step.JUDGE:
                return self._recipe.judge.max_tokens
            case _:
                return self._recipe.teacher.question_max_tokens

    # --- judge and scores -------------------------------------------------------------------------

    async def _scores(self) -> dict[str, float]:
        """``grounded`` and ``language``. Raises _Refused when the judge finds too little grounded."""
        scores = {}
        grounded = await self._grounded() if self._judged else None
        if grounded is not None:
            scores["grounded"] = grounded
        answers = "\n".join(turn.answer for turn in self._turns)
        language = language_score(answers, self._recipe.text.detector_labels)
        if language is not None:
            scores["language"] = language
        return scores

    async def _grounded(self) -> float | None:
        """The share of grounded answers; None without a verdict. Raises _Refused where the judge may reject."""
        try:
            judged = await ask_judge(
                self._ask,
                self._book,
                self._passage,
                self._turns,
                new_attempts=self._recipe.dialogue.new_attempts,
                note=partial(self._note, Step.JUDGE),
            )
        except NoVerdict as problem:
            if self._judge_may_reject:
                raise _Refused(JUDGE_GATE, problem.reason, problem.attempts) from problem
            return None
        if judged is None:
            return None
        self._evidence = judged.evidence
        if self._judge_may_reject and judged.grounded < self._recipe.judge.min_grounded:
            raise _Refused(JUDGE_GATE, judged.fault, 1)
        return judged.grounded

    # --- result -----------------------------------------------------------------------------------

    def _note(self, step: Step, said: Said) -> None:
        usage = said.usage
        spending = Spending(1, usage.prompt, usage.cached, usage.completion, said.cost_usd)
        self._spent[step] = self._spent.get(step, Spending()) + spending
        if step is not Step.JUDGE:
            self._served.add(said.model)
        self._created = max(self._created, said.created)  # ISO 8601 in UTC sorts as it is

    def _dialogue(self, scores: dict[str, float]) -> Dialogue:
        served = ", ".join(sorted(self._served))
        return Dialogue(self._passage, self._turns, scores, self._spent, served, self._created, self._evidence)

    def _turned_down(self, refused: _Refused, turn: int | None = None) -> TurnedDown:
        return TurnedDown(
            self._passage,
            refused.gate,
            refused.reason,
            refused.attempts,
            messages=(*messages_of(self._turns), *refused.said),
            created=self._created or None,
            turn=turn,
            evidence=self._evidence,
        )
