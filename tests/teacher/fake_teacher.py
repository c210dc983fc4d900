"""A fake teacher on loopback: an OpenAI-compatible server, no LLM, that does what a test's script says."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import fsspec
from aiohttp import web

from ultralink.teacher.ask import Ask, Style
from ultralink.teacher.budget import NO_BUDGET, Budget
from ultralink.teacher.desk import Desk, teacher
from ultralink.teacher.endpoint import Endpoint, Limits
from ultralink.teacher.live import Origin
from ultralink.teacher.models import ModelCard, ModelCards, Prices
from ultralink.teacher.request import Message, Sampling

KEY = "sk-very-secret-0123456789"
Json = dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """What the fake answers. ``drop``: the connection is cut instead; ``hang_s``: it answers that late."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    hang_s: float = 0.0
    drop: bool = False
    content_length: int | None = None


@dataclass(frozen=True)
class Asked:
    """One request as the fake saw it; ``attempt`` counts, from 1, those with the same messages."""

    body: Json
    headers: Mapping[str, str]
    query: Mapping[str, str]
    attempt: int
    at: float

    @property
    def last(self) -> str:
        return str(self.body["messages"][-1]["content"])


Script = Callable[[Asked], Reply]


def completion(text: str, *, prompt: int = 10, completion: int = 5, **changes: object) -> bytes:
    """The body of a good answer."""
    whole: Json = {
        "id": "fake",
        "object": "chat.completion",
        "model": "fake-2026-11-01",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        },
    }
    return json.dumps(whole | changes).encode()


def good(text: str = "fine", **usage: int) -> Reply:
    return Reply(body=completion(text, **usage))


def error(status: int, message: str = "no", code: str | None = None, **headers: str) -> Reply:
    body = {"error": {"message": message, "type": "fake", "code": code}}
    return Reply(status, json.dumps(body).encode(), {k.replace("_", "-"): v for k, v in headers.items()})


def echo(asked: Asked) -> Reply:
    """Answers the last message by itself."""
    return good(f"re: {asked.last}")


def slow(seconds: float) -> Script:
    """``echo``, late."""
    return lambda asked: Reply(body=completion(f"re: {asked.last}"), hang_s=seconds)


def first(*replies: Reply) -> Script:
    """The first attempts at a prompt get ``replies``, the next a good answer."""

    def script(asked: Asked) -> Reply:
        return replies[asked.attempt - 1] if asked.attempt <= len(replies) else echo(asked)

    return script


class FakeTeacher:
    """What it was asked, and where it listens."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.asked: list[Asked] = []
        self.paid: Counter[str] = Counter()
        self.in_flight = self.most_in_flight = 0
        self.url = ""
        self._attempts: Counter[str] = Counter()
        self._changed = asyncio.Event()

    async def until(self, reached: Callable[[], bool]) -> None:
        """Wait for a request or an answer that makes ``reached`` true."""
        while not reached():
            self._changed.clear()
            await self._changed.wait()

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        prompt = json.dumps(body["messages"])
        self._attempts[prompt] += 1
        at = asyncio.get_running_loop().time()
        asked = Asked(body, dict(request.headers), dict(request.query), self._attempts[prompt], at)
        self.asked.append(asked)
        self._changed.set()
        reply = self.script(asked)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(reply.hang_s)
        finally:
            self.in_flight -= 1
        if reply.status == 200:
            self.paid[asked.last] += 1
            self._changed.set()
        if reply.drop:
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        if reply.content_length is not None:  # promises more than it sends
            response = web.StreamResponse(headers={"Content-Length": str(reply.content_length)})
            await response.prepare(request)
            await response.write(reply.body)
            assert request.transport is not None
            request.transport.close()
            return response
        return web.Response(body=reply.body, status=reply.status, headers=dict(reply.headers))


@asynccontextmanager
async def fake_teacher(script: Script = echo) -> AsyncIterator[FakeTeacher]:
    """Serve on a free port."""
    fake = FakeTeacher(script)
    app = web.Application(client_max_size=16 * 2**20)
    app.router.add_post("/v1/chat/completions", fake.chat)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
        fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        yield fake
    finally:
        await runner.cleanup()


CARDS = ModelCards(
    {"priced": ModelCard(context_tokens=8000, usd_per_million_tokens=Prices(prompt=100, cached=50, completion=200))}
)


def endpoint(url: str, *, timeout_s: float = 20, limits: Limits | None = None) -> Endpoint:
    return Endpoint(
        base_url=url,
        headers={"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"},
        timeout_s=timeout_s,
        limits=limits or Limits(),
    )


def desk(folder: str, *, fs: Any = None, model: str = "priced", budget: Budget = NO_BUDGET, **changes: Any) -> Desk:
    settings: Json = {
        "fs": fs or fsspec.filesystem("file"),
        "journal_folder": folder,
        "writer": "shard-0",
        "origin": Origin("run-1", 0),
        "cards": CARDS,
        "style": Style(model, Sampling(max_tokens=50)),
        "budget": budget,
    }
    return Desk(**(settings | changes))


@asynccontextmanager
async def opened(
    script: Script, folder: str, *, timeout_s: float = 20, limits: Limits | None = None, **changes: Any
) -> AsyncIterator[tuple[Ask, FakeTeacher]]:
    """A fake teacher, and the door to it."""
    async with (
        fake_teacher(script) as fake,
        teacher(desk(folder, **changes), endpoint(fake.url, timeout_s=timeout_s, limits=limits)) as ask,
    ):
        yield ask, fake


def say(text: str) -> list[Message]:
    return [Message("user", text)]
