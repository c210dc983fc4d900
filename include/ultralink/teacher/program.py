"""Running a row program over many rows at once: results in order, memory bounded, stopped cleanly."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from ultralink.errors import AnswerInvalid, BudgetExceeded, RequestRefused, TeacherUnavailable, UltraLinkError
from ultralink.teacher.ask import Ask
from ultralink.teacher.waiting import Unanswered

log = logging.getLogger(__name__)

Row = TypeVar("Row")
Result = TypeVar("Result")
Program = Callable[[Row, Ask], Awaitable[Result]]

ROW_ERRORS = (
    AnswerInvalid,
    RequestRefused,
    TeacherUnavailable,
)  # cost the row they happen in; others end the run
HOPELESS = 20  # rows that fail one after the other, with no success between
WINDOW = 16  # rows begun and not yet given out, per row in progress: room behind one that waits out its limits


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Row, Result]):
    """What became of a row: its result, or the error that cost it."""

    row: Row
    result: Result | None
    error: UltraLinkError | None


@dataclass
class Progress:
    """A log line every ``every_s``; ``total`` rows, where that is known, give an ETA."""

    total: int | None = None
    every_s: float = 5.0
    done: int = 0
    failed: int = 0
    waiting: int = 0
    _started: float = field(default_factory=time.monotonic)

    def line(self, ask: Ask) -> str:
        """Rows, rate, calls, cost and what is left, on one line."""
        seconds = max(time.monotonic() - self._started, 1e-6)
        rate = self.done / seconds
        counts = ask.tally.total
        cost = f"{counts.cost_usd:.4f} USD" + (" and calls of unknown price" if counts.unpriced else "")
        parts = [
            f"rows {self.done}{'' if self.total is None else f'/{self.total}'} ({self.failed} failed)",
            f"{rate:.1f} rows/s",
            f"calls {counts.paid}, replayed {counts.replayed}, 429s {counts.limited}",
            f"{counts.prompt_tokens + counts.completion_tokens} tokens, {cost}",
            f"in flight {ask.in_flight}",
        ]
        if self.waiting:
            parts.append(f"{self.waiting} rows wait for their batch")
        if self.total is not None and rate > 0:
            parts.append(f"ETA {_clock((self.total - self.done) / rate)}")
        return ("Rehearsal: " if ask.source.rehearses else "") + "; ".join(parts)

    async def report(self, ask: Ask) -> None:
        """Log for ever."""
        while True:
            await asyncio.sleep(self.every_s)
            log.info("%s", self.line(ask))


async def run_rows(
    program: Program[Row, Result],
    rows: Iterable[Row],
    ask: Ask,
    *,
    concurrency: int,
    progress: Progress | None = None,
) -> AsyncGenerator[Outcome[Row, Result], None]:
    """Run ``program`` for each row, ``concurrency`` at once; outcomes come in the order of ``rows``.

    A row's AnswerInvalid, ContextOverflow, RequestRefused or TeacherUnavailable is its outcome; after
    HOPELESS such in a row the last one is raised. Any other error ends the run at once. However it ends, what
    was on the wire reaches the journal. Rows that wait for a batch are left out, and after the last row
    Unanswered is raised for them. Use with ``contextlib.aclosing`` where the loop may be left early.
    Memory is bounded by ``concurrency``, not by the number of rows.
    """
    progress = progress or Progress()
    reporting = asyncio.create_task(progress.report(ask))
    crew = _Crew(program, iter(rows), ask, concurrency, progress)
    try:
        while (outcome := await crew.next()) is not None:
            yield outcome
    except BaseException:
        await asyncio.shield(_stop(crew, ask))
        raise
    finally:
        reporting.cancel()
    log.info("%s", progress.line(ask))
    if progress.waiting:
        raise Unanswered(f"{progress.waiting} rows wait for their batch")


async def _stop(crew: _Crew[Row, Result], ask: Ask) -> None:
    crew.cancel()
    await ask.drain()


class _Crew(Generic[Row, Result]):
    """The rows in progress, oldest first."""

    def __init__(
        self,
        program: Program[Row, Result],
        rows: Iterator[Row],
        ask: Ask,
        concurrency: int,
        progress: Progress,
    ) -> None:
        self._program, self._rows, self._ask = program, rows, ask
        self._concurrency, self._progress = concurrency, progress
        self._tasks: deque[asyncio.Task[Outcome[Row, Result] | None]] = deque()
        self._active = 0
        self._exhausted = False
        self._changed = asyncio.Event()
        self._failure: BaseException | None = None
        self._failed_in_a_row = 0

    async def next(self) -> Outcome[Row, Result] | None:
        """The next outcome in order; None after the last. Raises what ends the run."""
        while True:
            self._begin()
            if self._failure is not None:
                raise self._failure
            if not self._tasks:
                return None
            if self._tasks[0].done():
                outcome = self._tasks.popleft().result()
                if outcome is not None:
                    return outcome
                continue
            self._changed.clear()
            await self._changed.wait()

    def cancel(self) -> None:
        """Stop all rows."""
        for task in self._tasks:
            task.cancel()

    def _begin(self) -> None:
        while not self._exhausted and self._active < self._concurrency:
            if len(self._tasks) >= WINDOW * self._concurrency:
                return
            try:
                row = next(self._rows)
            except StopIteration:
                self._exhausted = True
                return
            except Exception as error:  # raised here it could be lost: this may be a task's callback
                self._exhausted, self._failure = True, error
                self._changed.set()
                return
            task = asyncio.create_task(self._run(row))
            task.add_done_callback(self._ended)
            self._tasks.append(task)
            self._active += 1

    async def _run(self, row: Row) -> Outcome[Row, Result] | None:
        """The row's outcome; None: it waits for an answer that is yet to be asked for."""
        try:
            result = await self._program(row, self._ask)
        except ROW_ERRORS as error:
            self._progress.failed += 1
            return Outcome(row, None, error)
        except Unanswered:
            self._progress.waiting += 1
            return None
        return Outcome(row, result, None)

    def _ended(self, task: asyncio.Task[Outcome[Row, Result] | None]) -> None:
        self._active -= 1
        self._changed.set()
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self._progress.done += 1
            self._failure = self._failure or self._explained(error)
        elif (outcome := task.result()) is None:
            self._failed_in_a_row = 0  # it may do well yet: the rows that failed do not stand alone
        elif (row_error := outcome.error) is not None:
            self._progress.done += 1
            self._failed_in_a_row += 1
            if self._failed_in_a_row >= HOPELESS:
                self._failure = self._failure or type(row_error)(
                    f"{self._failed_in_a_row} rows failed one after the other; the last: {row_error}"
                )
        else:
            self._progress.done += 1
            self._failed_in_a_row = 0
        # Rows are begun here too, not only when the next outcome is wanted: one may be long in coming.
        if self._failure is None:
            self._begin()

    def _explained(self, error: BaseException) -> BaseException:
        if not isinstance(error, BudgetExceeded):
            return error
        progress = self._progress
        total = "" if progress.total is None else f" of {progress.total}"
        explained = BudgetExceeded(f"{error} ({progress.done - 1}{total} rows are done)")
        explained.__cause__ = error
        return explained


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
