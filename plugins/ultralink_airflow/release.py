"""The operators of a release: plan, measure, take out, split, export, describe, publish, push."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from ultralink_airflow.base import PartitionOperator, open_store

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context

    from ultralink.recipe import Alarms
    from ultralink.release.hub import Hub
    from ultralink.stages.assembly import Assembly
    from ultralink.stages.partition import Built


class AssemblyOperator(PartitionOperator["Assembly"]):
    """A task of a release."""

    def partition(self, context: Context) -> Assembly:
        from ultralink.release.recipe import Format, load_release_recipe
        from ultralink.stages.assembly import Assembly

        recipe, params, run = load_release_recipe(), context["params"], context["dag_run"]
        return Assembly(
            recipe=recipe,
            store=open_store(),
            run_id=run.run_id,
            shards=recipe.shards,
            languages=tuple(params["languages"]),
            formats=tuple(Format(name) for name in params["formats"]),
            version=params["version"],
            since=params["from_date"],
            until=params["to_date"] or run.partition_key,
            allow_missing=params["allow_missing"],
            rebuild=params["rebuild"],
            attempt=context["ti"].try_number,
        )

    def alarms(self, partition: Assembly) -> Alarms:
        return partition.recipe.alarms


class MakeReleaseOperator(AssemblyOperator, ABC):
    """Run one stage of a release that is not published yet; of one that is, a cleared task has nothing to do."""

    @abstractmethod
    def make(self, assembly: Assembly) -> Built:
        """Do the work of a run that has not published yet."""

    def build(self, partition: Assembly) -> Built:
        from ultralink.stages.partition import Built
        from ultralink.stages.release_plan import published

        if (manifest := published(partition)) is not None:
            return Built((), f"Nothing to do: this run published release {manifest.version}, which never changes")
        return self.make(partition)


class PlanReleaseOperator(MakeReleaseOperator):
    """Choose version and nights; skipped where a release has exactly these rows already."""

    def make(self, assembly: Assembly) -> Built:
        from ultralink.stages.release_plan import plan_release

        return plan_release(assembly)


class MeasureSamplesOperator(MakeReleaseOperator):
    """Measure the rows of the shard's nights: hashes, signatures, tokens."""

    def make(self, assembly: Assembly) -> Built:
        from ultralink.stages.release_features import measure_samples

        return measure_samples(assembly, self.shard)


class DropExactOperator(MakeReleaseOperator):
    """Take out rows that say the same as an earlier one, or come from the same source."""

    def make(self, assembly: Assembly) -> Built:
        from ultralink.stages.release_exact import drop_exact

        return drop_exact(assembly)


class DropNearOperator(MakeReleaseOperator):
    """Take out rows that say nearly the same as an earlier one."""

    def make(self, assembly: Assembly) -> Built:
        from ultralink.stages.release_near import drop_near

        return drop_near(assembly)


class DecontaminateOperator(MakeReleaseOperator):
    """Find what a release must not hold in the shard's nights: test items, private data, blocked words."""

    def make(self, assembly: Assembly) -> Built:
        from ultralink.stages.release_decontaminate import decontaminate

        return decontaminate(assembly, self.shard)


class SplitRowsOperator(MakeReleaseOperator):
    """Decide for each row: train, validation, or left out and why."""

    def make(self, assembly: Assembly) -> Built:
        from ultralink.stages.release_split import split_rows

        return split_rows(assembly)


class ExportOperator(MakeReleaseOperator):
    """Write the files of one language and subset; ``shard`` is its number."""

    def shards(self, partition: Assembly) -> int:
        return len(partition.configurations)

    def make(self, assembly: Assembly) -> Built:
        from ultralink.stages.release_export import export

        return export(assembly, self.shard)


class WriteCardOperator(MakeReleaseOperator):
    """Write the dataset card with its figures and pictures."""

    def make(self, assembly: Assembly) -> Built:
        from ultralink.stages.release_card import write_card

        return write_card(assembly)


class PublishReleaseOperator(AssemblyOperator):
    """Put the release on the shelf, whole and at once, and tell Airflow."""

    def build(self, partition: Assembly) -> Built:
        from ultralink.stages.release_publish import publish_release

        self._published = publish_release(partition)
        return self._published.built

    def execute(self, context: Context) -> None:
        super().execute(context)
        manifest = self._published.manifest
        for outlet in self.outlets:
            context["outlet_events"][outlet].extra = {"version": manifest.version, "rows": manifest.rows}


class PushReleaseOperator(AssemblyOperator):
    """Push the release to a Hugging Face repository; skipped where the run names none."""

    def execute(self, context: Context) -> None:
        repository = context["params"]["push_to"]
        if not repository:
            self.skip("push_to is empty: the release stays on the shelf.")
        self._repository = repository
        super().execute(context)

    def build(self, partition: Assembly) -> Built:
        from ultralink.release.hub import push_release
        from ultralink.stages.partition import Built

        hub = hub_of(partition.recipe.hub_conn_id, self._repository)
        pushed = push_release(partition.store, partition.plan.version, hub)
        return Built((pushed.url,), pushed.line)


def hub_of(conn_id: str, repository: str) -> Hub:
    """The repository on the hub that the Airflow connection describes: token as password, another address as host.

    Raises HubRefused where the connection is missing.
    """
    from airflow.sdk import Connection
    from airflow.sdk.exceptions import AirflowNotFoundException

    from ultralink.errors import HubRefused
    from ultralink.release.hub import Hub

    try:
        connection = Connection.get(conn_id)
    except AirflowNotFoundException as error:
        raise HubRefused(f"connection {conn_id!r} does not exist; add it with the hub's token as password") from error
    host = connection.host or None
    if host and "://" not in host:
        host = f"https://{host}"
    if host and connection.port:
        host = f"{host}:{connection.port}"
    private = bool(connection.extra_dejson.get("private", True))
    return Hub(
        repository=repository, token=connection.password or "", connection=conn_id, endpoint=host, private=private
    )
