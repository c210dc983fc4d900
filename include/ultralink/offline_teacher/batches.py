"""The offline teacher's Batch API: files, and batches of them that take a while, in memory only.

It answers a file's lines evenly over ``BatchFaults.seconds``. What a real provider may do to a batch, it does to the
first so many batches, if asked to: refuse the file, let the batch expire, give out half of the results.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Literal

from aiohttp import BodyPartReader, web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ultralink.offline_teacher import SERVED

MOST_REQUESTS, MOST_BYTES = 50_000, 200_000_000
COMPLETIONS = "/v1/chat/completions"
OVER = frozenset({"completed", "failed", "expired", "cancelled"})
CANCELLING_S = 0.5

Answer = Callable[[bytes], Awaitable[tuple[int, dict[str, object]]]]
Admit = Callable[[web.Request], web.Response | None]


@dataclass
class BatchFaults:
    """How batches go. Counts say how many of the first batches have that fate; each of them loses one.

    ``expire_at`` is the share of an expiring batch's requests that are done in time. ``half`` counts downloads of
    results that end in the middle of a line.
    """

    seconds: float = 0.0
    fail: int = 0
    fail_code: str = "invalid_request"
    expire: int = 0
    expire_at: float = 0.5
    half: int = 0


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid")

    custom_id: str = Field(min_length=1)
    method: Literal["POST"]
    url: Literal["/v1/chat/completions"]
    body: dict[str, object]


class _Wanted(BaseModel):
    """What creates a batch."""

    input_file_id: str
    endpoint: Literal["/v1/chat/completions"]
    completion_window: Literal["24h"]
    metadata: dict[str, str] = {}


@dataclass
class _File:
    id: str
    name: str
    purpose: str
    content: bytes

    def page(self) -> dict[str, object]:
        return {
            "id": self.id, "object": "file", "bytes": len(self.content), "created_at": int(time.time()),
            "filename": self.name, "purpose": self.purpose, "status": "processed",
        }  # fmt: skip


@dataclass
class _Batch:
    id: str
    wanted: _Wanted
    status: str = "validating"
    total: int = 0
    errors: list[dict[str, object]] = field(default_factory=list)
    output: list[bytes] = field(default_factory=list)
    failed: list[bytes] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    times: dict[str, int] = field(default_factory=lambda: {"created_at": int(time.time())})
    work: asyncio.Task[None] | None = None

    def end(self, status: str) -> None:
        self.status = status
        self.times[f"{status}_at"] = int(time.time())

    def page(self) -> dict[str, object]:
        counts = {"total": self.total, "completed": len(self.output), "failed": len(self.failed)}
        return {
            "id": self.id, "object": "batch", "status": self.status, **self.wanted.model_dump(), **self.times,
            "errors": {"object": "list", "data": self.errors} if self.errors else None,
            "request_counts": counts, **self.files,
        }  # fmt: skip


class Batches:
    """All files and batches of one server. ``answer`` is how it answers one request, with its HTTP status."""

    def __init__(self, answer: Answer, admit: Admit, faults: BatchFaults) -> None:
        self._answer, self._admit, self.faults = answer, admit, faults
        self._files: dict[str, _File] = {}
        self._batches: dict[str, _Batch] = {}
        self._numbers = count(1)
        self.counts: Counter[str] = Counter()

    def routes(self) -> list[web.RouteDef]:
        """The endpoints."""
        routes = [
            web.post("/v1/files", self._upload),
            web.get("/v1/files/{id}/content", self._content),
            web.delete("/v1/files/{id}", self._delete),
            web.post("/v1/batches", self._create),
            web.get("/v1/batches", self._list),
            web.get("/v1/batches/{id}", self._show),
            web.post("/v1/batches/{id}/cancel", self._cancel),
        ]
        return [web.route(route.method, route.path, self._admitted(route.handler)) for route in routes]

    def _admitted(
        self, handler: Callable[..., Awaitable[web.StreamResponse]]
    ) -> Callable[..., Awaitable[web.StreamResponse]]:
        async def admitted(request: web.Request) -> web.StreamResponse:
            return self._admit(request) or await handler(request)

        return admitted

    # --- files ------------------------------------------------------------------------------------------

    async def _upload(self, request: web.Request) -> web.Response:
        name, purpose, content = "", "", b""
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader):
                continue
            if part.name == "purpose":
                purpose = (await part.read()).decode()
            elif part.name == "file":
                name, content = part.filename or "", bytes(await part.read())
        if purpose != "batch" or not content:
            return _refused(400, "a file with purpose batch is wanted")
        if len(content) > MOST_BYTES:
            return _refused(413, f"more than {MOST_BYTES} bytes")
        self.counts["uploads"] += 1
        return web.json_response(self._keep(name, "batch", content).page())

    async def _content(self, request: web.Request) -> web.Response:
        file = self._files.get(request.match_info["id"])
        if file is None:
            return _refused(404, f"No such File object: {request.match_info['id']}")
        content = file.content
        if file.purpose == "batch_output" and self.faults.half > 0:
            self.faults.half -= 1
            content = content[: len(content) // 2]
        return web.Response(body=content, content_type="application/octet-stream")

    async def _delete(self, request: web.Request) -> web.Response:
        file = self._files.pop(request.match_info["id"], None)
        if file is None:
            return _refused(404, "No such File object")
        return web.json_response({"id": file.id, "object": "file", "deleted": True})

    def _keep(self, name: str, purpose: str, content: bytes) -> _File:
        file = _File(f"file-{next(self._numbers):06d}", name, purpose, content)
        self._files[file.id] = file
        return file

    # --- batches ----------------------------------------------------------------------------------------

    async def _create(self, request: web.Request) -> web.Response:
        try:
            wanted = _Wanted.model_validate_json(await request.read())
        except ValidationError as problem:
            return _refused(400, str(problem.errors()[0]["msg"]))
        file = self._files.get(wanted.input_file_id)
        if file is None:
            return _refused(400, f"Invalid 'input_file_id': {wanted.input_file_id}")
        batch = _Batch(f"batch_{next(self._numbers):06d}", wanted)
        self._batches[batch.id] = batch
        self.counts["created"] += 1
        batch.work = asyncio.create_task(self._work(batch, file.content))
        return web.json_response(batch.page())

    async def _list(self, request: web.Request) -> web.Response:
        found = list(reversed(self._batches.values()))
        ids = [batch.id for batch in found]
        after, limit = request.query.get("after"), int(request.query.get("limit", "20"))
        begin = ids.index(after) + 1 if after in ids else 0
        page = found[begin : begin + limit]
        more = begin + limit < len(found)
        return web.json_response({"object": "list", "data": [batch.page() for batch in page], "has_more": more})

    async def _show(self, request: web.Request) -> web.Response:
        batch = self._batches.get(request.match_info["id"])
        if batch is None:
            return _refused(404, f"No batch found with id {request.match_info['id']!r}")
        self.counts["looks"] += 1
        return web.json_response(batch.page())

    async def _cancel(self, request: web.Request) -> web.Response:
        batch = self._batches.get(request.match_info["id"])
        if batch is None:
            return _refused(404, "No such batch")
        if batch.status in OVER:
            return _refused(409, f"Cannot cancel a batch with status {batch.status!r}")
        batch.end("cancelling")
        return web.json_response(batch.page())

    # --- work -------------------------------------------------------------------------------------------

    async def _work(self, batch: _Batch, content: bytes) -> None:
        lines = self._validated(batch, content)
        if not lines:
            batch.end("failed")
            self.counts["failed"] += 1
            return
        batch.status = "in_progress"
        expires = self.faults.expire > 0
        self.faults.expire -= expires
        in_time = int(len(lines) * self.faults.expire_at) if expires else len(lines)
        began, pace = time.monotonic(), self.faults.seconds / len(lines)
        done = 0
        for done, line in enumerate(lines[:in_time], 1):
            await asyncio.sleep(max(0.0, began + done * pace - time.monotonic()))
            if batch.status == "cancelling":
                done -= 1
                break
            await self._do(batch, line)
        left = lines[done:]
        if batch.status == "cancelling":
            await asyncio.sleep(CANCELLING_S)
        end = "cancelled" if batch.status == "cancelling" else "expired" if expires else "completed"
        unsent = {"code": f"batch_{end}", "message": "This request was not executed."}
        unsent_lines = [_result(batch, line, None, unsent) for line in left]
        for name, results in (("output_file_id", batch.output), ("error_file_id", [*batch.failed, *unsent_lines])):
            if results:
                batch.files[name] = self._keep(f"{batch.id}_{name}.jsonl", "batch_output", b"".join(results)).id
        batch.end(end)
        self.counts[end] += 1

    def _validated(self, batch: _Batch, content: bytes) -> list[_Line]:
        """The lines of a sound file; else none, and the batch says why."""
        if self.faults.fail > 0:
            self.faults.fail -= 1
            batch.errors = [{"code": self.faults.fail_code, "message": "refused (by --batch-fail)", "line": None}]
            return []
        raw = content.splitlines()
        batch.total = len(raw)
        if len(raw) > MOST_REQUESTS:
            batch.errors = [{"code": "too_many_tasks", "message": f"{len(raw)} requests", "line": None}]
            return []
        lines: list[_Line] = []
        models, ids = set(), set()
        for number, each in enumerate(raw, 1):
            try:
                lines.append(_Line.model_validate_json(each))
            except ValidationError as problem:
                batch.errors = [
                    {"code": "invalid_json_line", "message": str(problem.errors()[0]["msg"]), "line": number}
                ]
                return []
            models.add(lines[-1].body.get("model"))
            ids.add(lines[-1].custom_id)
        if len(models) > 1:
            batch.errors = [{"code": "mismatched_model", "message": f"{len(models)} models in one file", "line": None}]
            return []
        if len(ids) < len(lines):
            batch.errors = [{"code": "duplicate_custom_id", "message": "a custom_id occurs twice", "line": None}]
            return []
        return lines

    async def _do(self, batch: _Batch, line: _Line) -> None:
        status, body = await self._answer(json.dumps(line.body).encode())
        result = _result(batch, line, {"status_code": status, "request_id": "", "body": body}, None)
        if status == 200:
            self.counts["answered"] += 1
            batch.output.append(result)
        else:
            batch.failed.append(result)


def _result(batch: _Batch, line: _Line, response: dict[str, object] | None, error: dict[str, str] | None) -> bytes:
    whole = {"id": f"{batch.id}-{line.custom_id}", "custom_id": line.custom_id, "response": response, "error": error}
    return json.dumps(whole, ensure_ascii=False).encode() + b"\n"


def _refused(status: int, message: str) -> web.Response:
    error = {"message": f"{SERVED}: {message}", "type": "invalid_request_error", "param": None, "code": None}
    return web.json_response({"error": error}, status=status)
