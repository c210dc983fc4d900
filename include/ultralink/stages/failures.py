"""Rows that came to no end or to a bad one: each a reject, unless they are too many."""

from __future__ import annotations

import logging
from collections import deque

from ultralink.errors import TeacherUnavailable, TeacherUnfit, UltraLinkError

log = logging.getLogger(__name__)

_SHOWN = 10
LOOKED_AT, HOPELESS = 20, 18  # so many of the last rows have failed: this teacher cannot do it
FEWEST = 5  # rows of a shard that failed one and all


class Failures:
    """Counts the rows of a shard that cost an error, and those that the teacher left unanswered among them."""

    def __init__(self, rows: int, tolerated: float) -> None:
        self._rows = rows
        self._tolerated = tolerated
        self._failed = 0
        self._unanswered: list[UltraLinkError] = []
        self._last: UltraLinkError | None = None

    def count(self, row_id: str, error: UltraLinkError | None) -> UltraLinkError:
        """Take note of a row's error, and give it back."""
        if error is None:
            raise AssertionError("an outcome has a result or an error")
        self._failed += 1
        self._last = error
        if isinstance(error, TeacherUnavailable):
            self._unanswered.append(error)
        if self._failed <= _SHOWN:
            log.warning("Row %s: %s", row_id, error)
        return error

    def check(self) -> None:
        """Raise where too many rows were left unanswered, or no row came to an end at all."""
        unanswered = len(self._unanswered)
        if unanswered > self._tolerated * self._rows:
            raise TeacherUnavailable(
                f"{unanswered} of {self._rows} rows stayed unanswered; the rest is in the journal. "
                f"Last: {self._unanswered[-1]}"
            )
        if self._last is not None and self._failed == self._rows:
            raise self._last


class Hope:
    """Stops a task whose teacher nearly always gives what cannot be used, before the budget is burnt."""

    def __init__(self, rows: str) -> None:
        self._rows = rows
        self._last: deque[str] = deque(maxlen=LOOKED_AT)
        self._good = 0

    def saw(self, failure: str | None) -> None:
        """A row's end: what was wrong, "" for nothing; None for a row that nobody answered, which tells nothing.

        Raises TeacherUnfit when HOPELESS of the last LOOKED_AT rows have failed.
        """
        if failure is None:
            return
        self._last.append(failure)
        self._good += not failure
        if sum(map(bool, self._last)) >= HOPELESS:
            self._give_up()

    def check(self) -> None:
        """At the end: raise TeacherUnfit where every row has failed, and there were FEWEST at least."""
        if not self._good and len(self._last) >= FEWEST:
            self._give_up()

    def _give_up(self) -> None:
        failed = [each for each in self._last if each]
        raise TeacherUnfit(
            f"{len(failed)} of the last {len(self._last)} {self._rows} failed their checks. For example {failed[-1]}"
        )
