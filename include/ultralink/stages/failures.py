"""Rows that came to no end: each a reject, unless they are too many."""

from __future__ import annotations

import logging

from ultralink.errors import TeacherUnavailable, UltraLinkError

log = logging.getLogger(__name__)

_SHOWN = 10


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
