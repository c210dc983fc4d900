"""A fake wiki on loopback that misbehaves as told: what no real MediaWiki can be made to do on demand."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

Params = dict[str, str]
Act = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """One request; ``play`` answers it."""

    protocol_version = "HTTP/1.1"
    play: ClassVar[Act]

    def do_GET(self) -> None:
        type(self).play(self)

    @property
    def params(self) -> Params:
        query = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        return {key: values[0] for key, values in query.items()}

    def send(self, status: int, body: bytes, kind: str = "application/json", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def good(handler: Handler) -> None:
    """Answers like a wiki whose every title is an article, by the number of its characters."""
    params = handler.params
    if "titles" in params:
        names = params["titles"].lstrip("\x1f").split("\x1f")
        pages = [{"pageid": len(name), "ns": 0, "title": name, "lastrevid": 7} for name in names]
    else:
        pages = [article(int(params.get("pageids", "1")))]
    handler.send(200, json.dumps({"query": {"pages": pages}}).encode())


def article(page_id: int) -> dict[str, object]:
    moments = ["2026-02-02T00:00:00Z", "2026-01-01T00:00:00Z"]
    revisions = [{"revid": 7 - number, "timestamp": moment} for number, moment in enumerate(moments)]
    return {
        "pageid": page_id,
        "ns": 0,
        "title": "x" * page_id,
        "lastrevid": 7,
        "extract": f"Text of {page_id}.",
        "revisions": revisions,
    }


def reply(answer: object) -> Act:
    return lambda handler: handler.send(200, json.dumps(answer).encode())


def api_error(code: str, **headers: str) -> Act:
    body = json.dumps({"error": {"code": code, "info": f"What {code} means."}}).encode()
    return lambda handler: handler.send(200, body, **headers)


def status(code: int, **headers: str) -> Act:
    return lambda handler: handler.send(code, b"<html>no</html>", "text/html", **headers)


def raw(body: bytes, kind: str = "application/json") -> Act:
    return lambda handler: handler.send(200, body, kind)


def dropped(handler: Handler) -> None:
    """Closes the connection without a word."""
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def cut(handler: Handler) -> None:
    """Promises more bytes than it sends."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "5000")
    handler.end_headers()
    handler.wfile.write(b'{"query": {"pages": [')
    handler.wfile.flush()
    dropped(handler)


@dataclass
class FakeWiki:
    """Plays ``script`` act by act, then does ``usual``."""

    script: list[Act]
    usual: Act = good
    base_url: str = ""
    seen: list[Params] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def act(self, handler: Handler) -> None:
        with self.lock:
            self.seen.append(handler.params)
            self.headers.append(dict(handler.headers.items()))
            act = self.script.pop(0) if self.script else self.usual
        with contextlib.suppress(ConnectionError):
            act(handler)

    def hang(self, handler: Handler) -> None:
        """Accepts the request and says nothing until the test is over."""
        self.ended.wait()
        dropped(handler)

    def drip(self, handler: Handler) -> None:
        """Sends a byte now and then, so that no single read ever times out."""
        handler.send_response(200)
        handler.send_header("Content-Length", "5000")
        handler.end_headers()
        while not self.ended.wait(0.05):
            handler.wfile.write(b" ")
            handler.wfile.flush()


@contextlib.contextmanager
def fake_wiki(*script: Act) -> Iterator[FakeWiki]:
    wiki = FakeWiki(list(script))
    kind = type("Playing", (Handler,), {"play": staticmethod(wiki.act)})
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        wiki.base_url = f"http://127.0.0.1:{server.server_port}/w/api.php"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield wiki
        finally:
            wiki.ended.set()
            server.shutdown()
            thread.join()


def times(act: Act, number: int) -> Sequence[Act]:
    return [act] * number
