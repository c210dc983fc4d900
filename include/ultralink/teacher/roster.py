"""Who else uses the same address right now: a folder of heartbeat files on the store.

Needs no lock and no common clock: a writer is alive if its file was touched within a few beats of one's own
file, by the file server's time. A killed writer drops out after that long; a limit shared by n is cut in n.
What a writer has to tell the others is in its file's name, so that one listing tells all.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping
from contextlib import suppress
from hashlib import blake2b

import fsspec
from fsspec.implementations.local import LocalFileSystem

from ultralink.errors import UltraLinkError
from ultralink.store import time_of_writing
from ultralink.teacher.pace import ALONE, FLOOR, MAX_NOISE, RAMP_TO, Standing
from ultralink.teacher.storage import WRITER

BEAT_S = 3.0
REMOTE_BEAT_S = 12.0  # a beat is a PUT and a LIST: at S3's prices 0.003 USD per task and hour, and not 0.012
LIVE_BEATS = 4
FORGOTTEN_BEATS = 200  # by then the file is swept away


class Roster:
    """One writer's place in the roster of ``address``. All methods block."""

    def __init__(
        self, fs: fsspec.AbstractFileSystem, folder: str, address: str, writer: str, beat_s: float | None = None
    ) -> None:
        if not WRITER.fullmatch(writer):
            raise ValueError(f"{writer!r} is not a name for a writer: {WRITER.pattern}")
        self.beat_s = beat_s or (BEAT_S if isinstance(fs, LocalFileSystem) else REMOTE_BEAT_S)
        self._fs = fs
        self._folder = f"{folder.rstrip('/')}/{blake2b(address.encode(), digest_size=8).hexdigest()}"
        self._writer = f"{writer}~{secrets.token_hex(6)}"
        self._name = ""  # of one's file, once there is one
        self._lock = threading.Lock()  # a beat that is late must not come back after one has left
        self._has_left = False

    def beat(self, standing: Standing = ALONE) -> int:
        """Tell ``standing``; returns how many writers are alive, oneself included."""
        self.tell(standing)
        return 1 + len(self.others())

    def tell(self, standing: Standing = ALONE) -> None:
        """Touch one's own file, whose name tells the others ``standing``."""
        with self._lock:
            if self._has_left:
                return
            before, self._name = self._name, f"{self._writer}{_shown(standing)}.live"
            path = f"{self._folder}/{self._name}"
            try:
                self._fs.pipe_file(path, b"alive")
            except FileNotFoundError:  # the first one here; asked for only now, for a store may charge for it
                self._fs.makedirs(self._folder, exist_ok=True)
                self._fs.pipe_file(path, b"alive")
            if before not in ("", self._name):
                self._sweep(before)

    def others(self) -> list[Standing]:
        """What the other writers who are alive have told; whose file is older than any beat is swept away."""
        if not self._name:  # whether a file is old is told by one's own
            self.tell()
        ages = self._ages()
        for name, age in ages.items():
            if abs(age) > FORGOTTEN_BEATS * self.beat_s:
                self._sweep(name)
        return [_read(name) for writer, name in self._alive(ages).items() if writer != self._writer]

    def leave(self) -> None:
        """Give one's share back at once."""
        with self._lock:
            self._has_left = True
            if self._name:
                with suppress(FileNotFoundError):
                    self._fs.rm_file(f"{self._folder}/{self._name}")

    def _sweep(self, name: str) -> None:
        with suppress(OSError, UltraLinkError):  # whoever may remove nothing can still tell and read
            self._fs.rm_file(f"{self._folder}/{name}")

    def _alive(self, ages: Mapping[str, float]) -> dict[str, str]:
        """The newest file of each writer who is alive: one that is just telling something new may have two.

        A file from a far future is as dead as an old one: else it would keep its share for as long.
        """
        newest = sorted(ages, key=lambda name: -ages[name])
        latest, oldest = -FORGOTTEN_BEATS * self.beat_s, LIVE_BEATS * self.beat_s
        return {_writer(name): name for name in newest if latest <= ages[name] <= oldest}

    def _ages(self) -> dict[str, float]:
        self._fs.invalidate_cache(self._folder)
        times: dict[str, float] = {}
        for info in self._fs.ls(self._folder, detail=True):
            name = str(info["name"]).rpartition("/")[2]
            if name.endswith(".live") and info.get("type") != "directory":
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
                told = Standing(None if rate == "none" else float(rate), float(noise))
                if _is_sensible(told):
                    return told
    return ALONE


def _is_sensible(told: Standing) -> bool:
    """Whether a pace can have told it. One file with a huge number, or none (nan), would mislead all others."""
    return (told.rate is None or FLOOR / 2 <= told.rate <= RAMP_TO) and 0 <= told.noise <= MAX_NOISE
