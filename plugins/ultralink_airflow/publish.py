"""The operator that publishes a night's samples and tells Airflow that the asset has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from ultralink_airflow import metrics
from ultralink_airflow.alarms import tell_jumps
from ultralink_airflow.dialogue import NightTeacherOperator

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from airflow.sdk.definitions.context import Context

    from ultralink.stages.night import Night
    from ultralink.stages.partition import Built
    from ultralink.teacher.endpoint import Endpoint


class PublishSamplesOperator(NightTeacherOperator):
    """Gather the shards into the partition's samples, rejects, ledger and statistics.

    It asks the teacher nothing, but closes batches that no shard asks for any more.

    The asset event carries the figures. A dry run, or a night in which no row passed, is skipped after its figures
    are logged, so that nothing downstream takes it for data.
    """

    def work(self, partition: Night, endpoint: Endpoint) -> Coroutine[None, None, Built]:
        from ultralink.stages.leftovers import close_leftovers

        return close_leftovers(partition, partition.recipe.teacher.model, endpoint)

    def build(self, partition: Night) -> Built:
        from ultralink.stages.publish import publish
        from ultralink.stages.rehearsal import rehearsed_in_all

        if partition.dry_run:
            self.skip(rehearsed_in_all(partition))
        self.close_batches(partition)
        self._night, self._published = partition, publish(partition)
        return self._published.built

    def execute(self, context: Context) -> None:
        super().execute(context)
        statistics = self._published.statistics
        metrics.night(statistics)
        tell_jumps(self._night, statistics, cast("Mapping[str, Any]", context))
        if not statistics.samples:
            self.skip("No row passed the gates: the rejects say why.")
        for outlet in self.outlets:
            context["outlet_events"][outlet].extra = {**statistics.event()}
