"""Limits: the pace against simulated servers, the gate, and the roster by which shards share."""

from __future__ import annotations

import asyncio
import heapq
import os
import random
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.teacher.fake_teacher import Reply, completion, error, good, opened, say

from ultralink.errors import StoreRefused, StoreUnreachable, TeacherUnavailable
from ultralink.teacher.endpoint import Limits
from ultralink.teacher.limiter import Limiter
from ultralink.teacher.pace import ALONE, FLOOR, MAX_NOISE, PROBE, RAMP_TO, Bucket, Pace, Standing, Ticket
from ultralink.teacher.roster import BEAT_S, REMOTE_BEAT_S, Roster, _read, _shown

LOCAL = fsspec.filesystem("file")

# --- the pace, in simulated time ---------------------------------------------------------------


@dataclass(frozen=True)
class Server:
    """Answers after ``latency_s``; a 429 after ``refusal_s``, at random (``noise``), over ``limit`` per second,
    and for all during ``outage`` (from, to)."""

    limit: float | None = None
    noise: float = 0.0
    latency_s: float = 0.2
    in_flight: int = 200
    refusal_s: float = 0.012
    outage: tuple[float, float] = (0.0, 0.0)


@dataclass
class Seen:
    answered: int = 0
    limited: int = 0
    seconds: float = 0.0
    rate: float | None = None
    answers: Counter[int] = field(default_factory=Counter)  # by second
    refusals: Counter[int] = field(default_factory=Counter)

    @property
    def per_second(self) -> float:
        return self.answered / self.seconds

    @property
    def limited_per_thousand(self) -> float:
        return 1000 * self.limited / self.answered


def simulate(server: Server, seconds: float, seed: int = 0) -> Seen:
    """A client that always has more to ask, and keeps to the pace."""
    draw, pace, seen = random.Random(seed), Pace(0.0), Seen()
    bucket = Bucket(server.limit, server.limit, 0.0) if server.limit else None
    events: list[tuple[float, int, str, object]] = [(0.0, 0, "go", None)]
    busy, count, wake = 0, 0, 0.0

    def push(at: float, what: str, ticket: object = None) -> None:
        nonlocal count
        count += 1
        heapq.heappush(events, (at, count, what, ticket))

    while events and events[0][0] < seconds:
        now, _, what, ticket = heapq.heappop(events)
        if what == "ok":
            busy, seen.answered = busy - 1, seen.answered + 1
            seen.answers[int(now)] += 1
        elif what == "429":
            busy, seen.limited = busy - 1, seen.limited + 1
            seen.refusals[int(now)] += 1
            pace.limited(ticket, now)  # type: ignore[arg-type]
        while busy < server.in_flight:
            if (delay := pace.delay(now)) > 1e-9:
                if wake <= now or wake > now + delay + 1e-3:
                    wake = now + delay + 1e-4
                    push(wake, "go")
                break
            sent, busy = pace.send(now), busy + 1
            refused = draw.random() < server.noise or server.outage[0] <= now < server.outage[1]
            if bucket is not None and not refused:
                refused = bucket.delay(1, now) > 0
                if not refused:
                    bucket.take(1, now)
            push(
                now + (server.refusal_s if refused else server.latency_s * draw.uniform(0.9, 1.1)),
                "429" if refused else "ok",
                sent,
            )
    seen.seconds, seen.rate = seconds, pace.rate
    return seen


@pytest.mark.parametrize("limit", [10, 50, 100, 500])
def test_an_unknown_limit_is_found_with_few_429s(limit: float) -> None:
    seen = simulate(Server(limit=limit), 120)
    assert seen.per_second >= 0.93 * limit
    assert seen.limited_per_thousand <= (250 if limit == 10 else 98)


@pytest.mark.parametrize("noise", [0.02, 0.1, 0.3])
@pytest.mark.parametrize("seed", range(3))
def test_random_429s_do_not_pin_the_rate(noise: float, seed: int) -> None:
    seen = simulate(Server(noise=noise), 30, seed)
    assert seen.per_second >= 800  # of 1000


