"""The HTTP side: chat completions and batches as OpenAI's API serves them, plus a page of counts for tests."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ultralink.errors import PromptError, RecipeError
from ultralink.offline_teacher import MODEL, SERVED
from ultralink.offline_teacher.answering import say, schema_of
from ultralink.offline_teacher.batches import Batches, BatchFaults
from ultralink.offline_teacher.faults import Fault, Faults
from ultralink.offline_teacher.mischief import Said
from ultralink.offline_teacher.misdeeds import Misdeeds
from ultralink.offline_teacher.reading import AnyTask, NotOurs, PromptShelf, digest
from ultralink.teacher.prefixes import Prefixes, prompt_tokens
from ultralink.teacher.request import Message
from ultralink.tokens import count_tokens

MOST_UPLOADED = 256 * 2**20
CONTEXT_TOKENS = 32_768  # as include/models.yaml says
HANG_S = 3600.0
RETRY_AFTER_S = "1"
NO_MISDEEDS = Misdeeds()

log = logging.getLogger(__name__)


# --- the request ------------------------------------------------------------------------------


class _Schema(BaseModel):
    name: str
    definition: dict[str, object] = Field(alias="schema")


class _Format(BaseModel):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: _Schema | None = None


class _Asked(BaseModel):
    """The fields that count here; others, such as temperature, change nothing and are allowed."""

    model_config = ConfigDict(extra="allow")

    model: str
    messages: list[Message] = Field(min_length=1)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    response_format: _Format | None = None
    stream: bool = False

    @property
    def limit(self) -> int | None:
        """The most tokens that the answer may have."""
        return self.max_completion_tokens or self.max_tokens


@dataclass(eq=False)  # not frozen: Python sets an exception's traceback on its way
class Refusal(Exception):
    """An answer of OpenAI's error form."""

    status: int
    code: str
    message: str
    kind: str = "invalid_request_error"

    def body(self) -> dict[str, object]:
        """The JSON that says so."""
        error = {"message": f"{SERVED}: {self.message}", "type": self.kind, "param": None, "code": self.code}
        return {"error": error}

    def response(self) -> web.Response:
        """The HTTP response that says so."""
        headers = {"Retry-After": RETRY_AFTER_S} if self.status == 429 else {}
        return web.json_response(self.body(), status=self.status, headers=headers)


# --- counts -----------------------------------------------------------------------------------


@dataclass
class Stats:
    """What was asked and what was answered in full, which is what a provider bills."""

    calls: int = 0
    paid: Counter[str] = field(default_factory=Counter)  # per request digest
    steps: Counter[str] = field(default_factory=Counter)  # paid, per language and step
    refused: Counter[str] = field(default_factory=Counter)  # per error code or fault
    seen: Counter[str] = field(default_factory=Counter)  # calls per request digest: the attempt number
    in_flight: int = 0
    peak: int = 0  # the most in flight at once

    @contextmanager
    def flight(self) -> Iterator[None]:
        """Counts a call as in flight, from its arrival until it is answered or given up."""
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            yield
        finally:
            self.in_flight -= 1

    def page(self) -> dict[str, object]:
        """As JSON: ``unique`` requests were paid for, ``paid`` counts those paid twice twice."""
        return {
            "teacher": SERVED,
            "calls": self.calls,
            "paid": self.paid.total(),
            "unique": len(self.paid),
            "peak": self.peak,
            "by_step": dict(self.steps),
            "refused": dict(self.refused),
        }


# --- the application --------------------------------------------------------------------------


