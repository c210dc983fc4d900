"""How fast to ask: token buckets for limits that are known, and a pace that learns one that is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt

WINDOW_S = 1.0
WINDOW_REQUESTS = 20  # a window stays open for so many
CLEAN_WINDOW_S = 2.0  # but no longer than this where no request met a 429: a slow rate must recover too
LONG_WINDOW_S = 30.0  # and no longer than this where most did, or no more than are tolerated
NOISE_REQUESTS = 60  # in the window after a cut: fewer could not tell noise from a limit
VOLLEY = 20  # requests sent one after the other; when VOLLEY_429S of them meet a 429, it is a pause
VOLLEY_429S = 18
PROBE = 1.0  # requests per second in a pause
RESUME = 0.5  # of the rate that last went well, after a pause; all of it after one clean window
TOLERATED_SHARE = 0.02
TOLERATED_429S = 1.0
MAX_NOISE = 0.4
FORGETTING = 0.98  # of the noise, per window without a cut
RAMP_FROM = 200.0  # requests per second at the start, doubled every RAMP_S: a limit shows after few 429s
RAMP_S = 0.1
RAMP_TO = 20_000.0
BACK_OFF = 0.97  # of the rate that was let through
GROWTH = 0.01  # after a cut, doubled with each clean window
MAX_GROWTH, SLOW_MAX_GROWTH, SLOW = 0.25, 1.0, 10.0  # a rate under SLOW may double: that is few requests
CROWD_CUTS, CROWD_FALL = 4, 0.7  # with others at the same limit: cuts before it can be noise; the fall of all together
MOST_STEP = 2.0  # a step to an equal part leads to no more than so many times the rate, or the part
FLOOR = 0.05  # requests per second: the lowest published limit is 3 per minute


class Bucket:
    """Lets through ``rate`` units per second on average, and ``burst`` at once."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self.rate, self.burst = rate, burst
        self._level, self._at = burst, now

    def delay(self, amount: float, now: float) -> float:
        """Seconds until ``amount`` may go. More than a burst may go when the bucket is full."""
        self._fill(now)
        return max(0.0, min(amount, self.burst) - self._level) / self.rate

    def take(self, amount: float, now: float) -> None:
        """Let ``amount`` go; a negative amount comes back."""
        self._fill(now)
        self._level = min(self.burst, self._level - amount)

    def set_rate(self, rate: float, burst: float, now: float) -> None:
        """From now on another rate."""
        self._fill(now)
        self.rate, self.burst = rate, burst
        self._level = min(self._level, burst)

    def _fill(self, now: float) -> None:
        if now > self._at:
            self._level = min(self.burst, self._level + (now - self._at) * self.rate)
            self._at = now


@dataclass(slots=True)
class Window:
    """Requests sent in one stretch of time, and how many of them met a 429."""

    opened: float
    sent: int = 0
    limited: int = 0

    @property
    def share(self) -> float:
        return self.limited / self.sent


@dataclass(slots=True)
class Ticket:
    """Where a sent request is counted."""

    window: Window
    volley: Window


@dataclass(frozen=True, slots=True)
class Cut:
    """A cut, or a series of them: the rate before it, of one and of all, and the window that called for it."""

    rate: float | None
    of_all: float
    seen: Window
    times: int = 1
    shares: int = 0  # times that the others told where they stand meanwhile: before that they knew nothing of it


@dataclass(frozen=True, slots=True)
class Standing:
    """What one who asks tells the others: the rate it is held to (None: by nothing, as far as it knows), its noise."""

    rate: float | None = None
    noise: float = 0.0


ALONE = Standing()


