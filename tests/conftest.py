"""A throw-away Airflow home, named before any test imports Airflow, and an empty environment for the rest."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples in every run: a red CI is somebody's change, not chance. HYPOTHESIS_PROFILE=search seeks new ones.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("search", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

ROOT = Path(__file__).resolve().parents[1]

_HOME = tempfile.mkdtemp(prefix="ultralink-airflow-")
os.environ.update(
    AIRFLOW_HOME=_HOME,
    AIRFLOW__CORE__UNIT_TEST_MODE="True",
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__CORE__DAGS_FOLDER=str(ROOT / "dags"),
    AIRFLOW__CORE__PLUGINS_FOLDER=str(ROOT / "plugins"),
)
for _name in (
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "WIKI_SOURCE",
    "ULTRALINK_STORE",
    "ULTRALINK_DB",
    "ULTRALINK_HOME",
    "ULTRALINK_MODELS",
    "ULTRALINK_RELEASE",
):
    os.environ.pop(_name, None)


@pytest.fixture(scope="session")
def airflow_db() -> None:
    """The metadata database of the throw-away home."""
    from airflow.utils.db import initdb

    initdb()
