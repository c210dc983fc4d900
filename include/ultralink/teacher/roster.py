"""Who else uses the same address right now: a folder of heartbeat files on the store.

Needs no lock and no common clock: a writer is alive if its file was touched within a few beats of one's own
file, by the file server's time. A killed writer drops out after that long; a limit shared by n is cut in n.
"""

from __future__ import annotations

import logging
import secrets
from contextlib import suppress
from hashlib import blake2b

import fsspec

from ultralink.store import time_of_writing
from ultralink.teacher.storage import WRITER

log = logging.getLogger(__name__)

BEAT_S = 3.0
LIVE_BEATS = 4
FORGOTTEN_BEATS = 200  # by then the file is swept away


class Roster:
    """One writer's place in the roster of ``address``. All methods block."""

    def __init__(
        self, fs: fsspec.AbstractFileSystem, folder: str, address: str, writer: str, beat_s: float = BEAT_S
    ) -> None:
        if not WRITER.fullmatch(writer):
            raise ValueError(f"{writer!r} is not a name for a writer: {WRITER.pattern}")
        self.beat_s = beat_s
        self._fs = fs
        self._folder = f"{folder.rstrip('/')}/{blake2b(address.encode(), digest_size=8).hexdigest()}"
        self._name = f"{writer}~{secrets.token_hex(6)}.live"

    def beat(self) -> int:
        """Touch one's own file; returns how many writers are alive, oneself included (at least 1)."""
        self._fs.makedirs(self._folder, exist_ok=True)
        self._fs.pipe_file(f"{self._folder}/{self._name}", b"alive")
        self._fs.invalidate_cache(self._folder)
        ages = self._ages()
        for name, age in ages.items():
            if age > FORGOTTEN_BEATS * self.beat_s:
                with suppress(FileNotFoundError):
                    self._fs.rm_file(f"{self._folder}/{name}")
        return max(1, sum(age <= LIVE_BEATS * self.beat_s for age in ages.values()))

    def leave(self) -> None:
        """Give one's share back at once."""
        with suppress(FileNotFoundError):
            self._fs.rm_file(f"{self._folder}/{self._name}")

    def _ages(self) -> dict[str, float]:
        times: dict[str, float] = {}
        for info in self._fs.ls(self._folder, detail=True):
            name = str(info["name"]).rpartition("/")[2]
            if name.endswith(".live"):
                with suppress(FileNotFoundError):
                    times[name] = time_of_writing(self._fs, info).timestamp()
        own = times.get(self._name, max(times.values(), default=0.0))
        return {name: own - time for name, time in times.items()}
