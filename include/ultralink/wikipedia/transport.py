"""The polite transport: requests to a wiki are paced and retried here, and answered or refused by type."""

from __future__ import annotations

import json
import logging
import random
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import ip_address

import httpx

from ultralink.errors import PermanentError, RecipeError, UltraLinkError, WikiRefused, WikiUnreachable
from ultralink.recipe import ApiSource

log = logging.getLogger(__name__)

_ENDPOINT = "/w/api.php"  # where Wikimedia and most other wikis have it
_MOVED = frozenset({301, 302, 303, 307, 308})
_MAX_MOVES = 5
_MAX_BODY = 64 * 2**20  # MediaWiki itself answers with at most 12 MB ($wgAPIMaxResultSize is 8 MB)
_COME_BACK = frozenset({"maxlag", "ratelimited", "readonly", "timeout"})
_SLOWEST = 1.0  # requests per second that no amount of "too many" slows us below (but Retry-After does)
_SECONDS = re.compile(r"\d{1,9}(\.\d+)?\Z")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a request is tried before the wiki counts as unreachable."""

    attempts: int = 5  # with faults: dropped, timed out, 5xx, not JSON
    put_off_s: float = 120  # in all, by a wiki that lags or limits
    first_wait_s: float = 0.5  # doubled each time, with jitter
    longest_wait_s: float = 60  # also where Retry-After asks for more


class _Fault(Exception):
    """This attempt failed; the next may not. ``final`` is what it becomes when the attempts are used up."""

    def __init__(self, what: str, final: type[UltraLinkError] = WikiUnreachable) -> None:
        super().__init__(what)
        self.final = final


class _PutOff(Exception):
    """The wiki is well, and asks to come back later (in ``after_s`` seconds, where it says)."""

    def __init__(self, what: str, after_s: float | None) -> None:
        super().__init__(what)
        self.after_s = after_s


# --- pace ---------------------------------------------------------------------------------------


class Pace:
    """Turns at one wiki, shared by all threads of this process, at a rate that yields to the wiki's limits.

    A limit that the wiki did not tell is found by halving the rate when it says "too many", and by
    creeping back with each request that it serves. Of a rate that other processes share, ``readers`` of them in
    all, it takes an equal part.
    """

    def __init__(self) -> None:
        self.readers = 1
        self._lock = threading.Lock()
        self._slowness = 1.0  # the share of the allowed rate is 1 / slowness
        self._next = 0.0
        self._told = 0.0

    def turn(self, requests_per_second: float) -> float:
        """Take the turn if it has come (0), or the seconds after which to ask again.

        ``requests_per_second`` is what all readers may do together. Nothing is reserved: who waits while the
        wiki puts everybody off, finds that out before sending.
        """
        with self._lock:
            now = time.monotonic()
            if now < self._next:
                return self._next - now
            own = requests_per_second / self.readers
            self._slowness = min(self._slowness, max(1.0, own / _SLOWEST))
            self._next = now + self._slowness / own
            return 0

    def share(self, readers: int) -> None:
        """From the next turn on this process has one of ``readers`` equal parts of the rate."""
        with self._lock:
            self.readers = readers

    def rest(self, wait_s: float) -> None:
        """Nobody takes a turn for ``wait_s`` seconds."""
        with self._lock:
            self._next = max(self._next, time.monotonic() + wait_s)

    def served(self) -> None:
        with self._lock:
            self._slowness = max(1.0, self._slowness * 0.97)

    def put_off(self, wait_s: float) -> None:
        """Nobody takes a turn for ``wait_s`` seconds; answers to requests sent before count only once."""
        with self._lock:
            now = time.monotonic()
            if now >= self._told:
                self._slowness *= 2
            self._told = self._next = max(self._next, now + wait_s)


_paces: dict[str, Pace] = {}
_paces_lock = threading.Lock()


def pace_of(endpoint: httpx.URL) -> Pace:
    """The one pace of this process for the wiki's machine."""
    with _paces_lock:
        return _paces.setdefault(machine_of(endpoint), Pace())


def machine_of(endpoint: httpx.URL) -> str:
    """What serves the wiki, and perhaps others: they share its patience."""
    return f"{endpoint.scheme}://{endpoint.netloc.decode()}"


# --- transport ----------------------------------------------------------------------------------


