"""Who is told, while a task asks the teacher, what it pays for and how much of its budget is gone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ultralink.teacher.tally import Counts

LEVELS = (0.8, 1.0)  # shares of a budget at which somebody is told


@dataclass(frozen=True, slots=True)
class Spent:
    """A task's part of the budget, and what is gone of it. ``level`` is that of LEVELS which was reached.

    At level 1 the part may be a little short of all gone: there was no room for the next call.
    """

    level: float
    usd: float
    usd_cap: float | None
    tokens: float
    tokens_cap: int | None


class Listener(Protocol):
    """Told in the event loop: it must not block, and must not raise."""

    def paid(self, model: str, paid: Counts, latencies_s: Sequence[float]) -> None:
        """What ``model`` was paid for since the last time, every few seconds; ``latencies_s`` has some of its calls."""

    def spent(self, spent: Spent) -> None:
        """A level of the budget was reached; each is told once per task attempt, the highest only if several are."""


class Nobody:
    """Does not listen."""

    def paid(self, model: str, paid: Counts, latencies_s: Sequence[float]) -> None:
        """Nothing."""

    def spent(self, spent: Spent) -> None:
        """Nothing."""


NOBODY = Nobody()
