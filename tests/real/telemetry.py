"""Receivers of metrics: StatsD's own server, from npm, and a stand-in for an OpenTelemetry collector.

No collector installs from Debian, PyPI or npm. The stand-in takes OTLP over HTTP on loopback and reads it with
OpenTelemetry's own protobuf messages; it keeps what came instead of passing it on.
"""

from __future__ import annotations

import functools
import gzip
import json
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality
from tests.real.debian import have_program
from tests.waiting import wait_for

from ultralink.local.settings import free_port

STATSD = "statsd@0.9.0"


@dataclass(frozen=True)
class Point:
    """One data point as it came: of a histogram, ``value`` is the sum of ``count`` values."""

    name: str
    kind: str  # sum, gauge, exponential_histogram, ...
    is_delta: bool
    tags: Mapping[str, str]
    value: float
    count: int
    instance: str  # service.instance.id: the process that sent it


class OtlpReceiver(ThreadingHTTPServer):
    """The stand-in: takes ``POST /v1/metrics``."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Export)
        self.points: list[Point] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def of(self, name: str) -> list[Point]:
        """The points of one metric, prefix and all."""
        return [point for point in self.points if point.name == name]

    def total(self, name: str, **tags: str) -> float:
        """The sum of a counter over all processes and reports that have these tags; it must be sent as deltas."""
        found = [point for point in self.of(name) if tags.items() <= point.tags.items()]
        assert all(point.is_delta for point in found), "cumulative points cannot be summed"
        return sum(point.value for point in found)


class _Export(BaseHTTPRequestHandler):
    server: OtlpReceiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if self.path != "/v1/metrics" or self.headers["Content-Type"] != "application/x-protobuf":
            self.send_error(404)
            return
        self.server.points += _points(ExportMetricsServiceRequest.FromString(body))
        answer = ExportMetricsServiceResponse().SerializeToString()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def _points(request: ExportMetricsServiceRequest) -> Iterator[Point]:
    for resource in request.resource_metrics:
        instance = _tags(resource.resource.attributes)["service.instance.id"]
        for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
            kind = metric.WhichOneof("data")
            data = getattr(metric, kind)
            temporality = getattr(data, "aggregation_temporality", None)
            is_delta = temporality == AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
            for point in data.data_points:
                is_histogram = "histogram" in kind
                value = point.sum if is_histogram else getattr(point, point.WhichOneof("value"))
                count = point.count if is_histogram else 1
                yield Point(metric.name, kind, is_delta, _tags(point.attributes), value, count, instance)


def _tags(attributes: list[KeyValue]) -> dict[str, str]:
    return {each.key: each.value.string_value for each in attributes}


@contextmanager
def otlp_receiver() -> Iterator[OtlpReceiver]:
    """The stand-in, until the block ends."""
    with OtlpReceiver() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


@dataclass(frozen=True)
class StatsdServer:
    """A running StatsD, asked over its administration port."""

    port: int
    admin_port: int

    def counters(self) -> dict[str, float]:
        return self._ask("counters")

    def gauges(self) -> dict[str, float]:
        return self._ask("gauges")

    def timers(self) -> dict[str, list[float]]:
        return self._ask("timers")

    def _ask(self, command: str) -> dict[str, object]:
        with socket.create_connection(("127.0.0.1", self.admin_port), timeout=10) as admin:
            admin.sendall(f"{command}\n".encode())
            told = b""
            while not told.rstrip().endswith(b"END"):
                if not (more := admin.recv(65536)):
                    break
                told += more
        # StatsD prints its tables as JavaScript, which node reads better than we do.
        table = told.decode().rpartition("END")[0]
        read = subprocess.run(
            ["node", "-p", f"JSON.stringify({table})"], capture_output=True, text=True, check=True, timeout=60
        )
        return json.loads(read.stdout)


@functools.cache
def _statsd() -> Path:
    """StatsD's program, installed by npm once per test session."""
    have_program("node", "nodejs")
    have_program("npm", "npm")  # NodeSource's nodejs brings it along, Debian's does not
    folder = Path(tempfile.mkdtemp(prefix="ultralink-statsd-"))
    command = ["npm", "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--ignore-scripts", STATSD]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        pytest.fail(f"npm could not install {STATSD}: {done.stderr[-300:]}")
    return folder / "node_modules/statsd/stats.js"


@contextmanager
def statsd_server(folder: Path) -> Iterator[StatsdServer]:
    """StatsD that never flushes, so that its administration port tells everything that came."""
    program = _statsd()
    server = StatsdServer(free_port(), free_port())
    settings = {
        "port": server.port,
        "address": "127.0.0.1",
        "mgmt_port": server.admin_port,
        "mgmt_address": "127.0.0.1",
        "flushInterval": 86_400_000,
        "keyNameSanitize": False,  # else it drops the commas that tags begin with
        "backends": [],
    }
    config = folder / "statsd.js"
    config.write_text(json.dumps(settings))
    with subprocess.Popen(["node", str(program), str(config)], stdout=subprocess.DEVNULL) as process:
        try:
            wait_for(lambda: _answers(server.admin_port), 60)
            yield server
        finally:
            process.terminate()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
