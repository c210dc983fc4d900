"""The Batch API's calls: upload, create, look, fetch; each tried again nearby, none of them paid for but create."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import aiohttp
import msgspec
from multidict import CIMultiDict
from yarl import URL

from ultralink.errors import BatchUnsupported, KeyRejected, ModelUnknown, PermanentError, TeacherUnavailable
from ultralink.teacher.batch.spool import URL as COMPLETIONS
from ultralink.teacher.endpoint import CONNECT_TIMEOUT_S, Endpoint
from ultralink.teacher.faults import Fault, judge

log = logging.getLogger(__name__)

_Call = Callable[[], Awaitable[bytes]]
_Shape = TypeVar("_Shape")

MARK = "ultralink"  # the metadata field that holds a batch's tag
TRIES = 6
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 20.0
PAGE = 100  # batches per page of the list, the API's most
LOOKED_BACK = 50  # pages
IDLE_S = 120.0  # a transfer of hundreds of MB may take long, but not stand still


# --- the wire's JSON, as much of it as is read --------------------------------------------------


class Counted(msgspec.Struct):
    """Requests of a batch."""

    total: int = 0
    completed: int = 0
    failed: int = 0


class Problem(msgspec.Struct):
    """What the provider found wrong with a batch's file."""

    code: str | None = None
    message: str | None = None
    line: int | None = None


class _Problems(msgspec.Struct):
    data: list[Problem] | None = None


class Batch(msgspec.Struct):
    """A batch as the provider shows it; times are seconds since 1970."""

    id: str
    status: str
    output_file_id: str | None = None
    error_file_id: str | None = None
    errors: _Problems | None = None
    request_counts: Counted | None = None
    created_at: float | None = None
    completed_at: float | None = None
    expired_at: float | None = None
    cancelled_at: float | None = None
    failed_at: float | None = None
    metadata: dict[str, str] | None = None

    @property
    def problems(self) -> list[Problem]:
        """Why it failed."""
        return (self.errors.data if self.errors else None) or []

    @property
    def ended_at(self) -> float:
        """When it came to its end."""
        times = (self.completed_at, self.expired_at, self.cancelled_at, self.failed_at, self.created_at)
        return next((time for time in times if time), 0.0)


class _Batches(msgspec.Struct):
    data: list[Batch]
    has_more: bool = False


class _File(msgspec.Struct):
    id: str


