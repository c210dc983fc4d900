"""What only Airflow needs: retries by error, the failure note, the endpoint of a connection."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from ultralink import errors

ALL_ERRORS = [
    kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.UltraLinkError)
]


@pytest.mark.parametrize("kind", ALL_ERRORS)
def test_airflow_retries_only_what_may_heal(kind: type[Exception]) -> None:
    from airflow.sdk import RetryAction

    from ultralink_airflow.retry import POLICY

    decision = POLICY.evaluate(kind("why"), try_number=1, max_tries=4)
    permanent = issubclass(kind, errors.PermanentError)
    assert (decision.action == RetryAction.FAIL) == permanent


def test_the_policy_survives_the_database() -> None:
    from airflow.sdk import ExceptionRetryPolicy, RetryAction

    from ultralink_airflow.retry import POLICY

    stored = ExceptionRetryPolicy.deserialize(json.loads(json.dumps(POLICY.serialize(), default=str)))
    assert stored.evaluate(errors.KeyRejected("no"), 1, 4).action == RetryAction.FAIL


@pytest.mark.parametrize(
    "kind", [kind for kind in ALL_ERRORS if not kind.__subclasses__() and kind is not errors.NothingNew]
)
def test_the_failure_note_says_what_to_do(kind: type[Exception], capsys: pytest.CaptureFixture[str]) -> None:
    from ultralink_airflow.failure import FailureNote

    task = SimpleNamespace(task_id="dialogue.generate", map_index=3, run_id="manual__1")
    FailureNote().notify({"ti": task, "exception": kind("include/x.yaml: what happened")})
    note = capsys.readouterr().out
    assert "dialogue.generate[3]" in note
    assert "include/x.yaml: what happened" in note
    assert "What to do: " in note
    assert "Read the error above" not in note


@pytest.mark.parametrize("kind", [errors.PartitionChanged, errors.SampleUnfit, errors.ReleaseExists])
def test_a_release_that_cannot_go_on_as_planned_is_not_to_be_cleared(
    kind: type[Exception], capsys: pytest.CaptureFixture[str]
) -> None:
    from ultralink_airflow.failure import FailureNote

    FailureNote().notify({"ti": SimpleNamespace(task_id="x", map_index=-1, run_id="r"), "exception": kind("why")})
    note = capsys.readouterr().out
    assert "Start a new run" in note
    assert "Clear the failed task" not in note


def connection(monkeypatch: pytest.MonkeyPatch, **fields: object) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_TEACHER", json.dumps({"conn_type": "openai", **fields}))


def test_the_endpoint_is_what_the_connection_says(monkeypatch: pytest.MonkeyPatch, airflow_db: None) -> None:
    from ultralink_airflow.dialogue import teacher_endpoint

    extra = {
        "requests_per_minute": 600,
        "model": "my-model",
        "openai_client_kwargs": {"organization": "org-1"},
    }
    connection(monkeypatch, password="secret-key", host="http://127.0.0.1:9/v1", extra=extra)
    endpoint = teacher_endpoint("teacher", 12.5)
    assert endpoint.base_url == "http://127.0.0.1:9/v1"
    assert endpoint.headers["Authorization"] == "Bearer secret-key"
    assert endpoint.headers["OpenAI-Organization"] == "org-1"
    assert (endpoint.limits.requests_per_minute, endpoint.limits.model) == (600, "my-model")
    assert endpoint.timeout_s == 12.5
    assert "secret-key" not in repr(endpoint)


@pytest.mark.parametrize("fields", [None, {}, {"password": ""}])
def test_a_missing_connection_or_key_is_said(
    monkeypatch: pytest.MonkeyPatch, airflow_db: None, fields: dict[str, object] | None
) -> None:
    from ultralink_airflow.dialogue import teacher_endpoint

    if fields is not None:
        connection(monkeypatch, **fields)
    with pytest.raises(errors.KeyRejected, match="teacher"):
        teacher_endpoint("teacher", 10)
