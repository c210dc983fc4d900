"""A stand-in for a Hugging Face hub: what its client calls to push and load a dataset, with every kind of trouble."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "hf_" + "standin" * 4
REPOSITORY = "ultra/link"
LARGE = (".parquet", ".png")  # as .gitattributes of a dataset repository has it

_REPO = r"/api/datasets/(?P<repo>[^/]+/[^/]+)"
_ROUTES = {
    "create": ("POST", r"/api/repos/create"),
    "yaml": ("POST", r"/api/validate-yaml"),
    "refs": ("GET", rf"{_REPO}/refs"),
    "tree": ("GET", rf"{_REPO}/tree/(?P<revision>[^/]+)"),
    "paths": ("POST", rf"{_REPO}/paths-info/(?P<revision>[^/]+)"),
    "preupload": ("POST", rf"{_REPO}/preupload/(?P<revision>[^/]+)"),
    "commit": ("POST", rf"{_REPO}/commit/(?P<revision>[^/]+)"),
    "tag": ("POST", rf"{_REPO}/tag/(?P<revision>[^/]+)"),
    "info": ("GET", rf"{_REPO}(/revision/(?P<revision>[^/]+))?"),
    "batch": ("POST", r"/datasets/(?P<repo>[^/]+/[^/]+)\.git/info/lfs/objects/batch"),
    "upload": ("PUT", r"/storage/(?P<oid>[0-9a-f]{64})"),
    "verify": ("POST", r"/verify"),
    "resolve": ("GET", r"/datasets/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)"),
}
_OPEN = ("upload",)  # by a link that is signed, so without a token


@dataclass
class Repository:
    """Commits by their hash, each with all of its files."""

    private: bool
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    head: str = ""

    def commit(self, files: dict[str, bytes]) -> str:
        made = json.dumps([len(self.commits), {path: _blob(content) for path, content in files.items()}])
        self.head = hashlib.sha1(made.encode(), usedforsecurity=False).hexdigest()
        self.commits[self.head] = files
        return self.head

    def files(self, revision: str) -> dict[str, bytes]:
        commit = self.head if revision == "main" else self.tags.get(revision, revision)
        return self.commits[commit]


@dataclass
class FakeHub:
    """What the stand-in holds, and how it misbehaves. Routes are named as in ``_ROUTES``.

    ``refuses``: statuses of routes ("*": all). ``fails``: how many more times a route says 503.
    ``loses``: how many more times a route does its work and drops the connection instead of an answer.
    """

    url: str = ""
    token: str = TOKEN
    repositories: dict[str, Repository] = field(default_factory=dict)
    stored: dict[str, bytes] = field(default_factory=dict)
    seen: Counter[str] = field(default_factory=Counter)
    refuses: dict[str, int] = field(default_factory=dict)
    fails: Counter[str] = field(default_factory=Counter)
    loses: Counter[str] = field(default_factory=Counter)
    retry_after: str | None = None

    @property
    def repository(self) -> Repository:
        return self.repositories[REPOSITORY]

    def answer(self, route: str, named: dict[str, str], query: dict[str, list[str]], body: bytes) -> Answer:
        try:
            return _ANSWERS[route](self, named, query, body)
        except KeyError as missing:
            code = "RepoNotFound" if missing.args[0] in (named.get("repo"), None) else "RevisionNotFound"
            return Answer(404, {"error": f"{missing} not found"}, {"X-Error-Code": code})


@dataclass
class Answer:
    """Status, JSON or bytes, headers."""

    status: int
    body: object
    headers: dict[str, str] = field(default_factory=dict)


def _blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _entry(path: str, content: bytes) -> dict[str, object]:
    entry: dict[str, object] = {"type": "file", "path": path, "size": len(content), "oid": _blob(content)}
    if path.endswith(LARGE):
        digest = hashlib.sha256(content).hexdigest()
        entry |= {"oid": hashlib.sha1(digest.encode(), usedforsecurity=False).hexdigest()}
        entry["lfs"] = {"oid": digest, "size": len(content), "pointerSize": 130}
    return entry


# --- routes -----------------------------------------------------------------------------------------


def _create(hub: FakeHub, named: dict[str, str], query: dict[str, list[str]], body: bytes) -> Answer:
    asked = json.loads(body)
    name = f"{asked['organization']}/{asked['name']}"
    if name in hub.repositories:
        return Answer(409, {"error": "You already created this dataset repo"})
    hub.repositories[name] = Repository(asked.get("visibility") == "private")
    hub.repositories[name].commit({".gitattributes": b"*.parquet filter=lfs diff=lfs merge=lfs -text\n"})
    return Answer(200, {"url": f"{hub.url}/datasets/{name}", "name": name})


def _yaml(hub: FakeHub, named: dict[str, str], query: dict[str, list[str]], body: bytes) -> Answer:
    return Answer(200, {"errors": [], "warnings": []})


def _refs(hub: FakeHub, named: dict[str, str], query: dict[str, list[str]], body: bytes) -> Answer:
    repository = hub.repositories[named["repo"]]
    tags = [{"name": name, "ref": f"refs/tags/{name}", "targetCommit": oid} for name, oid in repository.tags.items()]
    main = {"name": "main", "ref": "refs/heads/main", "targetCommit": repository.head}
    return Answer(200, {"branches": [main], "converts": [], "tags": tags})


def _info(hub: FakeHub, named: dict[str, str], query: dict[str, list[str]], body: bytes) -> Answer:
    repository = hub.repositories[named["repo"]]
    revision = named.get("revision") or "main"
    files = repository.files(revision)
    sha = next(oid for oid, held in repository.commits.items() if held is files)
    siblings = [{"rfilename": path} for path in files]
    return Answer(200, {"id": named["repo"], "sha": sha, "siblings": siblings, "private": repository.private})


def _tree(hub: FakeHub, named: dict[str, str], query: dict[str, list[str]], body: bytes) -> Answer:
    files = hub.repositories[named["repo"]].files(named["revision"])
    folders = {path.rpartition("/")[0] for path in files if "/" in path}
    listed = [{"type": "directory", "path": path, "oid": _blob(path.encode()), "size": 0} for path in folders]
    return Answer(200, [*listed, *(_entry(path, content) for path, content in files.items())])


def _paths(hub: FakeHub, named: dict[str, str], query: dict[str, list[str]], body: bytes) -> Answer:
    files = hub.repositories[named["repo"]].files(named["revision"])
    asked = json.loads(body)["paths"] if body.startswith(b"{") else parse_qs(body.decode())["paths"]
    return Answer(200, [_entry(path, files[path]) for path in asked if path in files])


def _preupload(hub: FakeHub, named: dict[str, str], query: dict[str, list[str]], body: bytes) -> Answer:
    files = hub.repositories[named["repo"]].files(named["revision"])
    told = []
    for asked in json.loads(body)["files"]:
        path = asked["path"]
        large = path.endswith(LARGE)
        held = files.get(path)
        oid = None if held is None else hashlib.sha256(held).hexdigest() if large else _blob(held)
        ignored = path.endswith(".svg") and b"*.svg" in files.get(".gitignore", b"")
        mode = "lfs" if large else "regular"
        told.append({"path": path, "uploadMode": mode, "shouldIgnore": ignored, "oid": oid})
    return Answer(200, {"files": told})


def _batch(hub: FakeHub, named: dict[str, str], query: dict[str, list[str]], body: bytes) -> Answer:
    hub.repositories[named["repo"]]
    told = []
    for asked in json.loads(body)["objects"]:
        links = {"upload": {"href": f"{hub.url}/storage/{asked['oid']}"}, "verify": {"href": f"{hub.url}/verify"}}
        told.append(asked if asked["oid"] in hub.stored else {**asked, "actions": links})
    return Answer(200, {"transfer": "basic", "objects": told})


def _upload(hub: FakeHub, named: dict[str, str], query: dict[str, list[str]], body: bytes) -> Answer:
    if hashlib.sha256(body).hexdigest() != named["oid"]:
        return Answer(400, {"error": "content does not match"})
    hub.stored[named["oid"]] = body
    return Answer(200, {})


def _verify(hub: FakeHub, named: dict[str, str], query: dict[str, list[str]], body: bytes) -> Answer:
    asked = json.loads(body)
    return Answer(200 if len(hub.stored.get(asked["oid"], b"")) == asked["size"] else 404, {})


def _commit(hub: FakeHub, named: dict[str, str], query: dict[str, list[str]], body: bytes) -> Answer:
    repository = hub.repositories[named["repo"]]
    files = dict(repository.files(named["revision"]))
    for line in map(json.loads, body.splitlines()):
        told = line["value"]
        match line["key"]:
            case "header":
                if told.get("parentCommit", repository.head) != repository.head:
                    return Answer(412, {"error": "A commit has happened since. Please refresh and try again."})
            case "file":
                files[told["path"]] = base64.b64decode(told["content"])
            case "lfsFile":
                files[told["path"]] = hub.stored[told["oid"]]
            case "deletedFile":
                if files.pop(told["path"], None) is None:
                    return Answer(400, {"error": "A file with this name doesn't exist"})
    oid = repository.commit(files)
    return Answer(200, {"commitUrl": f"{hub.url}/datasets/{named['repo']}/commit/{oid}", "commitOid": oid})


def _tag(hub: FakeHub, named: dict[str, str], query: dict[str, list[str]], body: bytes) -> Answer:
    repository, tag = hub.repositories[named["repo"]], json.loads(body)["tag"]
    if tag in repository.tags:
        return Answer(409, {"error": "Tag reference exists already"})
    repository.files(named["revision"])
    repository.tags[tag] = named["revision"]
    return Answer(200, {})


def _resolve(hub: FakeHub, named: dict[str, str], query: dict[str, list[str]], body: bytes) -> Answer:
    repository = hub.repositories[named["repo"]]
    files = repository.files(named["revision"])
    if named["path"] not in files:
        return Answer(404, {}, {"X-Error-Code": "EntryNotFound"})
    content = files[named["path"]]
    commit = next(oid for oid, held in repository.commits.items() if held is files)
    return Answer(200, content, {"X-Repo-Commit": commit, "ETag": f'"{_blob(content)}"'})


_ANSWERS = {
    "create": _create,
    "yaml": _yaml,
    "refs": _refs,
    "info": _info,
    "tree": _tree,
    "paths": _paths,
    "preupload": _preupload,
    "batch": _batch,
    "upload": _upload,
    "verify": _verify,
    "commit": _commit,
    "tag": _tag,
    "resolve": _resolve,
}


# --- the server -------------------------------------------------------------------------------------


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    lock = threading.Lock()

    def __init__(self, hub: FakeHub, *rest: object) -> None:
        self.hub = hub
        super().__init__(*rest)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        self._serve()

    do_HEAD = do_POST = do_PUT = do_GET

    def _serve(self) -> None:
        body = self._body()
        with self.lock:
            self._answer(body)

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        read = b""
        while size := int(self.rfile.readline(), 16):
            read += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return read

    def _answer(self, body: bytes) -> None:
        asked = urlsplit(self.path)
        route, named = self._route(asked.path)
        self.hub.seen[route] += 1
        if self.hub.fails[route] > 0:
            self.hub.fails[route] -= 1
            headers = {"Retry-After": self.hub.retry_after} if self.hub.retry_after else {}
            return self._send(Answer(503, {"error": "overloaded"}, headers))
        if status := self.hub.refuses.get(route) or self.hub.refuses.get("*"):
            return self._send(Answer(status, {"error": f"no to {self.headers.get('Authorization')}"}))
        if route not in _OPEN and self.headers.get("Authorization") != f"Bearer {self.hub.token}":
            said = "Invalid credentials in Authorization header"
            return self._send(Answer(401, {"error": said}, {"X-Error-Message": said}))
        answer = self.hub.answer(route, named, parse_qs(asked.query), body)
        if self.hub.loses[route] > 0:
            self.hub.loses[route] -= 1
            self.close_connection = True
            return None
        return self._send(answer)

    def _route(self, path: str) -> tuple[str, dict[str, str]]:
        command = "GET" if self.command == "HEAD" else self.command
        for name, (method, pattern) in _ROUTES.items():
            if method == command and (found := re.fullmatch(pattern, path)):
                return name, {key: unquote(value) for key, value in found.groupdict().items() if value}
        raise AssertionError(f"the stand-in has no {self.command} {path}")

    def _send(self, answer: Answer) -> None:
        body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        status = answer.status
        if asked := re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", "")):
            status, body = 206, body[int(asked[1]) : int(asked[2]) + 1]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if not isinstance(answer.body, bytes):
            self.send_header("Content-Type", "application/json")
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def fake_hub() -> Iterator[FakeHub]:
    """A hub without repositories, on loopback and a free port."""
    hub = FakeHub()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, hub)) as server:
        server.daemon_threads = True
        hub.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()
