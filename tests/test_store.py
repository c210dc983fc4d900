"""The store: parts are whole or absent, carry their stamp, and are read back as written."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ultralink import schemas
from ultralink.errors import PartMissing, SchemaMismatch, StoreFull, StoreReadOnly
from ultralink.schemas import PASSAGES, SELECTION, Stage
from ultralink.store import Part, Store, fingerprint


def selection_row(position: int, title: str = "灯塔", revision_id: int | None = None) -> dict[str, object]:
    return {"position": position, "page_id": position, "title": title, "revision_id": revision_id}


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store.at(str(tmp_path) if request.param == "local" else f"memory://{tmp_path}")


def test_a_part_is_read_back_with_its_stamp(store: Store) -> None:
    part = store.part(SELECTION, "zh", "2026-11-01", 3)
    assert part.stamp() is None
    written = part.write((selection_row(n) for n in range(1000)), "made by this")
    assert part.stamp() == written
    assert (written.fingerprint, written.rows) == ("made by this", 1000)
    assert [row["position"] for row in part.rows()] == list(range(1000))
    assert next(part.rows(["title"])) == {"title": "灯塔"}
    assert part.path.endswith("/selection/zh/2026-11-01/00003.parquet")


def test_dates_lists_partitions(store: Store) -> None:
    for date in ("2026-11-02", "2026-11-01"):
        store.part(SELECTION, "zh", date).write([selection_row(0)], "f")
    store.part(SELECTION, "fr", "2026-11-09").write([selection_row(0)], "f")
    assert store.dates(SELECTION, "zh") == ["2026-11-01", "2026-11-02"]
    assert store.dates(PASSAGES, "zh") == []


@given(
    rows=st.lists(
        st.builds(
            selection_row,
            st.integers(0, 2**62),
            st.text(max_size=40).filter(lambda text: text.isprintable()),
            st.none() | st.integers(0, 2**62),
        ),
        max_size=40,
    )
)
def test_rows_survive_and_the_digest_knows_their_content(rows: list[dict[str, object]]) -> None:
    store = Store.at("memory://digest")
    first = store.part(SELECTION, "zh", "2026-11-01").write(rows, "one")
    second = store.part(SELECTION, "zh", "2026-11-02").write(rows, "two")
    assert first.digest == second.digest
    assert list(store.part(SELECTION, "zh", "2026-11-02").rows()) == rows
    changed = store.part(SELECTION, "zh", "2026-11-03").write([*rows, selection_row(7)], "two")
    assert changed.digest != first.digest


def test_a_rebuild_is_byte_identical(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    rows = [selection_row(n) for n in range(700)]
    one, two = (store.part(SELECTION, "zh", date) for date in ("2026-11-01", "2026-11-02"))
    one.write(rows, "f")
    two.write(rows, "f")
    assert Path(one.path).read_bytes() == Path(two.path).read_bytes()


@pytest.mark.parametrize("bad", [selection_row(1) | {"page_id": None}, selection_row(1) | {"page_id": "seven"}])
def test_a_bad_row_leaves_the_old_part_and_nothing_else(store: Store, bad: dict[str, object]) -> None:
    part = store.part(SELECTION, "zh", "2026-11-01")
    before = part.write([selection_row(0)], "good")
    with pytest.raises(SchemaMismatch, match=r"00000\.parquet: rows 256-300"):
        part.write([*(selection_row(n) for n in range(300)), bad], "bad")
    assert part.stamp() == before
    assert [name.rpartition("/")[2] for name in store.fs.ls(part.path.rpartition("/")[0], detail=False)] == [
        "00000.parquet"
    ]


def test_an_exception_in_the_middle_writes_nothing(store: Store) -> None:
    part = store.part(SELECTION, "zh", "2026-11-01")
    with pytest.raises(RuntimeError, match="killed"), part.writer("f") as rows:
        rows.add(selection_row(0))
        raise RuntimeError("killed")
    assert part.stamp() is None


def test_of_several_writers_the_first_named_commits_last(store: Store) -> None:
    marker, other = store.part(SELECTION, "zh", "2026-11-01"), store.part(SELECTION, "fr", "2026-11-01")
    with pytest.raises(SchemaMismatch), marker.writer("f"), other.writer("f") as rows:
        rows.add(selection_row(1) | {"title": None})
    assert marker.stamp() is None
    with pytest.raises(SchemaMismatch), marker.writer("f") as rows, other.writer("f"):
        rows.add(selection_row(1) | {"title": None})
    assert marker.stamp() is None
    assert other.stamp() is not None


def test_a_missing_part_names_its_stage(store: Store) -> None:
    with pytest.raises(PartMissing, match=r"selection/zh/2026-11-01/00000\.parquet.*'selection'"):
        list(store.part(SELECTION, "zh", "2026-11-01").rows())


def test_another_schema_version_is_named(store: Store) -> None:
    older = Stage(SELECTION.name, SELECTION.version + 1, SELECTION.schema)
    store.part(older, "zh", "2026-11-01").write([selection_row(0)], "f")
    part = store.part(SELECTION, "zh", "2026-11-01")
    with pytest.raises(SchemaMismatch, match="schema version 2, this release reads 'selection' in version 1"):
        part.stamp()
    with pytest.raises(SchemaMismatch, match="schema version 2"):
        next(part.rows())


def test_a_foreign_or_broken_file_is_not_a_part(tmp_path: Path) -> None:
    part = Store.at(str(tmp_path)).part(SELECTION, "zh", "2026-11-01")
    path = Path(part.path)
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table({"x": [1]}), path)
    with pytest.raises(SchemaMismatch, match="holds stage None"):
        part.stamp()
    path.write_bytes(b"PAR1 torn")
    with pytest.raises(SchemaMismatch, match="not a complete Parquet file"):
        part.stamp()


@pytest.mark.parametrize("key", ["../x", "a/b", "", ".hidden", "zh\n"])
def test_keys_cannot_leave_the_root(key: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be part of a path"):
        Store.at(str(tmp_path)).part(SELECTION, "zh", key)


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (errno.ENOSPC, StoreFull, "no space left"),
        (errno.EROFS, StoreReadOnly, "cannot be written"),
        (errno.EACCES, StoreReadOnly, "cannot be written"),
    ],
)
def test_refusals_of_the_disk_are_typed_and_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, kind: type[Exception], words: str
) -> None:
    part = Store.at(str(tmp_path)).part(SELECTION, "zh", "2026-11-01")

    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("ultralink.store.sync", refuse)
    with pytest.raises(kind, match=words):
        part.write([selection_row(0)], "f")
    assert list(Path(part.path).parent.iterdir()) == []


def test_a_full_disk_is_reported_by_a_real_full_device(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    part = Store.at(str(tmp_path)).part(SELECTION, "zh", "2026-11-01")
    with pytest.raises(StoreFull), part.writer("f") as rows:
        with Path("/dev/full").open("wb", buffering=0) as full:
            full.write(b"x")
        rows.add(selection_row(0))
    assert part.stamp() is None


def test_leftovers_of_killed_attempts_go_after_a_day(tmp_path: Path) -> None:
    part = Store.at(str(tmp_path)).part(SELECTION, "zh", "2026-11-01")
    folder = Path(part.path).parent
    folder.mkdir(parents=True)
    old, fresh = folder / ".00000.parquet.aa.tmp", folder / ".00000.parquet.bb.tmp"
    old.touch()
    fresh.touch()
    os.utime(old, (0, 0))
    part.write([selection_row(0)], "f")
    assert not old.exists()
    assert fresh.exists()


def test_text_files_are_replaced_whole(store: Store) -> None:
    path = store.folder("statistics", "zh", "2026-11-01.json")
    assert store.read_text(path) is None
    store.write_text(path, "一")
    store.write_text(path, "二")
    assert store.read_text(path) == "二"


def test_the_fingerprint_depends_on_every_value() -> None:
    assert fingerprint(1, {"a": [1, 2]}) == fingerprint(1, {"a": [1, 2]})
    assert (
        len(
            {
                fingerprint(1, {"a": 1}),
                fingerprint(1, {"a": 2}),
                fingerprint(2, {"a": 1}),
                fingerprint(1, {"b": 1}),
            }
        )
        == 4
    )


def test_a_part_with_broken_pages_or_other_columns_is_no_part(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    part = store.part(SELECTION, "en", "2026-11-01")
    rows = [{"position": n, "page_id": n, "title": f"{n * n} page {n}", "revision_id": None} for n in range(2000)]
    part.write(rows, "x")
    whole = Path(part.path).read_bytes()
    Path(part.path).write_bytes(whole[:100] + bytes(len(whole) // 2) + whole[100 + len(whole) // 2 :])
    with pytest.raises(SchemaMismatch, match="is damaged"):
        list(part.rows())

    narrow = Stage(SELECTION.name, SELECTION.version, SELECTION.schema.remove(2))
    Part(store, narrow, part.path).write([{name: row[name] for name in narrow.schema.names} for row in rows], "x")
    with pytest.raises(SchemaMismatch, match="has no column 'title'"):
        list(part.rows())

    table = pq.read_table(part.path)
    pq.write_table(
        table.replace_schema_metadata({b"ultralink.stage": b"selection", b"ultralink.schema_version": b"1"}), part.path
    )
    with pytest.raises(SchemaMismatch, match="stamp is incomplete"):
        part.stamp()


def test_a_part_without_an_added_column_reads_as_nulls(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    older = SELECTION
    newer = Stage(older.name, older.version, older.schema.append(pa.field("note", pa.string())), ("note",))
    rows = [selection_row(n) for n in range(600)]
    path = store.part(older, "en", "2026-11-01").path
    written = Part(store, older, path).write(rows, "x")
    part = Part(store, newer, path)
    assert part.stamp() == written
    assert list(part.rows()) == [{**row, "note": None} for row in rows]
    assert list(part.rows(["note", "title"]))[-1] == {"note": None, "title": "灯塔"}
    assert list(part.rows(["note"])) == [{"note": None}] * 600
    assert [row for batch in part.selected(np.array([3, 500])) for row in batch.to_pylist()] == [
        {**rows[3], "note": None},
        {**rows[500], "note": None},
    ]
    assert Part(store, newer, path).write([{**row, "note": None} for row in rows], "x").digest == written.digest
    assert Part(store, newer, path).write([{**row, "note": "n"} for row in rows], "x").digest != written.digest
    assert [row["note"] for row in part.rows(["note"])] == ["n"] * 600
    assert next(Part(store, older, path).rows(["title"])) == {"title": "灯塔"}


def test_what_was_added_to_a_stage_may_be_null() -> None:
    added = [(stage, name) for stage in vars(schemas).values() if isinstance(stage, Stage) for name in stage.added]
    assert len(added) == 4
    assert all(stage.schema.field(name).nullable for stage, name in added)
