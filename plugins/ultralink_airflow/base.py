"""The shared base of the operators: from an Airflow context to a night, and its outputs to the log."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar, cast

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException

from ultralink.default_store import default_store
from ultralink.errors import NothingNew
from ultralink_airflow.watching import watching

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.sdk.definitions.context import Context

    from ultralink.recipe import Alarms
    from ultralink.stages.night import Night
    from ultralink.stages.partition import Built, Work
    from ultralink.store import Store


def open_store() -> Store:
    """The store that ``ULTRALINK_STORE`` names: a path, or a URL as Airflow's object storage takes it.

    A URL may carry a connection, as in ``s3://my_conn@bucket/ultralink``.
    """
    from airflow.sdk import ObjectStoragePath

    from ultralink.store import Store

    url = default_store()
    if "://" not in url:
        return Store.at(url)
    path = ObjectStoragePath(url)
    return Store(path.fs, path.path)


PartitionT = TypeVar("PartitionT", bound="Work")


class PartitionOperator(BaseOperator, Generic[PartitionT], ABC):
    """Run one stage of a partition, for one shard.

    :param shard: which slice of the partition
    """

    def __init__(self, *, shard: int = 0, **kwargs: Any) -> None:
        kwargs.setdefault("do_xcom_push", False)
        super().__init__(**kwargs)
        self.shard = shard

    @abstractmethod
    def partition(self, context: Context) -> PartitionT:
        """The partition of the run that ``context`` belongs to, with the trigger form's choices."""

    @abstractmethod
    def build(self, partition: PartitionT) -> Built:
        """Do the work."""

    @abstractmethod
    def alarms(self, partition: PartitionT) -> Alarms:
        """Whom to tell when the task goes wrong."""

    def shards(self, partition: PartitionT) -> int:
        """How many slices this run uses."""
        return partition.shards

    def execute(self, context: Context) -> None:
        """Build the shard unless the run was started with fewer shards. Returns nothing: no XCom."""
        partition = self.partition(context)
        if self.shard >= self.shards(partition):
            self.log.info("Shard %d is not used: this run has %d shards.", self.shard, self.shards(partition))
            return
        with watching(self.alarms(partition), partition, cast("Mapping[str, Any]", context)) as watch:
            try:
                built = self.build(replace(partition, listener=watch))
            except NothingNew as reason:
                self.skip(str(reason))
            watch.built(built)
        for path in built.outputs:
            self.log.info("Output: %s", path)
        self.log.info("%s", built.line)

    def skip(self, reason: str) -> NoReturn:
        """End the task as skipped, with the reason in its log."""
        self.log.info("%s", reason)
        raise AirflowSkipException(reason)


class StageOperator(PartitionOperator["Night"]):
    """Run one stage of a language's night.

    :param language: code of the language; names the recipe and the prompt book
    """

    def __init__(self, *, language: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.language = language

    def partition(self, context: Context) -> Night:
        from ultralink.configured import load_language
        from ultralink.pool.row import Kind
        from ultralink.stages.night import Night

        (recipe, book), params = load_language(self.language), context["params"]
        return Night(
            recipe=recipe,
            book=book,
            store=open_store(),
            date=partition_date(context),
            run_id=context["dag_run"].run_id,
            articles=params["articles"],
            rows={kind: params[kind] for kind in Kind},
            shards=params["shards"],
            model=params["model"],
            dry_run=params["dry_run"],
            rebuild=params["rebuild"],
            mode=params["mode"],
            attempt=context["ti"].try_number,
        )

    def alarms(self, partition: Night) -> Alarms:
        return partition.recipe.alarms


def partition_date(context: Context) -> str:
    """The run's partition date; of a run without one, the day it was started for."""
    run = context["dag_run"]
    return run.partition_key or f"{run.run_after:%Y-%m-%d}"