def test_random_429s_do_not_pin_a_slow_client_either() -> None:
    assert simulate(Server(noise=0.2, latency_s=5, in_flight=20), 300).per_second >= 2.5  # of about 4


def test_a_limit_is_found_under_random_429s() -> None:
    seen = simulate(Server(limit=100, noise=0.1), 120)
    assert seen.per_second >= 85
    assert seen.limited_per_thousand <= 350  # 111 of them are chance


def test_no_429_no_limit() -> None:
    seen = simulate(Server(), 10)
    assert seen.rate is None
    assert seen.limited == 0
    assert seen.per_second >= 930


@pytest.mark.parametrize("lasts_s", [1, 3, 30])
@pytest.mark.parametrize("refusal_s", [0.012, 0.2, 0.8])
def test_full_speed_is_back_soon_after_an_outage(lasts_s: int, refusal_s: float) -> None:
    over = 5 + lasts_s
    server = Server(outage=(5, over), refusal_s=refusal_s, in_flight=100)
    seen = simulate(server, over + 20)
    assert seen.answers[4] >= 450  # of 500
    assert min(seen.answers[second] for second in range(over + 6, over + 19)) >= 450
    assert max((seen.refusals[second] for second in range(8, over)), default=0) <= 2  # it probes
    assert seen.limited <= 300 + 2 * lasts_s


def test_an_outage_at_the_start_is_overcome() -> None:
    seen = simulate(Server(outage=(0, 30), in_flight=100), 60)
    assert seen.limited <= 60
    assert min(seen.answers[second] for second in range(42, 59)) >= 450  # of 500


def test_a_limit_is_found_again_after_an_outage() -> None:
    seen = simulate(Server(limit=100, outage=(30, 60)), 120)
    assert sum(seen.answers[second] for second in range(65, 120)) >= 0.93 * 100 * 55
    assert sum(seen.refusals[second] for second in range(60, 120)) <= 0.1 * 100 * 60


def test_a_limit_whose_429s_come_late_is_not_taken_for_noise() -> None:
    seen = simulate(Server(limit=100, refusal_s=0.2), 120)
    assert seen.per_second >= 93
    assert sum(seen.refusals[second] for second in range(60, 120)) <= 0.05 * 100 * 60


def test_a_limit_that_sinks_far_below_the_pace_is_found_without_many_429s() -> None:
    pace, now, open_until, sent = Pace(0.0), 0.0, 10.0, Counter[bool]()
    bucket = Bucket(5, 5, 0.0)
    while now < 130:
        now += max(pace.delay(now), 0.001)
        if pace.delay(now) > 0:
            continue
        ticket, refused = pace.send(now), now > open_until and bucket.delay(1, now) > 0
        if refused:
            pace.limited(ticket, now)
        elif now > open_until:
            bucket.take(1, now)
        sent[refused] += now > open_until
    assert sent[False] >= 0.9 * 5 * 120
    assert sent[True] <= 300


@pytest.mark.parametrize("seconds", [3, 30, 3000])
def test_a_pause_probes_and_its_end_brings_back_half_the_rate_at_once(seconds: int) -> None:
    pace, now = Pace(0.0), 0.0
    while now < 5:
        now += max(pace.delay(now), 1 / 400)
        pace.send(now)
    outage, sent = now, 0
    while now < outage + seconds:
        if (delay := pace.delay(now)) > 0:
            now += min(delay, 1.0)
            continue
        pace.limited(pace.send(now), now)
        now, sent = now + 0.01, sent + 1
    assert FLOOR <= (pace.rate or 0) <= PROBE
    assert sent <= 25 + PROBE * seconds
    over = now
    while pace.rate is not None and pace.rate < 190 and now < over + 10:
        now += min(max(pace.delay(now), 1e-3), 1.0)
        if pace.delay(now) <= 0:
            pace.send(now)
    assert now - over <= 3


