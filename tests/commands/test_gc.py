"""Gc: what goes, what never goes, that it asks first, and that a night can be made again after it."""

from __future__ import annotations

import asyncio
import json
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.commands.conftest import SHARDS, french
from tests.release.shelves import nights as published_nights
from tests.release.shelves import planned, release
from tests.stages.nights import DATES, files
from tests.test_offline_teacher import Running

from ultralink.__main__ import main
from ultralink.commands import gc
from ultralink.commands.gc import Limits, garbage, sweep
from ultralink.schemas import POOL, SAMPLES
from ultralink.stages.extract import extract
from ultralink.stages.generate import generate
from ultralink.store import Store
from ultralink.teacher.endpoint import Endpoint

DAY = 24 * 3600


def aged(root: Path, days: float) -> None:
    """All that is below ``root`` as if it had been written so many days earlier than it was."""
    for path in (root, *root.rglob("*")):
        if not path.is_symlink():
            written = path.stat().st_mtime - days * DAY
            os.utime(path, (written, written))


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, object]]:
    assert main(["gc", "--json", *arguments]) == 0
    found: list[dict[str, object]] = json.loads(capsys.readouterr().out)
    return found


def test_a_store_in_order_has_nothing_to_remove(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gc", "--yes", "--parts", "1", "--journals", "1"]) == 0
    assert "Nothing to remove" in capsys.readouterr().out


def test_what_dead_attempts_and_dry_runs_left_goes(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    aside = root / "math_rows/fr" / DATES[0] / ".00000.parquet.0123.tmp"
    dry = root / "rehearsals/counts/fr" / DATES[0] / "00000.json"
    dry.parent.mkdir(parents=True)
    for path in (aside, dry):
        path.write_text("{}")
    assert told(capsys) == []
    aged(root, 2)
    before = files(root)
    found = told(capsys)
    assert [one["what"] for one in found] == [str(aside.relative_to(root)), "rehearsals"]
    assert {one["removed"] for one in found} == {False}
    assert main(["gc"]) == 0
    assert "Nothing was removed: add --yes to remove these 2" in capsys.readouterr().out
    assert files(root) == before
    assert {one["removed"] for one in told(capsys, "--yes")} == {True}
    gone = {str(path.relative_to(root)) for path in (aside, dry)}
    assert set(before) - set(files(root)) == gone
    assert told(capsys) == []


def test_dead_releases_go_and_published_ones_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ULTRALINK_STORE", str(tmp_path))
    store = Store.at(str(tmp_path))
    published_nights(store)
    release(store, "first", version="1.0")
    published_nights(store, [DATES[1]])
    dead = planned(store, "dead", version="2.0")
    assert told(capsys) == []
    aged(tmp_path, 2)
    (found,) = told(capsys, "--yes")
    assert found["what"] == "run dead"
    assert not Path(dead.plan_path).exists()
    assert (tmp_path / "releases/1.0/release.json").exists()
    assert main(["release", "verify", "1.0"]) == 0


def test_parts_of_published_nights_go_when_asked_for(
    root: Path, teacher: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    aged(root, 10)
    assert told(capsys) == told(capsys, "--parts", "11") == []
    found = told(capsys, "--parts", "9", "--yes")
    assert [one["what"] for one in found] == [f"parts of fr {DATES[0]}", f"parts of pool {DATES[0]}"]
    left = {path.parts[len(root.parts)] for path in root.rglob("*.parquet")}
    assert left == {
        "selection", "articles", "article_rejects", "choice", "samples", "rejects", "ledger",
        "pool", "pool_rejects", "pool_ledger",
    }  # fmt: skip
    for command in (["verify"], ["nights"], ["explain", "part", "fr", DATES[0]], ["show", "fr", "--seed", "1"]):
        assert main(command) == 0
    teacher.stats("stats/reset", "POST")
    one = french(root)
    endpoint = Endpoint(teacher.url, {"Authorization": "Bearer any"})
    for shard in range(SHARDS):
        extract(one, shard)
        asyncio.run(generate(one, shard, endpoint))
    assert teacher.stats()["paid"] == 0
    assert main(["gc", "--parts", "9"]) == 0
    assert "whose parts are gone is made anew" not in capsys.readouterr().out  # changed since: they stay


def test_journals_go_only_when_asked_for_with_a_warning(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    aged(root, 10)
    stray = root / "journal/fr/2026-10-10/old~1.log"
    stray.parent.mkdir()
    stray.write_text("")
    aged(stray.parent, 8.5)
    assert main(["gc", "--journals", "9"]) == 0
    shown = capsys.readouterr().out
    assert "PAID ANSWERS" in shown
    assert "WARNING: journals hold answers that were paid for" in shown
    assert list((root / "journal/fr" / DATES[0]).iterdir())
    found = told(capsys, "--journals", "9", "--yes")
    assert [one["what"] for one in found] == [f"journal of fr {DATES[0]}"]
    assert list((root / "journal/pool" / DATES[0]).iterdir())  # later editions need no new verdict for the same chat
    assert not (root / "journal/fr" / DATES[0]).exists()
    assert [one["what"] for one in told(capsys, "--journals", "8", "--yes")] == ["journal of fr 2026-10-10"]
    assert not stray.parent.exists()
    assert main(["verify"]) == 0


def test_object_storage_is_no_different(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without folders and without renames; its clock says that all was written just now."""
    url = f"memory://{root.name}-{time.time_ns()}"
    store = Store.at(url)
    store.fs.put(f"{root}/", f"{store.root}/", recursive=True)
    for part in (*store.parts(SAMPLES, "fr", DATES[0]), *store.parts(POOL, "en", DATES[0])):  # published at last
        store.fs.pipe_file(part.path, store.fs.cat_file(part.path))
    for command in (["nights"], ["verify"], ["explain", "part", "fr", DATES[0]], ["show", "fr", "--seed", "1"]):
        assert main(["--store", url, *command]) == 0
    assert "no problems" in capsys.readouterr().out
    later = datetime.now(UTC) + timedelta(days=10)
    found = garbage(store, Limits(parts=9, journals=9), later)
    assert len(found) == 3
    assert all(sweep(store, one) for one in found)
    assert garbage(store, Limits(parts=9, journals=9), later) == []
    assert main(["--store", url, "verify"]) == 0


def test_what_a_night_was_made_of_stays_unless_it_is_published_and_sound(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, limits = Store.at(str(root)), Limits(parts=5, journals=5)
    aged(root, 10)
    names = [one.what for one in garbage(store, limits)]
    assert [name for name in names if " fr " in name] == [f"parts of fr {DATES[0]}", f"journal of fr {DATES[0]}"]

    def of_french() -> list[str]:
        return [one.what for one in garbage(store, limits) if " fr " in one.what]

    answers = next((root / "journal/fr" / DATES[0]).iterdir())
    os.utime(answers)
    assert of_french() == []  # a task that asks writes answers long before it writes a part
    aged(answers.parent, 2)
    assert of_french() == [f"parts of fr {DATES[0]}"]
    os.utime(root / "dialogues/fr" / DATES[0] / "00000.parquet")
    assert of_french() == []
    aged(root, 10)
    figures = root / "statistics/fr" / f"{DATES[0]}.json"
    sound = figures.read_text()
    figures.write_text(sound.replace('"calls": ', '"calls": 9'))
    assert of_french() == []
    figures.write_text("{")
    assert of_french() == []
    figures.unlink()
    assert of_french() == []
    figures.write_text(sound)
    samples = Path(store.part(SAMPLES, "fr", DATES[0]).path)
    content = samples.read_bytes()
    samples.unlink()
    samples.write_bytes(content[:-50])
    os.utime(samples, (time.time() - 9 * DAY,) * 2)
    assert of_french() == []


def test_what_a_night_needs_that_waits_for_a_batch_stays(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A batch may take a day, and a wave after it another: meanwhile nothing is written."""
    store, limits = Store.at(str(root)), Limits(parts=1, journals=1)
    asks = root / "journal/fr" / DATES[0] / "batches/dialogue.generate-0/0000-000-tag.asks"
    stray = root / "journal/fr/2026-10-10/batches/dialogue.generate-0/0000-000-tag.asks"
    for path in (asks, stray):
        path.parent.mkdir(parents=True)
        path.write_text("[]")
    aged(root, 10)
    assert [one.what for one in garbage(store, limits) if " fr " in one.what] == []
    assert main(["gc"]) == 0
    words = " ".join(capsys.readouterr().out.split())
    for date in (DATES[0], "2026-10-10"):
        assert f"fr {date}: 1 batch file open at the provider. Tasks that wait for them take them in" in words
    for path in (asks, stray):
        path.rename(path.with_suffix(".json"))
    found = [one.what for one in garbage(store, limits) if " fr " in one.what]
    assert found == [f"parts of fr {DATES[0]}", f"journal of fr {DATES[0]}", "journal of fr 2026-10-10"]


def test_any_number_of_days_is_understood(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, "--parts", "999999999999999") == []


def test_what_is_written_to_meanwhile_stays(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    aged(root, 10)
    found = garbage(Store.at(str(root)), Limits(journals=5))
    journal = next(one for one in found if one.what == f"journal of fr {DATES[0]}")
    (root / "journal/fr" / DATES[0] / "new~1.log").write_text("an answer\n")
    assert not sweep(Store.at(str(root)), journal)
    assert (root / "journal/fr" / DATES[0] / "new~1.log").exists()
    monkeypatch.setattr(gc, "garbage", lambda *_: found)
    assert main(["gc", "--journals", "5", "--yes"]) == 0
    assert "1 stayed: they were written to meanwhile" in capsys.readouterr().out
