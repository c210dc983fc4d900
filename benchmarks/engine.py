"""The engine benchmark: speed, CPU and memory beside two bare clients; then faults, a kill and a limit.

    python benchmarks/engine.py            # everything, about three minutes; prints Markdown
    MOCK_URL=http://host:port ...          # another server with the same /reset, /stats and /v1

Every contender is a process of its own, run against the same server with 200 calls in flight and 200 ms
latency, so 1,000 rows per second is what physics allows.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
IN_FLIGHT = 200
NAMES = {
    "ultralink": "UltraLink: journal, schema checked",
    "aiohttp": "bare aiohttp, no retry, keeps nothing",
    "openai": "bare openai client, 2 retries, keeps nothing",
}
FAULTS = {"p429": 0.10, "p500": 0.05, "p_bad_body": 0.02, "retry_after": 1.0}


@dataclass(frozen=True)
class Run:
    """One contender's run. ``seconds`` is from opening to the last row; start-up is outside of it."""

    kept: int
    seconds: float
    cpu_s: float
    peak_mb: float
    process_s: float


@dataclass(frozen=True)
class Mock:
    """The server, told what to do and asked what it saw."""

    url: str

    def reset(self, **settings: float) -> None:
        """Counters to zero, and these settings."""
        self._call("/reset", json.dumps(settings).encode())

    def stats(self) -> dict[str, int]:
        """Counters, with those of each status beside them."""
        seen = self._call("/stats")
        counters: dict[str, int] = {**seen, **seen["status"]}
        return counters

    def _call(self, path: str, data: bytes | None = None) -> Any:
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})  # noqa: S310
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
            return json.load(response)


@contextmanager
def mock_teacher() -> Iterator[Mock]:
    """The server that MOCK_URL names, else one of our own."""
    if url := os.environ.get("MOCK_URL"):
        yield Mock(url.rstrip("/"))
        return
    command = [sys.executable, str(HERE / "mock_teacher.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield Mock(f"http://127.0.0.1:{int(server.stdout.readline())}")
        finally:
            server.kill()


def start(name: str, mock: Mock, rows: int, folder: Path) -> subprocess.Popen[str]:
    """A contender's process."""
    command = [
        sys.executable,
        str(HERE / "contenders.py"),
        name,
        f"{mock.url}/v1",
        str(rows),
        str(IN_FLIGHT),
        str(folder),
    ]
    path = os.pathsep.join(filter(None, [str(HERE.parent / "include"), os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )


def run(name: str, mock: Mock, rows: int, folder: Path | None = None) -> Run:
    """A contender's whole run, in a fresh folder unless one is given."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as fresh, start(name, mock, rows, folder or Path(fresh)) as process:
        assert process.stdout is not None
        output = process.stdout.read()
    if process.returncode != 0:
        raise SystemExit(f"{name} failed with {process.returncode}; run benchmarks/contenders.py to see why")
    told = json.loads(output)
    return Run(told["kept"], told["seconds"], told["cpu_s"], told["peak_kb"] / 1024, time.monotonic() - started)


def heading(columns: str) -> None:
    """The head of a Markdown table."""
    print(columns)
    print("|" + "---|" * (columns.count("|") - 1))


def clean(mock: Mock, sizes: list[int], repeat: int) -> None:
    """Speed, CPU and memory where nothing goes wrong; the best of ``repeat`` runs: machines are shared."""
    print("\n### Clean run: 200 ms, 200 in flight\n")
    heading("| contender | rows | rows/s (all runs) | with start-up | CPU ms/row | peak MB | kept |")
    for rows in sizes:
        for name, title in NAMES.items():
            runs = []
            for _ in range(repeat):
                mock.reset(latency=0.2)
                runs.append(run(name, mock, rows))
            best = min(runs, key=lambda each: each.seconds)
            speeds = " ".join(f"{rows / each.seconds:.0f}" for each in runs)
            print(
                f"| {title} | {rows:,} | **{rows / best.seconds:.0f}** ({speeds}) | {rows / best.process_s:.0f} "
                f"| {1000 * min(each.cpu_s for each in runs) / rows:.2f} | {best.peak_mb:.0f} | {best.kept:,} |",
                flush=True,
            )


def faults(mock: Mock, rows: int) -> None:
    """10% 429 with Retry-After 1, 5% 500, 2% truncated bodies."""
    print("\n### Faults: 10% 429 (Retry-After 1 s), 5% 500, 2% truncated bodies\n")
    heading("| contender | rows/s | kept | missing | paid | paid twice | 429s | CPU ms/row |")
    for name, title in NAMES.items():
        mock.reset(latency=0.2, **FAULTS)
        done, seen = run(name, mock, rows), mock.stats()
        print(
            f"| {title} | **{rows / done.seconds:.0f}** | {done.kept:,} | {rows - done.kept:,} | {seen['paid']:,} "
            f"| {seen['paid_twice']:,} | {seen.get('p429', 0):,} | {1000 * done.cpu_s / rows:.2f} |",
            flush=True,
        )


def killed(mock: Mock, rows: int) -> None:
    """SIGKILL when half is paid, then the same command again."""
    print("\n### kill -9 at half, then started again\n")
    mock.reset(latency=0.2)
    with tempfile.TemporaryDirectory() as folder:
        with start("ultralink", mock, rows, Path(folder)) as process:
            while mock.stats()["paid"] < rows / 2:
                time.sleep(0.05)
            process.send_signal(signal.SIGKILL)
        time.sleep(0.5)  # the server pays for what was in flight
        paid = mock.stats()["paid"]
        done, seen = run("ultralink", mock, rows, Path(folder)), mock.stats()
    heading("| paid at the kill | paid twice | in flight | missing | second run s |")
    print(
        f"| {paid:,} | **{seen['paid_twice']}** | {IN_FLIGHT} | {rows - done.kept} | {done.seconds:.1f} |",
        flush=True,
    )


def limited(mock: Mock, rows: int, repeat: int) -> None:
    """A limit of 6,000 requests per minute that nobody was told of."""
    print("\n### An unknown limit of 6,000 requests per minute\n")
    heading("| rows | seconds | share of the allowed rate | 429s | 429s per 1,000 paid |")
    for _ in range(repeat):
        mock.reset(latency=0.2, rpm=6000)
        done, seen = run("ultralink", mock, rows), mock.stats()
        # The bucket is full at the start: its second's worth is no sign of speed.
        share, limited = (rows - 100) / 100 / done.seconds, seen.get("p429", 0)
        print(
            f"| {rows:,} | {done.seconds:.1f} | **{share:.1%}** | {limited} "
            f"| **{1000 * limited / seen['paid']:.0f}** |",
            flush=True,
        )


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[5_000, 20_000], help="sizes of the clean run")
    parser.add_argument("--repeat", type=int, default=2, help="runs of each contender in the clean run")
    chosen = parser.parse_args()
    print(f"Load when started: {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores", flush=True)
    with mock_teacher() as mock:
        clean(mock, chosen.rows, chosen.repeat)
        faults(mock, chosen.rows[0])
        killed(mock, chosen.rows[0])
        limited(mock, min(2_000, chosen.rows[0]), chosen.repeat)
    print(f"\nLoad at the end: {os.getloadavg()[0]:.2f}")


if __name__ == "__main__":
    main()
