"""The gate before every call: calls in flight, requests and tokens per minute, a pace for hidden limits."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from types import TracebackType

from ultralink.errors import TeacherUnavailable, UltraLinkError
from ultralink.teacher.endpoint import Limits
from ultralink.teacher.pace import Bucket, Pace, Ticket
from ultralink.teacher.roster import Roster

log = logging.getLogger(__name__)

OWN_CONCURRENCY = 256  # of each writer, where the connection names none: its rows in progress are the bound
BURST_S = 0.25  # of a known rate; a provider's own bucket holds a second or more, so a told limit gives no 429


class Permit:
    """One call that may go out. ``limited`` or ``failed`` ends it, or ``answered`` and then ``done``.

    Between those two its place stays taken: an answer is at risk until it is durable, and no more answers
    than calls allowed in flight may ever be at risk.
    """

    __slots__ = ("_limiter", "_ticket", "_tokens")

    def __init__(self, limiter: Limiter, ticket: Ticket, tokens: int) -> None:
        self._limiter, self._ticket, self._tokens = limiter, ticket, tokens

    def answered(self, tokens: int) -> None:
        """The call took ``tokens``, prompt and answer; what was set aside beyond that is free again."""
        self._limiter._give_back(self._tokens - tokens)

    def done(self) -> None:
        """The answer is durable, or given up."""
        self._limiter._end()

    def limited(self) -> None:
        """The call met a 429."""
        self._limiter.pace.limited(self._ticket, time.monotonic())
        self._limiter._give_back(self._tokens)
        self._limiter._end()

    def failed(self) -> None:
        """The call had no usable answer."""
        self._limiter._end()


class Limiter:
    """Shares the endpoint's limits with all writers in the roster; ``async with`` keeps it in the roster.

    Waiters are served in order. A waiter that is cancelled takes nothing.
    """

    def __init__(self, limits: Limits, roster: Roster | None = None) -> None:
        now = time.monotonic()
        self.pace = Pace(now)
        self.in_flight = 0
        self._limits, self._roster = limits, roster
        self._writers = 1
        self._requests = _bucket(limits.requests_per_minute, now)
        self._tokens = _bucket(limits.tokens_per_minute, now)
        self._waiting: deque[tuple[asyncio.Future[Permit], int]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._beating: asyncio.Task[None] | None = None
        self._closed = False

    async def acquire(self, tokens: int) -> Permit:
        """Wait for room for one more call of ``tokens`` at most. Raises TeacherUnavailable once closed."""
        if self._closed:
            raise TeacherUnavailable("stopping: no more calls are made")
        turn: asyncio.Future[Permit] = asyncio.get_running_loop().create_future()
        self._waiting.append((turn, tokens))
        self._let_through()
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._give_back(tokens)
                self._end()
            raise

    def close(self) -> None:
        """Let nobody through any more; calls in flight are not touched."""
        self._closed = True
        for turn, _ in self._waiting:
            if not turn.done():
                turn.set_exception(TeacherUnavailable("stopping: no more calls are made"))
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()

    async def __aenter__(self) -> Limiter:
        if self._roster is not None:
            await self._beat(self._roster)
            self._beating = asyncio.create_task(self._keep_beating(self._roster))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if self._roster is not None and self._beating is not None:
            self._beating.cancel()
            await asyncio.wait([self._beating])
            try:
                await asyncio.to_thread(self._roster.leave)
            except (OSError, UltraLinkError) as problem:
                log.warning("Cannot leave the roster of teacher users: %s", problem)

    # --- one's share ------------------------------------------------------------------------------------

    async def _keep_beating(self, roster: Roster) -> None:
        while True:
            await asyncio.sleep(roster.beat_s)
            await self._beat(roster)

    async def _beat(self, roster: Roster) -> None:
        try:
            others = await asyncio.to_thread(roster.others)
            standing = self.pace.share(others, time.monotonic())
            await asyncio.to_thread(roster.tell, standing)
        except (OSError, UltraLinkError) as problem:
            log.warning("Cannot read the roster of teacher users, so %d are assumed: %s", self._writers, problem)
            return
        if len(others) + 1 != self._writers:
            self._writers = len(others) + 1
            self._share()
            self._let_through()

    def _share(self) -> None:
        now = time.monotonic()
        for bucket, per_minute in (
            (self._requests, self._limits.requests_per_minute),
            (self._tokens, self._limits.tokens_per_minute),
        ):
            if bucket is not None and per_minute is not None:
                rate = per_minute / 60 / self._writers
                bucket.set_rate(rate, max(1.0, rate * BURST_S), now)

    @property
    def concurrency(self) -> int:
        """Calls that this writer may have in flight."""
        shared = self._limits.concurrency
        return OWN_CONCURRENCY if shared is None else max(1, shared // self._writers)

    # --- the gate -----------------------------------------------------------------------------------------

    def _let_through(self) -> None:
        while self._waiting and self.in_flight < self.concurrency:
            turn, tokens = self._waiting[0]
            if turn.done():  # its waiter was cancelled
                self._waiting.popleft()
                continue
            now = time.monotonic()
            delay = self._delay(tokens, now)
            if delay > 0:
                self._come_back(delay)
                return
            self._waiting.popleft()
            self.in_flight += 1
            if self._requests is not None:
                self._requests.take(1, now)
            if self._tokens is not None:
                self._tokens.take(tokens, now)
            turn.set_result(Permit(self, self.pace.send(now), tokens))

    def _delay(self, tokens: int, now: float) -> float:
        delay = self.pace.delay(now)
        if self._requests is not None:
            delay = max(delay, self._requests.delay(1, now))
        if self._tokens is not None:
            delay = max(delay, self._tokens.delay(tokens, now))
        return delay

    def _come_back(self, delay: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        # No longer than a second: the pace or the share may change meanwhile.
        self._timer = asyncio.get_running_loop().call_later(min(delay, 1.0), self._let_through)

    def _give_back(self, tokens: int) -> None:
        if self._tokens is not None and tokens:
            self._tokens.take(-tokens, time.monotonic())

    def _end(self) -> None:
        self.in_flight -= 1
        self._let_through()


def _bucket(per_minute: float | None, now: float) -> Bucket | None:
    if per_minute is None:
        return None
    return Bucket(per_minute / 60, max(1.0, per_minute / 60 * BURST_S), now)
