"""What all tasks have in common: retries by exception, growing pauses, a note and an alarm when one has failed."""

from __future__ import annotations

from datetime import timedelta

from ultralink.recipe import Alarms
from ultralink_airflow.alarms import FailureAlarm
from ultralink_airflow.failure import FailureNote
from ultralink_airflow.priority import NIGHTLY_FIRST
from ultralink_airflow.retry import POLICY


def default_args(owner: str, hours: int, alarms: Alarms) -> dict[str, object]:
    """``default_args`` of a Dag; ``hours`` is the longest that one task may take; ``alarms`` says whom to tell."""
    return {
        "owner": owner,
        "retries": 4,
        "retry_delay": timedelta(seconds=30),
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": timedelta(minutes=15),
        "retry_policy": POLICY,
        "execution_timeout": timedelta(hours=hours),
        "on_failure_callback": [FailureNote(), FailureAlarm(alarms)],
        "weight_rule": NIGHTLY_FIRST,
    }