@pytest.mark.parametrize("refused", [0.8, 0.9, 0.95, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_the_rate_never_falls_below_the_floor_and_comes_back(refused: float, seed: int) -> None:
    pace, now, draw, lowest = Pace(0.0), 0.0, random.Random(seed), RAMP_TO
    while now < 900:
        now += max(pace.delay(now), 0.01)
        if pace.delay(now) > 0:
            continue
        ticket = pace.send(now)
        if draw.random() < refused:
            pace.limited(ticket, now)
        lowest = min(lowest, RAMP_TO if pace.rate is None else pace.rate)
    assert FLOOR <= lowest <= PROBE
    over = now
    while pace.rate is not None and pace.rate < 50 and now < over + 300:
        now += max(pace.delay(now), 0.001)
        pace.send(now)
    assert pace.rate is None or pace.rate >= 50


@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0, 20)), max_size=50), st.floats(0.1, 100), st.floats(1, 50))
def test_a_bucket_lets_through_no_more_than_its_rate_and_burst(
    asks: list[tuple[float, float]], rate: float, burst: float
) -> None:
    bucket, now, taken = Bucket(rate, burst, 0.0), 0.0, 0.0
    largest = max([burst, *(amount for _, amount in asks)])
    for pause, amount in asks:
        now += pause
        now += bucket.delay(amount, now)
        bucket.take(amount, now)
        taken += amount
        assert taken <= rate * now + burst + largest + 1e-6


# --- several at one limit that nobody told, in simulated time ----------------------------------


@dataclass
class Together:
    """Shards at one endpoint that lets ``limit`` requests per second through, by a sliding second."""

    limit: int
    noise: float = 0.0
    share: bool = True
    seed: int = 0
    latency_s: float = 0.2
    beat_s: float = 3.0
    rows: int = 32
    answered: list[tuple[float, int]] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    _events: list[tuple[float, int, str, int, Ticket | None]] = field(default_factory=list)
    _pushed: int = 0

    def run(self, starts: list[float], seconds: float) -> None:
        """Each begins at its start, always has more to ask, and waits a little with a row that met a 429."""
        draw, recent = random.Random(self.seed), deque[float]()
        paces: dict[int, Pace] = {}
        told: dict[int, Standing] = {}
        free, wake = [self.rows] * len(starts), [0.0] * len(starts)
        for who, start in enumerate(starts):
            self._push(start + draw.uniform(0, 0.05), "beat", who)
        while self._events and self._events[0][0] < seconds:
            now, _, what, who, ticket = heapq.heappop(self._events)
            pace = paces.setdefault(who, Pace(now))
            if what == "beat":
                if self.share:
                    told[who] = pace.share([each for other, each in told.items() if other != who], now)
                self._push(now + self.beat_s * draw.uniform(0.97, 1.03), "beat", who)
            elif what == "429":
                assert ticket is not None
                pace.limited(ticket, now)
                self.refused.append(now)
                self._push(now + draw.uniform(0.25, 1.0), "free", who)
            elif what in ("ok", "free"):
                free[who] += 1
                if what == "ok":
                    self.answered.append((now, who))
            while free[who]:
                if (delay := pace.delay(now)) > 1e-9:
                    if wake[who] <= now or wake[who] > now + delay + 1e-3:
                        wake[who] = now + min(delay, 1.0) + 1e-4
                        self._push(wake[who], "go", who)
                    break
                free[who] -= 1
                while recent and recent[0] < now - 1:
                    recent.popleft()
                is_refused = draw.random() < self.noise or len(recent) >= self.limit
                if not is_refused:
                    recent.append(now)
                after = 0.003 if is_refused else self.latency_s * draw.uniform(0.9, 1.1)
                self._push(now + after, "429" if is_refused else "ok", who, pace.send(now))

    def parts(self, since: float, shards: int) -> list[float]:
        """Of each, its answers from ``since`` on, in equal parts."""
        counts = Counter(who for at, who in self.answered if at >= since)
        return [counts[who] * shards / counts.total() for who in range(shards)]

    def _push(self, at: float, what: str, who: int, ticket: Ticket | None = None) -> None:
        self._pushed += 1
        heapq.heappush(self._events, (at, self._pushed, what, who, ticket))


