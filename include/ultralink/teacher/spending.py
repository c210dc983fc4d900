"""What was paid on which day: a night may be paid for long after its date, as in a backfill."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from ultralink.teacher.models import ModelCards
from ultralink.teacher.record import Record


class Spending:
    """USD by the day (UTC, as 2026-11-23) on which an answer came; calls of a model without a price are left out."""

    def __init__(self, cards: ModelCards) -> None:
        self._cards = cards
        self._days: dict[str, float] = defaultdict(float)

    def counted(self, records: Iterable[Record]) -> Iterator[Record]:
        """``records``, summed on the way."""
        for record in records:
            usd = self._cards.cost(record)
            if usd is not None:
                self._days[record.created[:10]] += usd
            yield record

    @property
    def by_day(self) -> dict[str, float]:
        """The sums so far, by day in order."""
        return dict(sorted(self._days.items()))
