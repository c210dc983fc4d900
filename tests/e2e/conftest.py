"""A real Airflow (scheduler, Dag processor, API server, triggerer) and a slow offline teacher, for one module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.e2e.system import Live, Teacher, end, offline_teacher
from tests.waiting import wait_for

from ultralink.local.processes import start
from ultralink.local.rest import AirflowApi
from ultralink.local.settings import LocalSettings, Secrets, free_port
from ultralink.store import Store


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Teacher]:
    with offline_teacher(tmp_path_factory.mktemp("teacher"), "--latency", "0.4") as running:
        yield running


@pytest.fixture(scope="module")
def more_environment() -> dict[str, str]:
    """Environment that a module wants its Airflow to have; a module may replace this fixture."""
    return {}


@pytest.fixture(scope="module")
def live(
    teacher: Teacher, more_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Live]:
    home = tmp_path_factory.mktemp("airflow")
    settings = LocalSettings(
        home, str(home / "store"), f"sqlite:///{home}/airflow.db?timeout=60", free_port(), scheduled=False
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_API_KEY", "any-key")
        patch.setenv("OPENAI_BASE_URL", teacher.url)
        for name, value in more_environment.items():
            patch.setenv(name, value)
        for name in ("AIRFLOW__CORE__UNIT_TEST_MODE", "AIRFLOW_HOME"):
            patch.delenv(name, raising=False)
        try:
            start(settings)
            api = AirflowApi(settings.url, "admin", Secrets.of(home).password)
            for language in ("zh", "fr", "es"):
                wait_for(lambda code=language: api.has_dag(f"ultralink_{code}"), 90)
                api.pause(f"ultralink_{language}", paused=False)
            yield Live(api, settings, Store.at(settings.store), teacher)
        finally:
            end(home)