BACKFILL_FIRST = [0.0] * 7 + [20.0]
NIGHT_FIRST = [20.0] * 7 + [0.0]


@pytest.mark.parametrize("starts", [BACKFILL_FIRST, NIGHT_FIRST, [0.0] * 8])
@pytest.mark.parametrize("limit", [40, 80, 400])
@pytest.mark.parametrize("seed", range(3))
def test_who_comes_to_a_hidden_limit_gets_an_equal_part_whoever_was_first(
    starts: list[float], limit: int, seed: int
) -> None:
    together = Together(limit, seed=seed, rows=limit // 2)
    together.run(starts, 100)
    parts = together.parts(40, 8)
    assert 0.75 <= parts[-1] <= 1.35  # the night
    assert min(parts) >= 0.7
    assert max(parts) <= 1.5
    assert sum(at >= 40 for at, _ in together.answered) >= 0.9 * limit * 60
    assert sum(at >= 40 for at in together.refused) <= 0.12 * limit * 60


def test_each_for_itself_they_would_not_get_equal_parts() -> None:
    together = Together(80, share=False)
    together.run(BACKFILL_FIRST, 100)
    assert min(together.parts(40, 8)) < 0.3
    assert sum(at >= 40 for at in together.refused) > 0.2 * 80 * 60


@pytest.mark.parametrize("seed", range(3))
def test_random_429s_do_not_pin_many_at_once(seed: int) -> None:
    together = Together(100_000, noise=0.1, seed=seed)
    together.run([0.0] * 8, 90)
    assert sum(at >= 60 for at, _ in together.answered) >= 0.4 * 1000 * 30  # of about 1000 per second


def test_one_that_is_held_back_by_nothing_takes_no_part_in_sharing() -> None:
    pace = Pace(0.0)
    assert pace.share([], 0.0) == ALONE  # it does not know yet
    for step in range(1, 20):
        pace.delay(step / 10)
    assert pace.rate is None
    assert pace.share([Standing(5.0), Standing(None)], 2.0) == Standing(None)
    assert pace.rate is None


@pytest.mark.parametrize("starts", [BACKFILL_FIRST, NIGHT_FIRST, [0.0] * 8])
def test_equal_parts_come_by_the_slow_beat_of_an_object_store_too(starts: list[float]) -> None:
    together = Together(80, beat_s=REMOTE_BEAT_S)
    together.run(starts, 180)
    parts = together.parts(100, 8)
    assert min(parts) >= 0.6
    assert max(parts) <= 1.7
    assert sum(at >= 100 for at, _ in together.answered) >= 0.85 * 80 * 80
    assert sum(at >= 100 for at in together.refused) <= 0.12 * 80 * 80


def test_a_rate_that_grew_from_next_to_nothing_does_not_leap_beyond_all_others() -> None:
    pace = Pace(0.0)
    pace.share([Standing(0.06)], 0.0)
    now = 0.0
    while (pace.rate or 0.0) < 10:  # by clean windows
        now += pace.delay(now) + 1e-6
        pace.send(now)
        assert now < 3600
    grown = pace.rate
    assert grown is not None
    told = pace.share([Standing(40.0)] * 7, now)
    assert told.rate is not None
    assert told.rate <= 80.0


def test_one_that_has_just_begun_begins_with_its_part() -> None:
    pace = Pace(0.0)
    assert pace.share([Standing(30.0), Standing(10.0), ALONE], 0.0).rate == pytest.approx(10.0)


# --- the gate ----------------------------------------------------------------------------------


def test_no_more_calls_in_flight_than_allowed(tmp_path: Path) -> None:
    async def main() -> None:
        slow = Reply(body=completion("x"), hang_s=0.01)
        async with opened(lambda _: slow, str(tmp_path), limits=Limits(concurrency=5)) as (ask, fake):
            await asyncio.gather(*(ask("step", say(str(row))) for row in range(40)))
            assert fake.most_in_flight == 5

    asyncio.run(main())


def test_a_known_rate_is_kept(tmp_path: Path) -> None:
    async def main() -> None:
        limits = Limits(requests_per_minute=60 * 50)
        async with opened(lambda _: good(), str(tmp_path), limits=limits) as (ask, fake):
            started = asyncio.get_running_loop().time()  # not the first arrival: connecting may hold that one up
            await asyncio.gather(*(ask("step", say(str(row))) for row in range(50)))
            times = [asked.at for asked in fake.asked]
            assert len(times) == 50
            assert times[-1] - started >= (50 - 50 * 0.25 - 2) / 50  # all but the burst at 50 per second

    asyncio.run(main())


def test_tokens_per_minute_are_kept_and_unused_ones_come_back(tmp_path: Path) -> None:
    async def main() -> None:
        # Each call may take 50 tokens and more, and takes 20: 40 calls are 800 tokens at 1000 per second.
        limits = Limits(tokens_per_minute=60_000)
        async with opened(lambda _: good(prompt=15, completion=5), str(tmp_path), limits=limits) as (
            ask,
            fake,
        ):
            started = asyncio.get_running_loop().time()
            await asyncio.gather(*(ask("step", say(str(row))) for row in range(40)))
            times = [asked.at for asked in fake.asked]
            assert times[-1] - started >= (800 - 250 - 130) / 1000
            assert len(times) == 40

    asyncio.run(main())


def test_a_call_larger_than_a_minutes_burst_still_goes(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(lambda _: good(), str(tmp_path), limits=Limits(tokens_per_minute=600)) as (ask, _):
            assert (await ask("step", say("a"))).text == "fine"  # 50 tokens and more, where a burst is 2

    asyncio.run(main())


def test_waiters_that_leave_take_nothing_and_the_others_get_their_turn() -> None:
    async def main() -> None:
        limiter = Limiter(Limits(concurrency=1))
        held = await limiter.acquire(0)
        waiting = [asyncio.create_task(limiter.acquire(0)) for _ in range(4)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        waiting[2].cancel()
        held.failed()
        (await waiting[1]).failed()
        (await waiting[3]).failed()
        assert limiter.in_flight == 0
        # Cancelled in the very moment in which its turn came.
        held = await limiter.acquire(0)
        unlucky = asyncio.create_task(limiter.acquire(0))
        await asyncio.sleep(0)
        held.failed()
        unlucky.cancel()
        with pytest.raises(asyncio.CancelledError):
            await unlucky
        assert limiter.in_flight == 0

    asyncio.run(main())


def test_a_closed_gate_lets_nobody_through() -> None:
    async def main() -> None:
        limiter = Limiter(Limits(concurrency=1))
        await limiter.acquire(0)
        waiting = asyncio.create_task(limiter.acquire(0))
        await asyncio.sleep(0)
        limiter.close()
        for late in (waiting, limiter.acquire(0)):
            with pytest.raises(TeacherUnavailable):
                await late

    asyncio.run(main())


def test_every_row_is_kept_under_random_faults(tmp_path: Path) -> None:
    draw = random.Random(1)

    def script(_: object) -> Reply:
        fate = draw.random()
        if fate < 0.1:
            return error(429, Retry_After="0.05")
        if fate < 0.15:
            return error(500)
        return Reply(body=completion("x")[:30]) if fate < 0.17 else good("x")

    async def main() -> None:
        async with opened(script, str(tmp_path), limits=Limits(concurrency=50)) as (ask, fake):
            said = await asyncio.gather(*(ask("step", say(str(row))) for row in range(400)))
            assert len(said) == len(ask.journal) == 400
            assert ask.tally.total.tries == len(fake.asked)

    asyncio.run(main())


# --- the roster --------------------------------------------------------------------------------


def test_writers_count_each_other_and_leave(tmp_path: Path) -> None:
    rosters = [Roster(LOCAL, str(tmp_path), "http://h/v1", f"shard-{number}") for number in range(3)]
    assert [roster.beat() for roster in rosters] == [1, 2, 3]
    assert rosters[0].beat() == 3
    rosters[1].leave()
    assert rosters[0].beat() == 2
    assert Roster(LOCAL, str(tmp_path), "http://other/v1", "shard-0").beat() == 1


def test_writers_tell_each_other_where_they_stand(tmp_path: Path) -> None:
    one, two, three = (Roster(LOCAL, str(tmp_path), "http://h/v1", name) for name in ("one", "two", "three"))
    assert one.others() == []
    one.beat(Standing(12.34567, 0.125))
    two.beat(Standing(None, 0.25))
    assert sorted(three.others(), key=repr) == [Standing(12.35, 0.125), Standing(None, 0.25)]
    assert one.beat(Standing(0.05)) == 3  # a new name is no new writer
    assert two.others().count(Standing(0.05)) == 1
    assert len(list(tmp_path.rglob("*.live"))) == 3
    for roster in (one, two, three):
        roster.leave()
    assert not list(tmp_path.rglob("*.live"))


@pytest.mark.parametrize(
    "told",
    ["fast~x", "nan~0", "inf~0", "-5~0", "1e300~0", "0~0", "none~nan", "none~1", "none~-0.1", "20~7", "1~2~3~4", "~"],
)
def test_a_file_that_tells_nothing_sensible_is_a_writer_all_the_same(tmp_path: Path, told: str) -> None:
    one, two = (Roster(LOCAL, str(tmp_path), "http://h/v1", name) for name in ("one", "two"))
    two.beat()
    (file,) = tmp_path.rglob("*.live")
    file.rename(file.with_name(f"{file.stem}~{told}.live"))
    assert one.others() == [ALONE]
    assert one.beat() == 2


@given(
    st.none() | st.floats(FLOOR, RAMP_TO), st.floats(0, MAX_NOISE),
)  # fmt: skip
def test_all_that_a_pace_can_tell_is_heard(rate: float | None, noise: float) -> None:
    told = Standing(rate, noise)
    heard = _read(f"writer~token{_shown(told)}.live")
    assert heard == told or heard == Standing(
        None if rate is None else pytest.approx(rate, rel=0.001), pytest.approx(noise, rel=0.01)
    )


def test_a_folder_in_the_roster_is_no_writer_and_harms_nobody(tmp_path: Path) -> None:
    roster = Roster(LOCAL, str(tmp_path), "http://h/v1", "one")
    roster.beat()
    (file,) = tmp_path.rglob("*.live")
    (file.parent / "two~1.live").mkdir()
    os.utime(file.parent / "two~1.live", (0, 0))
    assert roster.beat() == 1


def test_a_file_from_the_future_does_not_keep_a_share_for_ever(tmp_path: Path) -> None:
    one, two = (Roster(LOCAL, str(tmp_path), "http://h/v1", name) for name in ("one", "two"))
    two.beat(Standing(50.0))
    (file,) = tmp_path.rglob("two*")
    os.utime(file, (file.stat().st_mtime + 10**6,) * 2)
    assert one.beat() == 1
    assert not file.exists()


def test_a_beat_that_is_late_does_not_come_back_after_one_has_left(tmp_path: Path) -> None:
    roster = Roster(LOCAL, str(tmp_path), "http://h/v1", "one")
    roster.beat()
    roster.leave()
    roster.tell(Standing(5.0))
    assert not list(tmp_path.rglob("*.live"))


class Counting:
    """A file system that counts what is asked of it."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self._fs = fsspec.filesystem("memory")

    def __getattr__(self, name: str) -> Any:
        self.asked[name] += 1
        return getattr(self._fs, name)


def test_a_beat_on_an_object_store_is_rare_and_costs_one_put_and_one_list() -> None:
    fs = Counting()
    folder = f"/roster-{random.randrange(2**60):x}"
    roster = Roster(fs, folder, "http://h/v1", "one")
    roster.beat()
    fs.asked.clear()
    for rate in range(1, 4):
        roster.others()
        roster.tell(Standing(float(rate)))
    assert {name: count for name, count in fs.asked.items() if name != "invalidate_cache"} == {
        "pipe_file": 3,
        "ls": 3,
        "rm_file": 3,  # a DELETE costs nothing
    }
    assert REMOTE_BEAT_S >= 10
    assert roster.beat_s == REMOTE_BEAT_S
    assert Roster(LOCAL, "/nowhere", "http://h/v1", "one").beat_s == BEAT_S
    fs._fs.rm(folder, recursive=True)


def test_what_a_killed_writer_told_is_no_longer_heard(tmp_path: Path) -> None:
    alive, dead = (Roster(LOCAL, str(tmp_path), "http://h/v1", name) for name in ("alive", "dead"))
    dead.beat(Standing(50.0))
    assert alive.others() == [Standing(50.0)]
    (file,) = tmp_path.rglob("dead*")
    moment = file.stat().st_mtime
    os.utime(file, (moment - 100, moment - 100))
    assert Roster(LOCAL, str(tmp_path), "http://h/v1", "new").others() == [ALONE]  # only the one alive
    assert alive.others() == [ALONE]


def test_a_killed_writer_drops_out_by_the_file_servers_clock(tmp_path: Path) -> None:
    alive, dead = (Roster(LOCAL, str(tmp_path), "http://h/v1", name) for name in ("alive", "dead"))
    dead.beat()
    assert alive.beat() == 2
    (file,) = tmp_path.rglob("dead*")
    moment = file.stat().st_mtime
    os.utime(file, (moment - 100, moment - 100))
    assert alive.beat() == 1
    assert file.exists()
    os.utime(file, (moment - 10_000, moment - 10_000))
    assert alive.beat() == 1
    assert not file.exists()  # swept away


def test_on_an_object_store() -> None:
    fs = fsspec.filesystem("memory")
    folder = f"/roster-{random.randrange(2**60):x}"
    one, two = (Roster(fs, folder, "http://h/v1", name) for name in ("one", "two"))
    assert (one.beat(), two.beat(), one.beat()) == (1, 2, 2)
    two.leave()
    assert one.beat() == 1
    fs.rm(folder, recursive=True)


def test_concurrent_writers_share_concurrency_and_rate_equally(tmp_path: Path) -> None:
    async def main() -> None:
        limits = Limits(concurrency=12, requests_per_minute=6000)
        rosters = [Roster(LOCAL, str(tmp_path), "http://h/v1", f"s{number}", beat_s=0.05) for number in range(3)]
        limiters = [Limiter(limits, roster) for roster in rosters]

        async def shared(shares: list[int]) -> None:
            for _ in range(500):
                if [limiter.concurrency for limiter in limiters[: len(shares)]] == shares:
                    return
                await asyncio.sleep(0.02)
            raise AssertionError(f"not shared as {shares}")

        async with limiters[0], limiters[1]:
            async with limiters[2]:
                await shared([4, 4, 4])
                assert [each._requests.rate for each in limiters] == [pytest.approx(100 / 3)] * 3  # type: ignore[union-attr]
            await shared([6, 6])

    asyncio.run(main())


@pytest.mark.parametrize("error", [StoreRefused("no"), StoreUnreachable("down"), OSError("odd")])
def test_a_roster_that_fails_for_a_while_is_beaten_in_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    def broken(self: Roster) -> list[Standing]:
        raise error

    async def main() -> None:
        roster = Roster(LOCAL, str(tmp_path), "http://h/v1", "s", beat_s=0.02)
        with monkeypatch.context() as patch:
            patch.setattr(Roster, "others", broken)
            limiter = Limiter(Limits(concurrency=4), roster)
            await limiter.__aenter__()
            await asyncio.sleep(0.1)
        Roster(LOCAL, str(tmp_path), "http://h/v1", "other").beat()
        async with asyncio.timeout(20):
            while limiter.concurrency != 2:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        await limiter.__aexit__(None, None, None)

    asyncio.run(main())
    assert "Cannot read the roster" in caplog.text


def test_a_roster_that_cannot_be_read_stops_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")

    async def main() -> None:
        async with Limiter(Limits(concurrency=3), Roster(LOCAL, str(tmp_path / "file"), "http://h/v1", "s")) as limiter:
            (await limiter.acquire(0)).failed()

    asyncio.run(main())
    assert "roster" in caplog.text
