"""One Dag per language: grounded dialogues and translated English rows. Settings: include/languages."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import get_args

from airflow.sdk import DAG, CronPartitionTimetable, Param, TaskGroup, TriggerRule

from ultralink.configured import load_language
from ultralink.errors import PermanentError
from ultralink.pool.row import Kind
from ultralink.pool.rows import LANGUAGE
from ultralink.recipe import LANGUAGES, Mode, Recipe, configured_languages
from ultralink_airflow import assets
from ultralink_airflow.broken import BrokenDag
from ultralink_airflow.deadline import PunctualDag, deadline
from ultralink_airflow.defaults import default_args
from ultralink_airflow.dialogue import CalibrateJudgeOperator, GenerateDialoguesOperator
from ultralink_airflow.english import ChooseRowsOperator, TakeRowsOperator, TranslateRowsOperator
from ultralink_airflow.publish import PublishSamplesOperator
from ultralink_airflow.wikipedia import ExtractPassagesOperator, SelectArticlesOperator

DOC = """
# Fine-tuning data in {name}

Every night this Dag chooses **{articles} Wikipedia articles** in {name}, cuts them into passages, and has the
teacher model write a multi-turn dialogue about each passage. Beside that it takes some rows of the **English pool**
(chat, math, code) and {rendered}. Everything is checked; what fails is kept as a reject with its reason. The
result is one partition of Parquet files per date.

| group | what it does | writes |
| --- | --- | --- |
| wikipedia | chooses articles, cuts passages of {low}-{high} tokens | `selection`, `articles`, `passages` |
| dialogue | measures the judge with labelled items, once per change | `calibration` |
| dialogue | questions and answers by `{model}`, checked, judged | `dialogues`, `dialogue_rejects` |
| english | chooses rows of the pool of `ultralink_english_pool`, once | `choice` |
| english | chat, math, code: {rendered_by}, each row verified | `chat_rows`, `math_rows`, `code_rows`, `…_rejects` |
| publish | gathers the shards, sums the bill, tells Airflow that the asset changed | `samples`, `rejects`, `ledger` |

**Run one night by hand:** *Trigger*, give a partition key such as `2026-11-23`, set *dry run* first to see the price.
**A task failed:** its log ends with a note that says what to do. Clear it afterwards; paid answers are kept.
**Another night again:** the same date gives the same articles. Nothing is paid twice unless the recipe, the
prompts or the model changed. *rebuild* makes all parts again from the journal.
**Cheaper:** *mode* `batch` asks by the Batch API: half the price, an answer within hours. The tasks wait deferred, and
hold no worker slot; their batches are in the store under `journal/{language}/<date>/batches`.
**Backfill:** choose a range of partition dates; each date takes articles that no other date took.

Settings: `include/languages/{language}.yaml`, prompts: `include/prompts/{language}.yaml`.
"""


def build(recipe: Recipe) -> DAG:
    """The Dag of one language."""
    language = recipe.language
    with PunctualDag(
        dag_id=f"ultralink_{language}",
        dag_display_name=f"UltraLink · {recipe.name}",
        description=f"Nightly grounded dialogues and verified chat, math and code in {recipe.name}",
        doc_md=DOC.format(
            name=recipe.name,
            language=language,
            articles=recipe.wikipedia.articles_per_night,
            low=recipe.wikipedia.passage_tokens.min,
            high=recipe.wikipedia.passage_tokens.max,
            model=recipe.teacher.model,
            rendered="has them translated" if recipe.translation else "takes them as they are",
            rendered_by=f"translated by `{recipe.teacher.model}`" if recipe.translation else "taken as they are",
        ),
        schedule=CronPartitionTimetable(recipe.schedule, timezone=recipe.timezone, key_format="%Y-%m-%d"),
        start_date=datetime.combine(recipe.start_date, time()),
        catchup=False,
        max_active_runs=2,
        dagrun_timeout=timedelta(days=7),  # a wave of batches may take a day; each try of a task has its own limit
        deadline=deadline(language, recipe.alarms),
        tags=["ultralink", "samples", language],
        params={
            "articles": Param(
                recipe.wikipedia.articles_per_night,
                type="integer",
                minimum=1,
                description="Articles to choose for this night",
            ),
            **{
                kind.value: Param(
                    getattr(recipe.agnostic, kind).per_night,
                    type="integer",
                    minimum=0,
                    description=f"English {kind} rows to add this night",
                )
                for kind in Kind
            },
            "shards": Param(
                recipe.shards,
                type="integer",
                minimum=1,
                maximum=recipe.shards,
                description="Parallel slices to use",
            ),
            "model": Param(recipe.teacher.model, type="string", minLength=1, description="Teacher model"),
            "mode": Param(
                recipe.teacher.mode,
                type="string",
                enum=list(get_args(Mode)),
                description="live: at once. batch: by the Batch API, at a lower price, within hours",
            ),
            "dry_run": Param(False, type="boolean", description="Count and price the teacher's calls; call nobody"),
            "rebuild": Param(False, type="boolean", description="Make all parts again, even those up to date"),
        },
        default_args=default_args(recipe.owner, 6, recipe.alarms),
    ) as dag:
        shards = list(range(recipe.shards))
        reading, asking = "ultralink_wikipedia", "ultralink_teacher"
        with TaskGroup("wikipedia"):
            select = SelectArticlesOperator(task_id="select", language=language, pool=reading, max_active_tis_per_dag=1)
            extract = ExtractPassagesOperator.partial(task_id="extract", language=language, pool=reading).expand(
                shard=shards
            )
        with TaskGroup("dialogue"):
            calibrate = CalibrateJudgeOperator(
                task_id="calibrate", language=language, pool=asking, max_active_tis_per_dag=1
            )
            generate = GenerateDialoguesOperator.partial(task_id="generate", language=language, pool=asking).expand(
                shard=shards
            )
        with TaskGroup("english"):
            choose = ChooseRowsOperator(task_id="choose", language=language, max_active_tis_per_dag=1)
            kinds = [
                (
                    TranslateRowsOperator.partial(task_id=kind.value, language=language, kind=kind, pool=asking)
                    if recipe.translation or language != LANGUAGE
                    else TakeRowsOperator.partial(task_id=kind.value, language=language, kind=kind)
                ).expand(shard=shards[: recipe.agnostic.shards])
                for kind in Kind
            ]
        with TaskGroup("publish"):
            # Either half of a night may have nothing new: then it is skipped, and the other is published.
            publish = PublishSamplesOperator(
                task_id="publish",
                language=language,
                outlets=[assets.samples(language)],
                trigger_rule=TriggerRule.NONE_FAILED,
            )
        select >> [extract, calibrate] >> generate >> publish
        choose >> kinds >> publish
    return dag


for code in configured_languages():
    try:
        recipe, _ = load_language(code)
        build(recipe)
    except PermanentError as error:
        with BrokenDag(f"ultralink_{code}", str(LANGUAGES / f"{code}.yaml"), error):
            pass  # entering it registers it