class BatchClient:
    """``async with`` opens the session. Raises KeyRejected, QuotaExhausted, BatchUnsupported, TeacherUnavailable;
    RequestRefused where the API refuses a call for good. No message shows a secret."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._proxy = endpoint.proxy()

    async def __aenter__(self) -> BatchClient:
        headers = CIMultiDict(self._endpoint.headers)
        headers.pop("Content-Type", None)  # each body has its own
        self._session = aiohttp.ClientSession(
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=IDLE_S),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def upload(self, path: Path, name: str) -> str:
        """The id of the file; a second upload after a lost answer costs nothing."""

        async def send() -> bytes:
            with path.open("rb") as file:
                form = aiohttp.FormData({"purpose": "batch"})
                form.add_field("file", file, filename=name, content_type="application/jsonl")
                return await self._call("POST", "files", data=form)

        return (await self._read(_File, send)).id

    async def create(self, file_id: str, tag: str) -> Batch:
        """The one batch of ``file_id`` with ``tag``: where an answer was lost, it is looked for before a new try."""
        body = {
            "input_file_id": file_id,
            "endpoint": COMPLETIONS,
            "completion_window": "24h",
            "metadata": {MARK: tag},
        }
        headers = {"Content-Type": "application/json", "Idempotency-Key": tag}

        async def send() -> bytes:
            return await self._call("POST", "batches", data=msgspec.json.encode(body), headers=headers)

        failed: _TryAgain | None = None
        for number in range(TRIES):
            if failed is not None:
                await asyncio.sleep(_wait_s(number, failed.wait_s))
                if found := await self.find(tag):
                    return found
            try:
                return msgspec.json.decode(await send(), type=Batch)
            except (_TryAgain, msgspec.MsgspecError) as problem:
                failed = problem if isinstance(problem, _TryAgain) else _TryAgain(f"unreadable answer: {problem}")
        raise TeacherUnavailable(f"{self._where('batches')}: gave up after {TRIES} tries; the last: {failed}")

    async def find(self, tag: str, since: float = 0.0) -> Batch | None:
        """The batch with ``tag``, if the provider has it; ``since`` (seconds since 1970) it can have been created."""
        after: str | None = None
        for _ in range(LOOKED_BACK):
            page = await self._page(after)
            for batch in page.data:
                if (batch.metadata or {}).get(MARK) == tag:
                    return batch
            if not page.has_more or not page.data or (page.data[-1].created_at or since) < since:
                return None
            after = page.data[-1].id
        return None

    async def look(self, batch_id: str) -> Batch:
        """The batch as it stands."""
        return await self._read(Batch, lambda: self._call("GET", f"batches/{batch_id}"))

    async def cancel(self, batch_id: str) -> None:
        """Ask the provider to stop; what it has finished it gives out. Where it says no, the batch goes on."""
        try:
            await self._call("POST", f"batches/{batch_id}/cancel")
        except (_TryAgain, PermanentError) as problem:
            log.info("Batch %s is not cancelled: %s", batch_id, problem)

    @asynccontextmanager
    async def content(self, file_id: str, folder: Path) -> AsyncIterator[Path]:
        """A file of results, brought to ``folder`` for as long as the block lasts."""
        path = folder / file_id.replace("/", "_")

        async def fetch() -> bytes:
            async with self._asked("GET", f"files/{file_id}/content") as response:
                with path.open("wb") as file:
                    async for chunk in response.content.iter_chunked(1 << 20):
                        file.write(chunk)
            return b""

        try:
            await self._persistently(fetch)
            yield path
        finally:
            path.unlink(missing_ok=True)

    async def discard(self, file_id: str) -> None:
        """Delete an input file that has served; the provider's room for files is limited. Errors are only logged."""
        try:
            await self._call("DELETE", f"files/{file_id}")
        except (_TryAgain, PermanentError) as problem:
            log.info("The batch's input file %s stays at the provider: %s", file_id, problem)

    # --- one call ---------------------------------------------------------------------------------------

    async def _page(self, after: str | None) -> _Batches:
        query = {"limit": str(PAGE)} | ({"after": after} if after else {})
        return await self._read(_Batches, lambda: self._call("GET", "batches", query=query))

    async def _read(self, kind: type[_Shape], call: _Call) -> _Shape:
        try:
            return msgspec.json.decode(await self._persistently(call), type=kind)
        except msgspec.MsgspecError as problem:
            raise TeacherUnavailable(f"{self._where('batches')}: unreadable answer: {problem}") from problem

    async def _persistently(self, call: _Call) -> bytes:
        last: _TryAgain | None = None
        for number in range(TRIES):
            if last is not None:
                await asyncio.sleep(_wait_s(number, last.wait_s))
            try:
                return await call()
            except _TryAgain as problem:
                last = problem
        raise TeacherUnavailable(f"{self._where('batches')}: gave up after {TRIES} tries; the last: {last}")

    async def _call(
        self,
        method: str,
        path: str,
        *,
        data: bytes | aiohttp.FormData | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> bytes:
        async with self._asked(method, path, data=data, headers=headers, query=query) as response:
            return await response.read()

    @asynccontextmanager
    async def _asked(
        self,
        method: str,
        path: str,
        *,
        data: bytes | aiohttp.FormData | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        url = URL(f"{self._endpoint.base_url}/{path}").extend_query({**self._endpoint.query, **(query or {})})
        try:
            sent = {**(headers or {}), **await self._authorization()}
            async with self._session.request(
                method, url, data=data, headers=sent, proxy=self._proxy, allow_redirects=False
            ) as response:
                if response.status // 100 != 2:
                    self._raise(response.status, await response.read(), response.headers, path)
                yield response
        except TimeoutError as problem:
            raise _TryAgain(f"no answer within {IDLE_S:g} s") from problem
        except (aiohttp.ClientError, ConnectionError) as problem:
            raise _TryAgain(self._clean(f"connection lost: {problem!r}")) from problem

    def _raise(self, status: int, body: bytes, headers: Mapping[str, str], path: str) -> None:
        judged = judge(status, body, headers, self._where(path))
        if isinstance(judged, Fault):
            raise _TryAgain(self._clean(judged.what), judged.wait_s)
        if (
            isinstance(judged, ModelUnknown) or status == 405
        ):  # for all of these paths it means the API itself, or a lost id
            raise BatchUnsupported(self._clean(f"{self._where(path)}: HTTP {status}: not found: {judged}"))
        raise type(judged)(self._clean(str(judged)))

    async def _authorization(self) -> Mapping[str, str]:
        source = self._endpoint.bearer
        if source is None:
            return {}
        try:
            return {"Authorization": f"Bearer {await asyncio.to_thread(source)}"}
        except Exception as problem:
            raise KeyRejected(f"{self._where('batches')}: no token: {problem}") from problem

    def _where(self, path: str) -> str:
        return self._endpoint.shown_url.replace("chat/completions", path.partition("/")[0])

    def _clean(self, text: str) -> str:
        for secret in self._endpoint.secrets():
            text = text.replace(secret, "***")
        return text


class _TryAgain(Exception):
    """A call that another try may mend; ``wait_s`` is the server's wish."""

    def __init__(self, what: str, wait_s: float | None = None) -> None:
        super().__init__(what)
        self.wait_s = wait_s


def _wait_s(number: int, wished: float | None) -> float:
    longest = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** (number - 1))
    return wished if wished is not None else random.uniform(longest / 2, longest)
