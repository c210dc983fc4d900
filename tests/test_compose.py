"""docker-compose.yaml: the services of a cluster, healthy before they are used, with no secret in the file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docker-compose.yaml").read_text()
COMPOSE = yaml.safe_load(TEXT)
SERVICES = COMPOSE["services"]
AIRFLOW = {
    "airflow-apiserver",
    "airflow-scheduler",
    "airflow-dag-processor",
    "airflow-worker",
    "airflow-triggerer",
}


def test_all_services_are_there() -> None:
    assert set(SERVICES) == AIRFLOW | {"airflow-init", "postgres", "redis"}


@pytest.mark.parametrize("name", sorted(AIRFLOW | {"postgres", "redis"}))
def test_a_service_has_a_healthcheck_and_waits_for_healthy_ones(name: str) -> None:
    service = SERVICES[name]
    assert service["healthcheck"]["test"]
    for condition in service.get("depends_on", {}).values():
        assert condition["condition"] in {"service_healthy", "service_completed_successfully"}


@pytest.mark.parametrize("name", sorted(AIRFLOW))
def test_airflow_runs_as_a_user_and_shares_the_store(name: str) -> None:
    service = SERVICES[name]
    assert service["user"].startswith("${AIRFLOW_UID")
    store = service["environment"]["ULTRALINK_STORE"]
    assert any(volume.endswith(f":{store}") for volume in service["volumes"])
    assert {"postgres", "redis", "airflow-init"} <= set(service["depends_on"])


def test_secrets_come_from_the_environment_and_are_demanded() -> None:
    for name in re.findall(r"^ +[A-Z_]*(?:PASSWORD|SECRET|KEY)[A-Z_]*: *(\S.*)", TEXT, re.MULTILINE):
        assert name.startswith("${") or name.startswith("/opt/airflow/config/"), name
    for variable in (
        "POSTGRES_PASSWORD",
        "REDIS_PASSWORD",
        "FERNET_KEY",
        "AIRFLOW_JWT_SECRET",
        "AIRFLOW_API_SECRET_KEY",
    ):
        assert f"${{{variable}:?" in TEXT
        assert re.search(rf"^{variable}=$", (ROOT / ".env.example").read_text(), re.MULTILINE)


def test_the_image_has_the_lock_and_the_code() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    airflow = re.search(r"^apache-airflow==(\S+)$", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert airflow is not None
    assert f"FROM apache/airflow:{airflow[1]}-" in dockerfile
    for folder in ("requirements.txt", "dags", "plugins", "include"):
        assert f" {folder} " in dockerfile
