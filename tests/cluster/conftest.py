"""A cluster with an S3 store and a slow offline teacher, for one module."""

from __future__ import annotations

import json
from collections.abc import Iterator

import fsspec
import pytest
from tests.cluster import cluster
from tests.cluster.system import System
from tests.e2e.system import Teacher, offline_teacher
from tests.real.s3 import S3, s3_server
from tests.waiting import wait_for

from ultralink.local.settings import OFFLINE_MODEL
from ultralink.store import Store

LANGUAGES = ("zh", "fr", "es", "ru", "en")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Teacher]:
    with offline_teacher(tmp_path_factory.mktemp("teacher"), "--latency", "0.6", "--batch-seconds", "3") as running:
        yield running


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    with s3_server() as server:
        yield server


@pytest.fixture(scope="module")
def system(teacher: Teacher, s3: S3) -> Iterator[System]:
    extra = {"model": OFFLINE_MODEL, "batch_poll_s": 1}
    openai = {"conn_type": "openai", "host": teacher.url, "password": "any-key", "extra": extra}
    given = {
        "AIRFLOW_CONN_OPENAI_DEFAULT": json.dumps(openai),
        "AIRFLOW_CONN_AWS_DEFAULT": s3.airflow_connection,
        "ULTRALINK_STORE": s3.store_url,
    }
    with pytest.MonkeyPatch.context() as patch, cluster.running(given) as running:
        for name, value in s3.environment.items():
            patch.setenv(name, value)
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        api = running.api()
        for language in LANGUAGES:
            wait_for(lambda code=language: api.has_dag(f"ultralink_{code}"), 120)
            # A Dag's schedule starts with a run of the last night, which is not ours.
            api.call("PATCH", f"/api/v2/dags/ultralink_{language}", {"is_paused": False})
        yield System(running, api, Store.at(s3.plain_url), teacher)
