"""The running cluster as the tests see it: its API, its store, its teacher."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from tests.cluster.cluster import Cluster
from tests.e2e.system import Teacher
from tests.waiting import wait_for

from ultralink.local.processes import LocalError
from ultralink.local.rest import AirflowApi
from ultralink.schemas import DIALOGUE_REJECTS, DIALOGUES, LEDGER, PASSAGES, REJECTS, SAMPLES, Stage
from ultralink.stages.statistics import Statistics, read_statistics
from ultralink.store import Store
from ultralink.teacher.journal import Journal

ENDED = {"success", "failed"}


@dataclass(frozen=True)
class Try:
    """One try of a task instance, as Airflow knows it."""

    task_id: str
    map_index: int
    state: str
    number: int
    hostname: str


@dataclass(frozen=True)
class Paid:
    """What the offline teacher has counted: answers, and how many different ones."""

    answers: int
    unique: int

    def __sub__(self, other: Paid) -> Paid:
        return Paid(self.answers - other.answers, self.unique - other.unique)

    @property
    def again(self) -> int:
        return self.answers - self.unique


@dataclass(frozen=True)
class System:
    """Everything that a test needs."""

    cluster: Cluster
    api: AirflowApi
    store: Store
    teacher: Teacher

    def run(self, language: str, date: str, **params: object) -> str:
        """Start a night of dialogues; the run's id."""
        chosen = {"model": "offline-teacher", "chat": 0, "math": 0, "code": 0, **params}
        return self.api.trigger(f"ultralink_{language}", date, chosen)

    def finish(self, language: str, run_id: str) -> str:
        """Wait for the run's end, over any time in which the API does not answer; its state."""
        state = ""

        def ended() -> bool:
            nonlocal state
            with suppress(LocalError):
                state = self.api.run_state(f"ultralink_{language}", run_id)
            return state in ENDED

        wait_for(ended, 420)
        return state

    def tries(self, language: str, run_id: str, task_id: str) -> list[Try]:
        """The newest try of each instance of a task; none while the API does not answer."""
        path = f"/api/v2/dags/ultralink_{language}/dagRuns/{urllib.parse.quote(run_id)}/taskInstances?limit=1000"
        with suppress(LocalError):
            return [
                Try(each["task_id"], each["map_index"], each["state"] or "", each["try_number"], each["hostname"] or "")
                for each in self.api.call("GET", path)["task_instances"]
                if each["task_id"] == task_id
            ]
        return []

    def log(self, language: str, run_id: str, task_id: str, map_index: int, number: int) -> list[str]:
        """What one try logged, as the UI reads it."""
        run = urllib.parse.quote(run_id)
        path = f"/api/v2/dags/ultralink_{language}/dagRuns/{run}/taskInstances/{task_id}/logs/{number}"
        content = self.api.call("GET", f"{path}?map_index={map_index}&full_content=true")["content"]
        # What the API itself says of where it read comes without a time.
        return [str(line["event"]) for line in content if line.get("timestamp")]

    def paid(self) -> Paid:
        stats = self.teacher.stats()
        return Paid(stats["paid"], stats["unique"])

    def saved(self, language: str, date: str) -> int:
        """Answers in the night's journal."""
        folder = self.store.folder("journal", language, date)
        return sum(1 for _ in Journal.open(self.store.fs, folder, "test").records())

    def statistics(self, language: str, date: str) -> Statistics:
        found = read_statistics(self.store, language, date)
        assert found is not None
        return found

    def rows(self, stage: Stage, language: str, date: str) -> Iterator[dict[str, object]]:
        """The rows of all shards."""
        for part in self.store.parts(stage, language, date):
            yield from part.rows()

    def check_night(self, language: str, date: str) -> None:
        """Every passage is one dialogue or one reject, each sample is there once, and the figures say the same."""
        figures = self.statistics(language, date)
        passages = [row["id"] for row in self.rows(PASSAGES, language, date)]
        dialogues = [row["id"] for row in self.rows(DIALOGUES, language, date)]
        rejects = [str(row["id"]) for row in self.rows(DIALOGUE_REJECTS, language, date)]
        turned_down = [name for name in rejects if "-turn" not in name]
        assert len(passages) == len(set(passages)) == figures.passages > 0
        assert len(set(dialogues) | set(turned_down)) == len(dialogues) + len(turned_down) == len(passages)
        samples = list(self.rows(SAMPLES, language, date))
        assert sorted(str(row["id"]) for row in samples) == sorted(map(str, dialogues))
        assert len({str(row["messages"]) for row in samples}) == len(samples) == figures.samples > 0
        assert figures.rejects == sum(1 for _ in self.rows(REJECTS, language, date))

    def billed(self, language: str, date: str) -> int:
        """The answers that the night's ledger counts."""
        billed = sum(int(str(row["paid"])) for row in self.rows(LEDGER, language, date))
        assert billed == self.statistics(language, date).calls
        return billed
