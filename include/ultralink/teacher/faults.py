"""What went wrong with one try, and whether another try can mend it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import msgspec

from ultralink.errors import (
    ContextOverflow,
    KeyRejected,
    ModelUnknown,
    PermanentError,
    QuotaExhausted,
    RequestRefused,
)

MAX_RETRY_AFTER_S = 120.0  # a server that asks for more is asked again after this
RETRIED = frozenset({408, 409, 425, 429})  # and every 5xx
QUOTA_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
# OpenAI and vLLM; llama.cpp's server; llama-cpp-python, which says so under status 400 or 500.
OVERFLOW = re.compile(
    r"maximum context length|context_length_exceeded|exceeds? (the )?(available |model'?s? )?context"
    r"|exceed_context_size|prompt is too long|longer than the (model'?s )?context",
    re.IGNORECASE,
)
UNKNOWN_MODEL = re.compile(r"model.{0,120}(does not exist|not found|not exist|unknown)|unknown model", re.I | re.S)


@dataclass(frozen=True, slots=True)
class Fault:
    """A try that another try may mend.

    ``wait_s`` is the server's own wish (Retry-After). ``lost``: the provider bills it, or may do so.
    """

    what: str
    is_limit: bool = False
    is_server_error: bool = False
    lost: bool = False
    wait_s: float | None = None


class _ErrorBody(msgspec.Struct):
    message: str = ""
    type: str | int | None = None
    code: str | int | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """What an error's body says, whatever dialect it is in."""

    message: str
    codes: frozenset[str]


def explain(body: bytes) -> Explanation:
    """OpenAI's ``{"error": {message, type, code}}``, its flat and plain-text cousins."""
    try:
        whole = msgspec.json.decode(body)
        inner = whole.get("error", whole) if isinstance(whole, dict) else whole
        if isinstance(inner, dict):
            error = msgspec.convert(inner, _ErrorBody, strict=False)
            codes = frozenset(str(code) for code in (error.type, error.code) if code is not None)
            return Explanation(error.message or str(inner.get("detail", ""))[:500], codes)
        return Explanation(str(inner)[:500], frozenset())
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return Explanation(body[:500].decode(errors="replace"), frozenset())


def judge(status: int, body: bytes, headers: Mapping[str, str], where: str) -> Fault | PermanentError:
    """What an answer other than 200 means. ``where`` names model and URL."""
    said = explain(body)
    message = f"{where}: HTTP {status}: {said.message[:300] or 'no reason given'}"
    if status == 429 and said.codes & QUOTA_CODES:
        return QuotaExhausted(f"{message} (the account has no credit left; add some, then clear the task)")
    if status in (400, 413, 422, 500) and ("context_length_exceeded" in said.codes or OVERFLOW.search(said.message)):
        return ContextOverflow(message)
    if status in RETRIED or status >= 500:
        wait_s = retry_after(headers) if status in (429, 503) else None
        return Fault(
            f"HTTP {status}: {said.message[:200]}",
            is_limit=status == 429,
            is_server_error=status >= 500,
            wait_s=wait_s,
        )
    if status in (401, 403):
        return KeyRejected(f"{message} (check the key in the connection)")
    if status == 404 or "model_not_found" in said.codes or (status == 400 and UNKNOWN_MODEL.search(said.message)):
        return ModelUnknown(f"{message} (check the recipe's model and the connection's host)")
    if 300 <= status < 400:
        return ModelUnknown(f"{message} (the server redirects; put the final URL into the connection's host)")
    return RequestRefused(message)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait, 0 to MAX_RETRY_AFTER_S; None where it says nothing sensible.

    A date is taken relative to the server's own Date header, so that no clock here matters.
    """
    asked = headers.get("Retry-After")
    if asked is None:
        return None
    try:
        seconds = float(asked)
    except ValueError:
        try:
            seconds = (_date(asked) - _date(headers["Date"])).total_seconds()
        except (KeyError, ValueError):
            try:
                seconds = (_date(asked) - datetime.now(UTC)).total_seconds()
            except ValueError:
                return None
    return None if math.isnan(seconds) else min(max(seconds, 0.0), MAX_RETRY_AFTER_S)


def _date(text: str) -> datetime:
    date = parsedate_to_datetime(text)
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)
