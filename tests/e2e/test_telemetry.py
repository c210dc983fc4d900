"""A real Airflow with its key in a secrets backend and its metrics sent by OpenTelemetry, as docs/deploy.md says."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.system import Live, Teacher, offline_teacher
from tests.real.telemetry import OtlpReceiver, otlp_receiver
from tests.waiting import wait_for

from ultralink.local.settings import Secrets
from ultralink.stages.statistics import read_statistics

OLD_KEY, NEW_KEY = "sk-old-9d1c7e5ba4f08d23", "sk-new-5c02f8e6d71b4a99"
DAG, DATE, LATER = "ultralink_fr", "2026-11-01", "2026-11-02"
FEW = {"articles": 4, "shards": 2, "chat": 0, "math": 0, "code": 0}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Teacher]:
    """A teacher that takes the new key alone."""
    with offline_teacher(tmp_path_factory.mktemp("teacher"), "--key", NEW_KEY) as running:
        yield running


class Vault:
    """The file that the secrets backend reads."""

    def __init__(self, path: Path, url: str) -> None:
        self.path, self._url = path, url

    def put(self, key: str) -> None:
        connection = {"conn_type": "openai", "host": self._url, "password": key, "extra": {"model": "offline-teacher"}}
        aside = self.path.with_suffix(".aside")
        aside.write_text(json.dumps({"openai_default": connection}))
        aside.replace(self.path)


@pytest.fixture(scope="module")
def vault(teacher: Teacher, tmp_path_factory: pytest.TempPathFactory) -> Vault:
    return Vault(tmp_path_factory.mktemp("vault") / "connections.json", teacher.url)


@pytest.fixture(scope="module")
def receiver() -> Iterator[OtlpReceiver]:
    with otlp_receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def more_environment(vault: Vault, receiver: OtlpReceiver) -> dict[str, str]:
    vault.put(OLD_KEY)
    return {
        "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",  # a connection that leads nowhere: the backend has to come first
        "AIRFLOW__SECRETS__BACKEND": "airflow.secrets.local_filesystem.LocalFilesystemBackend",
        "AIRFLOW__SECRETS__BACKEND_KWARGS": json.dumps({"connections_file_path": str(vault.path)}),
        "AIRFLOW__METRICS__OTEL_ON": "True",
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta",
        "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT": "2",
    }


@pytest.fixture(scope="module")
def night(live: Live, vault: Vault) -> str:
    """A night that fails for its key at once, is given the new one, cleared, and made."""
    run_id = live.run("fr", DATE, **FEW)
    assert live.finish("fr", run_id) == "failed"
    refused = [task for task in live.api.tasks(DAG, run_id) if task.state == "failed"]
    assert refused
    assert all(task.try_number == 1 for task in refused), "no retry can mend a key"
    assert live.teacher.stats()["paid"] == 0
    vault.put(NEW_KEY)
    body = {"dry_run": False, "only_failed": True, "dag_run_id": run_id, "reset_dag_runs": True}
    live.api.call("POST", f"/api/v2/dags/{DAG}/clearTaskInstances", body)
    assert live.finish("fr", run_id) == "success"
    return run_id


def test_a_cleared_task_takes_the_new_key_from_the_backend(live: Live, night: str) -> None:
    figures = read_statistics(live.store, "fr", DATE)
    assert figures is not None
    assert figures.samples
    assert live.teacher.stats()["paid"] == figures.calls > 0


def test_the_tasks_metrics_arrive_by_opentelemetry(live: Live, night: str, receiver: OtlpReceiver) -> None:
    figures = read_statistics(live.store, "fr", DATE)
    assert figures is not None
    wait_for(lambda: receiver.of("airflow.ultralink.night.samples"), 120)
    name = "airflow.ultralink.teacher.calls"
    wait_for(lambda: receiver.total(name, language="fr", model="offline-teacher") >= figures.calls, 120)
    assert receiver.total(name, language="fr", model="offline-teacher") == figures.calls
    assert receiver.total("airflow.ultralink.teacher.completion_tokens") == figures.completion_tokens
    processes = {point.tags["stage"]: point.instance for point in receiver.of(name)}
    assert processes.keys() == {"calibrate", "generate"}
    assert processes["calibrate"] != processes["generate"], "each task is a process of its own"
    samples = {point.tags["subset"]: point.value for point in receiver.of("airflow.ultralink.night.samples")}
    assert samples == {name: subset.samples for name, subset in figures.subsets.items()}
    assert samples["chat_specific"] > 0
    assert receiver.of("airflow.task.duration"), "Airflow's own are beside them"


def test_no_key_is_anywhere(live: Live, night: str) -> None:
    home = live.settings.home
    files = [path for path in home.rglob("*") if path.is_file()]  # logs, the metadata database, the store
    kinds = {path.suffix for path in files}
    assert {".log", ".db", ".parquet"} <= kinds
    for key in (OLD_KEY, NEW_KEY):
        assert [path for path in files if key.encode() in path.read_bytes()] == []
    login = {"username": "admin", "password": Secrets.of(home).password}
    token = live.api.call("POST", "/auth/token", login)["access_token"]
    for path in ("/ultralink/", f"/ultralink/runs/{DAG}/{night}"):
        request = urllib.request.Request(f"{live.settings.url}{path}", headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            page = answer.read().decode()
        assert "UltraLink" in page
        assert OLD_KEY not in page
        assert NEW_KEY not in page


def test_a_collector_that_is_down_fails_no_task(live: Live, night: str, receiver: OtlpReceiver) -> None:
    receiver.shutdown()
    receiver.server_close()
    seen = len(receiver.points)
    run_id = live.run("fr", LATER, **FEW)
    assert live.finish("fr", run_id) == "success"
    assert all(task.try_number <= 1 for task in live.api.tasks(DAG, run_id))
    assert len(receiver.points) == seen
