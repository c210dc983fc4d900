"""Who goes first: scheduled and hand-started nights before backfills, for every task of every Dag, as stored."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[2]
NIGHTLY_RUNS = ("scheduled__2026-11-23T02:45:00+00:00", "manual__2026-11-23T02:45:00+00:00", "by-hand")
BACKFILL = "backfill__2026-11-01T00:00:00+00:00"


@pytest.fixture(scope="module")
def stored(airflow_db: None) -> dict[str, object]:
    """The Dags as the scheduler reads them out of the database."""
    from airflow.dag_processing.dagbag import DagBag
    from airflow.serialization.serialized_objects import DagSerialization

    bag = DagBag(ROOT / "dags")
    assert bag.import_errors == {}
    written = {dag_id: json.dumps(DagSerialization.to_dict(dag)) for dag_id, dag in bag.dags.items()}
    return {dag_id: DagSerialization.from_dict(json.loads(text)) for dag_id, text in written.items()}


def weight(task: object, run_id: str) -> int:
    return task.weight_rule.get_weight(SimpleNamespace(task=task, run_id=run_id))


def test_any_task_of_a_night_goes_before_any_task_of_a_backfill(stored: dict[str, object]) -> None:
    tasks = [task for dag in stored.values() for task in dag.task_dict.values()]
    assert len(tasks) > 50
    assert {type(task.weight_rule).__name__ for task in tasks} == {"NightlyFirst"}
    nightly = [weight(task, run_id) for task in tasks for run_id in NIGHTLY_RUNS]
    assert min(nightly) > max(weight(task, BACKFILL) for task in tasks)


@pytest.mark.parametrize("run_id", [NIGHTLY_RUNS[0], BACKFILL])
def test_within_a_run_the_first_tasks_still_go_first(stored: dict[str, object], run_id: str) -> None:
    dag = stored["ultralink_fr"]
    chain = ["wikipedia.select", "wikipedia.extract", "dialogue.generate", "publish.publish"]
    weights = [weight(dag.get_task(task_id), run_id) for task_id in chain]
    assert weights == sorted(weights, reverse=True)
    assert len(set(weights)) == len(weights)


def test_the_weights_reach_the_task_instances(stored: dict[str, object], airflow_db: None) -> None:
    """By the scheduler's own two ways of making them: rows for the database, and a refresh from the Dag."""
    from airflow.models.taskinstance import TaskInstance

    generate = stored["ultralink_fr"].get_task("dialogue.generate")
    for run_id, first in ((NIGHTLY_RUNS[0], True), (BACKFILL, False)):
        made = TaskInstance(task=generate, run_id=run_id, map_index=2, dag_version_id=None)
        assert (made.priority_weight > 10_000) == first


def test_languages_have_a_deadline_in_the_database_s_form(stored: dict[str, object]) -> None:
    from airflow.serialization.decoders import decode_deadline_alert

    (alert,) = stored["ultralink_fr"].deadline
    decoded = decode_deadline_alert(alert)
    assert decoded.interval.total_seconds() == 12 * 3600
    assert decoded.callback.path == "ultralink_airflow.deadline.tell_late"
    assert decoded.callback.kwargs == {"recipe": "fr"}
    assert type(decoded.reference.inner_ref).__name__ == "WhenDue"
    assert not stored["ultralink_release"].deadline
