"""Publishing: a release appears whole and once, whatever dies on the way and whoever else publishes."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from tests.real.disks import leave_free, read_only, small_disk
from tests.release.nights_of_samples import assembly
from tests.release.shelves import index_of, nights, planned, release, removal, stage, tree

from ultralink.errors import NoPartitions, PartMissing, ReleaseExists, StoreFull, StoreReadOnly
from ultralink.release.manifest import MANIFEST, Manifest, ReleasedFile
from ultralink.release.recipe import ReleaseRecipe
from ultralink.release.shelf import Shelf
from ultralink.schemas import REMOVED, STAGED_FILES
from ultralink.stages import release_publish
from ultralink.stages.assembly import CARD, PROVENANCE, Assembly
from ultralink.stages.release_plan import plan_release, published
from ultralink.stages.release_publish import publish_release
from ultralink.store import Store


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store.at(str(tmp_path) if request.param == "local" else f"memory://{tmp_path}")


def staged(store: Store, run_id: str = "manual__1", **changes: object) -> Assembly:
    run = planned(store, run_id, **changes)
    stage(run)
    return run


def again(run: Assembly) -> Assembly:
    """The same run in the process of another try."""
    return assembly(run.store, run_id=run.run_id, version=run.version, attempt=2)


# --- what a release says of itself --------------------------------------------------------------------


def test_the_release_is_what_was_staged(store: Store) -> None:
    nights(store)
    run = planned(store, version="1.0")
    rows = index_of(run)
    stage(run, rows[1:], [removal(rows[0])])
    done = publish_release(run)
    folder = store.folder("releases", "1.0")
    assert done.built.outputs == (folder, f"{folder}/README.md", f"{folder}/{MANIFEST}")
    manifest = Shelf(store).manifest("1.0")
    assert manifest == done.manifest
    assert (manifest.version, manifest.run_id, manifest.fingerprint) == (
        "1.0",
        run.run_id,
        run.plan.fingerprint,
    )
    assert manifest.rows == len(rows) - 1
    assert manifest.removed == {"near": 1}
    assert {(each.language, each.subset, each.train) for each in manifest.configurations} >= {("zh", "math", 2)}
    assert [(night.language, night.date, night.rows) for night in manifest.sources] == [
        (each.language, each.date, each.rows) for each in run.plan.sources
    ]
    for file in manifest.files:
        content = store.fs.cat_file(f"{folder}/{file.path}")
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file.bytes, file.sha256)
    assert datetime.now(UTC) - manifest.created < timedelta(minutes=5)
    assert Shelf(store).pointer() == "1.0"


def test_the_manifest_holds_no_secret_and_no_folder_of_this_machine(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    nights(store)
    paths = (
        "https://me:pass-word@host.example/mgsm.jsonl?token=secret-token",
        "s3://key:secret-key@bucket/sets/mmlu.parquet",
        "/home/somebody/HumanEval.jsonl",
    )
    sets = [{"name": f"set{number}", "path": path, "fields": ["q"]} for number, path in enumerate(paths)]
    recipe = ReleaseRecipe.model_validate({"decontamination": {"sets": sets}, "blocklists": {"en": "/root/words.txt"}})
    plan = planned(store).plan.model_copy(update={"recipe": recipe})
    text = Manifest.of(plan, [], {}, datetime.now(UTC)).model_dump_json()
    for secret in ("pass-word", "secret", "somebody", "/root", str(tmp_path)):
        assert secret not in text
    assert [one["path"] for one in json.loads(text)["recipe"]["decontamination"]["sets"]] == [
        "https://host.example/mgsm.jsonl",
        "s3://bucket/sets/mmlu.parquet",
        "HumanEval.jsonl",
    ]


def test_files_cannot_be_written_and_latest_is_a_relative_link(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    nights(store)
    release(store, version="1.0")
    for path in (tmp_path / "releases/1.0").rglob("*"):
        if path.is_file():
            assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert (tmp_path / "releases/latest").readlink() == Path("1.0")
    assert (tmp_path / "releases/latest/README.md").is_file()


def test_what_an_earlier_try_staged_is_not_released(store: Store) -> None:
    nights(store)
    run = staged(store, version="1.0")
    store.write_text(run.staged("data/en_math/train-00001-of-00002.parquet"), "of an export in more files")
    publish_release(run)
    found = {str(path).partition("/1.0/")[2] for path in store.fs.find(store.folder("releases", "1.0"))}
    assert found == {file.path for file in Shelf(store).manifest("1.0").files} | {MANIFEST}


# --- what lacks -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "task"),
    [(("zh", "math"), r"'export' \(zh_math\)"), ((PROVENANCE,), "'split'"), ((CARD,), "'card'")],
)
def test_a_task_that_has_not_run_is_named(store: Store, names: tuple[str, ...], task: str) -> None:
    nights(store)
    run = staged(store)
    store.fs.rm(run.part(STAGED_FILES, *names).path)
    with pytest.raises(PartMissing, match=task):
        publish_release(run)
    assert Shelf(store).versions() == []


def test_the_list_of_removed_rows_is_needed(store: Store) -> None:
    nights(store)
    run = staged(store)
    store.fs.rm(run.part(REMOVED).path)
    with pytest.raises(PartMissing, match="'split'"):
        publish_release(run)


@pytest.mark.parametrize("harm", [lambda fs, path: fs.rm(path), lambda fs, path: fs.pipe_file(path, b"short")])
def test_a_staged_file_that_is_gone_or_cut_is_named_with_its_task(store: Store, harm: Callable[..., None]) -> None:
    nights(store)
    run = staged(store)
    harm(store.fs, run.staged("data/en_code/train-00000-of-00001.parquet"))
    with pytest.raises(PartMissing, match=r"en_code/train-00000.*'export' \(en_code\)"):
        publish_release(run)
    assert Shelf(store).versions() == []
    stage(run)
    assert publish_release(again(run)).manifest.rows == run.plan.rows


def test_a_release_without_a_row_is_none(store: Store) -> None:
    nights(store)
    run = planned(store)
    stage(run, [], [removal(row) for row in index_of(run)])
    with pytest.raises(NoPartitions, match=r"none of 16 samples.*removed\.parquet"):
        publish_release(run)
    assert Shelf(store).versions() == []


def test_nothing_can_be_published_before_a_plan(store: Store) -> None:
    with pytest.raises(PartMissing, match="'plan'"):
        publish_release(assembly(store))


# --- crashes ----------------------------------------------------------------------------------------


class Killed(BaseException):
    """The process ends here."""


def _kill(*_: object, **__: object) -> None:
    raise Killed


CRASHES: dict[str, tuple[object, str]] = {
    "before the manifest": (Store, "write_text"),
    "before it appears": (release_publish, "disk_errors"),
    "before latest": (Shelf, "point_latest"),
    "within latest": (Shelf, "_point"),
    "before cleaning": (release_publish, "tidy"),
    "within cleaning": (release_publish, "dead_runs"),
}


@pytest.mark.parametrize("place", CRASHES)
def test_the_next_try_ends_right_wherever_the_last_one_died(
    store: Store, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    nights(store)
    release(store, "before", version="0.9")
    run = staged(store, version="1.0")
    appeared = place not in ("before the manifest", "before it appears")
    with monkeypatch.context() as broken:
        broken.setattr(*CRASHES[place], _kill)
        with pytest.raises(Killed):
            publish_release(run)
    assert Shelf(store).holds("1.0") is appeared
    done = publish_release(again(run))
    assert done.built.line.startswith("Nothing to do" if appeared else "Published")
    assert Shelf(store).latest() == done.manifest
    assert Shelf(store).pointer() == "1.0"
    assert list(Shelf(store).verify("1.0")) == []
    assert_tidy(run)


@pytest.mark.parametrize("after", range(3))
def test_a_copy_that_was_cut_short_is_no_release_and_is_finished(
    tmp_path: Path, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.at(f"memory://{tmp_path}")
    nights(store)
    run, other = staged(store, version="1.0"), staged(store, "other", version="1.0")
    copy, copies = store.fs.cp_file, iter(range(100))
    with monkeypatch.context() as broken:
        broken.setattr(store.fs, "cp_file", lambda *paths: copy(*paths) if next(copies) < after else _kill())
        with pytest.raises(Killed):
            publish_release(run)
    assert Shelf(store).versions() == []
    with pytest.raises(ReleaseExists, match=f"run {run.key} is publishing"):
        publish_release(other)
    manifest = publish_release(again(run)).manifest
    assert manifest.run_id == run.run_id
    assert list(Shelf(store).verify("1.0")) == []
    with pytest.raises(ReleaseExists, match="another run published"):
        publish_release(other)


def test_a_try_that_was_taken_for_dead_may_finish_first(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    nights(store)
    run = staged(store, version="1.0")
    read, waiting = release_publish._staged_files, iter([True])

    def overtaken(mine: Assembly) -> list[ReleasedFile]:
        if next(waiting, False):
            publish_release(again(run))
        return read(mine)

    monkeypatch.setattr(release_publish, "_staged_files", overtaken)
    assert publish_release(run).built.line.startswith("Nothing to do")
    assert list(Shelf(store).verify("1.0")) == []
    assert_tidy(run)


def assert_tidy(run: Assembly) -> None:
    """Of a published run, its plan is all that is left."""
    left = [str(path) for path in run.store.fs.find(run.store.folder("assembly", run.key))]
    assert left == [run.plan_path]
    assert run.store.fs.find(run.staging) == []
    for claims in (".claims", ".publishing"):
        assert run.store.folders("releases", claims) == []


# --- cleared tasks ----------------------------------------------------------------------------------


def test_cleared_tasks_of_a_published_run_find_nothing_to_do(store: Store) -> None:
    nights(store)
    run = staged(store, version="1.0")
    manifest = publish_release(run).manifest
    assert published(again(run)) == manifest
    assert published(assembly(store, run_id="other")) is None
    assert plan_release(again(run)).line.startswith("Nothing to do")
    for options in ({"attempt": 2}, {"rebuild": True}):
        once_more = assembly(store, run_id=run.run_id, version="1.0", **options)
        assert publish_release(once_more).built.line.startswith("Nothing to do")
    store.fs.rm(run.plan_path)  # by hand
    assert publish_release(again(run)).manifest == manifest


def test_a_cleared_task_does_not_take_latest_back(store: Store) -> None:
    nights(store)
    first = staged(store, "first", version="1.0")
    publish_release(first)
    release(store, "second", version="2.0")
    publish_release(again(first))
    assert Shelf(store).pointer() == "2.0"


def test_a_run_whose_release_was_removed_may_make_it_again(store: Store) -> None:
    nights(store)
    run = staged(store, version="1.0")
    publish_release(run)
    store.fs.rm(Shelf(store).path("1.0"), recursive=True)
    assert published(again(run)) is None
    with pytest.raises(PartMissing, match="export"):
        publish_release(again(run))
    stage(run)
    assert publish_release(again(run)).built.line.startswith("Published")


def test_runs_that_were_given_up_are_cleared_and_live_ones_are_not(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    nights(store)
    dead, live = staged(store, "dead"), staged(store, "live")
    _age(tmp_path, dead, timedelta(days=15))
    release(store, "third", version="3.0")
    assert not Path(dead.staging).exists()
    assert not Path(dead.plan_path).exists()
    assert publish_release(again(live)).built.line.startswith("Published")


def _age(root: Path, run: Assembly, age: timedelta) -> None:
    """Make all that the run wrote as old as that."""
    then = (datetime.now(UTC) - age).timestamp()
    folders = [root / "assembly" / run.key, Path(run.staging)]
    claims = [path for path in (root / "releases/.claims").glob("*") if path.read_text() == run.key]
    for path in (*(each for folder in folders for each in folder.rglob("*")), *folders, *claims):
        os.utime(path, (then, then))


# --- two at once ------------------------------------------------------------------------------------


def _race(root: str, run_id: str, version: str | None, barrier: Barrier, told: multiprocessing.Queue[str]) -> None:
    store = Store.at(root)
    barrier.wait()
    try:
        run = staged(store, run_id, version=version)
        barrier.wait()
        told.put(f"published {publish_release(run).manifest.version}")
    except ReleaseExists:
        told.put("ReleaseExists")


def _two_at_once(root: Path, version: str | None) -> list[str]:
    spawning = multiprocessing.get_context("spawn")
    barrier, told = spawning.Barrier(2), spawning.Queue()
    processes = [
        spawning.Process(target=_race, args=(str(root), run_id, version, barrier, told)) for run_id in ("one", "two")
    ]
    for process in processes:
        process.start()
    answers = [told.get(timeout=120) for _ in processes]
    for process in processes:
        process.join()
    return sorted(answers)


def test_of_two_runs_with_one_version_exactly_one_wins(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    nights(store)
    assert _two_at_once(tmp_path, "1.0") == ["ReleaseExists", "published 1.0"]
    winner = Shelf(store).manifest("1.0").run_id
    assert list(Shelf(store).verify("1.0")) == []
    assert (tmp_path / "releases/1.0/README.md").read_text() == f"# Release 1.0 of {winner}\n"


def test_two_automatic_runs_publish_two_versions(tmp_path: Path) -> None:
    nights(Store.at(str(tmp_path)))
    assert _two_at_once(tmp_path, None) == ["published 2026.11.01", "published 2026.11.01-2"]
    shelf = Shelf(Store.at(str(tmp_path)))
    newest = shelf.latest()
    assert newest is not None
    assert shelf.pointer() == newest.version


def test_a_version_that_appears_in_the_last_moment_is_not_touched(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    nights(store)
    late = staged(store, "late", version="1.0")
    release(store, "early", version="1.0")
    before = store.fs.cat(store.fs.find(store.folder("releases", "1.0")))
    looks, holds = iter([True]), Shelf.holds
    with monkeypatch.context() as blind:  # at its first look
        blind.setattr(Shelf, "holds", lambda shelf, version: not next(looks, False) and holds(shelf, version))
        with pytest.raises(ReleaseExists, match="another run published"):
            publish_release(late)
    assert next(looks, None) is None
    with pytest.raises(ReleaseExists):
        publish_release(again(late))
    assert store.fs.cat(store.fs.find(store.folder("releases", "1.0"))) == before


def test_a_folder_that_is_no_release_is_not_overwritten(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    nights(store)
    run = staged(store, version="1.0")
    (tmp_path / "releases/1.0").mkdir()
    (tmp_path / "releases/1.0/notes.txt").write_text("mine")
    with pytest.raises(ReleaseExists):
        publish_release(run)
    assert tree(tmp_path / "releases/1.0") == {"notes.txt": b"mine"}


def test_latest_is_the_newest_although_another_run_publishes_while_it_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.at(str(tmp_path))
    nights(store)
    later = staged(store, "later", version="2.0")
    point, real = Shelf._point, iter([True])

    def interrupted(shelf: Shelf, version: str) -> None:
        if next(real, False):
            publish_release(later)
        point(shelf, version)

    monkeypatch.setattr(Shelf, "_point", interrupted)
    release(store, "sooner", version="1.0")
    assert Shelf(store).pointer() == "2.0"


# --- trouble with the disk --------------------------------------------------------------------------


def test_a_full_disk_in_the_middle_leaves_no_half_release(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    nights(Store.at(str(tmp_path / "nights")))
    with small_disk(disk, "4m"):
        shutil.copytree(tmp_path / "nights", disk, dirs_exist_ok=True)
        store = Store.at(str(disk))
        run = staged(store, version="1.0")
        before = tree(Path(run.staging))
        leave_free(disk, 0)
        with pytest.raises(StoreFull, match="Free some"):
            publish_release(run)
        assert Shelf(store).versions() == []
        assert not (disk / "releases/1.0").exists()
        assert tree(Path(run.staging)) == before
        leave_free(disk, 500_000)
        assert publish_release(again(run)).built.line.startswith("Published")
        assert list(Shelf(store).verify("1.0")) == []


def test_a_read_only_store_is_named_and_can_be_read(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    nights(store)
    release(store, "first", version="1.0")
    run = staged(store, "second", version="2.0")
    with read_only(tmp_path):
        with pytest.raises(StoreReadOnly, match=str(tmp_path)):
            publish_release(run)
        assert list(Shelf(store).verify("latest")) == []
    assert Shelf(store).versions() == ["1.0"]
