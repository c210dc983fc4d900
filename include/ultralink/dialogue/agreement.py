"""How far the judge agrees with labelled items: what decides whether it may reject a dialogue."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from ultralink.dialogue.door import Ask
from ultralink.dialogue.judge import NoVerdict, ask_judge
from ultralink.dialogue.labelled import Item, LabelledSet
from ultralink.prompts import PromptBook, Turn
from ultralink.teacher.waiting import Unanswered


class Ruling(BaseModel):
    """What the judge made of one item.

    ``number`` is the item's in its file, from 1; ``judged`` is None where the judge gave no verdict, and
    ``reason`` the code of the fault that it found (see ``judgement`` and NoVerdict; empty: none).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int
    title: str
    grounded: bool
    judged: bool | None
    reason: str

    @property
    def agrees(self) -> bool:
        """The judge says what the label says."""
        return self.judged is self.grounded


class Agreement(BaseModel):
    """What the judge made of all items of a language. Shares are 0 to 1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rulings: tuple[Ruling, ...]

    @property
    def share(self) -> float:
        """Of items on which the judge says what the label says."""
        return sum(ruling.agrees for ruling in self.rulings) / len(self.rulings)

    @property
    def precision(self) -> float | None:
        """Of items found ungrounded that are; None where it found none: nothing to be wrong about."""
        return _share([ruling.agrees for ruling in self.rulings if ruling.judged is False])

    @property
    def recall(self) -> float | None:
        """Of ungrounded items that were found to be so."""
        return _share([ruling.agrees for ruling in self.rulings if not ruling.grounded])

    @property
    def wrong(self) -> list[Ruling]:
        """Rulings that differ from their label."""
        return [ruling for ruling in self.rulings if not ruling.agrees]

    def line(self) -> str:
        """All figures on one line, for a log."""
        return (
            f"agreement {self.share:.2f} on {len(self.rulings)} labelled items; "
            f"ungrounded: precision {shown(self.precision)}, recall {shown(self.recall)}"
        )


def shown(share: float | None) -> str:
    """A share with two digits, or a dash."""
    return "-" if share is None else f"{share:.2f}"


async def measure(
    labelled: LabelledSet, ask: Ask, book: PromptBook, *, new_attempts: int, concurrency: int
) -> Agreement:
    """Have the judge judge each item as a dialogue of one turn, ``concurrency`` at once.

    An item without a usable verdict counts as disagreement. Raises what else ``ask`` raises.
    """
    room = asyncio.Semaphore(concurrency)

    async def rule(number: int, item: Item) -> Ruling:
        async with room:
            judged, reason = await _judged(item, ask, book, new_attempts)
        return Ruling(number=number, title=item.title, grounded=item.grounded, judged=judged, reason=reason)

    ruled = [asyncio.ensure_future(rule(*item)) for item in enumerate(labelled.items, 1)]
    try:
        rulings = await asyncio.gather(*ruled)
    except Unanswered:
        await asyncio.wait(ruled)  # what the other items ask belongs to the same wave
        raise
    return Agreement(rulings=tuple(rulings))


async def _judged(item: Item, ask: Ask, book: PromptBook, new_attempts: int) -> tuple[bool | None, str]:
    turns = [Turn(item.question, item.answer)]
    try:
        judgement = await ask_judge(
            ask, book, item.as_passage(), turns, new_attempts=new_attempts, note=lambda said: None
        )
    except NoVerdict as problem:
        return None, problem.reason
    if judgement is None:
        return None, "rehearsed"
    return not judgement.fault, judgement.fault


def _share(hits: Sequence[bool]) -> float | None:
    return sum(hits) / len(hits) if hits else None
