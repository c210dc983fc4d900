"""Alarms and metrics of a real Airflow: a late night, a budget that is used up, a failed task; who goes first."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
import yaml
from tests.loopback import Datagrams, FakeMailServer, datagrams, fake_mail_server, words_of
from tests.waiting import wait_for

from ultralink.local.rest import AirflowApi
from ultralink.local.settings import ROOT, Secrets

DAG = "ultralink_fr"
NOTIFIER = {
    "notifier": "airflow.providers.smtp.notifications.smtp.SmtpNotifier",
    "kwargs": {
        "smtp_conn_id": "mail",
        "from_email": "ultralink@example.org",
        "to": "data@example.org",
        "subject": "{{ alarm.title }}",
        "html_content": "{{ alarm.html }}",
    },
}


@dataclass(frozen=True)
class Watched:
    """The running system, its mails and its metrics."""

    api: AirflowApi
    mails: FakeMailServer
    metrics: Datagrams
    project: Path
    environment: dict[str, str]

    def mail(self, part: str) -> str:
        """The text of the one mail whose subject has ``part``."""
        (found,) = [mail for mail in self.mails.mails if part in str(mail["Subject"])]
        return words_of(found)


def project_copy(target: Path) -> Path:
    """The project with a French recipe that is late at once, poor, and tells whoever listens."""
    for folder in ("dags", "plugins", "include"):
        shutil.copytree(ROOT / folder, target / folder, ignore=shutil.ignore_patterns("__pycache__"))
    path = target / "include/languages/fr.yaml"
    recipe = yaml.safe_load(path.read_text())
    recipe["alarms"] = {"late_after_hours": 0.001, "notifiers": [{"notifier": "no.such.Notifier"}, NOTIFIER]}
    recipe["budget"] = {"usd": None, "tokens": 240_000, "english": 0.5}
    path.write_text(yaml.safe_dump(recipe, allow_unicode=True))
    return target


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    project = project_copy(tmp_path_factory.mktemp("project"))
    home = tmp_path_factory.mktemp("airflow")
    with fake_mail_server() as mails, datagrams() as metrics:
        mail = {
            "conn_type": "smtp",
            "host": "127.0.0.1",
            "port": mails.port,
            "extra": {"disable_ssl": True, "disable_tls": True},
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "OPENAI"))}
        environment = {
            **kept,
            "PYTHONPATH": os.pathsep.join(str(project / folder) for folder in ("include", "plugins")),
            "ULTRALINK_HOME": str(home),
            "ULTRALINK_STORE": str(home / "store"),
            "AIRFLOW_CONN_MAIL": json.dumps(mail),
            "AIRFLOW__METRICS__STATSD_ON": "True",
            "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
            "AIRFLOW__METRICS__STATSD_PORT": str(metrics.port),
            "AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED": "True",
        }
        local = [sys.executable, "-m", "ultralink.local"]
        try:
            started = subprocess.run(
                [*local, "up"], env=environment, cwd=project, capture_output=True, text=True, timeout=300
            )
            assert started.returncode == 0, started.stdout + started.stderr
            url = re.search(r"http://127\.0\.0\.1:\d+", started.stdout)
            assert url is not None
            api = AirflowApi(url[0], "admin", Secrets.of(home).password)
            wait_for(lambda: api.has_dag(DAG), 90)
            yield Watched(api, mails, metrics, project, environment)
        finally:
            subprocess.run([*local, "down"], env=environment, cwd=project, timeout=120, check=True)


def weights(api: AirflowApi, run_id: str) -> dict[str, int]:
    found = api.call("GET", f"/api/v2/dags/{DAG}/dagRuns/{run_id}/taskInstances?limit=1000")["task_instances"]
    return {task["task_id"]: task["priority_weight"] for task in found}


def test_a_late_poor_night_tells_everything_and_fails_for_the_right_reason(watched: Watched) -> None:
    api = watched.api
    api.pause("ultralink_english_pool", paused=False)
    api.pause(DAG, paused=False)  # which also starts its latest night

    def runs() -> list[dict[str, str]]:
        return api.call("GET", f"/api/v2/dags/{DAG}/dagRuns")["dag_runs"]

    wait_for(runs, 60)
    (night,) = runs()
    assert night["run_type"] == "scheduled"
    wait_for(lambda: runs()[0]["state"] in {"success", "failed"}, 240)
    assert runs()[0]["state"] == "failed"
    wait_for(lambda: any("is late" in subject for subject in watched.mails.subjects()), 60)
    late = watched.mail("is late")
    assert DAG in late
    assert quote(night["dag_run_id"], safe="") in late
    assert "has spent" in watched.mail("80% of the budget of dialogue.generate")
    assert "no room for the next call" in watched.mail("100% of the budget of dialogue.generate")
    failed = watched.mail("dialogue.generate failed: BudgetExceeded")
    assert "Raise budget in the recipe" in failed
    assert "/dags/ultralink_fr/runs/" in failed


def test_metrics_come_with_their_tags(watched: Watched) -> None:
    tokens = watched.metrics.of("ultralink.teacher.completion_tokens")
    assert tokens
    assert all("language=fr" in line or "stage=screen" in line for line in tokens)
    assert any("stage=generate" in line and "model=offline-teacher" in line for line in tokens)
    assert watched.metrics.of("ultralink.teacher.latency")
    assert any("stage=extract" in line for line in watched.metrics.of("ultralink.rows"))


def test_a_backfill_comes_after_the_nights(watched: Watched) -> None:
    made = watched.api.call(
        "POST",
        "/api/v2/backfills",
        {
            "dag_id": DAG,
            "from_date": "2026-11-02T00:00:00Z",
            "to_date": "2026-11-04T00:00:00Z",
            "max_active_runs": 1,
            "dag_run_conf": {},
            "reprocess_behavior": "none",
            "run_on_latest_version": True,
        },
    )
    assert made["dag_id"] == DAG

    def backfilled() -> list[dict[str, str]]:
        runs = watched.api.call("GET", f"/api/v2/dags/{DAG}/dagRuns?limit=100")["dag_runs"]
        return [run for run in runs if run["run_type"] == "backfill"]

    wait_for(backfilled, 60)
    run_id = backfilled()[0]["dag_run_id"]
    wait_for(lambda: weights(watched.api, run_id), 60)
    scheduled = [
        run
        for run in watched.api.call("GET", f"/api/v2/dags/{DAG}/dagRuns?limit=100")["dag_runs"]
        if run["run_type"] == "scheduled"
    ]
    nightly, later = weights(watched.api, scheduled[0]["dag_run_id"]), weights(watched.api, run_id)
    assert min(nightly.values()) > max(later.values())
    assert later["wikipedia.select"] > later["publish.publish"]
    assert not [subject for subject in watched.mails.subjects() if "is late" in subject and run_id in subject]
