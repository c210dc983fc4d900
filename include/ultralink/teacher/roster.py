"""Who else uses the same address right now: a folder of heartbeat files on the store.

Needs no lock and no common clock: a writer is alive if its file was touched within a few beats of one's own
file, by the file server's time. A killed writer drops out after that long; a limit shared by n is cut in n.
What a writer has to tell the others is in its file's name, so that one listing tells all.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from contextlib import suppress
from hashlib import blake2b

import fsspec

from ultralink.store import time_of_writing
from ultralink.teacher.pace import ALONE, Standing
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
        self._writer = f"{writer}~{secrets.token_hex(6)}"
        self._name = ""  # of one's file, once there is one

    def beat(self, standing: Standing = ALONE) -> int:
        """Touch one's own file; returns how many writers are alive, oneself included (at least 1)."""
        before, self._name = self._name, f"{self._writer}{_shown(standing)}.live"
        self._fs.makedirs(self._folder, exist_ok=True)
        self._fs.pipe_file(f"{self._folder}/{self._name}", b"alive")
        if before not in ("", self._name):
            self._remove(before)
        ages = self._ages()
        for name, age in ages.items():
            if age > FORGOTTEN_BEATS * self.beat_s:
                self._remove(name)
        return max(1, len(self._alive(ages)))

    def others(self) -> list[Standing]:
        """What the other writers who are alive have told."""
        if not self._name:  # whether a file is old is told by one's own
            self.beat()
        alive = self._alive(self._ages())
        return [_read(name) for writer, name in alive.items() if writer != self._writer]

    def leave(self) -> None:
        """Give one's share back at once."""
        if self._name:
            self._remove(self._name)

    def _remove(self, name: str) -> None:
        with suppress(FileNotFoundError):
            self._fs.rm_file(f"{self._folder}/{name}")

    def _alive(self, ages: Mapping[str, float]) -> dict[str, str]:
        """The newest file of each writer who is alive: one that is just telling something new may have two."""
        newest = sorted(ages, key=lambda name: -ages[name])
        return {_writer(name): name for name in newest if ages[name] <= LIVE_BEATS * self.beat_s}

    def _ages(self) -> dict[str, float]:
        self._fs.invalidate_cache(self._folder)
        times: dict[str, float] = {}
        for info in self._fs.ls(self._folder, detail=True):
            name = str(info["name"]).rpartition("/")[2]
            if name.endswith(".live"):
                with suppress(FileNotFoundError):
                    times[name] = time_of_writing(self._fs, info).timestamp()
        own = times.get(self._name, max(times.values(), default=0.0))
        return {name: own - time for name, time in times.items()}


# --- a file's name: <writer>~<token>[~<rate>~<noise>].live; no rate: "none" ---------------------------------


def _shown(standing: Standing) -> str:
    if standing == ALONE:
        return ""
    return f"~{'none' if standing.rate is None else f'{standing.rate:.4g}'}~{standing.noise:.3g}"


def _writer(name: str) -> str:
    return "~".join(name.removesuffix(".live").split("~")[:2])


def _read(name: str) -> Standing:
    match name.removesuffix(".live").split("~"):
        case [_, _, rate, noise]:
            with suppress(ValueError):
                return Standing(None if rate == "none" else float(rate), float(noise))
    return ALONE
