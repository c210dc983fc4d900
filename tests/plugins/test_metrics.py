"""Metrics as they leave Airflow, by StatsD and by OpenTelemetry: named and tagged as docs/metrics.md says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from tests.loopback import Datagrams, datagrams
from tests.real.debian import have_program
from tests.real.telemetry import OtlpReceiver, collectd, otlp_receiver
from tests.waiting import wait_for

from ultralink.recipe import Alarms
from ultralink.stages.partition import Built
from ultralink.stages.statistics import Statistics, Subset
from ultralink.teacher.tally import Counts

ROOT = Path(__file__).resolve().parents[2]

METRICS = ROOT / "docs/metrics.md"

PAID = Counts(
    paid=10,
    tries=13,
    limited=3,
    prompt_tokens=1000,
    cached_tokens=400,
    completion_tokens=200,
    cost_usd=0.0123456,
    unpriced=1,
)


@pytest.fixture
def heard(airflow_db: None) -> Iterator[Datagrams]:
    """Airflow's metrics by StatsD, with tags in the names, until the test ends."""
    from airflow.sdk._shared.observability.metrics.base_stats_logger import NoStatsLogger
    from airflow.sdk._shared.observability.metrics.statsd_logger import SafeStatsdLogger
    from airflow.sdk.observability import stats
    from statsd import StatsClient

    with datagrams() as listener:
        client = StatsClient("127.0.0.1", listener.port, prefix="airflow")
        stats.initialize(
            factory=lambda: SafeStatsdLogger(client, influxdb_tags_enabled=True, statsd_influxdb_enabled=True),
            export_legacy_names=True,
        )
        yield listener
        stats.initialize(factory=NoStatsLogger, export_legacy_names=True)


def documented() -> set[tuple[str, str, tuple[str, ...]]]:
    """Name, type and tags of each row in the document's tables."""
    rows = re.findall(r"^\| `(ultralink\.[a-z_.]+)` \| (\w+) \| ([^|]*) \|", METRICS.read_text(), re.MULTILINE)
    return {(name, kind, tuple(re.findall(r"\w+", tags))) for name, kind, tags in rows}


def emit_everything() -> None:
    from ultralink_airflow import metrics
    from ultralink_airflow.watching import watching

    context = {"ti": SimpleNamespace(task_id="dialogue.generate")}
    with watching(Alarms(), SimpleNamespace(language="fr"), context) as watch:  # type: ignore[arg-type]
        watch.paid("my model,v=1", PAID, [0.25, 0.5])
        watch.paid("my model,v=1", Counts(paid=1), [])
        watch.built(Built((), "line", rows=7, rejects=2))
    metrics.night(
        Statistics(
            language="fr", date="2026-11-23", articles=9, passages=9, pool=None, calls=5, prompt_tokens=1,
            cached_tokens=0, completion_tokens=1, cost_usd=0.5, models=["m"], outputs={},
            subsets={"math": Subset(samples=15, turns=15, rejects={"numbers: lost": 4, "numbers: new": 1})},
        )
    )  # fmt: skip


def test_every_metric_arrives_with_its_tags(heard: Datagrams) -> None:
    emit_everything()
    wait_for(lambda: heard.of("cost_per_sample_usd"), 10)
    assert heard.total("ultralink.teacher.calls") == 11
    assert heard.total("ultralink.teacher.tries") == 13
    assert heard.total("ultralink.teacher.limited") == 3
    assert heard.total("ultralink.teacher.prompt_tokens") == 1000
    assert heard.total("ultralink.teacher.cached_tokens") == 400
    assert heard.total("ultralink.teacher.completion_tokens") == 200
    assert heard.total("ultralink.teacher.cost_microusd") == 12346
    assert heard.total("ultralink.teacher.unpriced_calls") == 1
    assert len(heard.of("ultralink.teacher.latency")) == 2
    assert "250.000000|ms" in heard.of("ultralink.teacher.latency")[0]
    (line, _) = heard.of("ultralink.teacher.calls")
    assert line == "airflow.ultralink.teacher.calls,language=fr,stage=generate,model=my_model_v_1:10|c"
    assert heard.total("ultralink.rows") == 7
    assert heard.total("ultralink.rejects") == 2
    assert heard.of("ultralink.night.samples") == ["airflow.ultralink.night.samples,language=fr,subset=math:15|g"]
    assert heard.of("ultralink.night.rejects") == [
        "airflow.ultralink.night.rejects,language=fr,subset=math,gate=numbers:5|g"
    ]
    assert heard.of("night.reject_rate") == ["airflow.ultralink.night.reject_rate,language=fr:0.25|g"]


def test_the_documented_list_is_the_whole_list(heard: Datagrams) -> None:
    emit_everything()
    wait_for(lambda: heard.of("cost_per_sample_usd"), 10)
    letters = {"c": "counter", "g": "gauge", "ms": "timer"}
    sent = {
        (
            line.split(":")[0].split(",")[0].removeprefix("airflow."),
            letters[line.rpartition("|")[2]],
            tuple(re.findall(r",(\w+)=", line)),
        )
        for line in heard.lines
        if line
    }
    assert documented() == sent


