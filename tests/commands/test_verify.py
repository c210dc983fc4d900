"""Verify: a sound store has no problem, and each kind of damage is found and named."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.release.shelves import nights as published_nights
from tests.release.shelves import release
from tests.stages.nights import DATES, as_before, writes_nothing

from ultralink.__main__ import main
from ultralink.commands import verify
from ultralink.commands.traces import stages_of
from ultralink.schemas import DIALOGUE_REJECTS, DIALOGUES, REJECTS, SAMPLES, Stage
from ultralink.store import Part, Stamp, Store

DAY = 24 * 3600
Problems = list[dict[str, str]]


def age(path: Path, days: float) -> None:
    when = time.time() - days * DAY
    os.utime(path, (when, when))


def problems(capsys: pytest.CaptureFixture[str], *arguments: str) -> Problems:
    """What verify finds; its exit code must say whether it is anything."""
    code = main(["verify", "--json", *arguments])
    found: Problems = json.loads(capsys.readouterr().out)["problems"]
    assert code == bool(found)
    return found


def part(root: Path, stage: str, shard: int = 0, language: str = "fr") -> Path:
    return root / stage / language / DATES[0] / f"{shard:05d}.parquet"


def test_a_store_of_real_stages_is_sound(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert writes_nothing(root, lambda: problems(capsys)) == []
    assert problems(capsys, "--quick") == []
    assert main(["verify"]) == 0
    told = capsys.readouterr()
    parts = [path for path in root.rglob("*.parquet") if path.parts[len(root.parts)] != "releases"]
    assert f"{len(parts)} parts with" in told.out
    assert "no problems" in told.out
    stages = {path.relative_to(root).parts[0] for path in parts}
    expected = {stage.name for code in ("fr", "pool") for stage in stages_of(code)[0]} - {"features", "findings"}
    assert stages == expected


def test_a_night_that_is_written_again_is_sound(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Maps as mappings, nulls left out: rows as other writers give them."""
    published_nights(Store.at(str(root)), languages=("zh",))
    assert problems(capsys, "zh") == []


