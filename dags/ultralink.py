"""One Dag per language: Wikipedia to dialogues to samples. The settings are in include/languages."""

from __future__ import annotations

from datetime import datetime, time, timedelta

from airflow.sdk import DAG, Asset, CronPartitionTimetable, Param, TaskGroup

from ultralink.dialogue.labelled import load_labelled
from ultralink.errors import PermanentError
from ultralink.prompts import load_prompts
from ultralink.recipe import LANGUAGES, Recipe, configured_languages, load_recipe
from ultralink_airflow.broken import BrokenDag
from ultralink_airflow.dialogue import CalibrateJudgeOperator, GenerateDialoguesOperator
from ultralink_airflow.failure import FailureNote
from ultralink_airflow.publish import PublishSamplesOperator
from ultralink_airflow.retry import POLICY
from ultralink_airflow.wikipedia import ExtractPassagesOperator, SelectArticlesOperator

DOC = """
# Grounded dialogues in {name}

Every night this Dag chooses **{articles} Wikipedia articles** in {name}, cuts them into passages, and has the
teacher model write a multi-turn dialogue about each passage. Gates check every turn; what fails is kept as a
reject with its reason. The result is one partition of Parquet files per date.

| group | what it does | writes |
| --- | --- | --- |
| wikipedia | chooses articles, cuts passages of {low}-{high} tokens | `selection`, `articles`, `passages` |
| dialogue | measures the judge with labelled items, once per change | `calibration` |
| dialogue | questions and answers by `{model}`, checked, judged | `dialogues`, `dialogue_rejects` |
| publish | gathers the shards, sums the bill, tells Airflow that the asset changed | `samples`, `rejects`, `ledger` |

**Run one night by hand:** *Trigger*, give a partition key such as `2026-11-23`, set *dry run* first to see the price.
**A task failed:** its log ends with a note that says what to do. Clear it afterwards; paid answers are kept.
**Another night again:** the same date gives the same articles. Nothing is paid twice unless the recipe, the
prompts or the model changed. *rebuild* makes all parts again from the journal.
**Backfill:** choose a range of partition dates; each date takes articles that no other date took.

Settings: `include/languages/{language}.yaml`, prompts: `include/prompts/{language}.yaml`.
"""


def build(recipe: Recipe) -> DAG:
    """The Dag of one language."""
    language = recipe.language
    samples = Asset(name=f"ultralink_{language}_samples", uri=f"ultralink://samples/{language}", group="ultralink")
    with DAG(
        dag_id=f"ultralink_{language}",
        dag_display_name=f"UltraLink · {recipe.name}",
        description=f"Nightly Wikipedia-grounded dialogues in {recipe.name}",
        doc_md=DOC.format(
            name=recipe.name,
            language=language,
            articles=recipe.wikipedia.articles_per_night,
            low=recipe.wikipedia.passage_tokens.min,
            high=recipe.wikipedia.passage_tokens.max,
            model=recipe.teacher.model,
        ),
        schedule=CronPartitionTimetable(recipe.schedule, timezone=recipe.timezone, key_format="%Y-%m-%d"),
        start_date=datetime.combine(recipe.start_date, time()),
        catchup=False,
        max_active_runs=2,
        dagrun_timeout=timedelta(hours=20),
        tags=["ultralink", "dialogues", language],
        params={
            "articles": Param(
                recipe.wikipedia.articles_per_night,
                type="integer",
                minimum=1,
                description="Articles to choose for this night",
            ),
            "shards": Param(
                recipe.shards,
                type="integer",
                minimum=1,
                maximum=recipe.shards,
                description="Parallel slices to use",
            ),
            "model": Param(recipe.teacher.model, type="string", minLength=1, description="Teacher model"),
            "dry_run": Param(False, type="boolean", description="Count and price the teacher's calls; call nobody"),
            "rebuild": Param(False, type="boolean", description="Make all parts again, even those up to date"),
        },
        default_args={
            "owner": recipe.owner,
            "retries": 4,
            "retry_delay": timedelta(seconds=30),
            "retry_exponential_backoff": 2.0,
            "max_retry_delay": timedelta(minutes=15),
            "retry_policy": POLICY,
            "execution_timeout": timedelta(hours=6),
            "on_failure_callback": [FailureNote()],
        },
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
        with TaskGroup("publish"):
            publish = PublishSamplesOperator(task_id="publish", language=language, outlets=[samples])
        select >> [extract, calibrate] >> generate >> publish
    return dag


for code in configured_languages():
    try:
        load_prompts(code)
        load_labelled(code)
        build(load_recipe(code))
    except PermanentError as error:
        with BrokenDag(f"ultralink_{code}", str(LANGUAGES / f"{code}.yaml"), error):
            pass  # entering it registers it
