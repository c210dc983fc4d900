"""Watching one task: what its teacher is paid goes to the metrics, its budget's levels to the alarms."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ultralink_airflow import metrics
from ultralink_airflow.alarms import Outbox, budget_alarm

if TYPE_CHECKING:
    from ultralink.recipe import Alarms
    from ultralink.stages.partition import Built, Work
    from ultralink.teacher.listener import Spent
    from ultralink.teacher.tally import Counts

log = logging.getLogger(__name__)


class Watch:
    """The listener of one task attempt."""

    def __init__(self, context: Mapping[str, Any], tags: metrics.Tags, outbox: Outbox) -> None:
        self._context, self._tags, self._outbox = context, tags, outbox

    def paid(self, model: str, paid: Counts, latencies_s: Sequence[float]) -> None:
        """Count it."""
        try:
            metrics.paid(self._tags, model, paid, latencies_s)
        except Exception as problem:
            log.warning("No metrics: %s", problem)

    def spent(self, spent: Spent) -> None:
        """Tell the notifiers."""
        try:
            self._outbox.post(budget_alarm(self._context, spent))
        except Exception:
            log.exception("No alarm for the budget")

    def built(self, built: Built) -> None:
        """The task has done its work."""
        try:
            metrics.rows(self._tags, built)
        except Exception as problem:
            log.warning("No metrics: %s", problem)


@contextmanager
def watching(alarms: Alarms, partition: Work, context: Mapping[str, Any]) -> Iterator[Watch]:
    """The listener for the task at hand; on the way out its alarms are on their way too."""
    tags = {
        "language": str(getattr(partition, "language", "all")),  # a release has no one language
        "stage": str(context["ti"].task_id).rpartition(".")[2],
    }
    with Outbox(alarms, context, lambda: partition.store) as outbox:
        yield Watch(context, tags, outbox)
