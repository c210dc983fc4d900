"""A Batch API on loopback (the offline teacher's own endpoints) with a script for answers, and attempts at a task."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from pydantic import BaseModel
from tests.teacher.fake_teacher import completion, desk, endpoint, say

from ultralink.offline_teacher.batches import Batches, BatchFaults
from ultralink.teacher.ask import Ask
from ultralink.teacher.batch.client import BatchClient
from ultralink.teacher.batch.tickets import Ticket, Tickets
from ultralink.teacher.desk import Desk, teacher
from ultralink.teacher.endpoint import Limits
from ultralink.teacher.journal import Journal
from ultralink.teacher.program import Outcome, run_rows
from ultralink.teacher.record import Record
from ultralink.teacher.waiting import Waiting

Json = dict[str, Any]
Answer = tuple[int, Json]
Script = Callable[[str, Json], Answer]
LIMITS = Limits(batch_poll_s=0.01)


def good(text: str) -> Answer:
    return 200, json.loads(completion(text))


def refused(message: str, status: int = 400, code: str | None = None) -> Answer:
    return status, {"error": {"message": message, "type": "fake", "code": code}}


def echo(said: str, body: Json) -> Answer:
    return good(f"re: {said}")


@dataclass
class Provider:
    """What the tests' provider was asked and paid for, by the last message."""

    script: Script = echo
    faults: BatchFaults = field(default_factory=BatchFaults)
    paid: Counter[str] = field(default_factory=Counter)
    bodies: list[Json] = field(default_factory=list)
    url: str = ""
    refuse_uploads: list[Answer | None] = field(default_factory=list)  # the next ones; None: taken
    batches: Batches = field(init=False)

    def __post_init__(self) -> None:
        self.batches = Batches(self._answer, self._admit, self.faults)

    def _admit(self, request: web.Request) -> web.Response | None:
        if request.path != "/v1/files" or not self.refuse_uploads:
            return None
        answer = self.refuse_uploads.pop(0)
        return web.json_response(answer[1], status=answer[0]) if answer else None

    async def until(self, reached: Callable[[], bool]) -> None:
        """Wait until the provider has come so far."""
        async with asyncio.timeout(20):
            while not reached():  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def _answer(self, body: bytes) -> Answer:
        asked = json.loads(body)
        self.bodies.append(asked)
        said = str(asked["messages"][-1]["content"])
        status, answered = self.script(said, asked)
        if status == 200:
            self.paid[json.dumps(asked, sort_keys=True)] += 1
        return status, answered


@asynccontextmanager
async def provider(script: Script = echo, **faults: Any) -> AsyncIterator[Provider]:
    """Serve batches and live calls on a free port."""
    served = Provider(script, BatchFaults(**faults))
    app = web.Application(client_max_size=64 * 2**20)
    app.add_routes(served.batches.routes())

    async def chat(request: web.Request) -> web.Response:
        status, answered = await served._answer(await request.read())
        return web.json_response(answered, status=status)

    app.router.add_post("/v1/chat/completions", chat)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        served.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        yield served
    finally:
        await runner.cleanup()


def batch_desk(folder: object, **changes: Any) -> Desk:
    return desk(str(folder), **{"mode": "batch", "task": "shard-0", **changes})


class Verdict(BaseModel):
    """What the structured step wants."""

    good: bool


async def chain(row: str, ask: Ask) -> str:
    """Three asks, each of which quotes the answer before."""
    first = await ask("first", say(row))
    second = await ask("second", say(f"{row} / {first.text}"))
    third = await ask("third", say(f"{row} / {second.text}"))
    return third.text


Program = Callable[[str, Ask], Any]


async def attempt(
    one: Desk, url: str, rows: Sequence[str], program: Program = chain, limits: Limits = LIMITS
) -> list[Outcome[str, Any]]:
    """One try of the task. Raises Waiting and whatever ends it."""
    found = []
    async with (
        teacher(one, endpoint(url, limits=limits)) as ask,
        aclosing(run_rows(program, rows, ask, concurrency=4)) as outcomes,
    ):
        async for outcome in outcomes:
            found.append(outcome)
    return found


async def to_the_end(
    one: Desk, url: str, rows: Sequence[str], program: Program = chain, limits: Limits = LIMITS
) -> list[Outcome[str, Any]]:
    """Tries until one of them does not have to wait."""
    for _ in range(400):
        try:
            return await attempt(one, url, rows, program, limits)
        except Waiting:
            await asyncio.sleep(0.01)
    raise AssertionError("it waits for ever")


def expected(rows: Sequence[str]) -> list[str]:
    """What ``chain`` makes of ``rows`` when the provider echoes."""
    made = []
    for row in rows:
        second = f"re: {row} / re: {row}"
        made.append(f"re: {row} / {second}")
    return made


def journal(one: Desk) -> list[Record]:
    return list(Journal.open(one.fs, one.journal_folder, "reader").records())


def tickets(one: Desk) -> list[Ticket]:
    return Tickets.of(one.fs, one.journal_folder, one.task).all()


class Killed(BaseException):
    """The process ends here."""


@contextmanager
def ending_at(point: int, end: Callable[[], None]) -> Iterator[list[str]]:
    """Call ``end`` at the ``point``-th of all places before and after a step; gives the names of places passed."""
    passed: list[str] = []

    def place(name: str) -> None:
        passed.append(name)
        if len(passed) - 1 == point:
            end()

    def watched(owner: type, name: str) -> Callable[..., Any]:
        real = getattr(owner, name)
        if asyncio.iscoroutinefunction(real):

            async def later(*args: Any, **kwargs: Any) -> Any:
                place(f"before {name}")
                result = await real(*args, **kwargs)
                place(f"after {name}")
                return result

            return later

        def now(*args: Any, **kwargs: Any) -> Any:
            place(f"before {name}")
            result = real(*args, **kwargs)
            place(f"after {name}")
            return result

        return now

    steps: list[tuple[type, str]] = [
        (Tickets, "begin"), (Tickets, "save"), (Tickets, "keep"), (Tickets, "finish"), (Tickets, "forget"),
        (BatchClient, "upload"), (BatchClient, "create"), (BatchClient, "look"), (BatchClient, "discard"),
        (Journal, "put"),
    ]  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in steps:
            patch.setattr(owner, name, watched(owner, name))
        yield passed


def kill() -> None:
    raise Killed
