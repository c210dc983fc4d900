"""The Dags: one per language, of one shape; a new language is two files; a broken one harms nobody else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ultralink.pool.recipe import load_pool_recipe
from ultralink.recipe import configured_languages, load_recipe
from ultralink.release.recipe import SUBSETS, load_release_recipe

ROOT = Path(__file__).resolve().parents[2]
LANGUAGES = ["en", "es", "fr", "ru", "zh"]
POOL, RELEASE = "ultralink_english_pool", "ultralink_release"

# Parses the Dag folder as the Dag processor does, and prints what it would store.
PARSE = """
import json, os
from pathlib import Path
import structlog
from airflow.dag_processing.dagbag import BundleDagBag
from airflow.dag_processing.processor import _serialize_dags
folder = Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
bag = BundleDagBag(dag_folder=str(folder), bundle_path=folder, bundle_name="dags-folder")
stored, errors = _serialize_dags(bag, structlog.get_logger())
print(json.dumps({"dags": sorted(dag.dag_id for dag in stored), "errors": {**bag.import_errors, **errors}}))
"""


@pytest.fixture(scope="module")
def dags(airflow_db: None) -> dict[str, object]:
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(ROOT / "dags")
    assert bag.import_errors == {}
    return dict(bag.dags)


def project_copy(target: Path) -> Path:
    """Dags, plugins and include of this project in a folder where a test may change them."""
    for folder in ("dags", "plugins", "include"):
        shutil.copytree(ROOT / folder, target / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return target


def parse(project: Path) -> dict[str, dict[str, str]]:
    """What Airflow makes of the Dag folder of ``project``, in a process of its own."""
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(project / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(project / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(project / "plugins"),
        "PYTHONPATH": os.pathsep.join(str(project / folder) for folder in ("include", "plugins")),
    }
    done = subprocess.run(
        [sys.executable, "-c", PARSE],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


def dag_ids(*languages: str, others: tuple[str, ...] = (POOL, RELEASE)) -> list[str]:
    return sorted([*others, *(f"ultralink_{language}" for language in languages)])


def test_there_is_one_dag_per_language(dags: dict[str, object]) -> None:
    assert configured_languages() == LANGUAGES
    assert sorted(dags) == dag_ids(*LANGUAGES)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_dag_has_the_recipe_s_settings(dags: dict[str, object], language: str) -> None:
    from airflow.sdk import CronPartitionTimetable

    recipe, dag = load_recipe(language), dags[f"ultralink_{language}"]
    assert dag.task_ids == [
        "wikipedia.select",
        "wikipedia.extract",
        "dialogue.calibrate",
        "dialogue.generate",
        "english.choose",
        "english.chat",
        "english.math",
        "english.code",
        "publish.publish",
    ]
    assert isinstance(dag.timetable, CronPartitionTimetable)
    assert dag.timetable.key_format == "%Y-%m-%d"
    assert dag.catchup is False
    assert {"ultralink", language} <= set(dag.tags)
    assert {"articles", "chat", "math", "code", "shards", "mode", "dry_run", "rebuild", "model"} == set(dag.params)
    assert dag.params["math"] == recipe.agnostic.math.per_night
    assert dag.params["articles"] == recipe.wikipedia.articles_per_night
    assert f"include/languages/{language}.yaml" in dag.doc_md
    for task in dag.tasks:
        assert task.owner == recipe.owner
        assert task.retries >= 2
    assert dag.get_task("dialogue.calibrate").pool == "ultralink_teacher"
    assert dag.get_task("dialogue.calibrate").max_active_tis_per_dag == 1
    assert dag.get_task("dialogue.generate").upstream_task_ids == {"wikipedia.extract", "dialogue.calibrate"}
    assert dag.get_task("dialogue.generate").partial_kwargs["pool"] == "ultralink_teacher"
    assert dag.get_task("wikipedia.select").pool == "ultralink_wikipedia"
    assert dag.get_task("wikipedia.select").max_active_tis_per_dag == 1


def test_pools_of_the_dags_are_made_by_the_set_up(dags: dict[str, object]) -> None:
    made = set(json.loads((ROOT / "include" / "pools.json").read_text()))
    used = set()
    for dag in dags.values():
        used |= {task.pool for task in dag.tasks if task.pool != "default_pool"}
    assert used == made


def mapped_over(dag_id: str, task_id: str) -> int:
    if dag_id == POOL:
        pool = load_pool_recipe()
        return len(pool.sources) if task_id == "read.read" else pool.shards
    if dag_id == RELEASE:
        return len(LANGUAGES) * len(SUBSETS) if task_id == "write.export" else load_release_recipe().shards
    recipe = load_recipe(dag_id.removeprefix("ultralink_"))
    return recipe.agnostic.shards if task_id.startswith("english.") else recipe.shards


def test_mapped_tasks_can_be_unmapped_and_push_no_xcom(dags: dict[str, object]) -> None:
    from airflow.sdk.definitions.mappedoperator import MappedOperator

    for dag in dags.values():
        for task in dag.tasks:
            if isinstance(task, MappedOperator):
                shards = task.expand_input.value["shard"]
                assert shards == list(range(mapped_over(dag.dag_id, task.task_id)))
                task = task.unmap({"shard": shards[-1]})
                assert task.shard == shards[-1]
            assert task.do_xcom_push is False
            assert not task.operator_extra_links


def test_german_is_two_files(tmp_path: Path) -> None:
    project = project_copy(tmp_path)
    assert "ultralink_de" not in parse(project)["dags"]
    shutil.copy(ROOT / "tests/data/de.yaml", project / "include/languages/de.yaml")
    shutil.copy(ROOT / "tests/data/de_prompts.yaml", project / "include/prompts/de.yaml")
    found = parse(project)
    assert found["errors"] == {}
    assert found["dags"] == dag_ids(*LANGUAGES, "de")


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("languages/fr.yaml", "shards: 4", "shards: many", ["languages/fr.yaml", "shards", "valid integer"]),
        ("languages/fr.yaml", "schedule:", "shedule:", ["languages/fr.yaml", "shedule", "schedule"]),
        ("judge/fr.yaml", "grounded: true", "grounded: oui", ["judge/fr.yaml", "items.0.grounded", "valid boolean"]),
        ("prompts/fr.yaml", "\ntranslation:", "\nother:", ["prompts/fr.yaml", "other", "Extra inputs"]),
        ("prompts/fr.yaml", None, None, ["prompts/fr.yaml", "no such file"]),
    ],
)
def test_a_mistake_names_file_and_field_and_breaks_only_its_dag(
    tmp_path: Path, file: str, old: str | None, new: str | None, words: list[str]
) -> None:
    project = project_copy(tmp_path)
    path = project / "include" / file
    if old is None or new is None:
        path.unlink()
    else:
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))
    found = parse(project)
    assert found["dags"] == dag_ids(*(language for language in LANGUAGES if language != "fr"))
    (where, error), *more = found["errors"].items()
    assert not more
    assert where == str(project / "include" / "languages" / "fr.yaml")  # a path of its own keeps the others alive
    for word in words:
        assert word in error


def test_a_mistake_in_the_pool_breaks_only_the_pool(tmp_path: Path) -> None:
    project = project_copy(tmp_path)
    path = project / "include/pool.yaml"
    path.write_text(path.read_text().replace("schedule:", "shedule:", 1))
    found = parse(project)
    assert found["dags"] == dag_ids(*LANGUAGES, others=(RELEASE,))
    ((where, error),) = found["errors"].items()
    assert where == str(path)
    assert "shedule" in error


def test_english_rows_are_published_whatever_became_of_the_dialogues(dags: dict[str, object]) -> None:
    for language in LANGUAGES:
        dag = dags[f"ultralink_{language}"]
        publish = dag.get_task("publish.publish")
        assert publish.trigger_rule == "none_failed"
        assert publish.upstream_task_ids == {"dialogue.generate", "english.chat", "english.math", "english.code"}
        taken = {type(dag.get_task(f"english.{kind}").operator_class).__name__ for kind in ("chat", "math", "code")}
        assert len(taken) == 1


def test_a_release_follows_the_nights_of_all_languages(dags: dict[str, object]) -> None:
    from airflow.sdk import PartitionedAssetTimetable

    dag = dags[RELEASE]
    assert dag.task_ids == [
        "collect.plan",
        "collect.measure",
        "clean.exact",
        "clean.near",
        "clean.decontaminate",
        "write.split",
        "write.export",
        "write.card",
        "publish.publish",
        "publish.push",
    ]
    assert isinstance(dag.timetable, PartitionedAssetTimetable)
    awaited = {asset.name for asset in dag.timetable.asset_condition.objects}
    assert awaited == {f"ultralink_{language}_samples" for language in LANGUAGES}
    published = {
        outlet.name
        for language in LANGUAGES
        for outlet in dags[f"ultralink_{language}"].get_task("publish.publish").outlets
    }
    assert awaited == published
    assert dag.get_task("write.split").upstream_task_ids == {"clean.near", "clean.decontaminate"}
    assert dag.params["languages"] == LANGUAGES


def test_a_mistake_in_the_release_breaks_only_the_release(tmp_path: Path) -> None:
    project = project_copy(tmp_path)
    path = project / "include/release.yaml"
    path.write_text(path.read_text().replace("privacy: {email: remove", "privacy: {email: burn", 1))
    found = parse(project)
    assert found["dags"] == dag_ids(*LANGUAGES, others=(POOL,))
    ((where, error),) = found["errors"].items()
    assert where == str(path)
    assert "privacy.email" in error


def test_a_release_may_be_of_some_languages(tmp_path: Path) -> None:
    project = project_copy(tmp_path)
    path = project / "include/release.yaml"
    path.write_text(path.read_text().replace("languages: null", "languages: [zh, xx]", 1))
    found = parse(project)
    ((where, error),) = found["errors"].items()
    assert where == str(path)
    assert "'xx'" in error
