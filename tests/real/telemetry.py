"""Receivers of metrics: collectd, which takes StatsD's lines, and a stand-in for an OpenTelemetry collector.

No collector of OpenTelemetry's installs from Debian or PyPI. The stand-in takes OTLP over HTTP on loopback and reads it
with OpenTelemetry's own protobuf messages; it keeps what came instead of passing it on.
"""

from __future__ import annotations

import gzip
import math
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality
from tests.real.debian import have_program
from tests.waiting import wait_for

from ultralink.local.settings import free_port


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
class Collectd:
    """A running collectd, read from the files that it writes each second."""

    port: int
    folder: Path

    def counters(self) -> dict[str, float]:
        """The sum so far of each counter."""
        return {name: values[-1] for name, values in self._written("derive").items()}

    def gauges(self) -> dict[str, float]:
        """What each gauge was last set to."""
        return {name: values[-1] for name, values in self._written("gauge").items()}

    def timers(self) -> dict[str, float]:
        """The sum of each timer, in seconds."""
        return {name.removesuffix("-sum"): sum(values) for name, values in self._written("latency").items()}

    @property
    def complaints(self) -> list[str]:
        """What it said of lines that it could not read."""
        said = (self.folder / "log").read_text()
        return [line for line in said.splitlines() if "Unable to parse" in line]

    def _written(self, kind: str) -> dict[str, list[float]]:
        """All values of each metric of ``kind``; a second without one is left out."""
        found: dict[str, list[float]] = {}
        for file in sorted(self.folder.glob(f"csv/*/statsd/{kind}-*")):
            name = file.name.removeprefix(f"{kind}-")[: -len("-2026-11-23")]  # a file a day
            values = [float(line.partition(",")[2]) for line in file.read_text().splitlines()[1:] if "," in line]
            found.setdefault(name, []).extend(value for value in values if not math.isnan(value))
        return {name: values for name, values in found.items() if values}


_COLLECTD = """
BaseDir "{folder}"
PIDFile "{folder}/pid"
Hostname "here"
FQDNLookup false
Interval 1
LoadPlugin statsd
LoadPlugin csv
<Plugin statsd>
  Host "127.0.0.1"
  Port "{port}"
  TimerSum true
</Plugin>
<Plugin csv>
  DataDir "{folder}/csv"
  StoreRates false
</Plugin>
"""


@contextmanager
def collectd(folder: Path) -> Iterator[Collectd]:
    """A collectd that takes StatsD's lines on loopback, until the block ends."""
    have_program("collectd", "collectd-core")
    server = Collectd(free_port(), folder)
    (folder / "collectd.conf").write_text(_COLLECTD.format(folder=folder, port=server.port))
    command = ["collectd", "-f", "-C", str(folder / "collectd.conf")]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT) as process,
    ):
        try:
            wait_for(lambda: "Listening on" in (folder / "log").read_text(), 60)
            yield server
        finally:
            process.terminate()
