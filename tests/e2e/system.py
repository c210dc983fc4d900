"""The running system as the tests see it: Airflow, its store, and an offline teacher that counts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from tests.waiting import wait_for

from ultralink.local.processes import running
from ultralink.local.rest import AirflowApi
from ultralink.local.settings import ROOT, LocalSettings
from ultralink.store import Store


@dataclass(frozen=True)
class Teacher:
    """An offline teacher that the test started and can ask for its counts."""

    process: subprocess.Popen[bytes]
    url: str

    def stats(self) -> dict[str, int]:
        """The counts: calls, paid, unique, ..."""
        return {name: value for name, value in self._page().items() if isinstance(value, int)}

    def steps(self) -> dict[str, int]:
        """Paid calls per "<language> <step>"."""
        return self._page()["by_step"]

    def _page(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url}/stats", timeout=10) as answer:
            return json.load(answer)


@contextmanager
def offline_teacher(folder: Path, *options: str, include: Path = ROOT / "include") -> Iterator[Teacher]:
    """An offline teacher of the checkout that ``include`` belongs to, with ``options`` of its command line."""
    port_file = folder / "port"
    command = [sys.executable, "-m", "ultralink.offline_teacher", "--port-file", str(port_file), *options]
    environment = {**os.environ, "PYTHONPATH": str(include)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(port_file.exists, 60)
            yield Teacher(process, f"http://127.0.0.1:{port_file.read_text().strip()}/v1")
        finally:
            process.terminate()


def end(home: Path) -> None:
    """End the Airflow at ``home``, which nobody needs any more: an orderly end takes a quarter of a minute."""
    while left := running(home):
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        time.sleep(0.1)


@dataclass(frozen=True)
class Live:
    """The running system as a test sees it."""

    api: AirflowApi
    settings: LocalSettings
    store: Store
    teacher: Teacher

    def run(self, language: str, date: str, **params: object) -> str:
        """Start a run with the offline model."""
        return self.api.trigger(f"ultralink_{language}", date, {"model": "offline-teacher", **params})

    def finish(self, language: str, run_id: str) -> str:
        """Wait for the run's end and return its state."""
        dag_id = f"ultralink_{language}"
        wait_for(lambda: self.api.run_state(dag_id, run_id) in {"success", "failed"}, 300)
        return self.api.run_state(dag_id, run_id)
