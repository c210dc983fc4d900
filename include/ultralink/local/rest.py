"""The few calls of Airflow's REST API that the demo makes."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ultralink.local.processes import LocalError

Json = dict[str, Any]  # Airflow's schema is wide; the few fields used are named where they are read


@dataclass(frozen=True)
class TaskState:
    """One task instance: where it stands. ``map_index`` is -1 for a task that is not mapped."""

    task_id: str
    map_index: int
    state: str
    try_number: int


class AirflowApi:
    """An authenticated session with one Airflow."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self._url = url
        self._token: str | None = None
        login = {"username": user, "password": password}
        self._token = str(self.call("POST", "/auth/token", login)["access_token"])

    def has_dag(self, dag_id: str) -> bool:
        """Whether the Dag processor has registered the Dag."""
        try:
            self.call("GET", f"/api/v2/dags/{dag_id}")
        except LocalError:
            return False
        return True

    def import_errors(self) -> list[str]:
        """Messages of Dags that did not load."""
        found = self.call("GET", "/api/v2/importErrors")["import_errors"]
        return [str(error["stack_trace"]) for error in found]

    def pause(self, dag_id: str, *, paused: bool) -> None:
        """Pause or unpause a Dag."""
        self.call("PATCH", f"/api/v2/dags/{dag_id}", {"is_paused": paused})

    def trigger(self, dag_id: str, date: str, params: dict[str, object]) -> str:
        """Start a run for the partition ``date``; returns its id."""
        body = {"logical_date": None, "partition_key": date, "conf": params}
        return str(self.call("POST", f"/api/v2/dags/{dag_id}/dagRuns", body)["dag_run_id"])

    def run_state(self, dag_id: str, run_id: str) -> str:
        """The run's state: queued, running, success or failed."""
        return str(self.call("GET", f"/api/v2/dags/{dag_id}/dagRuns/{urllib.parse.quote(run_id)}")["state"])

    def tasks(self, dag_id: str, run_id: str) -> list[TaskState]:
        """All task instances of a run."""
        run = urllib.parse.quote(run_id)
        found = self.call("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run}/taskInstances?limit=1000")
        return [
            TaskState(task["task_id"], task["map_index"], task["state"] or "waiting", task["try_number"])
            for task in found["task_instances"]
        ]

    def call(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Json:
        """One request; the decoded answer. Raises LocalError with Airflow's words."""
        request = urllib.request.Request(self._url + path, method=method)  # noqa: S310
        request.add_header("Content-Type", "application/json")
        if self._token:
            request.add_header("Authorization", f"Bearer {self._token}")
        data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(request, data, timeout=60) as answer:  # noqa: S310
                decoded: Json = json.load(answer)
                return decoded
        except urllib.error.HTTPError as error:
            raise LocalError(f"Airflow answered {error.code} to {method} {path}: {error.read()[:300]!r}") from error
        except OSError as error:
            raise LocalError(f"Airflow did not answer {method} {path}: {error}") from error
