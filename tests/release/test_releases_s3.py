"""Releases on S3 (moto stands in): what a shelf on a disk promises, and reading one by other tools."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from tests.real.s3 import S3, named, s3_server
from tests.release.fake_hub import FakeHub
from tests.release.nights_of_samples import DATES
from tests.release.shelves import nights, release
from tests.release.small_release import small_release
from tests.release.test_comparison import (  # noqa: F401  # run here on S3
    test_a_removed_row_went_with_the_stage_the_reason_and_the_row_it_copies,
)
from tests.release.test_hub import FIRST, beside_git, hub, on_shelf, push  # noqa: F401
from tests.release.test_plan import (  # noqa: F401
    test_a_crash_between_claim_and_plan_keeps_the_version,
    test_two_runs_never_take_the_same_automatic_version,
)
from tests.release.test_publish import (  # noqa: F401
    Killed,
    _kill,
    again,
    assert_tidy,
    staged,
    test_a_run_whose_release_was_removed_may_make_it_again,
    test_a_staged_file_that_is_gone_or_cut_is_named_with_its_task,
    test_a_try_that_was_taken_for_dead_may_finish_first,
    test_cleared_tasks_of_a_published_run_find_nothing_to_do,
    test_the_release_is_what_was_staged,
)
from tests.release.test_shelf import (  # noqa: F401
    test_a_folder_without_a_manifest_is_no_release,
    test_every_kind_of_damage_is_found,
    test_releases_are_listed_in_the_order_of_publishing,
    test_two_prunes_at_once_do_not_fail,
)

from ultralink.dataset import open_release
from ultralink.errors import ReleaseExists
from ultralink.release.__main__ import main
from ultralink.release.shelf import Shelf
from ultralink.stages.release_publish import publish_release
from ultralink.store import Store

_places = count()


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    with s3_server() as running, named(running):
        yield running


@pytest.fixture
def store(server: S3) -> Store:
    return Store.at(f"{server.plain_url}-{next(_places)}")


@pytest.mark.parametrize("after", [0, 2])
def test_a_copy_that_was_cut_short_is_no_release_and_is_finished(
    store: Store, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    nights(store)
    run, other = staged(store, version="1.0"), staged(store, "other", version="1.0")
    copy, copies = store.fs.cp_file, iter(range(100))
    with monkeypatch.context() as broken:
        broken.setattr(
            store.fs, "cp_file", lambda *paths: copy(*paths) if next(copies) < after else _kill(), raising=False
        )
        with pytest.raises(Killed):
            publish_release(run)
    assert Shelf(store).versions() == []
    with pytest.raises(ReleaseExists, match=f"run {run.key} is publishing"):
        publish_release(other)
    manifest = publish_release(again(run)).manifest
    assert manifest.run_id == run.run_id
    assert list(Shelf(store).verify("1.0")) == []
    assert_tidy(run)


def test_a_reader_sees_all_of_a_release_or_nothing(server: S3, store: Store) -> None:
    nights(store)
    run = staged(store, version="1.0")
    seen: list[list[str]] = []
    done = threading.Event()

    def look() -> None:
        shelf = Shelf(Store.at(f"s3://{store.root}"))
        while not done.is_set():
            if versions := shelf.versions():
                seen.append([damage.path for damage in shelf.verify(versions[0])])

    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(look)
        publish_release(run)
        while not seen and not looking.done():
            pass
        done.set()
        looking.result()
    assert seen
    assert not any(seen)


def test_of_two_runs_that_publish_one_version_at_once_one_does(store: Store) -> None:
    nights(store)
    runs = [staged(store, name, version="1.0") for name in ("first", "second")]

    def published(number: int) -> str:
        try:
            return publish_release(runs[number]).manifest.run_id
        except ReleaseExists:
            return ""

    with ThreadPoolExecutor(2) as pool:
        winners = [name for name in pool.map(published, range(2)) if name]
    assert len(winners) == 1
    assert Shelf(store).manifest("latest").run_id == winners[0]
    assert list(Shelf(store).verify("1.0")) == []


def test_the_commands_work_on_a_url(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"s3://{store.root}"
    for number, date in enumerate(DATES[:2]):
        nights(store, [date])
        release(store, f"run-{number}", version=f"{number + 1}.0")
    assert main(["--store", url, "path"]) == 0
    assert capsys.readouterr().out == f"{url}/releases/2.0\n"
    assert main(["--store", url, "compare", "1.0"]) == 0
    assert "New nights: en" in capsys.readouterr().out
    store.fs.rm_file(store.folder("releases", "1.0", "README.md"))
    assert main(["--store", url, "verify", "1.0"]) == 1
    assert "README.md is missing" in capsys.readouterr().out
    assert main(["--store", url, "verify"]) == 0
    assert main(["--store", url, "show", "3.0"]) == 2
    assert main(["--store", url, "prune", "--keep", "1", "--yes"]) == 0
    assert Shelf(store).versions() == ["2.0"]
    assert store.fs.find(store.folder("releases", "1.0")) == []


def test_a_release_is_pushed_to_the_hub(store: Store, hub: FakeHub) -> None:  # noqa: F811
    small_release(store)
    push(store, hub)
    assert beside_git(hub.repository.files(FIRST)) == on_shelf(store, FIRST)


def test_it_is_read_here_and_by_other_tools(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"s3://{store.root}"
    small_release(store, "2026.11.01")
    data = open_release(url)
    assert data.count() == 40
    math = data.where(language="zh", subset="math")
    ids = {sample.id for sample in math}
    assert len(ids) == math.count() == 5
    assert set(math.to_pandas(["id"])["id"]) == ids
    assert len(open_release(f"{url}/releases/2026.11.01").to_arrow(["id"])) == 40

    files = [path for path in store.fs.find(store.folder("releases", "2026.11.01", "data")) if "zh_math" in path]
    frames = [pd.read_parquet(f"s3://{path}") for path in files]
    assert set(pd.concat(frames)["id"]) == ids
    assert {value for path in files for value in pq.read_table(f"s3://{path}")["id"].to_pylist()} == ids
    assert {value for path in files for value in _bytes(store, path)} == ids

    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path))
    loaded = datasets.load_dataset(
        "parquet", data_files=[f"s3://{path}" for path in files], split="train", streaming=True
    )
    assert {row["id"] for row in loaded} == ids


def _bytes(store: Store, path: str) -> list[str]:
    return pq.read_table(io.BytesIO(store.fs.cat_file(path)))["id"].to_pylist()  # type: ignore[no-any-return]
