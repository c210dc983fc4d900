"""A fake teacher for load and faults: an OpenAI-compatible server that answers after a fixed latency.

POST /v1/chat/completions: about 100 tokens; JSON that fits the schema, where one is asked for.
POST /reset: JSON of Settings to change; counters go to zero. GET /stats: what was asked, and what was paid.
Faults are drawn from (prompt, attempt), so every client meets the same ones and a retry draws again. Any
answer 200 counts as paid, the truncated ones included, for a provider bills those.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import time
from collections import Counter
from dataclasses import asdict, dataclass, field, replace

import uvloop
from aiohttp import web

TEXT = " ".join(f"word{number % 10}" for number in range(75))


@dataclass(frozen=True)
class Settings:
    """Shares are of attempts; ``rpm`` 0 means no limit, and its bucket holds one second."""

    latency: float = 0.2
    p429: float = 0.0
    p500: float = 0.0
    p_bad_body: float = 0.0
    retry_after: float = 1.0
    rpm: float = 0.0


@dataclass
class State:
    """What the server has seen since the last reset."""

    settings: Settings = Settings()
    attempts: Counter[str] = field(default_factory=Counter)
    paid: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    in_flight: int = 0
    most_in_flight: int = 0
    first: float = 0.0
    last: float = 0.0
    bucket: float = 0.0
    filled: float = 0.0

    def is_over_limit(self) -> bool:
        """The token bucket of ``rpm`` is empty."""
        rate = self.settings.rpm / 60
        if not rate:
            return False
        now = time.monotonic()
        self.bucket = min(max(1.0, rate), self.bucket + (now - self.filled) * rate)
        self.filled = now
        if self.bucket < 1:
            return True
        self.bucket -= 1
        return False

    def fault(self, key: str) -> str:
        """The fault of this attempt, or ``ok``."""
        digest = hashlib.sha1(f"{key}|{self.attempts[key]}".encode(), usedforsecurity=False).digest()
        draw = int.from_bytes(digest[:8], "big") / 2**64
        for name in ("p429", "p500", "p_bad_body"):
            share: float = getattr(self.settings, name)
            if draw < share:
                return name
            draw -= share
        return "ok"

    def stats(self) -> dict[str, object]:
        """The counters as JSON."""
        return {
            "requests": sum(self.attempts.values()),
            "paid": sum(self.paid.values()),
            "paid_twice": sum(times - 1 for times in self.paid.values()),
            "status": dict(self.statuses),
            "max_inflight": self.most_in_flight,
            "window_s": round(self.last - self.first, 3),
        }


def completion(body: dict[str, object]) -> str:
    """The JSON of an answer."""
    content = TEXT
    asked = body.get("response_format")
    if isinstance(asked, dict) and "json_schema" in asked:
        content = json.dumps(dict.fromkeys(asked["json_schema"]["schema"]["properties"], TEXT))
    prompt_tokens = len(json.dumps(body["messages"])) // 4
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": 100, "total_tokens": prompt_tokens + 100}
    message = {"role": "assistant", "content": content, "refusal": None}
    return json.dumps(
        {
            "id": "chatcmpl-mock",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": body["model"],
            "choices": [{"index": 0, "finish_reason": "stop", "logprobs": None, "message": message}],
            "usage": usage,
        }
    )


class Server:
    """The routes."""

    def __init__(self) -> None:
        self.state = State()

    async def chat(self, request: web.Request) -> web.Response:
        """One completion, or one fault."""
        body = await request.json()
        state = self.state
        state.first = state.first or time.monotonic()
        key = hashlib.sha1(json.dumps(body["messages"]).encode(), usedforsecurity=False).hexdigest()
        state.attempts[key] += 1
        fault = "p429" if state.is_over_limit() else state.fault(key)
        state.in_flight += 1
        state.most_in_flight = max(state.most_in_flight, state.in_flight)
        try:
            await asyncio.sleep(0.01 if fault == "p429" else state.settings.latency)
        finally:
            state.in_flight -= 1
        state.last = time.monotonic()
        state.statuses[fault] += 1
        if fault == "p429":
            error = {"error": {"message": "Rate limit reached", "code": "rate_limit_exceeded"}}
            headers = {"Retry-After": f"{state.settings.retry_after:g}"}
            return web.json_response(error, status=429, headers=headers)
        if fault == "p500":
            return web.json_response({"error": {"message": "The server had an error"}}, status=500)
        state.paid[key] += 1
        text = completion(body)
        return web.Response(
            text=text[: len(text) // 2] if fault == "p_bad_body" else text, content_type="application/json"
        )

    async def stats(self, _: web.Request) -> web.Response:
        """The counters."""
        return web.json_response(self.state.stats())

    async def reset(self, request: web.Request) -> web.Response:
        """New settings, counters at zero."""
        changes = await request.json()
        known = {name: float(value) for name, value in changes.items() if name in asdict(Settings())}
        self.state = State(replace(Settings(), **known))
        self.state.bucket, self.state.filled = self.state.settings.rpm / 60, time.monotonic()
        return web.json_response(asdict(self.state.settings))


def main() -> None:
    """Serve on loopback; prints the port once it listens."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    port = parser.parse_args().port

    async def serve() -> None:
        server = Server()
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_post("/v1/chat/completions", server.chat)
        app.router.add_get("/stats", server.stats)
        app.router.add_post("/reset", server.reset)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port, backlog=4096)
        await site.start()
        print(runner.addresses[0][1], flush=True)
        await asyncio.Event().wait()

    uvloop.run(serve())


if __name__ == "__main__":
    main()
