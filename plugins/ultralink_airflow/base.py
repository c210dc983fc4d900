"""The shared base of the operators: from an Airflow context to a night, and its outputs to the log."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException

from ultralink.errors import NothingNew

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context

    from ultralink.stages.night import Built, Night
    from ultralink.store import Store

DEFAULT_STORE = Path(__file__).resolve().parents[2] / ".store"


def open_store() -> Store:
    """The store that ``ULTRALINK_STORE`` names: a path, or a URL as Airflow's object storage takes it.

    A URL may carry a connection, as in ``s3://my_conn@bucket/ultralink``.
    """
    from airflow.sdk import ObjectStoragePath

    from ultralink.store import Store

    url = os.environ.get("ULTRALINK_STORE") or str(DEFAULT_STORE)
    if "://" not in url:
        return Store.at(url)
    path = ObjectStoragePath(url)
    return Store(path.fs, path.path)


class StageOperator(BaseOperator, ABC):
    """Run one stage of a language's night, for one shard.

    :param language: code of the language; names the recipe and the prompt book
    :param shard: which slice of the partition
    """

    def __init__(self, *, language: str, shard: int = 0, **kwargs: Any) -> None:
        kwargs.setdefault("do_xcom_push", False)
        super().__init__(**kwargs)
        self.language = language
        self.shard = shard

    @abstractmethod
    def build(self, night: Night) -> Built:
        """Do the work; called with this task's night."""

    def execute(self, context: Context) -> None:
        """Build the shard unless the run was started with fewer shards. Returns nothing: no XCom."""
        night = self.night(context)
        if self.shard >= night.shards:
            self.log.info("Shard %d is not used: this run has %d shards.", self.shard, night.shards)
            return
        try:
            built = self.build(night)
        except NothingNew as reason:
            self.skip(str(reason))
        for path in built.outputs:
            self.log.info("Output: %s", path)
        self.log.info("%s", built.line)

    def skip(self, reason: str) -> NoReturn:
        """End the task as skipped, with the reason in its log."""
        self.log.info("%s", reason)
        raise AirflowSkipException(reason)

    def night(self, context: Context) -> Night:
        """The night of the run that ``context`` belongs to, with the trigger form's choices."""
        from ultralink.prompts import load_prompts
        from ultralink.recipe import load_recipe
        from ultralink.stages.night import Night

        recipe = load_recipe(self.language)
        params = context["params"]
        run = context["dag_run"]
        return Night(
            recipe=recipe,
            book=load_prompts(self.language),
            store=open_store(),
            date=run.partition_key or f"{run.run_after:%Y-%m-%d}",
            run_id=run.run_id,
            articles=params["articles"],
            shards=params["shards"],
            model=params["model"],
            dry_run=params["dry_run"],
            rebuild=params["rebuild"],
            attempt=context["ti"].try_number,
        )
