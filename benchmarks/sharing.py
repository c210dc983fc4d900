"""How much of the endpoint's rate a night's shard gets beside seven shards of a backfill.

Everything is real but the teacher, which answers after 0.2 s and refuses more than its limit with 429:
``PYTHONPATH=include:. python benchmarks/sharing.py``
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import Counter, deque

import fsspec
from tests.teacher.fake_teacher import Asked, Reply, completion, desk, endpoint, error, fake_teacher, say

from ultralink.teacher.desk import teacher
from ultralink.teacher.endpoint import Limits

BACKFILL, LIMIT, LATENCY_S = 7, 80, 0.2  # shards; requests per second of the endpoint
ALONE_S, SETTLE_S, MEASURED_S = 8.0, 8.0, 20.0
ROWS = 32  # in progress per shard


def limited(per_second: int, now: deque[float]) -> Reply:
    """An answer, or a 429 for what is above the limit."""
    at = time.monotonic()
    while now and now[0] < at - 1:
        now.popleft()
    if len(now) >= per_second:
        return error(429, "too many requests", code="rate_limit_exceeded")
    now.append(at)
    return Reply(body=completion("fine"), hang_s=LATENCY_S)


async def shard(
    name: str,
    url: str,
    limits: Limits,
    folder: str,
    begin_s: float,
    end_at: float,
    done: Counter[str],
    answered: list[tuple[float, str]],
) -> None:
    await asyncio.sleep(begin_s)
    mine = desk(f"{folder}/{name}", fs=fsspec.filesystem("file"), writer=name, roster_folder=f"{folder}/roster")
    async with teacher(mine, endpoint(url, limits=limits)) as ask:

        async def row(number: int) -> None:
            while time.monotonic() < end_at:
                done[name] += 1
                await ask("step", say(f"{name} {number} {done[name]}"))
                answered.append((time.monotonic(), name))

        await asyncio.gather(*(row(number) for number in range(ROWS)), return_exceptions=True)


async def measure(what: str, limits: Limits, *, nightly_at: float = ALONE_S, backfill_at: float = 0.0) -> None:
    recent: deque[float] = deque()
    answered: list[tuple[float, str]] = []

    def script(asked: Asked) -> Reply:
        return limited(LIMIT, recent)

    async with fake_teacher(script) as fake:
        with tempfile.TemporaryDirectory() as folder:
            start = time.monotonic()
            end = start + ALONE_S + SETTLE_S + MEASURED_S
            done: Counter[str] = Counter()
            names = [(f"backfill-{number}", backfill_at) for number in range(BACKFILL)] + [("nightly", nightly_at)]
            await asyncio.gather(
                *(shard(name, fake.url, limits, folder, begin, end, done, answered) for name, begin in names)
            )
        measured = Counter(name for at, name in answered if end - MEASURED_S <= at < end)
        first = min(at for at, name in answered if name == "nightly") - start - nightly_at
        total = sum(measured.values())
        rates = sorted((round(count / MEASURED_S, 1) for name, count in measured.items() if name != "nightly"))
        nightly = measured["nightly"] / MEASURED_S
        print(
            f"| {what} | {total / MEASURED_S:.1f}/s | {rates[0]}-{rates[-1]}/s | {nightly:.1f}/s | "
            f"{nightly / (total / MEASURED_S / (BACKFILL + 1)):.2f} | {first:.1f} s |"
        )


async def main() -> None:
    print("| limit | all | a backfill shard | the nightly shard | of an equal part | its first answer after |")
    print("| --- | --- | --- | --- | --- | --- |")
    await measure("told: 4800 requests per minute", Limits(requests_per_minute=LIMIT * 60))
    await measure("told: 16 calls in flight", Limits(concurrency=16))
    await measure("hidden, found by 429s", Limits())
    await measure("hidden, the night was there first", Limits(), nightly_at=0.0, backfill_at=ALONE_S)


if __name__ == "__main__":
    asyncio.run(main())
