"""The plan: the published nights in range, what they lack, and a version that no other run has."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.real.disks import leave_free, read_only, small_disk
from tests.release.nights_of_samples import DATES, assembly, publish_samples, sample, samples
from tests.release.shelves import nights, planned, release

from ultralink.errors import (
    EvaluationSetError,
    NoPartitions,
    NothingNew,
    ReleaseExists,
    SchemaMismatch,
    StoreFull,
    StoreReadOnly,
    SubsetMissing,
)
from ultralink.recipe import Recipe, load_recipe
from ultralink.release.recipe import Decontamination, EvaluationSet, ReleaseRecipe
from ultralink.release.shelf import Shelf
from ultralink.schemas import SAMPLES
from ultralink.stages import release_plan
from ultralink.stages.release_plan import expected_subsets, plan_release
from ultralink.stages.statistics import statistics_path
from ultralink.store import Store


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store.at(str(tmp_path) if request.param == "local" else f"memory://{tmp_path}")


def sources(run: release_plan.Assembly) -> list[tuple[str, str]]:
    return [(source.date, source.language) for source in run.plan.sources]


# --- nights -----------------------------------------------------------------------------------------


def test_nights_are_ordered_by_date_and_then_by_language_as_listed(store: Store) -> None:
    nights(store, DATES)
    run = assembly(store, languages=("zh", "en"))
    built = plan_release(run)
    assert sources(run) == [(date, language) for date in DATES for language in ("zh", "en")]
    assert built.outputs == (run.plan_path,)
    assert run.plan.rows == 3 * 2 * 8
    assert run.plan.missing == {}
    stamp = store.part(SAMPLES, "zh", DATES[0]).stamp()
    assert stamp is not None
    assert run.plan.sources[0].digest == stamp.digest
    assert str(run.plan.rows) in built.line
    assert "2026.11.03" in built.line


@pytest.mark.parametrize(
    ("since", "until", "dates"),
    [(DATES[1], None, DATES[1:]), (None, DATES[1], DATES[:2]), (DATES[1], DATES[1], DATES[1:2])],
)
def test_the_range_is_inclusive(store: Store, since: str | None, until: str | None, dates: tuple[str, ...]) -> None:
    nights(store, DATES)
    run = planned(store, since=since, until=until)
    assert [date for date, language in sources(run) if language == "en"] == list(dates)
    assert run.plan.version == dates[-1].replace("-", ".")


def test_a_night_counts_once_its_samples_are_there_for_they_come_last(store: Store) -> None:
    nights(store, DATES)
    store.fs.rm(statistics_path(store, "en", DATES[1]))
    store.fs.rm(store.part(SAMPLES, "zh", DATES[2]).path)
    found = sources(planned(store))
    assert (DATES[1], "en") in found
    assert (DATES[2], "zh") not in found
    assert len(found) == 5


@pytest.mark.parametrize("name", ["2026-11-01.bak", "2026-11-01 copy", "20261101"])
def test_a_copy_of_a_night_under_another_name_is_no_night(store: Store, name: str) -> None:
    nights(store)
    store.fs.cp(store.folder("samples/zh/2026-11-01"), store.folder("samples/zh", name), recursive=True)
    run = planned(store)
    assert sources(run) == [("2026-11-01", "en"), ("2026-11-01", "zh")]
    assert run.plan.version == "2026.11.01"


def test_other_files_beside_the_figures_are_no_nights(store: Store) -> None:
    nights(store)
    for name in ("notes.json", "2026-11-02.json.bak", ".2026-11-02.json.1.tmp"):
        store.write_text(store.folder("statistics", "en", name), "{}")
    assert len(sources(planned(store))) == 2


def test_no_night_at_all_names_range_languages_and_what_there_is(store: Store) -> None:
    nights(store, DATES, ["en"])
    with pytest.raises(NoPartitions) as caught:
        plan_release(assembly(store, since="2026-12-01", until="2026-12-31"))
    for said in ("2026-12-01", "2026-12-31", "en: 3 from 2026-11-01 to 2026-11-03", "zh: none"):
        assert said in str(caught.value)
    assert not store.fs.exists(assembly(store).plan_path)


def test_an_empty_store_has_no_nights(store: Store) -> None:
    with pytest.raises(NoPartitions, match="en: none; zh: none"):
        plan_release(assembly(store, allow_missing=True))


def test_nights_without_a_sample_are_told_from_no_nights(store: Store) -> None:
    publish_samples(store, "en", DATES[0], [])
    with pytest.raises(NoPartitions, match="hold no sample"):
        plan_release(assembly(store, languages=("en",), allow_missing=True))


def test_a_night_of_another_schema_is_named(store: Store) -> None:
    nights(store)
    path = store.part(SAMPLES, "zh", DATES[0]).path
    table = pa.table({"id": ["a"]}).replace_schema_metadata(
        {"ultralink.stage": "samples", "ultralink.schema_version": "999"}
    )
    file = pa.BufferOutputStream()
    pq.write_table(table, file)
    store.fs.pipe_file(path, file.getvalue().to_pybytes())
    with pytest.raises(SchemaMismatch, match=r"zh/2026-11-01.*999"):
        plan_release(assembly(store))
    store.fs.pipe_file(path, b"no Parquet")
    with pytest.raises(SchemaMismatch, match="zh/2026-11-01"):
        plan_release(assembly(store))
    assert not store.fs.exists(assembly(store).plan_path)


@pytest.mark.parametrize("text", ["no JSON", '{"language": "en"}'])
def test_figures_of_another_schema_are_named(store: Store, text: str) -> None:
    nights(store)
    store.write_text(statistics_path(store, "en", DATES[0]), text)
    with pytest.raises(SchemaMismatch, match=r"statistics/en/2026-11-01\.json"):
        plan_release(assembly(store))


@pytest.mark.parametrize("content", ["not JSON", '{"another": "field"}', ""])
def test_an_evaluation_set_that_cannot_be_read_fails_before_there_is_a_plan(
    store: Store, tmp_path: Path, content: str
) -> None:
    nights(store)
    path = tmp_path / "items.jsonl"
    path.write_text(content)
    sets = [EvaluationSet(name="items", path=str(path), fields=["question"])]
    run = assembly(store, recipe=ReleaseRecipe(decontamination=Decontamination(sets=sets)))
    with pytest.raises(EvaluationSetError, match=str(path)):
        plan_release(run)
    assert not store.fs.exists(run.plan_path)
    assert store.folders("releases") == []
    path.write_text('{"question": "How many lanterns does a harbour of nine bridges need in winter?"}')
    assert plan_release(run).line.startswith("Planned")


# --- subsets ----------------------------------------------------------------------------------------


def test_each_language_and_subset_that_lacks_is_named(store: Store) -> None:
    rows = samples("en", DATES[0])
    publish_samples(store, "en", DATES[0], [row for row in rows if row["subset"] != "math"])
    publish_samples(store, "zh", DATES[0], [sample("zh", "math", 1), sample("zh", "code", 1)])
    with pytest.raises(SubsetMissing) as caught:
        plan_release(assembly(store, languages=("en", "zh", "fr")))
    for said in (
        "en has no sample of math in",
        "zh has no sample of chat_specific, chat_agnostic",
        "allow_missing",
    ):
        assert said in str(caught.value)
    assert "fr has no published night" in str(caught.value)
    assert not store.fs.exists(assembly(store).plan_path)


def test_a_missing_subset_can_be_allowed_and_is_told(store: Store) -> None:
    publish_samples(store, "en", DATES[0], [sample("en", "math", 1)])
    run = planned(store, languages=("en", "fr"), allow_missing=True)
    assert run.plan.missing == {
        "en": ("chat_specific", "chat_agnostic", "code"),
        "fr": ("chat_specific", "chat_agnostic", "math", "code"),
    }
    assert run.plan.languages == ("en", "fr")


def test_a_subset_may_come_from_any_night_of_the_range(store: Store) -> None:
    for date, subset in zip((*DATES, "2026-11-04"), ("chat_specific", "chat_agnostic", "math", "code"), strict=True):
        publish_samples(store, "en", date, [sample("en", subset, 1, date=date)])
    assert planned(store, languages=("en",)).plan.missing == {}
    with pytest.raises(SubsetMissing, match="chat_specific"):
        plan_release(assembly(store, run_id="later", languages=("en",), since=DATES[1]))


def test_the_samples_count_where_the_figures_are_of_another_build(store: Store) -> None:
    nights(store, languages=("en",))
    before = store.read_text(statistics_path(store, "en", DATES[0]))
    assert before is not None
    publish_samples(store, "en", DATES[0], [sample("en", "math", 1)])
    store.write_text(statistics_path(store, "en", DATES[0]), before)
    with pytest.raises(SubsetMissing, match="chat_specific, chat_agnostic, code"):
        plan_release(assembly(store, languages=("en",)))


def test_the_recipe_says_which_subsets_a_language_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    everything = ("chat_specific", "chat_agnostic", "math", "code")
    assert expected_subsets("fr") == expected_subsets("en") == everything

    def without(language: str) -> Recipe:
        recipe = load_recipe(language)
        none = recipe.agnostic.math.model_copy(update={"budget": 0})
        agnostic = recipe.agnostic.model_copy(update={"math": none})
        return recipe.model_copy(update={"agnostic": agnostic, "translation": None})

    monkeypatch.setattr(release_plan, "load_recipe", without)
    assert expected_subsets("fr") == ("chat_specific",)
    assert expected_subsets("en") == ("chat_specific", "chat_agnostic", "code")


# --- one plan per run -------------------------------------------------------------------------------


def test_a_retry_keeps_the_plan_while_nights_appear(store: Store) -> None:
    nights(store, DATES[:1])
    first = planned(store).plan
    nights(store, DATES[1:])
    again = assembly(store, attempt=2)
    assert plan_release(again).line.startswith("Nothing to do")
    assert again.plan == first
    assert plan_release(assembly(store, rebuild=True)).line.startswith("Nothing to do")
    assert len(planned(store, "later").plan.sources) == 6


def test_a_plan_of_another_version_of_this_software_is_named(store: Store) -> None:
    run = assembly(store)
    store.write_text(run.plan_path, '{"version": 7}')
    with pytest.raises(SchemaMismatch, match=r"plan\.json.*start a new run"):
        plan_release(run)


def test_a_crash_between_claim_and_plan_keeps_the_version(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    nights(store)
    with monkeypatch.context() as broken:
        broken.setattr(Store, "write_text", _crash)
        with pytest.raises(KeyboardInterrupt):
            plan_release(assembly(store))
    assert planned(store).plan.version == "2026.11.01"


def _crash(*_: object) -> None:
    raise KeyboardInterrupt


# --- versions ---------------------------------------------------------------------------------------


def test_two_runs_never_take_the_same_automatic_version(store: Store) -> None:
    nights(store)
    versions = [planned(store, f"run {number}").plan.version for number in range(3)]
    assert versions == ["2026.11.01", "2026.11.01-2", "2026.11.01-3"]


def test_a_taken_date_gets_a_number(store: Store) -> None:
    nights(store)
    release(store, "first")
    other = planned(store, "second", recipe=ReleaseRecipe(validation_share=0.5))
    assert other.plan.version == "2026.11.01-2"


def test_the_same_rows_are_not_released_twice(store: Store) -> None:
    nights(store)
    release(store, "first", version="mine")
    with pytest.raises(NothingNew, match="release mine has exactly these rows"):
        plan_release(assembly(store, run_id="second"))
    assert planned(store, "third", version="on-purpose").plan.version == "on-purpose"


def test_a_version_that_exists_is_refused_but_to_the_run_that_made_it(store: Store) -> None:
    nights(store)
    release(store, "first", version="1.0")
    with pytest.raises(ReleaseExists, match=r"releases/1\.0"):
        plan_release(assembly(store, run_id="second", version="1.0"))
    own = assembly(store, run_id="first", version="1.0", attempt=2)
    assert plan_release(own).line == "Nothing to do: this run published release 1.0, which never changes"
    store.fs.rm(own.plan_path)
    assert plan_release(assembly(store, run_id="first", version="1.0")).line.startswith("Nothing to do")


def test_a_folder_that_is_no_release_takes_its_name_too(store: Store) -> None:
    nights(store)
    store.write_text(store.folder("releases", "2026.11.01", "notes.txt"), "mine")
    with pytest.raises(ReleaseExists):
        plan_release(assembly(store, version="2026.11.01"))
    assert planned(store).plan.version == "2026.11.01-2"


def test_who_names_a_version_is_told_of_rivals_and_automatic_runs_avoid_it(store: Store) -> None:
    nights(store)
    first = planned(store, "first", version="2026.11.01")
    built = plan_release(assembly(store, run_id="second", version="2026.11.01"))
    assert f"run {first.key} means to publish this version too" in built.line
    assert planned(store, "third").plan.version == "2026.11.01-2"


def test_a_version_is_taken_even_while_its_claim_is_given_back(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at the shelf and the claim, another run publishes."""
    nights(store)
    answers = iter([False, True])
    real = Shelf.is_taken
    monkeypatch.setattr(Shelf, "is_taken", lambda shelf, version: next(answers, None) or real(shelf, version))
    assert planned(store).plan.version == "2026.11.01-2"
    assert [path.rpartition("/")[2] for path in store.folders("releases", ".claims")] == ["2026.11.01-2"]


# --- trouble with the disk --------------------------------------------------------------------------


def test_a_full_disk_leaves_no_plan(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    nights(Store.at(str(tmp_path / "nights")))
    with small_disk(tmp_path / "store", "2m"):
        shutil.copytree(tmp_path / "nights", tmp_path / "store", dirs_exist_ok=True)
        store = Store.at(str(tmp_path / "store"))
        leave_free(tmp_path / "store", 0)
        with pytest.raises(StoreFull):
            plan_release(assembly(store))
        assert not store.fs.exists(assembly(store).plan_path)
        leave_free(tmp_path / "store", 100_000)
        assert planned(store).plan.version == "2026.11.01"


def test_a_read_only_store_is_named(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    nights(store)
    with read_only(tmp_path), pytest.raises(StoreReadOnly, match=str(tmp_path)):
        plan_release(assembly(store))
