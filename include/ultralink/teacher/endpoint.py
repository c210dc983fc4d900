"""Where the teacher is and how it is reached, taken over from an ``openai`` client.

The client, built by Airflow's ``openai`` hook, decides: base URL, key, organization, default headers and
query, timeout, workload identity. The calls themselves go over aiohttp, for the client's own request path
costs 2.2 ms of CPU per call and tops out near 400 calls per second on a core, where aiohttp does 900.
"""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ultralink.errors import KeyRejected, RecipeError

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI

DEFAULT_TIMEOUT_S = 300.0  # the client's own default of 600 s lets a hung server hold a row for too long
CONNECT_TIMEOUT_S = 10.0
SECRET_NAME = re.compile(r"auth|key|token|secret|cookie|sig", re.IGNORECASE)


class Limits(BaseModel):
    """The keys of the connection's extra that are ours; the hook has its own beside them.

    All are of the whole connection: shards that run at once share them.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    requests_per_minute: float | None = Field(default=None, gt=0)
    tokens_per_minute: float | None = Field(default=None, gt=0)
    concurrency: int | None = Field(default=None, ge=1)
    model: str | None = Field(default=None, min_length=1)
    batch_poll_s: float = Field(default=60.0, gt=0)
    batch_requests: int = Field(default=50_000, ge=1, le=50_000)  # of one file: the Batch API's limits
    batch_bytes: int = Field(default=200_000_000, ge=1000, le=200_000_000)


@dataclass(frozen=True)
class Endpoint:
    """An OpenAI-compatible endpoint. Its repr shows no header and no query, so no secret.

    ``timeout_s`` bounds one try of one call. ``bearer``, where set, is called (in a thread) for a fresh
    token. ``model``, where set, is to be used instead of the recipe's.
    """

    base_url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout_s: float = DEFAULT_TIMEOUT_S
    limits: Limits = field(default_factory=Limits)
    bearer: Callable[[], str] | None = field(default=None, repr=False)

    def model(self, wanted: str, *, usual: str) -> str:
        """The model to ask: the connection's wins over the recipe's (``usual``), not over a run's own choice."""
        return self.limits.model if self.limits.model and wanted == usual else wanted

    @classmethod
    def from_client(
        cls, client: AsyncOpenAI | OpenAI, extra: Mapping[str, object], timeout_s: float | None = None
    ) -> Endpoint:
        """What ``client`` would send, and the limits in the connection's ``extra``.

        ``timeout_s`` (default: the client's, where it was set) is per try. Raises KeyRejected where no key is
        set, RecipeError for a bad limit.
        """
        from openai import DEFAULT_TIMEOUT, Omit

        headers = {name: value for name, value in client.default_headers.items() if not isinstance(value, Omit)}
        bearer = _token_source(client)
        # A default header of the user's own wins over the key, as it does in the client.
        if not any(name.lower() == "authorization" for name in headers):
            headers.update(client.auth_headers)
            if bearer is None and "Authorization" not in headers:
                raise KeyRejected(f"{client.base_url}: the connection has no key; set its password")
        if timeout_s is None and client.timeout not in (DEFAULT_TIMEOUT, None):
            timeout_s = client.timeout if isinstance(client.timeout, int | float) else client.timeout.read
        if client.base_url.scheme not in ("http", "https") or not client.base_url.host:
            raise RecipeError(f"host of the openai connection: {client.base_url} is no http(s) URL")
        return cls(
            base_url=str(client.base_url).rstrip("/"),
            headers=headers,
            query={name: str(value) for name, value in client.default_query.items()},
            timeout_s=timeout_s or DEFAULT_TIMEOUT_S,
            limits=_limits(extra),
            bearer=bearer,
        )

    @property
    def shown_url(self) -> str:
        """The URL of the calls as messages may show it: no user, no password, no query."""
        parts = urlsplit(self.base_url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}/chat/completions"

    def proxy(self) -> str | None:
        """The proxy that the environment asks for, found as the client would find it."""
        parts = urlsplit(self.base_url)
        if urllib.request.proxy_bypass(parts.hostname or ""):
            return None
        return urllib.request.getproxies().get(parts.scheme)

    def secrets(self) -> list[str]:
        """Values of headers and query parameters that must not be shown."""
        named = {**self.headers, **self.query}
        return [value.removeprefix("Bearer ") for name, value in named.items() if SECRET_NAME.search(name) and value]


def _limits(extra: Mapping[str, object]) -> Limits:
    try:
        return Limits.model_validate(dict(extra))
    except ValidationError as problem:
        faults = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in problem.errors())
        raise RecipeError(f"extra of the openai connection: {faults}") from None


def _token_source(client: AsyncOpenAI | OpenAI) -> Callable[[], str] | None:
    # The client has no public way to its short-lived token: should this one go, it must not go unnoticed.
    if client.workload_identity is None:
        return None
    if "provider" not in client.workload_identity:
        raise KeyRejected(
            f"{client.base_url}: X.509 workload identity is bound to the openai client's own transport, "
            "which is not used here; use a key or a token identity"
        )
    auth = client._workload_identity_auth
    if auth is None:
        raise KeyRejected(f"{client.base_url}: the openai client has no workload identity to exchange")
    return auth.get_token
