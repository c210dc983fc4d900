"""The Dag of the English pool: sources to distinct, screened, clustered rows. The settings are in include/pool.yaml."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import get_args

from airflow.sdk import DAG, CronPartitionTimetable, Param, TaskGroup

from ultralink.errors import PermanentError
from ultralink.pool.recipe import POOL_RECIPE, PoolRecipe, load_pool_recipe
from ultralink.pool.screen import load_screen_prompts
from ultralink.recipe import Mode
from ultralink_airflow import assets
from ultralink_airflow.broken import BrokenDag
from ultralink_airflow.deadline import POOL, PunctualDag, deadline
from ultralink_airflow.defaults import default_args
from ultralink_airflow.pool import (
    KeepDistinctOperator,
    PublishPoolOperator,
    ReadSourceOperator,
    ScreenChatsOperator,
)

DAG_ID = "ultralink_english_pool"
DOC = """
# The English pool

English chat, math and code that every language draws from: read from **{sources} sources**, cleaned, freed of
duplicates, and, for chats, screened by the teacher `{model}`: a chat that is bound to a culture (a person, a place, a
custom, a brand ...) is turned away, because its translation would teach English culture in another language.

| group | what it does | writes |
| --- | --- | --- |
| read | one task per source: schema check, cleaning | `english_rows`, `english_rejects` |
| read | takes out exact and near duplicates over all sources | `distinct_rows`, `duplicates` |
| screen | seven criteria with quoted evidence for each chat | `screened_rows`, `screen_rejects` |
| publish | puts each row into a topic cluster, sums the bill | `pool`, `pool_rejects`, `ledger`, statistics |

The Dags of the languages use the newest complete edition at their next run. The asset event comes when the rows have
changed. **A task failed:** its log ends with a note that says what to do. Settings: `include/pool.yaml`.
"""


def build(recipe: PoolRecipe) -> DAG:
    """The Dag of the pool."""
    with PunctualDag(
        dag_id=DAG_ID,
        dag_display_name="UltraLink · English pool",
        description="English chat, math and code, cleaned, screened and clustered, for all languages to draw from",
        doc_md=DOC.format(sources=len(recipe.sources), model=recipe.screen.model),
        schedule=CronPartitionTimetable(recipe.schedule, timezone=recipe.timezone, key_format="%Y-%m-%d"),
        start_date=datetime.combine(recipe.start_date, time()),
        catchup=False,
        max_active_runs=1,
        dagrun_timeout=timedelta(days=7),  # a wave of batches may take a day; each try of a task has its own limit
        deadline=deadline(POOL, recipe.alarms),
        tags=["ultralink", "pool", "en"],
        params={
            "model": Param(recipe.screen.model, type="string", minLength=1, description="Teacher that screens"),
            "mode": Param(
                recipe.screen.mode,
                type="string",
                enum=list(get_args(Mode)),
                description="live: at once. batch: by the Batch API, at a lower price, within hours",
            ),
            "dry_run": Param(False, type="boolean", description="Count and price the teacher's calls; call nobody"),
            "rebuild": Param(False, type="boolean", description="Make all parts again, even those up to date"),
        },
        default_args=default_args(recipe.owner, 12, recipe.alarms),
    ) as dag:
        with TaskGroup("read"):
            read = ReadSourceOperator.partial(task_id="read").expand(shard=list(range(len(recipe.sources))))
            distinct = KeepDistinctOperator(task_id="distinct")
        with TaskGroup("screen"):
            screen = ScreenChatsOperator.partial(task_id="screen", pool="ultralink_teacher").expand(
                shard=list(range(recipe.shards))
            )
        with TaskGroup("publish"):
            publish = PublishPoolOperator(task_id="publish", outlets=[assets.english_pool()])
        read >> distinct >> screen >> publish
    return dag


try:
    load_screen_prompts()
    build(load_pool_recipe())
except PermanentError as error:
    with BrokenDag(DAG_ID, str(POOL_RECIPE), error):
        pass  # entering it registers it