@dataclass(eq=False)
class PoliteTransport(httpx.BaseTransport):
    """An httpx transport that sends every request to the recipe's wiki and returns only real answers.

    A response that it returns has status 200 and a JSON object without an ``error``. Everything else is
    retried here or raised: WikiUnreachable (transient) or WikiRefused (permanent). That mends wikipedia-api
    from below, which meets an API error (maxlag among them) with KeyError, gives up on a dropped connection
    at once, reads Retry-After only on 429 and only in seconds, and follows no redirect.
    """

    settings: ApiSource
    patience: Patience = Patience()
    jitter: Callable[[float, float], float] = random.uniform
    _closed: threading.Event = field(default_factory=threading.Event, init=False)

    def __post_init__(self) -> None:
        self.endpoint = endpoint_of(self.settings.base_url)
        self._pace = pace_of(self.endpoint)
        # A client, not a bare HTTPTransport: it honours proxies and certificates of the environment.
        self._client = httpx.Client(
            timeout=self.settings.timeout_s,
            limits=httpx.Limits(max_connections=self.settings.concurrency + 1),
        )

    def close(self) -> None:
        """Wake whoever waits for a turn, and close the connections."""
        self._closed.set()
        self._client.close()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        faults, waits, put_off_s = 0, 0, 0.0
        while True:
            self._wait_for_turn()
            try:
                body = self._answer(request)
            except _Fault as fault:
                faults += 1
                if faults == self.patience.attempts:
                    raise fault.final(self._complain(request, f"{fault} ({faults} attempts)")) from fault
                wait_s = self._backoff(faults)
                log.warning("%s; trying again in %.1f s", fault, wait_s)
                self._sleep(wait_s)
            except _PutOff as put_off:
                waits += 1
                wait_s = max(min(put_off.after_s or 0, self.patience.longest_wait_s), self._backoff(waits))
                put_off_s += wait_s
                if put_off_s > self.patience.put_off_s:
                    raise WikiUnreachable(self._complain(request, f"{put_off} ({waits} times)")) from put_off
                log.info("%s; coming back in %.1f s", put_off, wait_s)
                self._pace.put_off(wait_s)
            else:
                self._pace.served()
                return httpx.Response(200, headers={"Content-Type": "application/json"}, content=body)

    def _backoff(self, times: int) -> float:
        wait_s = min(self.patience.first_wait_s * 2 ** (times - 1), self.patience.longest_wait_s)
        return self.jitter(wait_s / 2, wait_s)

    def _wait_for_turn(self) -> None:
        while wait_s := self._pace.turn(self.settings.requests_per_second):
            self._sleep(wait_s)

    def _sleep(self, seconds: float) -> None:
        if self._closed.wait(seconds):
            raise WikiUnreachable(f"{self.endpoint}: the source was closed while a request was waiting")

    def _complain(self, request: httpx.Request, what: str) -> str:
        asked = request.url.params
        about = next((asked[key] for key in ("titles", "pageids", "cmtitle", "gcmtitle") if key in asked), "")
        return f"{self.endpoint}{f' about {_clip(about)}' if about else ''}: {what}"

    # --- one attempt ---

    def _answer(self, request: httpx.Request) -> bytes:
        """The body of a good answer, wherever a redirect within the wiki leads."""
        params = request.url.params
        if self.settings.maxlag is not None:
            params = params.set("maxlag", self.settings.maxlag)
        url = self.endpoint.copy_with(params=params)
        agent = request.headers["User-Agent"]
        for _ in range(_MAX_MOVES + 1):
            host = request.headers["Host"] if _is_address(url.host) else url.netloc.decode()
            response = self._exchange(url, {"Host": host, "User-Agent": agent})
            if response.status_code not in _MOVED:
                return self._judge(request, response)
            url = self._moved(url, host, response.headers.get("Location", ""))
        raise WikiRefused(self._complain(request, f"redirected more than {_MAX_MOVES} times; check base_url"))

    def _exchange(self, url: httpx.URL, headers: dict[str, str]) -> httpx.Response:
        """Send once and read all, within the time limit as a whole (httpx limits each read by itself)."""
        deadline = time.monotonic() + self.settings.timeout_s
        body = bytearray()
        try:
            with self._client.stream("GET", url, headers=headers) as response:
                for chunk in response.iter_bytes():
                    body += chunk
                    if time.monotonic() > deadline:
                        raise _Fault(f"not done within {self.settings.timeout_s:g} s")
                    if len(body) > _MAX_BODY:
                        raise WikiRefused(f"{self.endpoint}: an answer of more than {_MAX_BODY >> 20} MB")
        except httpx.TimeoutException as error:
            raise _Fault(f"no answer within {self.settings.timeout_s:g} s") from error
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise _Fault(f"connection failed: {type(error).__name__}: {_clip(str(error))}") from error
        kept = [(key, value) for key, value in response.headers.multi_items() if key != "content-encoding"]
        return httpx.Response(response.status_code, headers=kept, content=bytes(body))

    def _moved(self, url: httpx.URL, host: str, location: str) -> httpx.URL:
        """Where a redirect leads: this wiki, perhaps by https; never another machine, nor back to http."""
        target = url.join(location)
        if _is_address(url.host) and target.host == host and target.scheme == url.scheme:
            target = target.copy_with(host=url.host, port=url.port)
        stays = (target.scheme, target.netloc) == (url.scheme, url.netloc)
        upgraded = (url.scheme, target.scheme) == ("http", "https") and target.host == url.host
        if not location or not (stays or upgraded):
            raise WikiRefused(
                f"{self.endpoint}: redirected to {_clip(location)!r}, which is not this wiki; "
                "set base_url to the new address if it is right"
            )
        log.warning("%s redirects to %s; base_url can spare the detour", url.path, target.copy_with(query=None))
        return target

    def _judge(self, request: httpx.Request, response: httpx.Response) -> bytes:
        status = response.status_code
        after_s = retry_after(response.headers)
        if status == 429 or (status == 503 and after_s is not None):
            raise _PutOff(f"HTTP {status}", after_s)
        if status >= 500 or status in (408, 425):
            raise _Fault(f"HTTP {status}")
        if status != 200:
            said = f"HTTP {status}: {_clip(response.text)!r}"
            raise WikiRefused(self._complain(request, f"{said}; check base_url, contact and access"))
        try:
            answer = json.loads(response.content)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            # A JSON body that breaks off was cut on its way; an HTML page is not the Action API at all.
            is_json = "json" in response.headers.get("Content-Type", "json")
            final: type[UltraLinkError] = WikiUnreachable if is_json else WikiRefused
            raise _Fault(f"the answer is not a JSON object: {_clip(response.text)!r}; check base_url", final)
        if "error" in answer:
            raise self._api_error(request, answer["error"], after_s)
        return response.content

    def _api_error(
        self, request: httpx.Request, error: object, after_s: float | None
    ) -> _PutOff | _Fault | PermanentError:
        """What an error inside HTTP 200 comes to."""
        code, info = "unknown", ""
        if isinstance(error, dict):
            code, info = str(error.get("code")), _clip(str(error.get("info", "")))
        if code in _COME_BACK:
            return _PutOff(f"{code}: {info}", after_s)
        if code.startswith("internal_api_error"):
            return _Fault(f"{code}: {info}")
        return WikiRefused(self._complain(request, f"API error {code!r}: {info}"))


