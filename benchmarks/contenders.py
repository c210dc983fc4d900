"""The contenders of the engine benchmark, each run in a process of its own: UltraLink, and two bare clients.

    contenders.py ultralink|openai|aiohttp URL ROWS IN_FLIGHT FOLDER

Prints one JSON line: rows kept, seconds from the first row to the last, CPU seconds and peak memory.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

MAX_TOKENS = 512


def prompts(rows: int) -> Iterator[str]:
    """One prompt per row."""
    return (f"Row {row}: write two sentences about item number {row} of the catalogue." for row in range(rows))


async def pump(call: Callable[[str], Awaitable[str]], rows: int, in_flight: int) -> int:
    """All rows, ``in_flight`` at once, no retry; returns how many were answered."""
    waiting, kept = prompts(rows), 0

    async def worker() -> None:
        nonlocal kept
        for prompt in waiting:
            try:
                answered = await call(prompt)
                kept += bool(answered)
            except Exception as problem:  # a bare client has no answer to a fault: the row is missing
                print(f"lost a row: {problem!r}"[:120], file=sys.stderr)

    await asyncio.gather(*(worker() for _ in range(in_flight)))
    return kept


async def run_openai(url: str, rows: int, in_flight: int, _folder: Path) -> tuple[int, float]:
    """The openai client as it comes, two retries included."""
    from openai import AsyncOpenAI

    async with AsyncOpenAI(base_url=url, api_key="benchmark", timeout=60) as client:

        async def call(prompt: str) -> str:
            said = await client.chat.completions.create(
                model="mock", messages=[{"role": "user", "content": prompt}], max_tokens=MAX_TOKENS
            )
            return said.choices[0].message.content or ""

        started = time.monotonic()
        return await pump(call, rows, in_flight), time.monotonic() - started


async def run_aiohttp(url: str, rows: int, in_flight: int, _folder: Path) -> tuple[int, float]:
    """The least that a client can do."""
    import aiohttp

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=in_flight)) as session:

        async def call(prompt: str) -> str:
            body = {
                "model": "mock",
                "messages": [{"role": "user", "content": prompt}],
                "max_tokens": MAX_TOKENS,
            }
            async with session.post(f"{url}/chat/completions", json=body) as response:
                response.raise_for_status()
                text: str = (await response.json())["choices"][0]["message"]["content"]
                return text

        started = time.monotonic()
        return await pump(call, rows, in_flight), time.monotonic() - started


async def run_ultralink(url: str, rows: int, in_flight: int, folder: Path) -> tuple[int, float]:
    """The product: journaled before the row moves on, the answer checked against its schema."""
    import fsspec
    from openai import AsyncOpenAI
    from pydantic import BaseModel

    from ultralink.teacher.ask import Ask, Style
    from ultralink.teacher.desk import Desk, teacher
    from ultralink.teacher.endpoint import Endpoint
    from ultralink.teacher.live import Origin
    from ultralink.teacher.models import load_models
    from ultralink.teacher.program import Progress, run_rows
    from ultralink.teacher.request import Message, Sampling

    class Sentences(BaseModel):
        answer: str

    async def program(prompt: str, ask: Ask) -> str:
        return (await ask.structured("answer", [Message("user", prompt)], Sentences)).value.answer

    client = AsyncOpenAI(base_url=url, api_key="benchmark", timeout=60)
    desk = Desk(
        fs=fsspec.filesystem("file"),
        journal_folder=str(folder / "journal"),
        writer="benchmark",
        origin=Origin("benchmark", 0),
        cards=load_models(),
        style=Style("mock", Sampling(max_tokens=MAX_TOKENS)),
        roster_folder=str(folder / "roster"),
    )
    kept = 0
    started = time.monotonic()
    async with teacher(desk, Endpoint.from_client(client, {"concurrency": in_flight})) as ask:
        async for outcome in run_rows(
            program, prompts(rows), ask, concurrency=2 * in_flight, progress=Progress(total=rows)
        ):
            kept += bool(outcome.result)
    return kept, time.monotonic() - started


CONTENDERS = {"ultralink": run_ultralink, "openai": run_openai, "aiohttp": run_aiohttp}


def main() -> None:
    """Run the contender that the command line names."""
    name, url, rows, in_flight, folder = sys.argv[1:]
    # The bare clients run on asyncio as they come; uvloop is part of what UltraLink brings.
    work = CONTENDERS[name](url, int(rows), int(in_flight), Path(folder))
    if name == "ultralink":
        import uvloop

        kept, seconds = uvloop.run(work)
    else:
        kept, seconds = asyncio.run(work)
    used = resource.getrusage(resource.RUSAGE_SELF)
    result = {
        "kept": kept,
        "seconds": seconds,
        "cpu_s": used.ru_utime + used.ru_stime,
        "peak_kb": used.ru_maxrss,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
