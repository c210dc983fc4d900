"""The operators of the English pool: read, keep distinct, screen, publish."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from ultralink_airflow.alarms import tell_pool_jumps
from ultralink_airflow.base import PartitionOperator, open_store, partition_date
from ultralink_airflow.teacher import TeacherOperator, teacher_endpoint

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from airflow.sdk.definitions.context import Context

    from ultralink.recipe import Alarms
    from ultralink.stages.edition import Edition
    from ultralink.stages.partition import Built
    from ultralink.teacher.endpoint import Endpoint


class EditionOperator(PartitionOperator["Edition"]):
    """Run one stage of an edition of the pool."""

    def partition(self, context: Context) -> Edition:
        from ultralink.pool.recipe import load_pool_recipe
        from ultralink.stages.edition import Edition

        recipe, params = load_pool_recipe(), context["params"]
        return Edition(
            recipe=recipe,
            store=open_store(),
            date=partition_date(context),
            run_id=context["dag_run"].run_id,
            shards=recipe.shards,
            model=params["model"],
            dry_run=params["dry_run"],
            rebuild=params["rebuild"],
            mode=params["mode"],
            attempt=context["ti"].try_number,
        )

    def alarms(self, partition: Edition) -> Alarms:
        return partition.recipe.alarms


class ReadSourceOperator(EditionOperator):
    """Read one source; ``shard`` is its number in the recipe."""

    def shards(self, partition: Edition) -> int:
        return len(partition.recipe.sources)

    def build(self, partition: Edition) -> Built:
        from ultralink.stages.pool_read import read_source

        return read_source(partition, self.shard)


class KeepDistinctOperator(EditionOperator):
    """Take out exact and near duplicates over all sources."""

    def build(self, partition: Edition) -> Built:
        from ultralink.stages.pool_distinct import keep_distinct

        return keep_distinct(partition)


class ScreenChatsOperator(TeacherOperator["Edition"], EditionOperator):
    """Have the shard's chats judged by seven criteria, and keep those that are bound to no culture."""

    def conn_id(self, partition: Edition) -> str:
        return partition.recipe.screen.conn_id

    def endpoint(self, partition: Edition) -> Endpoint:
        settings = partition.recipe.screen
        return teacher_endpoint(settings.conn_id, settings.timeout_s)

    def work(self, partition: Edition, endpoint: Endpoint) -> Coroutine[None, None, Built]:
        from ultralink.stages.pool_screen import screen_chats

        return screen_chats(partition, self.shard, endpoint)


class PublishPoolOperator(ScreenChatsOperator):
    """Publish the edition. The asset event comes only where the rows differ from the edition before.

    It asks the teacher nothing, but closes batches that no shard of the screen asks for any more.
    """

    def work(self, partition: Edition, endpoint: Endpoint) -> Coroutine[None, None, Built]:
        from ultralink.stages.leftovers import close_leftovers

        return close_leftovers(partition, partition.recipe.screen.model, endpoint)

    def build(self, partition: Edition) -> Built:
        from ultralink.stages.pool_publish import publish_pool

        if partition.dry_run:
            self.skip("Dry run: the logs of the screen's tasks have the price. Nobody was called.")
        self.close_batches(partition)
        self._edition, self._published = partition, publish_pool(partition)
        return self._published.built

    def execute(self, context: Context) -> None:
        super().execute(context)
        statistics = self._published.statistics
        tell_pool_jumps(self._edition, statistics, cast("Mapping[str, Any]", context))
        if not self._published.changed:
            self.skip("The pool has the same rows as before: nobody needs to be told.")
        for outlet in self.outlets:
            context["outlet_events"][outlet].extra = {
                "date": statistics.date,
                "digest": statistics.digest,
                **{kind.value: rows for kind, rows in statistics.rows.items()},
            }