def test_metrics_that_fail_fail_no_task(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.sdk.observability import stats

    def broken(*args: object, **kwargs: object) -> None:
        raise OSError("no network")

    from ultralink_airflow.watching import watching

    for name in ("incr", "gauge", "timing"):
        monkeypatch.setattr(stats, name, broken)
    context = {"ti": SimpleNamespace(task_id="generate")}
    with watching(Alarms(), SimpleNamespace(language="fr"), context) as watch:  # type: ignore[arg-type]
        watch.paid("m", Counts(paid=1), [0.1])
        watch.built(Built((), "line", 1, 1))


# --- real receivers, switched on as the document says ------------------------------------------------

# What Airflow's task runner does first in the process of each task.
AS_A_TASK = """
from airflow.sdk.configuration import conf
from airflow.sdk.observability import stats
from airflow.sdk.observability.metrics import stats_utils

stats.initialize(
    factory=stats_utils.get_stats_factory(), export_legacy_names=conf.getboolean("metrics", "legacy_names_on")
)
from tests.plugins.test_metrics import emit_everything

emit_everything()
print("the work is done")
"""


def settings_of(heading: str) -> dict[str, str]:
    """The environment in the first shell block below a heading of the document."""
    below = METRICS.read_text().partition(f"## {heading}\n")[2]
    block = below.partition("```bash\n")[2].partition("```")[0]
    return dict(re.findall(r"^([A-Z_]+)=(\S+)", block, re.MULTILINE))


def emit_in_a_process(**environment: str) -> str:
    """Send every metric from a process of its own, as a task does; returns all that it printed."""
    path = os.pathsep.join(str(ROOT / folder) for folder in (".", "include", "plugins"))
    done = subprocess.run(
        [sys.executable, "-c", AS_A_TASK],
        env={**os.environ, **environment, "PYTHONPATH": path, "NO_PROXY": "127.0.0.1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "the work is done" in done.stdout
    return done.stdout + done.stderr


def test_collectd_takes_them_as_statsd(tmp_path: Path) -> None:
    settings = settings_of("StatsD")
    assert settings["AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED"] == "True"
    with collectd(tmp_path) as server:
        here = {"AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1", "AIRFLOW__METRICS__STATSD_PORT": str(server.port)}
        assert settings.keys() >= here.keys()
        emit_in_a_process(**{**settings, **here})
        wait_for(lambda: server.timers() and any("cost_per_sample_usd" in name for name in server.gauges()), 30)
        counters, gauges, timers = server.counters(), server.gauges(), server.timers()
    of_teacher = "language=fr,stage=generate,model=my_model_v_1"
    assert counters[f"airflow.ultralink.teacher.calls,{of_teacher}"] == 11
    assert counters[f"airflow.ultralink.teacher.cost_microusd,{of_teacher}"] == 12346
    assert timers[f"airflow.ultralink.teacher.latency,{of_teacher}"] == pytest.approx(0.75)
    assert gauges["airflow.ultralink.night.rejects,language=fr,subset=math,gate=numbers"] == 5
    assert server.complaints == []


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with otlp_receiver() as receiver:
        yield receiver


def test_opentelemetry_takes_them(receiver: OtlpReceiver) -> None:
    settings = settings_of("OpenTelemetry")
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in settings
    for _ in range(2):  # two tasks: what they were paid for adds up
        emit_in_a_process(**{**settings, "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url})
    tags = {"language": "fr", "stage": "generate", "model": "my_model_v_1"}
    assert receiver.total("airflow.ultralink.teacher.calls", **tags) == 22
    assert receiver.total("airflow.ultralink.teacher.cost_microusd", **tags) == 2 * 12346
    latencies = receiver.of("airflow.ultralink.teacher.latency")
    assert [(point.kind, point.count, point.value) for point in latencies] == [("exponential_histogram", 2, 750)] * 2
    assert {point.value for point in receiver.of("airflow.ultralink.night.reject_rate")} == {0.25}
    assert len({point.instance for point in receiver.points}) == 2
    kinds = {"sum": "counter", "gauge": "gauge", "exponential_histogram": "timer"}
    sent = {
        (point.name.removeprefix("airflow."), kinds[point.kind], tuple(point.tags))
        for point in receiver.points
        if ".ultralink." in point.name
    }
    assert {(name, kind, frozenset(tags)) for name, kind, tags in sent} == {
        (name, kind, frozenset(tags)) for name, kind, tags in documented()
    }


def test_a_receiver_that_is_down_breaks_nothing() -> None:
    dead = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        "AIRFLOW__METRICS__STATSD_HOST": "no.such.host.invalid",
    }
    told = emit_in_a_process(**{**settings_of("OpenTelemetry"), **dead})
    assert "Failed to export metrics" in told
    told = emit_in_a_process(**{**settings_of("StatsD"), **dead})
    assert "Could not configure StatsClient" in told


# --- the sample alerts -------------------------------------------------------------------------------


def alert_rules() -> str:
    text = METRICS.read_text().partition("## Alerts\n")[2]
    return text.partition("```yaml\n")[2].partition("```")[0]


def test_the_sample_alerts_ask_for_metrics_that_exist() -> None:
    (group,) = yaml.safe_load(alert_rules())["groups"]
    names = {f"airflow_{name}".replace(".", "_") for name, _, _ in documented()}
    for rule in group["rules"]:
        asked = {name.removesuffix("_total") for name in re.findall(r"airflow_ultralink_\w+", rule["expr"])}
        assert asked, rule["alert"]
        assert asked <= names, rule["alert"]
        assert rule["annotations"]["summary"]


def test_prometheus_reads_the_sample_alerts(tmp_path: Path) -> None:
    have_program("promtool", "prometheus")
    (tmp_path / "rules.yaml").write_text(alert_rules())
    done = subprocess.run(
        ["promtool", "check", "rules", str(tmp_path / "rules.yaml")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