# --- addresses and headers ------------------------------------------------------------------------


def endpoint_of(base_url: str) -> httpx.URL:
    """The Action API of ``base_url``: the address of its api.php, or of a wiki that has it at /w/api.php."""
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise RecipeError(f"wikipedia.api.base_url: {_clip(base_url)!r} is not a URL: {error}") from None
    if not url.host or url.userinfo or url.query or url.fragment:
        raise RecipeError("wikipedia.api.base_url: must be a plain address, without user, query or fragment")
    if url.path.endswith(".php"):
        return url
    return url.copy_with(path=url.path.rstrip("/") + _ENDPOINT)


def _is_address(host: str) -> bool:
    """Does ``host`` name a machine and not a wiki? Then the Host header says which wiki is meant."""
    try:
        ip_address(host)
    except ValueError:
        return host == "localhost"
    return True


def retry_after(headers: httpx.Headers) -> float | None:
    """Seconds that Retry-After asks to wait (number or HTTP date), or None.

    A date is measured against the server's own clock where it tells it: ours may be wrong.
    """
    value = headers.get("Retry-After", "").strip()
    if _SECONDS.match(value):
        return float(value)
    until = _http_date(value)
    if until is None:
        return None
    now = _http_date(headers.get("Date", "")) or datetime.now(UTC)
    return max(0.0, (until - now).total_seconds())


def _http_date(value: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _clip(text: str) -> str:
    """Foreign text on one short line, fit for a message or a log."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[:400]).split())
    return line if len(line) <= 80 else line[:77] + "..."
