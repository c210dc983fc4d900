"""Calls to the endpoint: limited, retried on the spot, failed at once where no retry can help."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import TracebackType

import aiohttp
import msgspec
from multidict import CIMultiDict
from yarl import URL

from ultralink.errors import KeyRejected, PermanentError, RequestRefused, TeacherUnavailable
from ultralink.teacher.budget import Hold
from ultralink.teacher.endpoint import CONNECT_TIMEOUT_S, Endpoint
from ultralink.teacher.faults import Fault, judge
from ultralink.teacher.limiter import Limiter, Permit
from ultralink.teacher.record import Usage
from ultralink.teacher.request import Form

log = logging.getLogger(__name__)

MAX_FAILURES = 8  # tries of one call that end in anything but a 429
FORM_FAILURES = 3  # server errors in a row after which a form that never worked is taken to be the cause
PATIENCE_S = 900.0  # after which a call that meets only 429s gives up too
FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 30.0
ISOLATED_WAIT_S = 2.0  # the longest wait while other calls are answered: the endpoint is up, so do not hold a row
TOKEN_AGE_S = 60.0
CALL_LOG_EVERY_S = 5.0


class FormRefused(RequestRefused):
    """The endpoint refuses the request in this form; it may take it in another."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request on its way: its body, the form of its schema, the tokens that it may take at most.

    ``form_is_doubtful``: no answer of this endpoint in this form was ever seen.
    """

    body: bytes
    model: str
    tokens: int
    form: Form
    form_is_doubtful: bool


@dataclass(frozen=True, slots=True)
class Reply:
    """A usable answer. ``usage`` is None where the server counts nothing.

    It counts as in flight until ``permit.done``, which whoever takes the reply has to call.
    """

    text: str
    finish_reason: str
    served: str
    usage: Usage | None
    latency_s: float
    permit: Permit
    tries: int = 1
    limited: int = 0
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Heard:
    """What a completion says. ``usage`` is None where the server counts nothing."""

    text: str
    finish_reason: str
    served: str
    usage: Usage | None


# --- the wire's JSON, as much of it as is read ------------------------------------------------------


class _Details(msgspec.Struct):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Details | None = None


class _Message(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None


class _Completion(msgspec.Struct):
    choices: list[_Choice]
    model: str | None = None
    usage: _Usage | None = None


_completion = msgspec.json.Decoder(_Completion)


class TeacherClient:
    """``async with`` opens the session. Messages of its errors show the URL, and never a secret."""

    def __init__(self, endpoint: Endpoint, limiter: Limiter) -> None:
        self._endpoint, self._limiter = endpoint, limiter
        self._url = URL(f"{endpoint.base_url}/chat/completions").extend_query(endpoint.query)
        self._proxy = endpoint.proxy()
        self._bearer: str | None = None
        self._bearer_at = -TOKEN_AGE_S
        self._bearer_lock = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._logged_at = self._answered = 0.0

    @property
    def in_flight(self) -> int:
        """Calls on the wire now."""
        return self._limiter.in_flight

    @property
    def counts_tokens(self) -> bool:
        """A limit of tokens per minute is set, so estimates are needed."""
        return self._endpoint.limits.tokens_per_minute is not None

    async def __aenter__(self) -> TeacherClient:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300),
            headers=CIMultiDict(self._endpoint.headers),
            timeout=aiohttp.ClientTimeout(total=self._endpoint.timeout_s, sock_connect=CONNECT_TIMEOUT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        await self._session.close()

    def stop(self) -> None:
        """Send nothing more; calls on the wire may finish."""
        self._stopping.set()
        self._limiter.close()

    async def call(self, call: Call, hold: Hold) -> Reply:
        """The answer to ``call``, however many tries it takes; ``hold`` pays for the lost ones.

        Raises KeyRejected, QuotaExhausted, ModelUnknown, ContextOverflow, RequestRefused, FormRefused,
        BudgetExceeded at once, TeacherUnavailable when patience is over.
        """
        started = time.monotonic()
        failures = server_errors = limited = lost = 0
        while True:
            tried = time.monotonic()
            outcome = await self._try(call)
            if isinstance(outcome, Reply):
                self._answered = time.monotonic()
                return replace(outcome, tries=1 + failures + limited, limited=limited, lost=lost)
            if isinstance(outcome, PermanentError):
                raise self._form_refused(call, outcome)
            limited += outcome.is_limit
            failures += not outcome.is_limit
            server_errors = server_errors + 1 if outcome.is_server_error else 0
            if call.form_is_doubtful and call.form is not Form.INSTRUCTED and server_errors >= FORM_FAILURES:
                raise FormRefused(f"{self._where(call)}: {outcome.what}")
            wait_s = self._wait(outcome, failures, limited, tried)
            waited = time.monotonic() - started
            if failures >= MAX_FAILURES or waited + wait_s > PATIENCE_S:
                raise TeacherUnavailable(
                    f"{self._where(call)}: gave up after {failures + limited} tries in {waited:.0f} s; "
                    f"the last: {outcome.what}"
                )
            self._tell(call, outcome)
            if outcome.lost:
                lost += 1
                await hold.again()
            await self._pause(wait_s, call)

    async def _try(self, call: Call) -> Reply | Fault | PermanentError:
        permit = await self._limiter.acquire(call.tokens)
        outcome: Reply | Fault | PermanentError | None = None
        try:
            outcome = await self._post(call, permit)
            return outcome
        finally:
            if isinstance(outcome, Reply):
                permit.answered(outcome.usage.prompt + outcome.usage.completion if outcome.usage else call.tokens)
            elif isinstance(outcome, Fault) and outcome.is_limit:
                permit.limited()
            else:
                permit.failed()

    async def _post(self, call: Call, permit: Permit) -> Reply | Fault | PermanentError:
        started = time.monotonic()
        try:
            headers = await self._authorization()
            async with self._session.post(
                self._url, data=call.body, headers=headers, proxy=self._proxy, allow_redirects=False
            ) as response:
                body = await response.read()
        except TimeoutError:
            return Fault(f"no answer within {self._endpoint.timeout_s:g} s", lost=True)
        except aiohttp.ClientConnectorError as problem:
            return Fault(self._clean(f"cannot connect: {problem}"))
        except (aiohttp.ClientError, OSError) as problem:
            return Fault(self._clean(f"connection lost: {problem!r}"), lost=True)
        if response.status == 200:
            return _read(body, call.model, time.monotonic() - started, permit)
        judged = judge(response.status, body, response.headers, self._where(call))
        if isinstance(judged, Fault):
            return replace(judged, what=self._clean(judged.what))
        if response.status == 401 and headers and await self._renewed(headers):
            return Fault("HTTP 401: the token had expired")
        return type(judged)(self._clean(str(judged)))

    def _form_refused(self, call: Call, error: PermanentError) -> PermanentError:
        if type(error) is RequestRefused and call.form is not Form.INSTRUCTED:
            return FormRefused(*error.args)
        return error

    async def _pause(self, wait_s: float, call: Call) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), wait_s)
        except TimeoutError:
            return
        raise TeacherUnavailable(f"{self._where(call)}: stopping, so not tried again")

    def _wait(self, fault: Fault, failures: int, limited: int, tried: float) -> float:
        if fault.wait_s is not None:
            # A little more than asked for: many that wait for the same moment should not all come at it.
            return fault.wait_s + random.uniform(0.01, 0.1 + 0.1 * fault.wait_s)
        times = limited if fault.is_limit else failures
        longest = ISOLATED_WAIT_S if self._answered > tried else LONGEST_WAIT_S
        longest = min(longest, FIRST_WAIT_S * 2 ** (times - 1))
        return random.uniform(longest / 2, longest)

    # --- keys ---------------------------------------------------------------------------------------------

    async def _authorization(self) -> Mapping[str, str] | None:
        source = self._endpoint.bearer
        if source is None:
            return None
        async with self._bearer_lock:
            if self._bearer is None or time.monotonic() - self._bearer_at > TOKEN_AGE_S:
                try:
                    self._bearer = await asyncio.to_thread(source)
                except Exception as problem:
                    raise KeyRejected(f"{self._endpoint.shown_url}: no token: {problem}") from problem
                self._bearer_at = time.monotonic()
            return {"Authorization": f"Bearer {self._bearer}"}

    async def _renewed(self, used: Mapping[str, str]) -> bool:
        if used == {"Authorization": f"Bearer {self._bearer}"}:
            self._bearer_at = -TOKEN_AGE_S
        return await self._authorization() != used

    # --- messages -----------------------------------------------------------------------------------------

    def _where(self, call: Call) -> str:
        return f"{call.model} at {self._endpoint.shown_url}"

    def _clean(self, text: str) -> str:
        # Servers like to quote the key that they refuse.
        for secret in [*self._endpoint.secrets(), self._bearer]:
            if secret:
                text = text.replace(secret, "***")
        return text

    def _tell(self, call: Call, fault: Fault) -> None:
        now = time.monotonic()
        if now - self._logged_at >= CALL_LOG_EVERY_S and not fault.is_limit:
            self._logged_at = now
            log.warning("%s: trying again: %s", self._where(call), fault.what)


def _read(body: bytes, model: str, latency_s: float, permit: Permit) -> Reply | Fault:
    heard = hear(body, model)
    if isinstance(heard, Fault):
        return heard
    return Reply(heard.text, heard.finish_reason, heard.served, heard.usage, latency_s, permit)


def hear(body: bytes, model: str) -> Heard | Fault:
    """What the completion in ``body`` says; ``model`` stands for a server that does not name its own."""
    try:
        completion = _completion.decode(body)
        choice = completion.choices[0]
    except (msgspec.MsgspecError, UnicodeDecodeError, IndexError) as problem:
        return Fault(f"unreadable answer of {len(body)} bytes: {problem}", lost=True)
    message, usage = choice.message, completion.usage
    refused = message.content is None and message.refusal is not None
    return Heard(
        text=(message.refusal if refused else message.content) or "",
        finish_reason="refusal" if refused else choice.finish_reason or "stop",
        served=completion.model or model,
        usage=None if usage is None else _usage(usage),
    )


def _usage(usage: _Usage) -> Usage:
    details = usage.prompt_tokens_details
    prompt, completion = max(0, usage.prompt_tokens or 0), max(0, usage.completion_tokens or 0)
    cached = max(0, details.cached_tokens or 0) if details else 0
    return Usage(prompt, min(cached, prompt), completion)