class Pace:
    """Requests per second, steered by the share of 429s among the requests of a window.

    A share that vanishes when the rate falls is the provider's limit: the rate stays just under what is let
    through, and probes upward. A share that stays at a lower rate has nothing to do with load: it is noise,
    is subtracted from then on, and the cut is taken back; should no more go through than before the share
    was forgiven, it was the limit after all. When next to nothing goes through, that measures no rate: it is
    a pause, in which single requests probe, and after which half of the rate that last went well is tried;
    half of that, should the next pause follow at once. A request without an answer yet counts as let
    through, for a 429 comes at once.

    Who meets others at the same limit steps to an equal part of what all are held to (``share``), now and then.
    One cut among many changes next to nothing: a share of 429s is noise there only after several cuts, when all
    together have slowed down, and what one has found to be noise the others need not find again.
    """

    def __init__(self, now: float) -> None:
        self.noise = 0.0
        self._trial: float | None = None  # let through per second before the noise was assumed, which is new
        self._ramp_started: float | None = now
        self._window, self._volley = Window(now), Window(now)
        self._growth = GROWTH
        self._cut: Cut | None = None
        self._good = RAMP_FROM  # the rate that last went well
        self._paused = False
        self._resumed = now
        self._told = ALONE
        self._others = 0.0  # requests per second that those at the same limit are held to, together
        self._bucket: Bucket | None = None
        self._set(RAMP_FROM, now)

    @property
    def rate(self) -> float | None:
        """Requests per second that may be sent; None: as many as there are."""
        return None if self._bucket is None else self._bucket.rate

    def delay(self, now: float) -> float:
        """Seconds until the next request may go."""
        if self._ramp_started is not None:
            self._ramp(self._ramp_started, now)
        return 0.0 if self._bucket is None else self._bucket.delay(1, now)

    def send(self, now: float) -> Ticket:
        """A request goes out; keep the ticket for ``limited``."""
        # Judged no sooner than the next request is due, so that a 429 for the last one had time to come.
        if self._paused:
            self._probe(now)
        elif self._is_full(self._window, now - self._window.opened):
            self._close(now)
        if self._volley.sent >= VOLLEY:
            self._volley = Window(now)
        self._window.sent += 1
        self._volley.sent += 1
        if self._bucket is not None:
            self._bucket.take(1, now)
        return Ticket(self._window, self._volley)

    def limited(self, ticket: Ticket, now: float) -> None:
        """The request of ``ticket`` met a 429."""
        window, volley = ticket.window, ticket.volley
        window.limited += 1
        volley.limited += 1
        if self._paused:
            return
        if volley.limited >= VOLLEY_429S and volley.opened >= self._resumed:
            self._pause(now)
        elif window is self._window and self._cut is None and self._ramp_started is None:  # noqa: SIM102
            # A window after a cut is left to its end: ended early it would tell too high a share, not the noise.
            if window.sent >= WINDOW_REQUESTS and self._surplus(window) > 2 * self._tolerated(window):
                self._close(now)

    def _ramp(self, started: float, now: float) -> None:
        rate = RAMP_FROM * 2 ** min((now - started) / RAMP_S, 20)
        if rate > RAMP_TO:
            self._ramp_started = None
        self._set(None if rate > RAMP_TO else rate, now)

    # --- others at the same limit -------------------------------------------------------------------------

    def share(self, others: Sequence[Standing], now: float) -> Standing:
        """Step to an equal part of what all are held to; returns what the others are to be told.

        Those who are held back by nothing take no part. One that has just begun takes its part at once, instead
        of looking for a limit that the others have found.
        """
        held = [other.rate for other in others if other.rate is not None]
        if held and not self._others:  # judged alone until now: what others did looked like noise
            self.noise, self._trial, self._cut = 0.0, None, None
        self._others = sum(held)
        if self._cut is not None:
            self._cut = replace(self._cut, shares=self._cut.shares + 1)
        self._believe(max((other.noise for other in others), default=0.0), now)
        if held and self._ramp_started is not None:
            # Those who tell nothing yet may have begun just now too: all of them together should not be too many.
            self._ramp_started = None
            self._good = self._others / (len(others) + 1)
            self._set(max(FLOOR, self._good), now)
        elif held and not self._paused:
            self._step(self._others, len(held), now)
        is_known = self._ramp_started is None and not self._paused
        self._told = Standing(self.rate if is_known else None, self.noise if held else 0.0)
        return self._told

    def _step(self, others: float, number: int, now: float) -> None:
        if self.rate is not None and self._told.rate is not None:
            # By a factor: the others do not know yet what was cut or gained since they were told, so it is kept.
            part = (others + self._told.rate) / (number + 1)
            # But a rate that grew much since then, and is far below the others', must not leap beyond all of them.
            most = MOST_STEP * max(self.rate, part)
            self._set(max(FLOOR, min(most, self.rate * part / self._told.rate)), now)

    def _believe(self, noise: float, now: float) -> None:
        """Take over what another one found to be noise, if it fits what is seen here."""
        cut = self._cut
        if cut is None or noise <= self.noise:
            return
        if cut.seen.limited >= noise * cut.seen.sent - 2 * sqrt(noise * (1 - noise) * cut.seen.sent):
            self.noise, self._cut = noise, None
            self._set(cut.rate, now)
            self._window, self._volley = Window(now), Window(now)

    # --- pauses -------------------------------------------------------------------------------------------

    def _pause(self, now: float) -> None:
        self._paused = True
        self._ramp_started = self._trial = self._cut = None
        self._bucket = Bucket(PROBE, 1.0, now)
        self._window, self._volley = Window(now), Window(now)

    def _probe(self, now: float) -> None:
        if self._window.sent > 0 and self._window.limited == 0:
            self._paused, self._resumed = False, now
            self._good = max(FLOOR, self._good * RESUME)
            self._set(self._good, now)
            self._growth = 1 / RESUME - 1  # one clean window, and all of that rate is back
        self._window, self._volley = Window(now), Window(now)

    # --- windows ------------------------------------------------------------------------------------------

    def _is_full(self, window: Window, age: float) -> bool:
        if window.sent == 0 or age < WINDOW_S:
            return False
        if window.sent >= (WINDOW_REQUESTS if self._cut is None else NOISE_REQUESTS):
            return True
        if window.limited == 0:
            return age >= CLEAN_WINDOW_S
        return age >= LONG_WINDOW_S and (window.share > 0.5 or self._is_clean(window))

    def _close(self, now: float) -> None:
        window = self._window
        is_clean = self._is_clean(window)
        if self._trial is not None and (not is_clean or self._is_limit(window, self._trial, now)):
            self.noise = 0.0
            self._slow_down(window, now)
            self._cut = None  # not the same assumption twice in a row
        elif is_clean:
            self._speed_up(window, now)
        elif self._cut is not None and self._is_noise(window, self._cut):
            self.noise, self._trial = window.share, (window.sent - window.limited) / (now - window.opened)
            self._set(self._cut.rate, now)
            self._cut, self._window, self._volley = None, Window(now), Window(now)
        else:
            self._slow_down(window, now)

    def _is_clean(self, window: Window) -> bool:
        return self._surplus(window) <= self._tolerated(window)

    def _surplus(self, window: Window) -> float:
        return window.limited - self.noise * window.sent

    def _tolerated(self, window: Window) -> float:
        chance = 3 * sqrt(self.noise * (1 - self.noise) * window.sent)
        return TOLERATED_429S + TOLERATED_SHARE * window.sent + chance

    def _is_noise(self, window: Window, cut: Cut) -> bool:
        if window.sent < NOISE_REQUESTS or window.share > MAX_NOISE:
            return False
        if self._others and (min(cut.times, cut.shares) < CROWD_CUTS or not self._stays(window, cut)):
            return False
        chance = 2 * sqrt(window.share * (1 - window.share) * (1 / window.sent + 1 / cut.seen.sent))
        return abs(window.share - cut.seen.share) <= chance

    def _stays(self, window: Window, cut: Cut) -> bool:
        """All together have slowed down, and the share is nearer to the one before than to what a limit would leave."""
        if self._of_all > CROWD_FALL * cut.of_all:
            return False
        if_limit = max(0.0, 1 - cut.of_all * (1 - cut.seen.share) / self._of_all)
        return window.share > (cut.seen.share + if_limit) / 2

    def _is_limit(self, window: Window, before: float, now: float) -> bool:
        """What goes through is nearer to what went through at the lower rate than to what noise would leave."""
        if_noise = window.sent * (1 - self.noise)
        if_limit = before * (now - window.opened)
        return window.sent - window.limited < (if_noise + if_limit) / 2

    @property
    def _of_all(self) -> float:
        return (self.rate or 0.0) + self._others

    def _slow_down(self, seen: Window, now: float) -> None:
        rate = self.rate
        let_through = (seen.sent - seen.limited + 1) / max(now - seen.opened, 0.001)
        lower = BACK_OFF * let_through / (1 - self.noise)
        if self._others and self._cut is not None:
            self._cut = replace(self._cut, times=self._cut.times + 1)
        else:
            self._cut = Cut(rate, self._of_all, seen)
        self._trial = None
        if rate is not None:
            self._good = min(self._good, rate)
            lower = min(lower, rate * BACK_OFF)
        self._set(max(FLOOR, lower), now)
        self._growth = GROWTH
        self._window, self._volley = Window(now), Window(now)

    def _speed_up(self, window: Window, now: float) -> None:
        # Forgotten little by little, so that an error of judgement is found out by a later window.
        self.noise *= FORGETTING
        self._cut = self._trial = None
        self._window, self._volley = Window(now), Window(now)
        rate, speed = self.rate, window.sent / (now - window.opened)
        self._good = max(self._good, speed)
        if rate is None:
            return
        if speed < rate / 2:  # the rate holds nobody back any more
            self._set(None, now)
        else:
            self._set(rate * (2.0 if rate < self._good * RESUME else 1 + self._growth), now)
            self._growth = min(SLOW_MAX_GROWTH if self._of_all < SLOW else MAX_GROWTH, self._growth * 2)

    def _set(self, rate: float | None, now: float) -> None:
        if rate is None:
            self._bucket = None
        elif self._bucket is None:
            self._bucket = Bucket(rate, max(1.0, rate * 0.02), now)
        else:
            self._bucket.set_rate(rate, max(1.0, rate * 0.02), now)
