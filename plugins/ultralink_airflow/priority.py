"""Who gets a free slot of a pool first: a night that is due, or that a person waits for, before a backfill."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.task.priority_strategy import PriorityWeightStrategy

if TYPE_CHECKING:
    from airflow.models.taskinstance import TaskInstance

# By its name: of a mapped task Airflow 3.3.2 stores an object as its repr, and then cannot create any run.
NIGHTLY_FIRST = "ultralink_airflow.priority.NightlyFirst"
NIGHTLY = 10_000  # more than any Dag's weights add up to


class NightlyFirst(PriorityWeightStrategy):
    """Airflow's usual weight (a task and all that follow it), and on top of it a great deal unless it is a backfill."""

    def get_weight(self, ti: TaskInstance) -> int:
        """The weight; the run's kind is read from its id, for the run itself is not at hand where weights are made."""
        from airflow.task.priority_strategy import validate_and_load_priority_weight_strategy
        from airflow.utils.types import DagRunType

        usual = validate_and_load_priority_weight_strategy("downstream").get_weight(ti)
        is_backfill = DagRunType.from_run_id(ti.run_id) is DagRunType.BACKFILL_JOB
        return usual if is_backfill else NIGHTLY + usual