def test_parts_from_before_a_column_was_added_are_sound(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store.at(str(root))
    shards = {DIALOGUES: (0,), DIALOGUE_REJECTS: (0, 1), SAMPLES: (0,), REJECTS: (0,)}
    for stage, numbers in shards.items():
        for shard in numbers:
            as_before(store.part(stage, "fr", DATES[0], shard))
    assert "evidence" not in pq.read_schema(part(root, "samples")).names
    assert problems(capsys) == []
    assert problems(capsys, "--quick") == []


def test_an_added_column_of_another_type_is_found(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = part(root, "samples")
    table = pq.read_table(path)
    index = table.schema.get_field_index("evidence")
    changed = table.set_column(index, "evidence", pa.nulls(len(table), pa.string()))
    pq.write_table(changed.replace_schema_metadata(pq.read_metadata(path).metadata), path)
    (problem, *_) = problems(capsys, "--quick")
    assert (problem["what"], problem["where"]) == ("schema", str(path))
    assert "column 'evidence' is string" in problem["why"]


def rewritten(path: Path, change: Callable[[list[dict[str, object]]], None]) -> None:
    """The part with other rows and the stamp that it had."""
    table = pq.read_table(path)
    rows = table.to_pylist()
    change(rows)
    stamped = {key: value for key, value in pq.read_metadata(path).metadata.items() if key.startswith(b"ultralink")}
    schema = DIALOGUES.schema.with_metadata(stamped)
    pq.write_table(type(table).from_pylist(rows, schema=schema), path)


def test_changed_rows_are_found(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = part(root, "dialogues")

    def change(rows: list[dict[str, object]]) -> None:
        rows[0]["messages"][0]["content"] += " "  # type: ignore[index]

    rewritten(path, change)
    (problem,) = problems(capsys)
    assert (problem["what"], problem["where"]) == ("damage", str(path))
    assert "digest differs" in problem["why"]
    assert problems(capsys, "--quick") == []
    assert problems(capsys, "pool") == []


@pytest.mark.parametrize("stage", ["samples", "passages", "choice", "ledger"])
@pytest.mark.parametrize("harm", ["torn", "empty", "foreign"])
def test_a_file_that_is_no_part_is_found(root: Path, stage: str, harm: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = part(root, stage)
    content = path.read_bytes()
    path.unlink()
    path.write_bytes({"torn": content[: len(content) // 2], "empty": b"", "foreign": b"<html>not found</html>"}[harm])
    found = [problem for problem in problems(capsys) if problem["where"] == str(path)]
    assert [problem["what"] for problem in found] == ["damage"]
    assert any(problem["where"] == str(path) for problem in problems(capsys, "--quick"))


def test_flipped_bits_are_found(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = part(root, "passages")
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0xFF
    path.unlink()
    path.write_bytes(content)
    assert str(path) in [problem["where"] for problem in problems(capsys)]


def test_another_schema_version_is_found(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = Stage(SAMPLES.name, 1, SAMPLES.schema)
    Store.at(str(root)).part(old, "fr", DATES[0]).write([], "old")
    found = problems(capsys)
    assert {problem["what"] for problem in found} == {"schema", "statistics"}
    assert "schema version 1" in found[0]["why"]


def test_figures_that_do_not_agree_are_found(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = root / "statistics/fr" / f"{DATES[0]}.json"
    figures = json.loads(path.read_text())
    figures["subsets"]["math"]["samples"] += 1
    figures["calls"] += 5
    figures["passages"] += 2
    path.write_text(json.dumps(figures))
    found = problems(capsys)
    assert {problem["what"] for problem in found} == {"statistics"}
    told = " ".join(problem["why"] for problem in found)
    assert "samples of math: the statistics say" in told
    assert "paid of the ledger" in told
    assert "passages: " in told


def test_a_pool_that_lost_rows_is_found(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = root / "statistics/pool" / f"{DATES[0]}.json"
    figures = json.loads(path.read_text())
    figures["rows"]["math"] += 1
    path.write_text(json.dumps(figures))
    (problem,) = problems(capsys)
    assert (problem["what"], problem["where"]) == ("statistics", f"pool {DATES[0]}")


def test_half_of_a_publication_is_found(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    part(root, "samples").unlink()
    (problem,) = problems(capsys)
    assert "no part of samples" in problem["why"]
    (root / "statistics/fr" / f"{DATES[0]}.json").unlink()
    assert problems(capsys) == []  # now it is as if it had never been published, and young


def test_orphans_are_found_when_nobody_works_on_them(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for stage in ("samples", "rejects", "ledger"):
        part(root, stage).unlink()
    (root / "statistics/fr" / f"{DATES[0]}.json").unlink()
    aside = root / "dialogues/fr" / DATES[0] / ".00000.parquet.0123.tmp"
    aside.write_text("half")
    stray = root / "journal/fr/2026-10-10/old~1.log"
    stray.parent.mkdir()
    stray.write_text("")
    assert problems(capsys) == []
    for path in (*(path for path in root.rglob("*") if "fr" in path.parts),):
        age(path, 2)
    found = problems(capsys)
    assert {problem["what"] for problem in found} == {"orphan"}
    assert {problem["where"] for problem in found} == {f"fr {DATES[0]}", str(aside), str(stray.parent)}


def test_a_night_that_waits_for_a_batch_is_no_orphan(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for stage in ("samples", "rejects", "ledger"):
        part(root, stage).unlink()
    (root / "statistics/fr" / f"{DATES[0]}.json").unlink()
    asks = root / "journal/fr" / DATES[0] / "batches/dialogue.generate-0/0000-000-tag.asks"
    asks.parent.mkdir(parents=True)
    asks.write_text("[]")
    for path in (path for path in root.rglob("*") if "fr" in path.parts and path.is_file()):
        age(path, 3)
    assert problems(capsys, "fr") == []
    asks.unlink()
    assert [problem["what"] for problem in problems(capsys, "fr")] == ["orphan"]


def test_a_night_that_is_being_published_is_no_problem(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its statistics are there before its parts are."""
    figures = root / "statistics/fr" / f"{DATES[0]}.json"
    figures.write_text(figures.read_text().replace('"calls": ', '"calls": 9'))
    aside = part(root, "samples").with_name(".00000.parquet.0123.tmp")
    aside.write_text("half")
    assert problems(capsys, "fr") == []
    age(aside, 2)  # of an attempt that is dead
    assert [problem["what"] for problem in problems(capsys, "fr")] == ["statistics"]
    os.utime(aside)
    part(root, "samples").unlink()
    assert problems(capsys, "fr") == []


def test_parts_that_are_made_anew_or_go_meanwhile_are_no_damage(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known = verify.content_is
    store = Store.at(str(root))

    def slowly(one: Part, stamp: Stamp) -> bool:
        if one.path == str(part(root, "dialogues")) and stamp.fingerprint != "anew":
            rows = list(one.rows())
            one.write(rows[:1], "anew")
            part(root, "passages", 1).unlink(missing_ok=True)
        return known(one, stamp)

    monkeypatch.setattr(verify, "content_is", slowly)
    assert problems(capsys, "fr") == []
    anew = store.part(DIALOGUES, "fr", DATES[0]).stamp()
    assert anew is not None
    assert anew.fingerprint == "anew"

    monkeypatch.setattr(Part, "stamp", lambda one: anew)  # was there when it was looked for, and is gone
    check = verify.Verification(store)
    assert list(check._part(Part(store, DIALOGUES, f"{root}/dialogues/fr/{DATES[0]}/00099.parquet"))) == []


def test_a_damaged_journal_is_found(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = root / "journal/fr" / DATES[0] / "merged~0123.zst"
    for content in (b"ULJ1" + b"\0" * 40, b"nonsense", b"ULJ1\1"):
        path.write_bytes(content)
        (problem,) = problems(capsys)
        assert (problem["what"], problem["where"]) == ("damage", str(path.parent))


def test_a_damaged_release_is_found(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store.at(str(root))
    published_nights(store, ["2026-11-05"])
    release(store, version="1.0", languages=("en", "zh"))
    release(store, "another", version="2.0", languages=("en",))
    assert problems(capsys) == []
    (root / "releases/1.0/README.md").unlink()
    (root / "releases/2.0/release.json").unlink()
    (root / "releases/2.0/release.json").write_text("{")
    found = problems(capsys)
    assert [problem["where"] for problem in found] == [f"{root}/releases/1.0/README.md", f"{root}/releases/2.0"]
