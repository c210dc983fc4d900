"""The processes of the local Airflow: started together, awaited, stopped to the last."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil

from ultralink.errors import UltraLinkError
from ultralink.local.settings import ROOT, LocalSettings

_READY_TIMEOUT_S = 240
_STOP_TIMEOUT_S = 20
_HEALTHY = ("metadatabase", "scheduler", "dag_processor")
_COMPONENTS = ("scheduler", "dag-processor", "triggerer", "api-server")


class LocalError(UltraLinkError):
    """The local Airflow cannot be started or used; the message says why and what to do."""


def running(home: Path) -> list[psutil.Process]:
    """All live processes that belong to the Airflow at ``home``.

    Every process that we start leads a session of its own, and what it starts stays in that session. (A mark
    in the environment would not do: Airflow's processes overwrite it with their titles.)
    """
    sessions = _sessions(home)
    found = []
    for process in psutil.process_iter():
        try:
            session = os.getsid(process.pid)
            if session in sessions and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, ProcessLookupError, PermissionError):
            continue
    return found


def _sessions(home: Path) -> set[int]:
    """The sessions noted at ``home`` that may still be alive."""
    try:
        noted = (home / "sessions").read_text().split()
    except FileNotFoundError:
        return set()
    sessions = zip(map(int, noted[::2]), map(float, noted[1::2]), strict=True)
    return {session for session, created in sessions if not _is_taken_over(session, created)}


def _is_taken_over(session: int, created: float) -> bool:
    """Another process has got the number of a session whose members are all gone."""
    try:
        return psutil.Process(session).create_time() != created
    except psutil.NoSuchProcess:
        return False


def refuse_if_running(home: Path) -> None:
    """Raise LocalError where an Airflow already runs from ``home``."""
    if running(home):
        raise LocalError(f"An Airflow is already running from {home}. Use its UI, or stop it with: make down")


def start(settings: LocalSettings) -> str | None:
    """Start Airflow (and the offline teacher when no key is set), and wait until it is healthy.

    Returns the offline teacher's base URL, or None. Raises LocalError with the log's path.
    """
    logs = settings.home / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    (settings.home / "sessions").unlink(missing_ok=True)
    teacher_url = _start_teacher(settings) if settings.offline else None
    environment = settings.environment(teacher_url)
    _run_airflow(settings.home, environment, "db", "migrate")
    _run_airflow(settings.home, environment, "pools", "import", str(ROOT / "include" / "pools.json"))
    for component in _COMPONENTS:
        _spawn(settings.home, [sys.executable, "-m", "airflow", component], environment, f"{component}.log")
    _wait_until_healthy(settings)
    return teacher_url


def stop(home: Path) -> int:
    """Stop every process of the Airflow at ``home``: TERM, then KILL for what stays. Returns how many."""
    members = running(home)
    for process in members:
        _signal(process, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_TIMEOUT_S
    while running(home) and time.monotonic() < deadline:
        time.sleep(0.2)
    while left := running(home):  # a dying parent may have started a child in between
        for process in left:
            _signal(process, signal.SIGKILL)
        time.sleep(0.1)
    return len(members)


def airflow(settings: LocalSettings, arguments: list[str]) -> None:
    """Run Airflow's own command line against the Airflow that runs at ``settings.home``; ends with its exit code."""
    if not running(settings.home):
        raise LocalError(f"No Airflow is running from {settings.home}. Start it with: make up")
    command = [sys.executable, "-m", "airflow", *arguments]
    raise SystemExit(subprocess.run(command, env=settings.environment(None), check=False).returncode)


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def _spawn(home: Path, command: list[str], environment: dict[str, str], log: str) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, noted in ``home``; a Ctrl-C at the terminal reaches only us."""
    with (home / "logs" / log).open("ab") as sink:
        process = subprocess.Popen(
            command,
            env=environment,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
    with (home / "sessions").open("a") as noted:
        noted.write(f"{process.pid} {psutil.Process(process.pid).create_time()}\n")
    return process


def _run_airflow(home: Path, environment: dict[str, str], *arguments: str) -> None:
    code = _spawn(home, [sys.executable, "-m", "airflow", *arguments], environment, "setup.log").wait()
    if code:
        log = home / "logs" / "setup.log"
        raise LocalError(f"`airflow {' '.join(arguments)}` failed with exit code {code}; see {log}")


def _start_teacher(settings: LocalSettings) -> str:
    port_file = settings.home / "teacher.port"
    port_file.unlink(missing_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "include")}
    command = [sys.executable, "-m", "ultralink.offline_teacher", "--port-file", str(port_file)]
    process = _spawn(settings.home, command, environment, "offline-teacher.log")
    deadline = time.monotonic() + 60
    while not port_file.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            log = settings.home / "logs" / "offline-teacher.log"
            raise LocalError(f"The offline teacher did not start; see {log}")
        time.sleep(0.05)
    return f"http://127.0.0.1:{port_file.read_text().strip()}/v1"


def _wait_until_healthy(settings: LocalSettings) -> None:
    deadline = time.monotonic() + _READY_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{settings.url}/api/v2/monitor/health", timeout=5) as answer:  # noqa: S310
                health = json.load(answer)
            if all(health[part]["status"] == "healthy" for part in _HEALTHY):
                return
        except (OSError, ValueError, KeyError):
            pass
        time.sleep(0.3)
    logs = settings.home / "logs"
    raise LocalError(f"Airflow was not healthy after {_READY_TIMEOUT_S} s; see the logs in {logs}")
