"""Nights, show and explain on a store that real stages made."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from tests.commands.conftest import SHARDS, french
from tests.release.shelves import nights as published_nights
from tests.release.shelves import planned, release, removal, stage
from tests.stages.nights import DATES, files

from ultralink.__main__ import main
from ultralink.commands import reasons
from ultralink.pool.row import Kind
from ultralink.recipe import Recipe
from ultralink.schemas import DIALOGUES, POOL_REJECTS, REJECTS, SAMPLES
from ultralink.stages.release_publish import publish_release
from ultralink.stages.statistics import read_statistics
from ultralink.store import Store


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 0
    return capsys.readouterr().out


# --- nights -----------------------------------------------------------------------------------------


def test_nights_tell_the_figures(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = read_statistics(Store.at(str(root)), "fr", DATES[0])
    assert figures is not None
    listed = json.loads(printed(capsys, "nights", "--json"))
    assert [(each["language"], each["date"], each["state"]) for each in listed] == [
        ("fr", DATES[0], "published"),
        ("pool", DATES[0], "published"),
    ]
    night = listed[0]
    assert (night["samples"], night["rejects"], night["calls"]) == (figures.samples, figures.rejects, figures.calls)
    assert night["samples"] > 0
    assert night["parts"]["dialogues"] == SHARDS
    shown = printed(capsys, "nights", "fr")
    assert "English pool" not in shown
    assert "published" in shown


def test_nights_tell_what_they_wait_for(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for language, count in (("fr", 2), ("pool", 1)):
        folder = root / "journal" / language / DATES[0] / "batches/00000"
        folder.mkdir(parents=True)
        for number in range(count):
            (folder / f"0001-{number:03d}-tag.asks").write_text("[]")
        (folder / "0000-000-done.json").write_text("{}")
    listed = json.loads(printed(capsys, "nights", "--json"))
    assert [each["open_batches"] for each in listed] == [2, 1]
    shown = " ".join(printed(capsys, "nights").split())
    assert "published; waiting for 2 batches" in shown
    assert "published; waiting for 1 batch" in shown


def test_a_night_on_its_way_has_a_cost_so_far(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = read_statistics(Store.at(str(root)), "fr", DATES[0])
    assert figures is not None
    for path in (
        root / "statistics/fr" / f"{DATES[0]}.json",
        *(root / name / "fr" / DATES[0] for name in ("samples", "rejects", "ledger")),
    ):
        if path.is_dir():
            for part in path.iterdir():
                part.unlink()
        else:
            path.unlink()
    (night,) = json.loads(printed(capsys, "nights", "fr", "--json"))
    assert (night["state"], night["samples"], night["calls"]) == ("not published", None, figures.calls)
    assert "not published: 1 selection, 2 articles" in printed(capsys, "nights", "fr")


def test_a_part_that_is_made_again_is_told(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.utime(root / "dialogues/fr" / DATES[0] / "00000.parquet", (2e9, 2e9))
    assert "changed since it was published" in printed(capsys, "nights", "fr")


@pytest.mark.parametrize("content", ["{", '{"language": "fr"}', "\udcff"])
def test_figures_that_cannot_be_read_are_a_problem(
    root: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = root / "statistics/fr" / f"{DATES[0]}.json"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    assert main(["nights"]) == 1
    told = capsys.readouterr().out
    assert f"{path}: cannot be read" in told


def test_a_damaged_journal_of_a_night_on_its_way_is_a_problem(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "statistics/fr" / f"{DATES[0]}.json").unlink()
    for name in ("samples", "rejects", "ledger"):
        (root / name / "fr" / DATES[0] / "00000.parquet").unlink()
    (root / "journal/fr" / DATES[0] / "merged~0.zst").write_bytes(b"no zstd")
    assert main(["nights", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [(each["state"], bool(each["why"])) for each in found] == [("not published", True), ("published", False)]
    assert "its journal cannot be read" in found[0]["why"]


def test_a_store_without_a_night_lists_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no nights, no samples" in printed(capsys, "--store", str(tmp_path), "nights")


# --- show -------------------------------------------------------------------------------------------


def test_show_by_id_number_and_seed(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = list(Store.at(str(root)).part(SAMPLES, "fr", DATES[0]).rows())
    first = rows[3]
    by_number = printed(capsys, "show", "fr", "--date", DATES[0], "--number", "3")
    assert str(first["id"]) in by_number
    assert printed(capsys, "show", str(first["id"])) == by_number
    told = json.loads(printed(capsys, "show", "fr", "--number", "3", "--json"))
    assert told["messages"] == first["messages"]
    drawn = printed(capsys, "show", "fr", "--seed", "5")
    assert drawn == printed(capsys, "show", "fr", "--seed", "5")
    ids = {json.loads(printed(capsys, "show", "fr", "--seed", str(seed), "--json"))["id"] for seed in range(12)}
    assert len(ids) > 3
    math = [json.loads(printed(capsys, "show", "fr", "--subset", "math", "--seed", str(n), "--json")) for n in range(3)]
    assert {each["subset"] for each in math} == {"math"}


def test_a_draw_without_a_seed_tells_it(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "fr", "--json"]) == 0
    drawn = capsys.readouterr()
    seed = drawn.err.split()[1]
    assert printed(capsys, "show", "fr", "--json", "--seed", seed) == drawn.out


def test_show_rejects(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = next(iter(Store.at(str(root)).part(REJECTS, "fr", DATES[0]).rows()))
    assert f"rejected by {row['gate']}" in printed(capsys, "show", "fr", "--rejects", "--number", "0")
    assert str(row["id"]) in printed(capsys, "show", str(row["id"]))


# --- explain: rows ----------------------------------------------------------------------------------


def test_explain_a_reject(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = list(Store.at(str(root)).part(REJECTS, "fr", DATES[0]).rows())
    row = next(row for row in rows if row["stage"] == "dialogues")
    told = printed(capsys, "explain", "row", str(row["id"]))
    assert f"was rejected on fr {DATES[0]} by the gate {row['gate']!r} of dialogues" in told
    assert str(row["messages"][0]["content"])[:40] in told  # type: ignore[index]
    article = next(row for row in rows if row["stage"] == "articles")
    assert f"by the gate {article['gate']!r} of articles" in printed(capsys, "explain", "row", str(article["id"]))


def test_a_dialogue_is_explained_with_its_dropped_turns(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = list(Store.at(str(root)).part(REJECTS, "fr", DATES[0]).rows(["id"]))
    turns = [str(row["id"]) for row in rows if "-turn" in str(row["id"])]
    for turn in turns:
        assert turn in printed(capsys, "explain", "row", turn.rpartition("-turn")[0])


def test_explain_an_english_row(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = list(Store.at(str(root)).part(POOL_REJECTS, "en", DATES[0]).rows(["id", "gate"]))
    told = printed(capsys, "explain", "row", str(rows[0]["id"]))
    assert f"was turned away from the pool of {DATES[0]}: {rows[0]['gate']}" in told
    sample = next(row for row in Store.at(str(root)).part(SAMPLES, "fr", DATES[0]).rows() if row["subset"] == "math")
    english = str(sample["source"]["row_id"])  # type: ignore[index]
    told = printed(capsys, "explain", "row", english)
    assert "is a math row of the pool" in told
    assert f"was chosen on fr {DATES[0]}" in told


def test_explain_why_a_row_is_not_in_a_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ULTRALINK_STORE", str(tmp_path))
    store = Store.at(str(tmp_path))
    published_nights(store, languages=("en",))
    ids = [str(row["id"]) for row in store.part(SAMPLES, "en", DATES[0]).rows(["id"])]
    assert "There is no release yet" in printed(capsys, "explain", "row", ids[0])
    run = planned(store, "first", languages=("en",), version="1.0")
    rows = [
        {
            "id": row["id"],
            "language": "en",
            "subset": row["subset"],
            "date": DATES[0],
            "split": "train",
            "text_key": b"1" * 16,
        }
        for row in store.part(SAMPLES, "en", DATES[0]).rows(["id", "subset"])
    ]
    stage(run, rows[1:], [removal(rows[0], of=ids[1])])
    publish_release(run)
    told = printed(capsys, "explain", "row", ids[0])
    assert (
        f"Not in release 1.0: of the night en {DATES[0]} it was taken out by near: similar text, a copy of {ids[1]}"
        in told
    )
    assert "It is in release 1.0, split train" in printed(capsys, "explain", "row", ids[1])
    published_nights(store, [DATES[1]], languages=("en",))
    later = next(str(row["id"]) for row in store.part(SAMPLES, "en", DATES[1]).rows(["id"]))
    assert f"the night {DATES[1]} is not among its nights" in printed(capsys, "explain", "row", later)
    release(store, "second", languages=("en",), version="2.0")
    assert "It is in release 2.0" in printed(capsys, "explain", "row", ids[0])
    assert (
        json.loads(printed(capsys, "explain", "row", ids[0], "--release", "1.0", "--json"))["removed"][0]["stage"]
        == "near"
    )


# --- explain: parts ---------------------------------------------------------------------------------


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[tuple[str, int | None], tuple[bool, str]]:
    found = json.loads(printed(capsys, "explain", "part", "fr", DATES[0], *arguments, "--json"))
    return {(one["stage"], one["shard"]): (one["would_be_made_again"], " ".join(one["reasons"])) for one in found}


def changed(monkeypatch: pytest.MonkeyPatch, **sections: dict[str, object]) -> None:
    """The recipe with some fields of its sections replaced."""
    load = reasons.load_language

    def other(code: str) -> tuple[Recipe, object]:
        recipe, book = load(code)
        update = {name: getattr(recipe, name).model_copy(update=values) for name, values in sections.items()}
        return recipe.model_copy(update=update), book

    monkeypatch.setattr(reasons, "load_language", other)


def test_parts_of_an_unchanged_night_are_up_to_date(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files(root)
    found = told(capsys)
    assert files(root) == before
    again = {key for key, (would, _) in found.items() if would is not False}
    # The night was started by hand, with few articles and rows.
    assert again == {("selection", None), ("choice", None)}
    assert "was chosen with 11 articles" in found["selection", None][1]
    assert "was chosen with 3 chat, 4 math, 3 code" in found["choice", None][1]
    assert {(stage, shard) for stage, shard in found if stage == "dialogues"} == {("dialogues", 0), ("dialogues", 1)}
    assert {kind for kind in Kind if (f"{kind}_rows", 0) in found} == set(Kind)


def test_the_pool_is_explained_too(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(printed(capsys, "explain", "part", "pool", DATES[0], "--json"))
    assert {one["would_be_made_again"] for one in found} == {False}
    assert {"english_rows", "distinct_rows", "screened_rows", "pool"} == {one["stage"] for one in found}


def test_a_changed_setting_is_named_as_far_as_it_can_be(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    changed(monkeypatch, teacher={"temperature": 0.1})
    found = told(capsys)
    assert found["passages", 0] == (False, "")
    would, why = found["dialogues", 0]
    assert would
    assert "teacher.temperature: was 0.7, now it is 0.1" in why
    assert "teacher.temperature" in found["math_rows", 0][1]
    changed(monkeypatch, dialogue={"stop_probability": 0.9}, teacher={"temperature": 0.7})
    would, why = told(capsys, "dialogues")["dialogues", 1]
    assert would
    assert "input was not written since" in why
    assert "sections dialogue, gates" in why


def test_a_changed_prompt_is_named(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    load = reasons.load_language
    recipe, book = load("fr")
    other = book.model_copy(update={"again": f"{book.again} !"})
    monkeypatch.setattr(reasons, "load_language", lambda code: (recipe, other))
    found = told(capsys)
    assert (
        f"Prompts: the prompt book's texts for dialogues were {book.fingerprint()}, now they are"
        in found["dialogues", 0][1]
    )
    assert found["math_rows", 0][0] is False


def test_another_model_shards_and_judge_are_found(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    why = told(capsys, "dialogues", "--model", "gpt-4o")["dialogues", 0][1]
    assert why == "Only the model differs: it was made with 'offline-teacher', the run would ask 'gpt-4o'"
    (root / "passages/fr" / DATES[0] / "00001.parquet").unlink()
    assert "cut into 2 shards when this was made, now into 1" in told(capsys, "passages")["passages", 0][1]


def test_a_judge_that_may_no_longer_reject_is_found(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (root / "calibration/fr").iterdir():
        agreement = json.loads(path.read_text())
        for ruling in agreement["rulings"]:
            ruling["judged"] = not ruling["grounded"]
        path.write_text(json.dumps(agreement))
    why = told(capsys, "dialogues")["dialogues", 0][1]
    assert "The judge only scores now; when this was made it could reject" in why


def test_a_newer_input_and_a_missing_part_are_told(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = french(root)
    passages = root / "passages/fr" / DATES[0] / "00000.parquet"
    rows = list(one.part(reasons.PASSAGES).rows())
    one.part(reasons.PASSAGES).write(rows[:-1], "another")
    os.utime(passages, (2e9, 2e9))
    (root / "dialogues/fr" / DATES[0] / "00001.parquet").unlink()
    found = told(capsys)
    assert found["passages", 0][0]
    assert f"Its input 'passages' was written later, 2033-05-18 03:33: {passages}" in found["dialogues", 0][1]
    assert found["dialogues", 1] == (True, "")
    assert found["samples", None][0] is None
    assert DIALOGUES.name in found["samples", None][1]
