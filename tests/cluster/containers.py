"""A container without Docker: processes with a host name and process numbers of their own, ended with the first one."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from tests.cluster.places import Place

# Linux ends every process of a PID namespace with its first one, as it does in a container.
_NAMESPACES = ("unshare", "--uts", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc")
_NAMED = ("sh", "-c", 'hostname "$0" && exec "$@"')
_HEALTH_TIMEOUT_S = 60  # the compose file's are for machines that do nothing else
_SETTLED_S = 10  # Docker's: a container that ran so long starts again at once when it exits
_LONGEST_PAUSE_S = 60


@dataclass
class Container:
    """One container of a service. ``started`` counts its starts; Docker would show one less as restarts."""

    place: Place
    command: list[str]
    environment: Mapping[str, str]
    log: Path
    started: int = 0
    wanted: bool = False
    _process: subprocess.Popen[bytes] | None = None
    _since: float = 0.0
    _pause_s: float = 0.1
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def name(self) -> str:
        return self.place.hostname

    def start(self) -> None:
        """Start it; from now on it is wanted."""
        with self._lock:
            self.wanted = True
            self._launch()

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def wait(self, timeout_s: float) -> int:
        """Wait for its end; the exit code."""
        assert self._process is not None
        return self._process.wait(timeout_s)

    def kill(self) -> None:
        """End all its processes at once, as ``docker kill`` or a power cut does; it stays dead."""
        with self._lock:
            self.wanted = False
            self._signal(signal.SIGKILL)
            self._reap()

    def stop(self, number: signal.Signals = signal.SIGTERM, grace_s: float | None = None) -> None:
        """End it in order, as ``docker stop`` does; it stays stopped."""
        with self._lock:
            self.wanted = False
            if self.is_running():
                self._signal(number)
                try:
                    self.wait(self.place.service.stop_grace_s if grace_s is None else grace_s)
                except subprocess.TimeoutExpired:
                    self._signal(signal.SIGKILL)
            self._reap()

    def keep(self) -> None:
        """Docker's part in ``restart: unless-stopped``: start it again if it has exited by itself."""
        with self._lock:
            if not self.wanted or self.is_running() or self.place.service.restart == "no":
                return
            if time.monotonic() - self._since > _SETTLED_S + self._pause_s:
                self._pause_s = 0.1
            if time.monotonic() - self._since > self._pause_s:
                self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
                self._launch()

    def is_healthy(self) -> bool:
        """One go of the compose file's health check."""
        test = self.place.service.health
        if test is None or not self.is_running():
            return self.is_running()
        words = [self.place.text(word) for word in test]
        try:
            done = subprocess.run(
                words,
                env=dict(self.environment),
                cwd=self.place.folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_HEALTH_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0

    def tail(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")[-3000:]

    def _launch(self) -> None:
        with self.log.open("ab") as sink:
            self._process = subprocess.Popen(
                [*_NAMESPACES, *_NAMED, self.name, *self.command],
                env=dict(self.environment),
                cwd=self.place.folder,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )
        self._since = time.monotonic()
        self.started += 1

    def _signal(self, number: signal.Signals) -> None:
        """To the first process of the container: `unshare` itself passes no signals on."""
        if self._process is not None and self.is_running():
            for first in psutil.Process(self._process.pid).children():
                os.kill(first.pid, number)

    def _reap(self) -> None:
        if self._process is not None:
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                os.kill(self._process.pid, signal.SIGKILL)  # --kill-child ends the rest
                self._process.wait()


class Keeper:
    """Docker, as far as it watches over containers."""

    def __init__(self, containers: list[Container]) -> None:
        self._containers = containers
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._ended.set()
        self._thread.join(30)

    def _watch(self) -> None:
        while not self._ended.wait(0.2):
            for container in self._containers:
                container.keep()
