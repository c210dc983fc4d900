"""What Airflow has to know by name to schedule UltraLink: who goes first, and what a deadline counts from."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

from ultralink_airflow.deadline import WhenDue
from ultralink_airflow.priority import NightlyFirst


class UltraLinkWatchPlugin(AirflowPlugin):
    """Registers both; all of it is in ``ultralink_airflow.priority`` and ``ultralink_airflow.deadline``."""

    name = "ultralink_watch"
    priority_weight_strategies = [NightlyFirst]  # noqa: RUF012  # the base class declares it so
    deadline_references = [WhenDue]  # noqa: RUF012