class Server:
    """One offline teacher with its shelf of prompt books, its faults, its misdeeds and its counts."""

    def __init__(
        self,
        shelf: PromptShelf,
        faults: Faults,
        key: str | None,
        misdeeds: Misdeeds = NO_MISDEEDS,
        batch_faults: BatchFaults | None = None,
    ) -> None:
        self._shelf = shelf
        self._faults = faults
        self._key = key
        self._misdeeds = misdeeds
        self._prefixes = Prefixes()
        self._stats = Stats()
        self.batches = Batches(self._answered, self._refused, batch_faults or BatchFaults())

    def application(self) -> web.Application:
        """The aiohttp application."""
        application = web.Application(client_max_size=MOST_UPLOADED)
        application.add_routes(
            [
                web.post("/v1/chat/completions", self._chat),
                web.get("/v1/models", self._models),
                web.get("/v1/stats", self._show),
                web.post("/v1/stats/reset", self._reset),
                *self.batches.routes(),
            ]
        )
        return application

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        try:
            with self._stats.flight():
                return await self._complete(request)
        except Refusal as refusal:
            self._stats.refused[refusal.code] += 1
            log.warning("refused: %s", refusal.message)
            return refusal.response()

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self._stats.calls += 1
        self._admit(request)
        asked, task, prompt = self._read(body)
        unique = digest(body.decode())
        fault, latency = self._draw(unique)
        await asyncio.sleep(latency)
        if fault is not Fault.NONE:
            self._stats.refused[fault] += 1
        match fault:
            case Fault.LIMITED:
                return Refusal(429, "rate_limit_exceeded", "too many (by --p429)", "requests").response()
            case Fault.BROKEN:
                return Refusal(500, "server_error", "broken (by --p500)", "server_error").response()
            case Fault.HANGING:
                await asyncio.sleep(HANG_S)
        completion = self._billed(asked, task, prompt, unique, fault)
        if fault is Fault.TRUNCATED:
            return await _half(request, json.dumps(completion).encode())
        return web.json_response(completion)

    async def _answered(self, body: bytes) -> tuple[int, dict[str, object]]:
        """Status and body for one line of a batch; of the faults those that a line can have."""
        self._stats.calls += 1
        try:
            asked, task, prompt = self._read(body)
            unique = digest(body.decode())
            fault, _ = self._draw(unique)
            if fault is not Fault.NONE:
                self._stats.refused[fault] += 1
            if fault is Fault.LIMITED:
                raise Refusal(429, "rate_limit_exceeded", "too many (by --p429)", "requests")
            if fault is Fault.BROKEN:
                raise Refusal(500, "server_error", "broken (by --p500)", "server_error")
            return 200, self._billed(asked, task, prompt, unique, fault)
        except Refusal as refusal:
            self._stats.refused[refusal.code] += 1
            return refusal.status, refusal.body()

    def _read(self, body: bytes) -> tuple[_Asked, AnyTask, list[int]]:
        """The request, what it asks for, and the tokens of its prompt. Raises Refusal."""
        asked = _parsed(body)
        task = self._understood(asked)
        prompt = prompt_tokens(asked.messages)
        if len(prompt) + (asked.limit or 0) > CONTEXT_TOKENS:
            raise Refusal(400, "context_length_exceeded", f"more than the context of {CONTEXT_TOKENS}")
        return asked, task, prompt

    def _draw(self, unique: str) -> tuple[Fault, float]:
        drawn = self._faults.draw(unique, self._stats.seen[unique])
        self._stats.seen[unique] += 1
        return drawn

    def _billed(self, asked: _Asked, task: AnyTask, prompt: list[int], unique: str, fault: Fault) -> dict[str, object]:
        """The completion, counted as paid."""
        said = self._said(task)
        self._stats.paid[unique] += 1
        self._stats.steps[f"{task.language} {task.step}"] += 1
        if fault is Fault.MALFORMED:
            said = Said("{" + said.text[: len(said.text) // 2])
        cached = self._prefixes.cached(prompt)
        return _completion(unique, _limited(said, asked.limit), len(prompt), cached)

    def _refused(self, request: web.Request) -> web.Response | None:
        try:
            self._admit(request)
        except Refusal as refusal:
            return refusal.response()
        return None

    def _admit(self, request: web.Request) -> None:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not key.strip() or (self._key is not None and key != self._key):
            raise Refusal(401, "invalid_api_key", "no API key, or a wrong one")

    def _understood(self, asked: _Asked) -> AnyTask:
        if asked.model != MODEL:
            raise Refusal(404, "model_not_found", f"the model here is {MODEL!r}, not {asked.model[:80]!r}")
        if asked.stream:
            raise Refusal(400, "unsupported_value", "streaming is not served")
        try:
            task = self._shelf.understand(asked.messages)
        except (NotOurs, PromptError) as problem:
            raise Refusal(400, "unknown_prompt", str(problem)) from problem
        wanted = asked.response_format.json_schema if asked.response_format else None
        if wanted is not None and not _fits(wanted.definition, schema_of(task)):
            raise Refusal(400, "unknown_schema", f"{task.step} is not answered by {wanted.name[:80]!r}")
        return task

    def _said(self, task: AnyTask) -> Said:
        try:
            return say(task, self._misdeeds)
        except (PromptError, RecipeError) as problem:  # a file that it answers from is broken
            raise Refusal(400, "broken_file", str(problem)) from problem

    async def _models(self, request: web.Request) -> web.Response:
        try:
            self._admit(request)
        except Refusal as refusal:
            return refusal.response()
        model = {"id": MODEL, "object": "model", "created": 0, "owned_by": SERVED}
        return web.json_response({"object": "list", "data": [model]})

    async def _show(self, request: web.Request) -> web.Response:
        return web.json_response(self._stats.page() | {"batches": dict(self.batches.counts)})

    async def _reset(self, request: web.Request) -> web.Response:
        self._stats = Stats()
        self.batches.counts.clear()
        return web.json_response(self._stats.page())


def _parsed(body: bytes) -> _Asked:
    try:
        return _Asked.model_validate_json(body)
    except ValidationError as problem:
        first = problem.errors()[0]
        where = ".".join(str(step) for step in first["loc"])
        raise Refusal(400, "invalid_request", f"{where or 'body'}: {first['msg']}") from problem


def _fits(schema: dict[str, object], model: type[BaseModel] | None) -> bool:
    properties = schema.get("properties")
    return model is not None and isinstance(properties, dict) and properties.keys() == model.model_fields.keys()


def _limited(said: Said, limit: int | None) -> Said:
    """``said`` cut at the request's limit, as a model would be."""
    tokens = count_tokens(said.text)
    if limit is None or tokens <= limit:
        return said
    return Said(said.text[: len(said.text) * limit // tokens].rstrip(), "length")


def _completion(unique: str, said: Said, prompt: int, cached: int) -> dict[str, object]:
    tokens = count_tokens(said.text)
    return {
        "id": f"chatcmpl-{unique[:24]}",
        "object": "chat.completion",
        "created": 0,
        "model": SERVED,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": said.text, "refusal": None},
                "logprobs": None,
                "finish_reason": said.finish_reason,
            }
        ],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": tokens,
            "total_tokens": prompt + tokens,
            "prompt_tokens_details": {"cached_tokens": cached},
        },
    }


async def _half(request: web.Request, body: bytes) -> web.StreamResponse:
    """A response that promises the whole body, sends half of it and closes."""
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response
