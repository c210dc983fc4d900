"""The made-up store of the release benchmark: published nights, the paper's proportions, and a truth that is true."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.edits import edited, shingles, similarity
from benchmarks.lexicon import LANGUAGES, lexicon
from benchmarks.measuring import Cost, run_tasks
from benchmarks.nights import Night
from benchmarks.planted import PAPER, PAPER_ROWS, SUBSETS, Kind, Layout, Place
from benchmarks.releasing import Found, Run, found_in, report, report_growth, working_folder
from benchmarks.synthetic import World, publish_night, synthesise

from ultralink.release.words import normalised, units
from ultralink.schemas import LEDGER, REJECTS, REMOVED, SAMPLES
from ultralink.stages.statistics import read_statistics
from ultralink.store import Store
from ultralink.tokens import count_tokens

LAYOUT = Layout(rows=6000, nights=3, seed=1)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return synthesise(tmp_path_factory.mktemp("world"), LAYOUT)


@pytest.fixture(scope="module")
def rows(world: World) -> dict[tuple[str, str, int], dict[str, object]]:
    """All samples by language, date and row."""
    return {(language, date, number): row for language, date, number, row in _samples(Store.at(str(world.store)))}


def _samples(store: Store) -> Iterator[tuple[str, str, int, dict[str, object]]]:
    for language in LANGUAGES:
        for date in store.dates(SAMPLES, language):
            for number, row in enumerate(store.part(SAMPLES, language, date).rows()):
                yield language, date, number, row


def _text(row: dict[str, object]) -> str:
    return "\n".join(message["content"] for message in row["messages"])


def _shingles(text: str) -> set[tuple[str, ...]]:
    found = units(normalised(text))
    return set(zip(found, found[1:], found[2:], strict=False))


def _jaccard(one: dict[str, object], other: dict[str, object]) -> float:
    first, second = _shingles(_text(one)), _shingles(_text(other))
    return len(first & second) / len(first | second)


def _planted(world: World, rows, *kinds: Kind) -> list[tuple[dict, dict, dict]]:
    """The truth, the copy and the original of every pair of the kinds."""
    return [
        (
            truth,
            rows[truth["language"], truth["date"], truth["row"]],
            rows[truth["of_language"], truth["of_date"], truth["of_row"]],
        )
        for truth in world.truth.to_pylist()
        if truth["kind"] in kinds
    ]


# --- nights -------------------------------------------------------------------------------------------


def test_every_night_is_as_a_published_one(world: World) -> None:
    store = Store.at(str(world.store))
    for language in LANGUAGES:
        dates = store.dates(SAMPLES, language)
        assert dates == ["2026-11-01", "2026-11-02", "2026-11-03"]
        for date in dates:
            statistics = read_statistics(store, language, date)
            assert statistics is not None
            stamp = store.part(SAMPLES, language, date).stamp()
            assert stamp is not None
            assert statistics.samples == stamp.rows
            rejects = list(store.part(REJECTS, language, date).rows())
            assert statistics.rejects == len(rejects) > 0
            bill = list(store.part(LEDGER, language, date).rows())
            assert statistics.calls == sum(account["paid"] for account in bill)
            samples = list(store.part(SAMPLES, language, date).rows())
            assert {name: subset.samples for name, subset in statistics.subsets.items()} == {
                name: sum(row["subset"] == name for row in samples) for name in SUBSETS
            }
            turns = sum(len(row["messages"]) for row in samples) // 2
            assert sum(subset.turns for subset in statistics.subsets.values()) == turns


def test_columns_that_may_not_be_null_are_not(world: World) -> None:
    store = Store.at(str(world.store))
    for language in ("en", "zh"):
        for row in store.part(SAMPLES, language, "2026-11-01").rows():
            source = row["source"]
            assert (row["teacher"] is None) == (language == "en")
            assert source["kind"] == (
                "wikipedia" if row["subset"] == "chat_specific" and language == "zh" else "english"
            )
            if source["kind"] == "wikipedia":
                assert all(source[name] is not None for name in ("page_id", "revision_id", "title", "passage"))
                assert source["english"] is None
                assert len(source["categories"]) in range(1, 5)
            else:
                assert source["row_id"].startswith(source["dataset"])
                assert language == "zh" or source["english"] == row["messages"]
                assert {message["role"] for message in source["english"]} == {"user", "assistant"}
            roles = [message["role"] for message in row["messages"]]
            assert roles == ["user", "assistant"] * (len(roles) // 2)
            assert all(message["content"].strip() for message in row["messages"])


def test_the_paper_s_proportions(rows: dict[tuple[str, str, int], dict[str, object]]) -> None:
    found = Counter((row["language"], row["subset"]) for row in rows.values())
    for language, subsets in PAPER.items():
        for subset, count in subsets.items():
            assert found[language, subset] == pytest.approx(count * 6000 / PAPER_ROWS, abs=1)
    assert sum(sum(subsets.values()) for subsets in PAPER.values()) == PAPER_ROWS == 1_032_000
    turns = sum(len(row["messages"]) for row in rows.values()) / 2 / len(rows)
    assert turns == pytest.approx(1.573, rel=0.03)
    assert {len(row["messages"]) for row in rows.values() if row["subset"] in ("math", "code")} == {2}


def test_tokens_are_about_those_of_the_paper(rows: dict[tuple[str, str, int], dict[str, object]]) -> None:
    for language, answer in (("zh", 553.8), ("ru", 332.1), ("fr", 453.8), ("es", 325.1), ("en", 172.5)):
        answers = [
            count_tokens(message["content"])
            for row in rows.values()
            if row["language"] == language
            for message in row["messages"]
            if message["role"] == "assistant"
        ]
        assert sum(answers) / len(answers) == pytest.approx(answer, rel=0.1)


def test_scripts(rows: dict[tuple[str, str, int], dict[str, object]]) -> None:
    chats = {(row["language"], row["subset"]): _text(row) for row in rows.values()}
    assert sum("а" <= letter <= "я" for letter in chats["ru", "chat_specific"]) > 100
    chinese = chats["zh", "chat_specific"]
    assert sum("\u4e00" <= letter <= "\u9fff" for letter in chinese) > 0.6 * len(chinese)
    assert " " not in chinese


def test_translations_share_rows_and_code_and_no_words(
    world: World, rows: dict[tuple[str, str, int], dict[str, object]]
) -> None:
    planted = {(row["language"], row["date"], row["row"]) for row in world.truth.to_pylist()}
    by_row: dict[str, list[dict[str, object]]] = {}
    for place, row in rows.items():
        if row["subset"] == "code" and place not in planted:
            by_row.setdefault(row["source"]["row_id"], []).append(row)
    together = [found for found in by_row.values() if len({row["language"] for row in found}) > 2]
    assert len(together) > 10
    same = 0
    for found in together:
        code = {row["messages"][1]["content"].partition("```python\n")[2] for row in found}
        same += len(code) == 1
        assert len({row["messages"][0]["content"] for row in found}) == len(found)
    assert same > 0.6 * len(together)  # the others are originals of planted rows, and have a text of their own
    english = {row["source"]["row_id"]: row for row in rows.values() if row["language"] == "en"}
    translated = [row for found in together for row in found if row["language"] == "zh"]
    equal = [
        row["source"]["english"] == english[row["source"]["row_id"]]["messages"]
        for row in translated
        if row["source"]["row_id"] in english
    ]
    assert sum(equal) > 0.6 * len(equal) > 0


def test_the_same_seed_makes_the_same_night(tmp_path: Path, world: World) -> None:
    truth = publish_night(str(tmp_path), LAYOUT, "fr", 1)
    again = Store.at(str(tmp_path)).part(SAMPLES, "fr", "2026-11-02")
    first = Store.at(str(world.store)).part(SAMPLES, "fr", "2026-11-02")
    assert Path(again.path).read_bytes() == Path(first.path).read_bytes()
    assert truth == [row for row in world.truth.to_pylist() if (row["language"], row["date"]) == ("fr", "2026-11-02")]
    other = Night(Layout(6000, 3, seed=2), "fr", 1)
    assert next(other.blocks([])).column("messages") != next(Night(LAYOUT, "fr", 1).blocks([])).column("messages")


def test_a_store_that_is_there_is_not_made_again(world: World) -> None:
    before = {path: path.stat().st_mtime_ns for path in world.store.rglob("*.parquet")}
    again = synthesise(world.store.parent, LAYOUT)
    assert again.truth == world.truth
    assert {path: path.stat().st_mtime_ns for path in world.store.rglob("*.parquet")} == before


# --- where things are ---------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", [LAYOUT, Layout(1500, 2, 3), Layout(10_000, 7, 5)])
def test_places_agree_with_spans(layout: Layout) -> None:
    for language in LANGUAGES:
        row_of_night = Counter[int]()
        for night in range(layout.nights):
            for subset in SUBSETS:
                for index in layout.span((language, subset), night):
                    place = Place(language, subset, index)
                    assert layout.night_of(place) == night
                    assert layout.row_of(place) == row_of_night[night]
                    row_of_night[night] += 1


def test_no_two_rows_of_a_language_are_made_of_one_origin_but_those_planted(
    world: World, rows: dict[tuple[str, str, int], dict[str, object]]
) -> None:
    copies = {
        (row["language"], row["date"], row["row"])
        for row in world.truth.to_pylist()
        if row["kind"] in (Kind.ROW, Kind.PASSAGE)
    }
    ids = [row["id"] for place, row in rows.items() if place not in copies]
    assert len(ids) == len(set(ids))
    revisions: dict[tuple[str, int], set[str]] = {}
    planted = {
        (row["language"], row["date"], row["row"]) for row in world.truth.to_pylist() if row["kind"] == Kind.REVISION
    }
    for (language, date, number), row in rows.items():
        if row["source"]["kind"] == "wikipedia" and (language, date, number) not in planted:
            revisions.setdefault((language, row["source"]["page_id"]), set()).add(date)
    assert all(len(dates) == 1 for dates in revisions.values())


# --- truth --------------------------------------------------------------------------------------------


def test_near_duplicates_have_the_similarity_that_the_truth_tells(world: World, rows) -> None:
    pairs = _planted(world, rows, Kind.NEAR, Kind.FOREIGN, Kind.RELATED, Kind.TRANSLATION)
    assert {round(truth["planted"], 2) for truth, _, _ in pairs} >= {0.4, 0.5, 0.8, 0.9, 0.95}
    for truth, copy, original in pairs:
        assert _jaccard(copy, original) == pytest.approx(truth["similarity"], abs=0.03)
        if truth["kind"] == Kind.RELATED:
            assert 0.3 < truth["similarity"] <= truth["planted"]
        else:
            assert truth["planted"] <= truth["similarity"] <= 1


def test_the_original_comes_first(world: World) -> None:
    order = {language: place for place, language in enumerate(LANGUAGES)}
    for row in world.truth.to_pylist():
        if row["of_date"] is not None:
            assert (row["of_date"], order[row["of_language"]], row["of_row"]) < (
                row["date"],
                order[row["language"]],
                row["row"],
            )


def test_exact_duplicates_are_what_they_are_called(world: World, rows) -> None:
    for _, copy, original in _planted(world, rows, Kind.TEXT):
        assert _text(copy) != _text(original) or copy["id"] != original["id"]
        assert normalised(_text(copy)).split() == normalised(_text(original)).split()
    for _, copy, original in _planted(world, rows, Kind.ROW):
        assert copy["source"]["row_id"] == original["source"]["row_id"]
        assert _jaccard(copy, original) < 0.5
    for truth, copy, original in _planted(world, rows, Kind.REVISION):
        assert copy["source"]["revision_id"] == original["source"]["revision_id"]
        assert truth["date"] != truth["of_date"]
        assert copy["source"]["passage_start"] != original["source"]["passage_start"]
    for truth, copy, original in _planted(world, rows, Kind.PASSAGE):
        assert copy["source"]["passage_start"] == original["source"]["passage_start"]
        assert truth["date"] == truth["of_date"]


def test_every_kind_is_planted(world: World) -> None:
    assert set(world.truth.column("kind").to_pylist()) == {kind.value for kind in Kind}


def test_test_items_and_secrets_are_in_the_rows(world: World, rows) -> None:
    by_kind: dict[str, list[str]] = {}
    for truth in world.truth.to_pylist():
        row = rows[truth["language"], truth["date"], truth["row"]]
        by_kind.setdefault(truth["kind"], []).append(_text(row))
    assert all(".net" in text and "@" in text for text in by_kind[Kind.EMAIL])
    assert all("+49 30" in text for text in by_kind[Kind.PHONE])
    assert all("ghp_" in text for text in by_kind[Kind.CREDENTIAL])
    assert len(world.sets) == 15
    items = [
        _without_numbers(json.loads(line)["prompt"])
        for each in world.sets
        for line in Path(each.path).read_text(encoding="utf-8").splitlines()
    ]
    for text in by_kind[Kind.ITEM]:
        assert any(item in _without_numbers(text) for item in items)


def _without_numbers(text: str) -> str:
    return text.translate(str.maketrans("", "", "0123456789"))


def test_rows_that_nobody_planted_are_not_alike(
    world: World, rows: dict[tuple[str, str, int], dict[str, object]]
) -> None:
    planted = {(row["language"], row["date"], row["row"]) for row in world.truth.to_pylist()}
    planted |= {(row["of_language"], row["of_date"], row["of_row"]) for row in world.truth.to_pylist()}
    for language in LANGUAGES:
        for subset in SUBSETS:
            own = [row for place, row in rows.items() if place not in planted and place[0] == language]
            some = [row for row in own if row["subset"] == subset][:60]
            assert all(_jaccard(one, other) < 0.4 for one, other in pairwise(some))


@given(
    st.sampled_from(LANGUAGES),
    st.sampled_from((0.5, 0.8, 0.9)),
    st.integers(0, 1000),
    st.integers(60, 300),
    st.booleans(),
)
def test_a_text_is_changed_as_far_as_its_similarity_allows(
    language: str, target: float, seed: int, length: int, from_above: bool
) -> None:
    words = lexicon(language)
    text = words.prose(np.random.default_rng(seed), np.array([length]), np.array([seed % 400]))
    after = edited(language, text, target, seed, from_above=from_above)
    assert after.similarity == similarity(shingles(language, text), shingles(language, after.units))
    assert after.similarity == pytest.approx(target, abs=0.12)
    assert after.similarity >= target if from_above else after.similarity <= target
    assert len(after.units) == len(text) + after.grown


# --- the benchmark ------------------------------------------------------------------------------------


def _fail() -> None:
    raise SystemExit(3)


def _work() -> None:
    held = bytearray(60 << 20)
    time.sleep(0.8)
    assert held


def test_tasks_are_counted_with_all_that_they_use() -> None:
    cost = run_tasks([_work] * 3, processes=2)
    assert cost.peak > 100 << 20  # two at once
    assert cost.cpu_s > 0
    assert cost.seconds > 1.5  # and not three


def test_a_task_that_fails_ends_the_run() -> None:
    with pytest.raises(RuntimeError, match="ended with 3"):
        run_tasks([_fail, _work], processes=1)


def test_what_was_found_is_held_against_the_truth(tmp_path: Path, world: World) -> None:
    near = [row for row in world.truth.to_pylist() if row["kind"] == Kind.NEAR]
    stays = next(row for row in world.truth.to_pylist() if row["kind"] == Kind.RELATED)
    stranger = {"language": "en", "date": "2026-11-01", "row": 10**6}
    removed = [
        {**place, "id": "x", "subset": "math", "stage": "near", "reason": "similar text"}
        for place in (*({name: row[name] for name in ("language", "date", "row")} for row in near[1:]), stranger)
    ]
    removed.append({**removed[0], **{name: stays[name] for name in ("language", "date", "row")}})
    (tmp_path / "provenance").mkdir()
    pq.write_table(pa.Table.from_pylist(removed, REMOVED.schema), tmp_path / "provenance/removed.parquet")
    found = found_in(tmp_path, world.truth)
    planted = sum(count for (kind, _), count in found.planted.items() if kind == Kind.NEAR)
    assert sum(count for (kind, _), count in found.found.items() if kind == Kind.NEAR) == planted - 1 == len(near) - 1
    assert found.unplanted == {"near": 2}
    assert found.removed == {"near": len(removed)}
    assert found.found[Kind.TEXT, 1.0] == 0
    assert sum(count for (kind, _), count in found.found.items() if kind == Kind.RELATED) == 1
    run = Run(rows=1000, costs={"all": Cost(1, 1, 1)}, found=found, store_bytes=1, release_bytes=1)
    broken = " ".join(run.broken())
    assert "same text" in broken
    assert "0.200% of the rows" in broken
    assert "MiB" not in broken
    slow = Run(rows=1000, costs={"all": Cost(1801, 1, 5 << 30)}, found=found, store_bytes=1, release_bytes=1)
    assert "1,801 s are more" in " ".join(slow.broken())
    assert "5,120 MiB are more" in " ".join(slow.broken())


def test_a_folder_is_removed_unless_it_is_to_be_kept(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("stays")
    with working_folder(tmp_path, keep=True, rows=1) as folder:
        (folder / "made").mkdir()
    with working_folder(tmp_path, keep=False, rows=1) as again:
        assert again == folder
        assert (again / "made").is_dir()
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_small_disk_is_told_before_anything_is_made(tmp_path: Path) -> None:
    with (
        pytest.raises(SystemExit, match=r"GB are free, 16000000\.0 are needed"),
        working_folder(tmp_path, keep=False, rows=10**12),
    ):
        pass


def test_growth_is_told_per_row(capsys: pytest.CaptureFixture[str]) -> None:
    nothing = Found(Counter(), Counter(), set(), Counter(), Counter())
    small = Run(1000, {"near": Cost(2.0, 3.0, 1), "card": Cost(2.0, 1.0, 1)}, nothing, 1, 1)
    large = Run(10_000, {"near": Cost(30.0, 30.0, 1), "card": Cost(2.0, 1.0, 1)}, nothing, 1, 1)
    report(large)
    report_growth(small, large)
    printed = capsys.readouterr().out
    assert "| near | 30.0 | 30.0 | 333 | 0 |" in printed
    assert "| all | 32.0 | 31.0 | 312 | 0 |" in printed
    assert "| near | 2.000 | 3.000 | 1.50 | 3.000 | 3.000 | 1.00 |" in printed
    assert "| all | 4.000 | 3.200 | 0.80 | 4.000 | 3.100 | 0.78 |" in printed
    assert not list(large.broken())
