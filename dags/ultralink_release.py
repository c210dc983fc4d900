"""The Dag of releases: the nights of all languages made into one versioned dataset. Settings: include/release.yaml."""

from __future__ import annotations

from datetime import datetime, time, timedelta

from airflow.sdk import DAG, AssetAll, Param, PartitionedAssetTimetable, TaskGroup

from ultralink.errors import PermanentError
from ultralink.recipe import configured_languages
from ultralink.release.recipe import (
    SUBSETS,
    VERSION,
    Format,
    ReleaseRecipe,
    load_release_recipe,
    release_recipe_path,
)
from ultralink_airflow import assets
from ultralink_airflow.broken import BrokenDag
from ultralink_airflow.defaults import default_args
from ultralink_airflow.release import (
    DecontaminateOperator,
    DropExactOperator,
    DropNearOperator,
    ExportOperator,
    MeasureSamplesOperator,
    PlanReleaseOperator,
    PublishReleaseOperator,
    PushReleaseOperator,
    SplitRowsOperator,
    WriteCardOperator,
)

DAG_ID = "ultralink_release"
DOC = """
# Releases

Makes the published nights of **{languages}** into one dataset that never changes again: `releases/<version>` in the
store, with Parquet, JSON Lines, a dataset card with pictures, and a list of everything that was left out and why.
`releases/latest` points to the newest.

| group | what it does |
| --- | --- |
| collect | notes which nights take part; measures their rows, each night once |
| clean | takes out exact and near duplicates, items of evaluation sets, private data |
| write | splits by source, exports {languages} x 4 subsets, writes the card |
| publish | makes the release appear at once; pushes it to a Hugging Face repository if *push to* names one |

**When it runs:** when all these languages have published the same night; the release then holds all nights up to it.
**By hand:** *Trigger*; all fields may stay as they are. A version that exists is refused; without one it is made of the
last date. If a release with exactly these rows exists, the run is skipped.
**A subset is missing:** the run says which language lacks which; publish that first, or set *allow missing*.
**A task failed:** its log ends with a note that says what to do. Nothing appears on the shelf before all is done.

Versions are listed, compared, checked and pruned by `python -m ultralink.release`. Settings: `include/release.yaml`.
"""


def build(recipe: ReleaseRecipe) -> DAG:
    """The Dag of releases."""
    languages = recipe.languages or configured_languages()
    with DAG(
        dag_id=DAG_ID,
        dag_display_name="UltraLink · Release",
        description="An immutable, versioned dataset out of the nights of all languages",
        doc_md=DOC.format(languages=", ".join(languages)),
        schedule=PartitionedAssetTimetable(assets=AssetAll(*map(assets.samples, languages))),
        start_date=datetime.combine(recipe.start_date, time()),
        catchup=False,
        max_active_runs=4,
        dagrun_timeout=timedelta(hours=20),
        tags=["ultralink", "release"],
        params={
            "version": Param(
                None,
                type=["null", "string"],
                pattern=VERSION,
                description="Empty: made of the last date, as 2026.11.23",
            ),
            "languages": Param(
                languages,
                type="array",
                minItems=1,
                uniqueItems=True,
                items={"type": "string", "enum": languages},
                examples=languages,
                description="Languages to release",
            ),
            "from_date": Param(
                None, type=["null", "string"], format="date", description="First night; empty: the first there is"
            ),
            "to_date": Param(
                None,
                type=["null", "string"],
                format="date",
                description="Last night; empty: the partition's, or the last",
            ),
            "formats": Param(
                [str(one) for one in recipe.formats],
                type="array",
                uniqueItems=True,
                items={"type": "string", "enum": [str(one) for one in Format]},
                examples=[str(one) for one in Format],
                description="Besides Parquet",
            ),
            "allow_missing": Param(
                False, type="boolean", description="Release even if a language lacks a subset; the card will say so"
            ),
            "push_to": Param(
                None,
                type=["null", "string"],
                pattern="^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$",
                description="Hugging Face repository, as organisation/name; empty: none",
            ),
            "rebuild": Param(False, type="boolean", description="Measure and export again, even what is up to date"),
        },
        default_args=default_args(recipe.owner, 6, recipe.alarms),
    ) as dag:
        shards = list(range(recipe.shards))
        with TaskGroup("collect"):
            plan = PlanReleaseOperator(task_id="plan")
            measure = MeasureSamplesOperator.partial(task_id="measure").expand(shard=shards)
        with TaskGroup("clean"):
            exact = DropExactOperator(task_id="exact")
            near = DropNearOperator(task_id="near")
            decontaminate = DecontaminateOperator.partial(task_id="decontaminate").expand(shard=shards)
        with TaskGroup("write"):
            split = SplitRowsOperator(task_id="split")
            export = ExportOperator.partial(task_id="export").expand(shard=list(range(len(languages) * len(SUBSETS))))
            card = WriteCardOperator(task_id="card")
        with TaskGroup("publish"):
            publish = PublishReleaseOperator(task_id="publish", outlets=[assets.release()])
            push = PushReleaseOperator(task_id="push")
        plan >> measure >> exact >> near >> split
        plan >> decontaminate >> split
        split >> export >> card >> publish >> push
    return dag


try:
    build(load_release_recipe())
except PermanentError as error:
    with BrokenDag(DAG_ID, str(release_recipe_path()), error):
        pass  # entering it registers it
