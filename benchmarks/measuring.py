"""Tasks as an orchestrator runs them, a process each, and what they cost: seconds, CPU, memory of all at once."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from multiprocessing.process import BaseProcess

import psutil

_EVERY_S = 0.2
_SPAWN = multiprocessing.get_context("spawn")  # nothing is shared with the parent, as with Airflow's tasks


@dataclass(frozen=True)
class Cost:
    """What a stage took. ``peak`` is in bytes, of all of its processes at once; pages that they share count once."""

    seconds: float
    cpu_s: float
    peak: int


class Peak:
    """The most memory that this process's children have at once, from now on."""

    def __init__(self) -> None:
        self.bytes = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(_EVERY_S):
            self.bytes = max(self.bytes, sum(map(_memory, psutil.Process().children(recursive=True))))


def _memory(process: psutil.Process) -> int:
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        full = process.memory_full_info()
        return int(getattr(full, "pss", full.rss))  # only Linux tells shared pages apart
    return 0


def run_tasks(tasks: Iterable[Callable[[], object]], processes: int) -> Cost:
    """Run all tasks, at most ``processes`` at a time. Raises RuntimeError where one fails; it has said why."""
    started, cpu = time.perf_counter(), _children_cpu()
    waiting = iter(tasks)
    with Peak() as peak:
        running = list(islice(_started(waiting), processes))
        try:
            while running:
                multiprocessing.connection.wait([process.sentinel for process in running])
                for process in [each for each in running if not each.is_alive()]:
                    running.remove(process)
                    process.join()
                    if process.exitcode:
                        raise RuntimeError(f"a task ended with {process.exitcode}")
                    running += islice(_started(waiting), 1)
        finally:
            for process in running:
                process.terminate()
                process.join()
    return Cost(time.perf_counter() - started, _children_cpu() - cpu, peak.bytes)


def _started(tasks: Iterator[Callable[[], object]]) -> Iterator[BaseProcess]:
    for task in tasks:
        process = _SPAWN.Process(target=task)
        process.start()
        yield process


def _children_cpu() -> float:
    times = os.times()
    return times.children_user + times.children_system
