"""Splitting: every row of the plan stays or goes, once; what stays has the same side in every release."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.release.nights_of_samples import DATES, publish_samples, sample, samples
from tests.release.ready import Place, ready, rows_of, staged
from tests.stages.nights import files, writes_nothing

from ultralink.errors import PartitionChanged, PartMissing
from ultralink.release.recipe import Format, ReleaseRecipe
from ultralink.release.splitting import SPLITS, first_reasons, kept_rows, removals_of_findings, split_of
from ultralink.schemas import (
    EXACT_REMOVED,
    FEATURES,
    FINDINGS,
    NEAR_REMOVED,
    PLACES,
    REMOVED,
    SCORE_NAMES,
    STAGED_FILES,
    Stage,
)
from ultralink.stages.assembly import PROVENANCE, Assembly
from ultralink.stages.release_split import split_rows
from ultralink.store import Row, Store

HALVES = ReleaseRecipe(validation_share=0.5)


# --- the hash -------------------------------------------------------------------------------------


@given(st.text(), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_takes_no_row_out_of_the_validation(origin: str, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert split_of(origin, low) in SPLITS
    if split_of(origin, low) == "validation":
        assert split_of(origin, high) == "validation"


def test_the_share_of_origins_is_about_what_was_asked_for() -> None:
    origins = [f"article:zh:{page}" for page in range(20_000)]
    share = sum(split_of(origin, 0.1) == "validation" for origin in origins) / len(origins)
    assert 0.09 < share < 0.11
    assert {split_of(origin, 0) for origin in origins} == {"train"}
    assert {split_of(origin, 1) for origin in origins} == {"validation"}


def test_the_hash_is_the_same_in_every_version() -> None:
    """These rows are on this side in releases that are out."""
    origins = ["article:zh:1", "article:fr:77", "row:math_metamath:a-1", "row:chats_sharegpt:é"]
    assert [split_of(origin, 0.5) for origin in origins] == ["train", "train", "validation", "validation"]


# --- joining --------------------------------------------------------------------------------------


def removal(row: int, stage: str) -> Row:
    known: dict[str, object] = {"language": "en", "date": DATES[0], "row": row, "id": f"r{row}", "subset": "math"}
    return {**dict.fromkeys(REMOVED.schema.names), **known, "stage": stage, "reason": f"by {stage}"}


def removals(rows: list[int], stage: str) -> pa.Table:
    return pa.Table.from_pylist([removal(row, stage) for row in rows], schema=REMOVED.schema)


@given(st.lists(st.lists(st.integers(0, 30), max_size=20), min_size=1, max_size=4))
def test_each_row_goes_once_for_its_first_reason(lists: list[list[int]]) -> None:
    joined = first_reasons([removals(rows, f"step {number}") for number, rows in enumerate(lists)]).to_pylist()
    expected = {row: f"step {number}" for number, rows in reversed(list(enumerate(lists))) for row in rows}
    assert {row["row"]: row["stage"] for row in joined} == expected
    assert [row["row"] for row in joined] == sorted(expected)
    kept = kept_rows(31, pa.table({"row": [row["row"] for row in joined]}, schema=ROWS)["row"].to_numpy())
    assert sorted([*kept.tolist(), *expected]) == list(range(31))


ROWS = pa.schema([("row", pa.int64())])


def test_a_finding_tells_what_it_found_and_the_worst_comes_first() -> None:
    found = [
        {"row": 4, "stage": "blocklist", "reason": "fr", "removes": True, "item": None, "detail": "word"},
        {"row": 4, "stage": "privacy", "reason": "email", "removes": True, "item": None, "detail": "…@example.org"},
        {"row": 5, "stage": "privacy", "reason": "phone", "removes": False, "item": None, "detail": "+…"},
        {"row": 4, "stage": "decontaminate", "reason": "mgsm", "removes": True, "item": "12", "detail": "run"},
        {"row": 4, "stage": "decontaminate", "reason": "mmlu", "removes": True, "item": "1", "detail": "run"},
    ]
    table = pa.Table.from_pylist([{"id": "a", "subset": "math", **each} for each in found], schema=FINDINGS.schema)
    rows = removals_of_findings(table, "fr", DATES[1]).to_pylist()
    assert [(row["stage"], row["reason"]) for row in rows] == [
        ("decontaminate", "mgsm"),
        ("decontaminate", "mmlu"),
        ("privacy", "email"),
        ("blocklist", "fr"),
    ]
    assert rows[0] == {
        **dict.fromkeys(REMOVED.schema.names),
        "language": "fr",
        "date": DATES[1],
        "row": 4,
        "id": "a",
        "subset": "math",
        "stage": "decontaminate",
        "reason": "mgsm",
        "item": "12",
        "detail": "run",
    }


# --- the stage ------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store.at(str(tmp_path / "store"))
    for number, date in enumerate(DATES[:2]):
        for language in ("en", "zh"):
            publish_samples(store, language, date, samples(language, date, 10, first=10 * number))
    return store


def places(run: Assembly) -> dict[Place, str]:
    return {
        (language, str(row["date"]), int(str(row["row"]))): str(row["split"])
        for language, subset in run.configurations
        for row in run.part(PLACES, language, subset).rows()
    }


def removed(run: Assembly) -> list[Row]:
    return list(run.part(REMOVED).rows())


def table(run: Assembly, name: str) -> pa.Table:
    return pq.read_table(run.staged(f"provenance/{name}.parquet"))


def test_every_row_is_placed_or_removed_and_never_both(store: Store) -> None:
    a, b, c, d, e = [("en", DATES[0], row) for row in range(5)]
    other = ("zh", DATES[1], 39)
    run = ready(
        store,
        exact=[a, other],
        near=[b, a],
        findings={
            a: [("decontaminate", True)],
            c: [("privacy", True), ("decontaminate", True)],
            d: [("privacy", False), ("blocklist", True)],
            e: [("privacy", False)],
        },
    )
    built = split_rows(run)
    gone = {(row["language"], row["date"], row["row"]): row["stage"] for row in removed(run)}
    assert gone == {a: "exact", b: "near", c: "decontaminate", d: "blocklist", other: "exact"}
    stay = places(run)
    assert e in stay
    everything = {(*night, row) for night, rows in rows_of(run).items() for row in range(len(rows))}
    assert stay.keys() | gone.keys() == everything
    assert not stay.keys() & gone.keys()
    assert "155 of 160 rows stay" in built.line
    assert "1 blocklist, 1 decontaminate, 2 exact, 1 near" in built.line
    [of_a] = [row for row in removed(run) if row["stage"] == "near"]
    assert (of_a["duplicate_of"], of_a["similarity"]) == ("another", 0.9)


def test_places_are_by_subset_in_the_order_of_dates_and_rows_and_know_the_id(store: Store) -> None:
    run = ready(store, exact=[("zh", DATES[0], 12)])
    split_rows(run)
    known = rows_of(run)
    for language, subset in run.configurations:
        rows = list(run.part(PLACES, language, subset).rows())
        order = [(row["date"], row["row"]) for row in rows]
        assert order == sorted(order)
        assert len(order) == (19 if (language, subset) == ("zh", "chat_agnostic") else 20)
        for row in rows:
            one = known[language, str(row["date"])][int(str(row["row"]))]
            assert (one["id"], one["subset"]) == (row["id"], subset)


def test_a_source_and_all_that_was_made_of_it_is_on_one_side(tmp_path: Path) -> None:
    """An article in several nights and passages, an English row and its translations into all languages."""
    store = Store.at(str(tmp_path))
    languages = ("en", "zh", "fr")
    for date in DATES:
        for language in languages:
            rows = [
                sample(language, "chat_specific", 5 * page + place, page=page, passage=(place * 1200, 1200), date=date)
                for page in range(1, 30)
                for place in range(2)
            ]
            rows += [
                sample(language, subset, number, row_id=f"row-{number}", date=date)
                for subset in ("math", "chat_agnostic")
                for number in range(30)
            ]
            publish_samples(store, language, date, rows)
    run = ready(store, languages=languages, recipe=HALVES)
    split_rows(run)
    sides: dict[object, set[str]] = {}
    known = rows_of(run)
    for (language, date, row), split in places(run).items():
        source = known[language, date][row]["source"]
        key = (language, source["page_id"]) if source["kind"] == "wikipedia" else (source["dataset"], source["row_id"])  # type: ignore[index]
        sides.setdefault(key, set()).add(split)
    assert all(len(each) == 1 for each in sides.values())
    assert Counter(next(iter(each)) for each in sides.values()).keys() == set(SPLITS)


def test_new_nights_and_removals_move_no_row_to_the_other_side(store: Store) -> None:
    first = ready(store, run_id="first", recipe=HALVES)
    split_rows(first)
    publish_samples(store, "en", DATES[2], samples("en", DATES[2], 10, first=40))
    second = ready(store, run_id="second", recipe=HALVES, exact=[("en", DATES[0], 3)], languages=("en", "zh", "fr"))
    split_rows(second)
    before, after = places(first), places(second)
    assert {place: after[place] for place in after.keys() & before.keys()} == {
        place: split for place, split in before.items() if place != ("en", DATES[0], 3)
    }


def test_the_provenance_says_where_every_row_went(store: Store) -> None:
    run = ready(store, exact=[("en", DATES[0], 0)], near=[("zh", DATES[1], 5)])
    split_rows(run)
    index = table(run, "index")
    assert index.column_names == ["id", "language", "subset", "split", "date", "text_key"]
    known = places(run)
    assert len(index) == len(known) == 158
    splits = Counter((row["language"], row["date"], row["split"]) for row in index.to_pylist())
    assert splits == Counter((language, date, split) for (language, date, _), split in known.items())
    assert all(len(key) == 16 for key in index["text_key"].to_pylist())
    assert table(run, "removed").to_pylist() == removed(run)
    assert [row["name"] for row in run.part(SCORE_NAMES).rows()] == ["grounded", "language"]


def test_the_list_of_files_tells_their_size_and_hash(store: Store) -> None:
    run = ready(store)
    split_rows(run)
    listed = {str(row["path"]): row for row in run.part(STAGED_FILES, PROVENANCE).rows()}
    contents = staged(run)
    assert listed.keys() == contents.keys()
    for path, content in contents.items():
        assert listed[path]["bytes"] == len(content)
        assert listed[path]["sha256"] == hashlib.sha256(content).hexdigest()
    assert listed["provenance/index.parquet"]["rows"] == 160
    assert listed["provenance/removed.parquet"]["rows"] == 0
    assert listed["sharegpt/dataset_info.json"]["format"] == "sharegpt"


def test_dataset_info_lists_the_files_that_will_be_there(store: Store) -> None:
    run = ready(store)
    split_rows(run)
    info = json.loads(staged(run)["sharegpt/dataset_info.json"])
    with_rows = {
        (language, subset, str(row["split"]))
        for language, subset in run.configurations
        for row in run.part(PLACES, language, subset).rows()
    }
    assert {entry["file_name"] for entry in info.values()} == {
        f"{language}_{subset}.{split}.jsonl" for language, subset, split in with_rows
    }
    without = ready(store, run_id="plain", formats=(Format.MESSAGES,))
    split_rows(without)
    assert staged(without).keys() == {"provenance/index.parquet", "provenance/removed.parquet"}


def test_a_second_try_has_nothing_to_do(store: Store) -> None:
    run = ready(store)
    first = split_rows(run)
    again = writes_nothing(Path(run.store.root), lambda: split_rows(run))
    assert "Nothing to do" in again.line  # type: ignore[attr-defined]
    assert set(again.outputs) <= set(first.outputs)  # type: ignore[attr-defined]


@pytest.mark.parametrize("lost", ["provenance/index.parquet", "sharegpt/dataset_info.json", "places", "removed"])
def test_what_is_lost_or_damaged_is_made_again(store: Store, lost: str) -> None:
    run = ready(store, exact=[("en", DATES[0], 0)])
    split_rows(run)
    before, known = staged(run), places(run)
    if "/" in lost:
        Path(run.staged(lost)).write_bytes(b"PAR1")
    else:
        part = run.part(PLACES, "en", "math") if lost == "places" else run.part(REMOVED)
        Path(part.path).unlink()
    assert "Nothing to do" not in split_rows(run).line
    assert staged(run) == before
    assert places(run) == known
    assert len(removed(run)) == 1


def test_a_changed_removal_list_or_share_splits_anew(store: Store) -> None:
    split_rows(ready(store))
    run = ready(store, exact=[("en", DATES[0], 0)])
    assert "159 of 160" in split_rows(run).line
    run = ready(store, exact=[("en", DATES[0], 0)], recipe=HALVES)
    assert "159 of 160" in split_rows(run).line
    assert Counter(places(run).values())["validation"] > 40
    assert "Nothing to do" in split_rows(run).line


def test_all_rows_may_go(store: Store) -> None:
    everything = [(language, date, row) for language in ("en", "zh") for date in DATES[:2] for row in range(40)]
    run = ready(store, exact=everything)
    assert "0 of 160 rows stay" in split_rows(run).line
    assert places(run) == {}
    assert all(run.part(PLACES, *each).stamp() is not None for each in run.configurations)
    assert json.loads(staged(run)["sharegpt/dataset_info.json"]) == {}
    assert len(table(run, "index")) == 0


def test_rows_without_scores_make_no_score_names(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    publish_samples(store, "en", DATES[0], [sample("en", "math", number, scores={}) for number in range(3)])
    run = ready(store, languages=("en",))
    split_rows(run)
    assert list(run.part(SCORE_NAMES).rows()) == []


def test_a_store_in_memory_works_as_well() -> None:
    store = Store.at("memory://splitting")
    publish_samples(store, "en", DATES[0], samples("en", DATES[0], 4))
    run = ready(store, languages=("en",))
    split_rows(run)
    assert len(places(run)) == 16
    assert "provenance/index.parquet" in staged(run)
    assert "Nothing to do" in split_rows(run).line


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stage", "told"),
    [(EXACT_REMOVED, "exact"), (NEAR_REMOVED, "near"), (FINDINGS, "decontaminate"), (FEATURES, "measure")],
)
def test_a_step_that_has_not_run_is_named(store: Store, stage: Stage, told: str) -> None:
    run = ready(store)
    of_run = stage in (EXACT_REMOVED, NEAR_REMOVED)
    part = run.part(stage) if of_run else run.of_source(stage, run.plan.sources[0])
    Path(part.path).unlink()
    with pytest.raises(PartMissing, match=f"task '{told}'"):
        writes_nothing(Path(run.store.root), lambda: split_rows(run))


@pytest.mark.parametrize("changed", [{"row": 40}, {"row": -1}, {"id": "somebody else"}, {"date": DATES[2]}])
def test_a_removal_of_a_row_that_is_not_there_is_refused(store: Store, changed: dict[str, object]) -> None:
    run = ready(store, exact=[("en", DATES[0], 0)])
    [row] = run.part(EXACT_REMOVED).rows()
    run.part(EXACT_REMOVED).write([{**row, **changed}], "another")
    before = files(Path(run.store.root))
    with pytest.raises(PartitionChanged):
        split_rows(run)
    assert files(Path(run.store.root)) == before


def test_a_night_that_was_measured_anew_for_another_run_is_noticed(store: Store) -> None:
    run = ready(store)
    publish_samples(store, "en", DATES[0], samples("en", DATES[0], 10, first=70))
    ready(store, run_id="another")
    with pytest.raises(PartMissing, match="measure"):
        split_rows(run)


def test_features_of_fewer_rows_than_were_planned_are_refused(store: Store) -> None:
    run = ready(store)
    part = run.of_source(FEATURES, run.plan.sources[0])
    stamp = part.stamp()
    assert stamp is not None
    part.write(list(part.rows())[:-1], stamp.fingerprint)
    with pytest.raises(PartitionChanged, match="measures 39 rows, 40 were planned"):
        split_rows(run)
