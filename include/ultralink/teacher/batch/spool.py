"""The spool: a wave's requests on the local disk, in the files that the Batch API takes."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import msgspec

from ultralink.errors import RequestRefused
from ultralink.teacher.batch.tickets import Noted
from ultralink.teacher.endpoint import Limits
from ultralink.teacher.request import Form, Request

URL = "/v1/chat/completions"


@dataclass
class SpoolFile:
    """One file of requests to one model, with their asks."""

    path: Path
    model: str
    form: Form
    size: int = 0
    asks: list[Noted] = field(default_factory=list)
    _hash: hashlib._Hash = field(default_factory=hashlib.sha256, repr=False)

    @property
    def sha256(self) -> str:
        """Of the whole file."""
        return self._hash.hexdigest()

    def add(self, line: bytes, ask: Noted) -> None:
        """Append a request."""
        with self.path.open("ab") as file:
            file.write(line)
        self._hash.update(line)
        self.size += len(line)
        self.asks.append(ask)


class Spool:
    """Requests as they come, in files within the API's limits. Memory: a key and a step per request."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._noted: set[str] = set()
        self._full: list[SpoolFile] = []
        self._open: dict[str, SpoolFile] = {}  # by model: a batch file is of one model

    def __enter__(self) -> Spool:
        self._folder = tempfile.TemporaryDirectory(prefix="ultralink-batch-")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._folder.cleanup()

    def __contains__(self, key: str) -> bool:
        return key in self._noted

    def __len__(self) -> int:
        return len(self._noted)

    def add(self, request: Request, step: str, form: Form) -> None:
        """Note a request. Raises RequestRefused for one that is longer than a whole file may be."""
        body = msgspec.Raw(request.body(form))
        line = msgspec.json.encode({"custom_id": request.key, "method": "POST", "url": URL, "body": body}) + b"\n"
        if len(line) > self._limits.batch_bytes:
            raise RequestRefused(f"step {step!r}: a request of {len(line)} bytes is too long for a batch file")
        self._noted.add(request.key)
        self._file(request.model, form, len(line)).add(line, Noted(request.key, step, request.schema is not None))

    def files(self) -> Iterator[SpoolFile]:
        """All files, the full ones first."""
        yield from self._full
        yield from self._open.values()

    def _file(self, model: str, form: Form, more: int) -> SpoolFile:
        found = self._open.get(model)
        limits = self._limits
        if found and (len(found.asks) >= limits.batch_requests or found.size + more > limits.batch_bytes):
            self._full.append(self._open.pop(model))
            found = None
        if found is None:
            number = len(self._full) + len(self._open)
            found = self._open[model] = SpoolFile(Path(self._folder.name) / f"{number:05d}.jsonl", model, form)
        return found
