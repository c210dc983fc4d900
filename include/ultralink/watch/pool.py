"""An edition of the English pool in the figures by which nights are compared."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from ultralink.pool.row import Kind
from ultralink.pool.screening import GATE
from ultralink.stages.edition import PoolStatistics
from ultralink.stages.statistics import Subset

SCREEN, REST = "the screen", "cleaning and duplicates"


@dataclass(frozen=True)
class EditionFigures:
    """Rows that the screen has let pass or turned away; and all others, chats that never came to it among them."""

    statistics: PoolStatistics

    @cached_property
    def subsets(self) -> dict[str, Subset]:
        """By who has turned away what."""
        rows, rejects = self.statistics.rows, self.statistics.rejects
        screened = {reason: count for reason, count in rejects.items() if reason.startswith(f"{GATE}:")}
        rest = {reason: count for reason, count in rejects.items() if reason not in screened}
        chats = rows.get(Kind.CHAT, 0)
        return {
            SCREEN: Subset(samples=chats, rejects=screened),
            REST: Subset(samples=sum(rows.values()) - chats, rejects=rest),
        }

    @property
    def samples(self) -> int:
        """Rows of all kinds."""
        return sum(self.statistics.rows.values())

    @property
    def rejects(self) -> int:
        """Rows that were turned away."""
        return sum(self.statistics.rejects.values())

    @property
    def calls(self) -> int:
        """Verdicts that this edition has paid for; of chats that are in an earlier one it pays for none."""
        return self.statistics.calls

    @property
    def cost_usd(self) -> float | None:
        """What they cost."""
        return self.statistics.cost_usd
