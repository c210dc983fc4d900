"""Comparing releases: every row that came, went, changed or moved is counted once, with its reason."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.release.shelves import INDEX

from ultralink.errors import ReleaseMissing
from ultralink.release.comparison import EXAMPLES, INDEX_FILE, REMOVED_FILE, UNEXPLAINED, What, compare
from ultralink.release.manifest import MANIFEST, Manifest, ReleasedNight
from ultralink.release.shelf import Shelf
from ultralink.schemas import REMOVED
from ultralink.store import Row, Store

D1, D2, D3 = "2026-11-01", "2026-11-02", "2026-11-03"


def row(
    id: str,
    date: str = D1,
    *,
    language: str = "en",
    subset: str = "math",
    split: str = "train",
    text: str = "",
) -> Row:
    key = hashlib.md5((text or id).encode(), usedforsecurity=False).digest()
    return {"id": id, "language": language, "subset": subset, "split": split, "date": date, "text_key": key}


def gone(id: str, date: str = D1, *, stage: str = "near", reason: str = "similar text", of: str | None = None) -> Row:
    known = {
        "id": id,
        "language": "en",
        "date": date,
        "row": 0,
        "subset": "math",
        "stage": stage,
        "reason": reason,
    }
    return {**dict.fromkeys(REMOVED.schema.names), **known, "duplicate_of": of}


def shelve(
    store: Store,
    version: str,
    rows: Iterable[Row],
    removed: Iterable[Row] = (),
    nights: Iterable[str] = (D1,),
    languages: tuple[str, ...] = ("en",),
) -> None:
    """A release of such rows; of a night "2026-11-01*" the samples were made again."""
    folder = f"{Shelf(store).path(version)}"
    for path, content, schema in ((INDEX_FILE, rows, INDEX), (REMOVED_FILE, removed, REMOVED.schema)):
        with store.aside(f"{folder}/{path}") as aside:
            pq.write_table(pa.Table.from_pylist(list(content), schema=schema), aside)
    sources = [
        ReleasedNight(language=language, date=night.rstrip("*"), rows=1, digest=f"{night} {language}")
        for night in nights
        for language in languages
    ]
    manifest = Manifest(
        version=version,
        created=datetime.now(UTC) + timedelta(seconds=len(Shelf(store).versions())),
        run_id=version,
        tool="",
        fingerprint="",
        languages=languages,
        since=None,
        until=None,
        formats=(),
        missing={},
        sources=tuple(sources),
        configurations=(),
        removed={},
        files=(),
        recipe={},
    )
    store.write_text(f"{folder}/{MANIFEST}", manifest.model_dump_json())


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store.at(str(tmp_path) if request.param == "local" else f"memory://{tmp_path}")


def changes(store: Store) -> list[tuple[str, str, str, int, tuple[str, ...]]]:
    found = compare(Shelf(store), "A", "B").changes
    return [(each.what.value, each.language, each.reason, each.rows, each.examples) for each in found]


def test_equal_releases_do_not_differ(store: Store) -> None:
    for version in ("A", "B"):
        shelve(store, version, [row("1"), row("2", language="zh")], languages=("en", "zh"))
    found = compare(Shelf(store), "A", "latest")
    assert (found.before, found.after) == ("A", "B")
    assert (found.rows_before, found.rows_after, found.same, found.changes) == (2, 2, 2, ())


def test_a_row_of_a_new_night_came(store: Store) -> None:
    shelve(store, "A", [row("1")])
    shelve(store, "B", [row("1"), row("2", D2), row("3", D2)], nights=(D1, D2))
    assert changes(store) == [("came", "en", "new night", 2, ("2", "3"))]
    assert compare(Shelf(store), "A", "B").nights.came == ("en 2026-11-02",)


def test_a_row_of_a_night_that_is_left_out_went(store: Store) -> None:
    shelve(store, "A", [row("1"), row("2", D2)], nights=(D1, D2))
    shelve(store, "B", [row("1")])
    assert changes(store) == [("went", "en", "night left out", 1, ("2",))]
    assert compare(Shelf(store), "A", "B").nights.went == ("en 2026-11-02",)


def test_languages_come_and_go(store: Store) -> None:
    shelve(store, "A", [row("1"), row("1", language="fr")], languages=("en", "fr"))
    shelve(store, "B", [row("1"), row("1", language="zh")], languages=("en", "zh"))
    assert changes(store) == [
        ("came", "zh", "new language", 1, ("1",)),
        ("went", "fr", "language left out", 1, ("1",)),
    ]


def test_a_removed_row_went_with_the_stage_the_reason_and_the_row_it_copies(store: Store) -> None:
    shelve(store, "A", [row(str(number)) for number in range(5)])
    removed = [
        gone("1", of="0"),
        gone("2", stage="decontaminate", reason="mgsm_zh"),
        gone("3", of="0"),
    ]
    shelve(store, "B", [row("0"), row("4")], removed)
    assert changes(store) == [
        ("went", "en", "removed, near: similar text", 2, ("1, copy of 0", "3, copy of 0")),
        ("went", "en", "removed, decontaminate: mgsm_zh", 1, ("2",)),
    ]


def test_a_row_that_is_no_longer_removed_came(store: Store) -> None:
    shelve(store, "A", [row("1")], [gone("2", stage="privacy", reason="email")])
    shelve(store, "B", [row("1"), row("2")])
    assert changes(store) == [("came", "en", "no longer removed, privacy: email", 1, ("2",))]


def test_a_night_that_was_made_again_explains_what_differs(store: Store) -> None:
    shelve(store, "A", [row("1"), row("2"), row("3")])
    shelve(store, "B", [row("1"), row("2", text="other"), row("4")], nights=(f"{D1}*",))
    assert changes(store) == [
        ("came", "en", "night made again", 1, ("4",)),
        ("went", "en", "night made again without it", 1, ("3",)),
        ("changed", "en", "night made again", 1, ("2",)),
    ]
    found = compare(Shelf(store), "A", "B")
    assert found.nights.made_again == ("en 2026-11-01",)
    assert found.same == 1


def test_a_row_that_is_taken_from_another_night_changed(store: Store) -> None:
    shelve(store, "A", [row("1", D2)], nights=(D2,))
    shelve(store, "B", [row("1", D1, text="other")], [gone("1", D2, stage="exact", reason="same id")], (D1, D2))
    assert changes(store) == [("changed", "en", "taken from another night", 1, ("1",))]


def test_a_row_may_move_between_the_splits_and_change_at_once(store: Store) -> None:
    shelve(store, "A", [row("1"), row("2", split="validation")])
    shelve(store, "B", [row("1", split="validation", text="other"), row("2")], nights=(f"{D1}*",))
    assert [change[:4] for change in changes(store)] == [
        ("changed", "en", "night made again", 1),
        ("moved", "en", "train to validation", 1),
        ("moved", "en", "validation to train", 1),
    ]
    assert compare(Shelf(store), "A", "B").same == 0


def test_a_loss_that_nothing_explains_is_told_as_such(store: Store) -> None:
    shelve(store, "A", [row("1"), row("2")])
    shelve(store, "B", [row("1")])
    assert changes(store) == [("went", "en", UNEXPLAINED, 1, ("2",))]


def test_counts_are_by_subset_and_few_examples_are_named(store: Store) -> None:
    shelve(store, "A", [row("1")])
    new = [row(f"{subset}{n}", D2, subset=subset) for subset in ("math", "code") for n in range(EXAMPLES + 1)]
    shelve(store, "B", [row("1"), *new], nights=(D1, D2))
    found = compare(Shelf(store), "A", "B")
    assert [(each.subset, each.rows, len(each.examples)) for each in found.changes] == [
        ("code", EXAMPLES + 1, EXAMPLES),
        ("math", EXAMPLES + 1, EXAMPLES),
    ]


def test_a_row_that_is_removed_several_times_counts_once(store: Store) -> None:
    shelve(store, "A", [row("1"), row("2")])
    shelve(store, "B", [row("1")], [gone("2", stage="exact", reason="same id", of="1"), gone("2", stage="near")])
    assert changes(store) == [("went", "en", "removed, exact: same id", 1, ("2, copy of 1",))]


def test_files_with_other_types_of_text_and_key_are_read(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    for version in ("A", "B"):
        shelve(store, version, [row("1")])
    path = tmp_path / "releases/B" / INDEX_FILE
    table = pq.read_table(path)
    encoded = [table[name].dictionary_encode() if name != "text_key" else table[name] for name in table.column_names]
    pq.write_table(pa.table(encoded, names=table.column_names), path)
    assert compare(Shelf(store), "A", "B").same == 1


def test_a_release_that_is_not_there_or_not_whole_is_named(store: Store) -> None:
    shelve(store, "A", [row("1")])
    with pytest.raises(ReleaseMissing, match="no release 'B'"):
        compare(Shelf(store), "A", "B")
    shelve(store, "B", [row("1")])
    store.fs.pipe_file(f"{Shelf(store).path('B')}/{INDEX_FILE}", b"damaged")
    with pytest.raises(ReleaseMissing, match=r"B/provenance/index\.parquet"):
        compare(Shelf(store), "A", "B")
    store.fs.rm(f"{Shelf(store).path('B')}/{INDEX_FILE}")
    with pytest.raises(ReleaseMissing, match=r"B/provenance/index\.parquet"):
        compare(Shelf(store), "A", "B")


ROWS = st.dictionaries(
    st.tuples(st.sampled_from(["en", "zh"]), st.integers(0, 12).map(str)),
    st.tuples(st.sampled_from([D1, D2, D3]), st.sampled_from(["train", "validation"]), st.sampled_from("ab")),
)


def rows_of(drawn: dict[tuple[str, str], tuple[str, str, str]]) -> list[Row]:
    return [
        row(id, date, language=language, split=split, text=f"{id}{text}")
        for (language, id), (date, split, text) in drawn.items()
    ]


@given(old=ROWS, new=ROWS)
def test_the_sums_add_up(old: dict, new: dict) -> None:  # type: ignore[type-arg]
    store = Store.at("memory://sums")
    for version, drawn in (("A", old), ("B", new)):
        shelve(store, version, rows_of(drawn), nights=(D1, D2, D3), languages=("en", "zh"))
    found = compare(Shelf(store), "A", "B")
    both = old.keys() & new.keys()
    assert found.rows(What.CAME) == len(new.keys() - old.keys())
    assert found.rows(What.WENT) == len(old.keys() - new.keys())
    assert found.rows(What.CHANGED) == sum(old[key][2] != new[key][2] for key in both)
    assert found.rows(What.MOVED) == sum(old[key][1] != new[key][1] for key in both)
    assert found.same == sum(old[key][1:] == new[key][1:] for key in both)
    assert found.rows_before - found.rows(What.WENT) + found.rows(What.CAME) == found.rows_after
