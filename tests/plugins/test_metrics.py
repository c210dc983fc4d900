"""Metrics as they leave Airflow: StatsD's datagrams on a real port, named and tagged as docs/metrics.md says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.loopback import Datagrams, datagrams
from tests.waiting import wait_for

from ultralink.recipe import Alarms
from ultralink.stages.partition import Built
from ultralink.stages.statistics import Statistics, Subset
from ultralink.teacher.tally import Counts

ROOT = Path(__file__).resolve().parents[2]

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
    sent = {
        (line.split(":")[0].split(",")[0].removeprefix("airflow."), tuple(re.findall(r",(\w+)=", line)))
        for line in heard.lines
        if line
    }
    rows = re.findall(r"^\| `(ultralink\.[a-z_.]+)` \| \w+ \| ([^|]*) \|", (ROOT / "docs/metrics.md").read_text(), re.M)
    assert {(name, tuple(re.findall(r"\w+", tags))) for name, tags in rows} == sent


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
