"""How much of the endpoint's rate a night's shard gets beside seven shards of a backfill.

Everything is real but the teacher, which answers after 0.2 s and refuses more than its limit with 429. Each case runs
several times; what differs between runs is shown as least/median/most. "Each for itself": the shards count each other
but share nothing of what they learn: ``PYTHONPATH=include:plugins python benchmarks/sharing.py``
prints a table in Markdown.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from unittest.mock import patch

import fsspec

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.teacher.fake_teacher import Asked, Reply, completion, desk, endpoint, error, fake_teacher, say

from ultralink.teacher.desk import teacher
from ultralink.teacher.endpoint import Limits
from ultralink.teacher.pace import ALONE, Pace

BACKFILL, LIMIT, LATENCY_S = 7, 80, 0.2  # shards; requests per second of the endpoint
ALONE_S, SETTLE_S, MEASURED_S = 8.0, 8.0, 20.0
ROWS = 32  # in progress per shard
RUNS = 3


@dataclass(frozen=True)
class Case:
    """One line of the table; ``nightly_at`` and ``backfill_at`` are when they begin, in seconds."""

    what: str
    limits: Limits
    nightly_at: float = ALONE_S
    backfill_at: float = 0.0
    is_shared: bool = True


@dataclass(frozen=True)
class Run:
    """What one run of a case came to; parts are of an equal one."""

    total: float
    least: float
    nightly: float
    refused: float
    first_s: float


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


async def measure(case: Case) -> Run:
    recent: deque[float] = deque()
    answered: list[tuple[float, str]] = []
    refused: list[float] = []

    def script(asked: Asked) -> Reply:
        reply = limited(LIMIT, recent)
        if reply.status == 429:
            refused.append(time.monotonic())
        return reply

    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        if not case.is_shared:
            stack.enter_context(patch.object(Pace, "share", lambda pace, others, now: ALONE))
        async with fake_teacher(script) as fake:
            start = time.monotonic()
            end = start + ALONE_S + SETTLE_S + MEASURED_S
            done: Counter[str] = Counter()
            names = [(f"backfill-{number}", case.backfill_at) for number in range(BACKFILL)]
            names.append(("nightly", case.nightly_at))
            await asyncio.gather(
                *(shard(name, fake.url, case.limits, folder, begin, end, done, answered) for name, begin in names)
            )
    measured = Counter(name for at, name in answered if end - MEASURED_S <= at < end)
    total = sum(measured.values())
    equal = total / len(names)
    return Run(
        total=total / MEASURED_S,
        least=min(measured[name] for name, _ in names) / equal,
        nightly=measured["nightly"] / equal,
        refused=sum(end - MEASURED_S <= at < end for at in refused) / total,
        first_s=min(at for at, name in answered if name == "nightly") - start - case.nightly_at,
    )


def spread(values: Sequence[float], form: str = ".2f") -> str:
    return "/".join(f"{value:{form}}" for value in (min(values), median(values), max(values)))


async def main() -> None:
    cases = [
        Case("told: 4800 requests per minute", Limits(requests_per_minute=LIMIT * 60)),
        Case("told: 16 calls in flight", Limits(concurrency=16)),
        Case("hidden, each for itself", Limits(), is_shared=False),
        Case("hidden", Limits()),
        Case("hidden, the night first, each for itself", Limits(), 0.0, ALONE_S, is_shared=False),
        Case("hidden, the night first", Limits(), 0.0, ALONE_S),
    ]
    print(
        "| limit | all, of 80/s | the nightly shard, of an equal part | the least of all | 429s per answer "
        "| its first answer after |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    for case in cases:
        runs = [await measure(case) for _ in range(RUNS)]
        print(
            f"| {case.what} | {spread([run.total / LIMIT for run in runs])} "
            f"| {spread([run.nightly for run in runs])} | {spread([run.least for run in runs])} "
            f"| {spread([run.refused for run in runs])} | {spread([run.first_s for run in runs], '.1f')} s |",
            flush=True,
        )


if __name__ == "__main__":
    asyncio.run(main())
