"""The shelf: which releases there are, whether one is damaged, and what may go."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.release.nights_of_samples import assembly
from tests.release.shelves import nights, planned, release, stage

from ultralink.errors import ReleaseMissing
from ultralink.release.claims import claim, give_back, owner_of
from ultralink.release.leftovers import prunable, remove
from ultralink.release.manifest import Configuration, ReleasedFile, configurations
from ultralink.release.shelf import Damage, Shelf
from ultralink.stages import release_publish
from ultralink.stages.assembly import Assembly
from ultralink.stages.release_plan import plan_release
from ultralink.stages.release_publish import publish_release
from ultralink.store import Store


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store.at(str(tmp_path) if request.param == "local" else f"memory://{tmp_path}")


def shelf_with(store: Store, *versions: str) -> Shelf:
    """Releases of the same night, published in that order."""
    nights(store)
    for version in versions:
        release(store, f"run of {version}", version=version)
    return Shelf(store)


# --- listing ----------------------------------------------------------------------------------------


def test_releases_are_listed_in_the_order_of_publishing(store: Store) -> None:
    shelf = shelf_with(store, "b", "a", "c")
    assert [manifest.version for manifest in shelf.manifests()] == ["b", "a", "c"]
    assert shelf.versions() == ["a", "b", "c"]
    assert shelf.manifest("latest").version == shelf.pointer() == "c"


def test_an_empty_shelf_says_so(store: Store) -> None:
    shelf = Shelf(store)
    assert shelf.versions() == []
    assert shelf.latest() is None
    for version in ("latest", "1.0"):
        with pytest.raises(ReleaseMissing):
            shelf.manifest(version)


@pytest.mark.parametrize("version", ["3.0", "../releases/1.0", "", ".staging", "1.0\n"])
def test_a_release_that_is_not_there_is_told_with_those_that_are(store: Store, version: str) -> None:
    with pytest.raises(ReleaseMissing, match=r"there are: 1\.0, 2\.0"):
        shelf_with(store, "1.0", "2.0").manifest(version)


def test_a_folder_without_a_manifest_is_no_release(store: Store) -> None:
    shelf = shelf_with(store, "1.0")
    store.write_text(store.folder("releases", "0.5", "README.md"), "unfinished")
    assert shelf.versions() == ["1.0"]


@pytest.mark.parametrize("content", [b"{", b'{"version": "1.0"}', b"", b"\xff\xfe"])
def test_a_damaged_manifest_is_named_and_harms_no_other_release(store: Store, content: bytes) -> None:
    shelf = shelf_with(store, "1.0", "2.0")
    store.fs.rm(f"{shelf.path('1.0')}/release.json")
    store.fs.pipe_file(f"{shelf.path('1.0')}/release.json", content)
    with pytest.raises(ReleaseMissing, match=r"1\.0/release\.json: cannot be read"):
        shelf.manifest("1.0")
    assert [manifest.version for manifest in shelf.manifests()] == ["2.0"]
    assert release(store, "run of 3.0", version="3.0").version == shelf.pointer() == "3.0"


def test_a_copy_of_a_release_under_another_name_is_none_and_costs_no_release(store: Store) -> None:
    shelf = shelf_with(store, "1.0", "2.0", "3.0")
    store.fs.cp(shelf.path("1.0"), shelf.path("1.0-copy"), recursive=True)
    with pytest.raises(ReleaseMissing, match=r"1\.0-copy/release\.json: is that of release 1\.0"):
        shelf.manifest("1.0-copy")
    assert [manifest.version for manifest in shelf.manifests()] == ["1.0", "2.0", "3.0"]
    assert prunable(shelf, 3) == []


def test_a_folder_in_the_place_of_the_manifest_makes_no_release(tmp_path: Path) -> None:
    (tmp_path / "releases/1.0/release.json").mkdir(parents=True)
    assert Shelf(Store.at(str(tmp_path))).versions() == []


@given(
    counts=st.dictionaries(
        st.tuples(
            st.sampled_from(["en", "zh", "zh-hant"]),
            st.sampled_from(["chat_specific", "chat_agnostic", "math", "code"]),
        ),
        st.tuples(st.lists(st.integers(0, 9), min_size=1, max_size=3), st.lists(st.integers(0, 9), max_size=2)),
    )
)
def test_the_rows_of_each_configuration_are_those_of_its_parquet_files(
    counts: dict[tuple[str, str], tuple[list[int], list[int]]],
) -> None:
    files = []
    for (language, subset), splits in counts.items():
        for split, sizes in zip(("train", "validation"), splits, strict=True):
            names = [f"data/{language}_{subset}/{split}-{n:05d}-of-{len(sizes):05d}.parquet" for n in range(len(sizes))]
            files += [_file(name, rows) for name, rows in zip(names, sizes, strict=True)]
        files.append(_file(f"messages/{language}_{subset}.train.jsonl", 1000))
    assert configurations(files) == tuple(
        Configuration(language=language, subset=subset, train=sum(train), validation=sum(validation))
        for (language, subset), (train, validation) in counts.items()
    )


def _file(path: str, rows: int) -> ReleasedFile:
    return ReleasedFile(path=path, format="any", rows=rows, bytes=0, sha256="")


# --- checking ---------------------------------------------------------------------------------------


def test_every_kind_of_damage_is_found(store: Store) -> None:
    shelf = shelf_with(store, "1.0")
    assert list(shelf.verify("1.0")) == []
    folder = shelf.path("1.0")
    math, code = (f"data/en_{subset}/train-00000-of-00001.parquet" for subset in ("math", "code"))
    content = bytearray(store.fs.cat_file(f"{folder}/{math}"))
    content[len(content) // 2] ^= 1
    for path, changed in ((math, bytes(content)), ("README.md", b"shorter"), ("data/new.parquet", b"added")):
        if store.is_local:
            Path(folder, path).unlink(missing_ok=True)
        store.fs.pipe_file(f"{folder}/{path}", changed)
    store.fs.rm(f"{folder}/{code}")
    found = {damage.path: damage.what for damage in shelf.verify("latest")}
    assert set(found) == {math, code, "README.md", "data/new.parquet"}
    assert "another content" in found[math]
    assert "bytes" in found["README.md"]
    assert found[code] == "is missing"
    assert Damage("data/new.parquet", "does not belong to the release") in list(shelf.verify("1.0"))


# --- claims -----------------------------------------------------------------------------------------


def test_a_claim_is_its_owners_until_it_is_given_back(store: Store) -> None:
    path = store.folder("releases", ".claims", "1.0")
    assert claim(store, path, "one")
    assert claim(store, path, "one")
    assert not claim(store, path, "two")
    give_back(store, path, "two")
    assert owner_of(store, path) == "one"
    give_back(store, path, "one")
    assert owner_of(store, path) is None
    assert claim(store, path, "two")
    assert [name.rpartition("/")[2] for name in store.folders("releases", ".claims")] == ["1.0"]


# --- pruning ----------------------------------------------------------------------------------------


def pruned(shelf: Shelf, keep: int, protect: list[str] | None = None) -> list[str]:
    found = prunable(shelf, keep, protect or [])
    for leftover in found:
        remove(shelf, leftover)
    return [leftover.what for leftover in found]


def test_the_oldest_go_and_the_protected_stay(store: Store) -> None:
    shelf = shelf_with(store, "1", "2", "3", "4")
    assert [one.what for one in prunable(shelf, 2, ["1"])] == ["release 2"]
    assert shelf.versions() == ["1", "2", "3", "4"], "looking removes nothing"
    assert pruned(shelf, 2, ["1"]) == ["release 2"]
    assert shelf.versions() == ["1", "3", "4"]
    assert store.fs.find(shelf.path("2")) == []
    assert pruned(shelf, 1) == ["release 1", "release 3"]
    assert list(shelf.verify("latest")) == []
    assert pruned(shelf, 1) == []


def test_what_latest_names_stays_even_if_it_is_not_the_newest(store: Store) -> None:
    shelf = shelf_with(store, "1", "2", "3")
    shelf._point("1")
    assert pruned(shelf, 1) == ["release 2"]


def test_a_protected_version_that_is_not_there_is_an_error(store: Store) -> None:
    with pytest.raises(ReleaseMissing, match="'2' to protect"):
        prunable(shelf_with(store, "1"), 1, ["2"])


def test_at_least_one_release_is_kept(store: Store) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        prunable(shelf_with(store, "1"), 0)


def test_who_reads_a_file_of_a_pruned_release_reads_on(tmp_path: Path) -> None:
    shelf = shelf_with(Store.at(str(tmp_path)), "1", "2")
    path = tmp_path / "releases/1/README.md"
    content = path.read_bytes()
    with path.open("rb") as reading:
        assert pruned(shelf, 1) == ["release 1"]
        assert reading.read() == content
    assert not path.exists()


def test_a_removal_that_was_cut_short_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.at(str(tmp_path))
    shelf = shelf_with(store, "1", "2")
    leftover = prunable(shelf, 1)[0]
    with monkeypatch.context() as broken:
        broken.setattr(store.fs, "rm", _kill)
        with pytest.raises(KeyboardInterrupt):
            remove(shelf, leftover)
    assert shelf.versions() == ["2"], "it vanished at once"
    assert len(list((tmp_path / "releases/.going").iterdir())) == 1
    assert len(pruned(shelf, 1)) == 1
    assert list((tmp_path / "releases/.going").iterdir()) == []


def _kill(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_two_prunes_at_once_do_not_fail(store: Store) -> None:
    shelf = shelf_with(store, "1", "2")
    leftovers = prunable(shelf, 1)
    for leftover in leftovers * 2:
        remove(shelf, leftover)
    assert shelf.versions() == ["2"]


# --- dead runs --------------------------------------------------------------------------------------


def age(root: Path, hours: int) -> None:
    """Make all in the store so much older."""
    then = (datetime.now(UTC) - timedelta(hours=hours)).timestamp()
    for path in root.rglob("*"):
        os.utime(path, (then, then), follow_symlinks=False)


def test_a_run_that_was_still_for_a_day_is_removed_with_all_it_left(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    shelf = shelf_with(store, "1")
    dead = planned(store, "dead", version="2")
    stage(dead)
    age(tmp_path, 23)
    assert prunable(shelf, 1) == []
    age(tmp_path, 25)
    live = planned(store, "live", version="3")
    stage(live)
    found = prunable(shelf, 1)
    assert [(one.what, one.why) for one in found] == [("run dead", "it published nothing")]
    assert found[0].bytes > 1000
    for leftover in found:
        remove(shelf, leftover)
    assert not Path(dead.staging).exists()
    assert [path.name for path in (tmp_path / "releases/.claims").iterdir()] == ["3"]
    assert publish_release(live).manifest.version == "3"


def test_a_plan_of_another_version_of_this_software_hinders_nobody(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    store.write_text(store.folder("assembly", "old-run", "plan.json"), '{"version": 7}')
    age(tmp_path, 24 * 15)
    shelf = shelf_with(store, "1")
    assert store.folders("assembly", "old-run") == []
    assert shelf.pointer() == "1"


def test_a_run_that_wrote_one_file_today_is_alive(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    nights(store)
    run = planned(store, "slow")
    age(tmp_path, 48)
    stage(run)
    assert prunable(Shelf(store), 1) == []


def test_a_claim_alone_is_removed_too(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    claim(store, store.folder("releases", ".claims", "9"), "dead-run")
    age(tmp_path, 30)
    assert pruned(Shelf(store), 1) == ["run dead-run"]
    assert claim(store, store.folder("releases", ".claims", "9"), "other")


def test_a_claim_of_a_version_that_looks_like_a_temporary_file_is_given_back(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    shelf_with(store, "1.tmp")
    assert store.folders("releases", ".claims") == []


def test_what_killed_tries_left_beside_shared_files_is_removed_after_a_day(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    shelf = shelf_with(store, "1")
    halves = [
        tmp_path / folder / f".00000.parquet.{'0' * 32}.tmp"
        for folder in ("features/en/2026-11-01", "findings/zh/2026-11-01", "releases/.claims")
    ]
    for half in halves:
        half.parent.mkdir(parents=True, exist_ok=True)
        half.write_bytes(bytes(100))
    assert prunable(shelf, 1) == []
    age(tmp_path, 25)
    assert sum(one.bytes for one in prunable(shelf, 1)) == 300
    assert len(pruned(shelf, 1)) == 3
    assert not any(half.exists() for half in halves)
    assert shelf.pointer() == "1"


def test_the_plan_of_a_published_run_is_no_leftover_until_the_release_goes(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    shelf = shelf_with(store, "1", "2")
    age(tmp_path, 48)
    assert [one.what for one in prunable(shelf, 1)] == ["release 1"]
    pruned(shelf, 1)
    assert pruned(shelf, 1) == ["run run of 1"]
    cleared = assembly(store, run_id="run of 2", version="2", attempt=2)
    assert plan_release(cleared).line.startswith("Nothing to do")


def test_a_copy_of_a_dead_run_goes_with_its_claim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On object storage a dead publish leaves a version's files without a manifest."""
    store = Store.at(f"memory://{tmp_path}")
    nights(store)
    run = planned(store, version="1")
    stage(run)
    with monkeypatch.context() as broken:
        broken.setattr(Store, "write_text", _kill)
        with pytest.raises(KeyboardInterrupt):
            publish_release(run)
    shelf = Shelf(store)
    assert store.fs.find(shelf.path("1")) != []
    for file in store.fs.store.values():
        file.created -= timedelta(days=2)
    assert pruned(shelf, 1) == [f"run {run.run_id}"]
    assert store.fs.find(shelf.path("1")) == []
    assert store.folders("releases", ".publishing") == []
    assert _republished(store) == "1"


def _republished(store: Store) -> str:
    run: Assembly = planned(store, "another", version="1")
    stage(run)
    return release_publish.publish_release(run).manifest.version
