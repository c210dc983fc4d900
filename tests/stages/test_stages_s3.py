"""All stages of the pool and of a night on S3 (moto's server stands in), moved to a disk and back, and looked at."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.commands.conftest import FEW, SHARDS
from tests.real.s3 import KEY, S3, SECRET, named, s3_server
from tests.stages.editions import built, edition
from tests.stages.nights import DATES, night
from tests.stages.test_batch_stages import at, is_paid_once, rows
from tests.test_offline_teacher import Running, serving
from tests.waiting import wait_for

from ultralink.__main__ import main
from ultralink.commands.gc import Limits, garbage, sweep
from ultralink.dataset import open_partition, open_rejects
from ultralink.pool.row import Kind
from ultralink.schemas import DIALOGUES, LEDGER, PASSAGES, REJECTS, SAMPLES
from ultralink.stages.calibrate import calibrate
from ultralink.stages.choose import choose_rows
from ultralink.stages.extract import extract
from ultralink.stages.generate import generate
from ultralink.stages.night import Night
from ultralink.stages.partition import Built
from ultralink.stages.publish import publish
from ultralink.stages.select import select
from ultralink.stages.statistics import statistics_path
from ultralink.stages.translate import translate_rows
from ultralink.store import Store
from ultralink.teacher.endpoint import Endpoint

if TYPE_CHECKING:
    from starlette.testclient import TestClient

ROOT = Path(__file__).parents[2]
NIGHT = DATES[0]


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    with s3_server() as running, named(running):
        yield running


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("teacher")) as running:
        yield running


@pytest.fixture(scope="module")
def made(server: S3, teacher: Running) -> Store:
    """An edition of the pool and a published night of French, made by all stages on S3."""
    store = Store.at(server.plain_url)
    pool(server.plain_url, teacher)
    whole(french(store), teacher)
    return store


def pool(root: str, teacher: Running) -> None:
    built(edition(root), Endpoint(teacher.url, {"Authorization": "Bearer any"}))


def french(store: Store, **changes: object) -> Night:
    return night(store, "fr", articles=11, rows=FEW, shards=SHARDS, **changes)


def whole(one: Night, teacher: Running) -> list[Built]:
    """All stages of a night."""
    endpoint = Endpoint(teacher.url, {"Authorization": "Bearer any"})
    done = [select(one), choose_rows(one), asyncio.run(calibrate(one, endpoint))]
    for shard in range(SHARDS):
        done += [extract(one, shard), asyncio.run(generate(one, shard, endpoint))]
    for kind in Kind:
        done += [asyncio.run(translate_rows(one, kind, n, endpoint)) for n in range(one.translated_shards)]
    return [*done, publish(one).built]


def busy(done: list[Built]) -> list[str]:
    """What those tasks said that had something to do."""
    return [built.line for built in done if "Nothing to do" not in built.line and "already chosen" not in built.line]


def all_parts(store: Store) -> dict[str, bytes]:
    """Every Parquet file by its path below the root."""
    found = (str(path) for path in store.fs.find(store.root))
    return {path.removeprefix(f"{store.root}/"): store.fs.cat_file(path) for path in found if path.endswith(".parquet")}


def paid(teacher: Running) -> int:
    return int(str(teacher.stats()["paid"]))


# --- made, moved, made again --------------------------------------------------------------------------


def test_a_second_run_finds_nothing_to_do_and_writes_nothing(made: Store, server: S3, teacher: Running) -> None:
    before, calls = server.requests(), paid(teacher)
    done = whole(french(made), teacher)
    assert busy(done) == []
    assert paid(teacher) == calls
    spent = server.requests() - before
    print(f"a night of {len(done)} tasks that has nothing to do: {dict(spent)}")
    assert spent["PUT"] == 0


def test_a_store_that_moves_to_a_disk_is_made_again_by_nobody(made: Store, teacher: Running, tmp_path: Path) -> None:
    made.fs.get(made.root, str(tmp_path / "moved"), recursive=True)
    moved = Store.at(str(tmp_path / "moved"))
    assert all_parts(moved).keys() == all_parts(made).keys()
    calls = paid(teacher)
    done = whole(french(moved), teacher)
    assert busy(done) == []

    # And made anew from the journal that S3 kept, every part comes out as it was there, byte for byte.
    whole(french(moved, rebuild=True), teacher)
    assert paid(teacher) == calls
    assert all_parts(moved) == all_parts(made)


def test_what_is_printed_and_written_names_no_key(made: Store) -> None:
    for path in made.fs.find(made.root):
        content = made.fs.cat_file(path)
        assert KEY.encode() not in content
        assert SECRET.encode() not in content
        assert b"aws_default" not in content


# --- batches, kills ------------------------------------------------------------------------------------


@pytest.fixture
def passages(made: Store, server: S3, teacher: Running, request: pytest.FixtureRequest) -> Store:
    """A store of its own with one night's passages."""
    store = Store.at(f"{server.plain_url}-{abs(hash(request.node.name))}")
    one = night(store, "fr", articles=4)
    select(one)
    extract(one, 0)
    teacher.stats("stats/reset", "POST")
    return store


def test_a_batch_that_is_killed_pays_nothing_twice_and_ends_as_live_would(
    passages: Store, teacher: Running, tmp_path: Path
) -> None:
    passages.fs.get(passages.root, str(tmp_path / "live"), recursive=True)
    command = [sys.executable, "-m", "tests.stages.one_batch_shard", f"s3://{passages.root}", teacher.url]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'include'}"}
    for point in ("5", "-1"):
        done = subprocess.run([*command, point], env=environment, cwd=ROOT, timeout=300, check=False)
        assert done.returncode == (0 if point == "-1" else -signal.SIGKILL)
    assert is_paid_once(teacher)
    live = night(tmp_path / "live", "fr")
    asyncio.run(generate(live, 0, at(teacher)))
    assert rows(night(passages, "fr"), DIALOGUES) == rows(live, DIALOGUES)
    assert len(rows(live, DIALOGUES)) > 0


def test_a_shard_that_is_killed_pays_again_only_what_was_in_flight(passages: Store, teacher: Running) -> None:
    command = [sys.executable, "-m", "tests.stages.one_shard", f"s3://{passages.root}", teacher.url]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'include'}"}
    journal = passages.folder("journal")
    with subprocess.Popen(command, env=environment, cwd=ROOT) as process:
        wait_for(lambda: len(passages.fs.find(journal)) >= 2 or process.poll() is not None, 120)
        process.kill()
    in_flight = night(passages, "fr").recipe.teacher.concurrency
    one = night(passages, "fr")
    asyncio.run(generate(one, 0, at(teacher)))
    page = teacher.stats()
    assert 0 <= int(str(page["paid"])) - int(str(page["unique"])) <= in_flight
    assert len(rows(one, DIALOGUES)) > 0


# --- reading, commands, page ---------------------------------------------------------------------------


def test_the_reading_interface_reads_a_night(made: Store, server: S3) -> None:
    data = open_partition(server.plain_url, "fr", NIGHT)
    stamp = made.part(SAMPLES, "fr", NIGHT).stamp()
    assert stamp is not None
    assert data.count() == stamp.rows == len(list(data))
    assert set(data.to_pandas(["language"])["language"]) == {"fr"}
    turned_away = made.part(REJECTS, "fr", NIGHT).stamp()
    assert turned_away is not None
    assert open_rejects(server.plain_url, "fr", NIGHT).count() == turned_away.rows


def test_the_commands_work_on_a_url(made: Store, server: S3, capsys: pytest.CaptureFixture[str]) -> None:
    def told(*arguments: str, code: int = 0) -> str:
        assert main(["--store", server.plain_url, *arguments]) == code
        return capsys.readouterr().out

    nights = json.loads(told("nights", "fr", "--json"))
    assert [(one["language"], one["date"], one["state"]) for one in nights] == [("fr", NIGHT, "published")]
    row = next(iter(open_partition(server.plain_url, "fr", NIGHT)))
    shown = json.loads(told("show", row.id, "--json"))
    assert shown["id"] == row.id
    assert shown["messages"][0]["content"] == row.messages[0].content
    stages = json.loads(told("explain", "part", "fr", NIGHT, "--json"))
    again = {one["stage"] for one in stages if one["would_be_made_again"] is not False}
    assert again == {"selection", "choice"}  # started by hand, with few articles and rows
    assert json.loads(told("verify", "--json"))["problems"] == []
    assert json.loads(told("gc", "--json")) == []

    torn = made.part(SAMPLES, "zh", NIGHT).path
    made.fs.pipe_file(torn, b"PAR1 torn")
    try:
        assert "zh" in told("verify", code=1)
    finally:
        made.fs.rm_file(torn)


@pytest.fixture
def page(server: S3, monkeypatch: pytest.MonkeyPatch, airflow_db: None) -> TestClient:
    """Somebody who may read and judge French, on the store as Airflow names it: by a connection."""
    return _client(server, monkeypatch)


def _client(server: S3, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from airflow.api_fastapi.core_api.security import get_user
    from fastapi import FastAPI
    from starlette.testclient import TestClient

    from ultralink_airflow.page import security
    from ultralink_airflow.page.app import build

    monkeypatch.setenv("ULTRALINK_STORE", server.store_url)
    app = build()
    app.dependency_overrides = {
        security.signed_in: lambda: None,
        get_user: lambda: SimpleAuthManagerUser(username="anna", role="admin"),
        security._readable_languages: lambda: ["fr"],
        security._pool_is_readable: lambda: False,
        security._releases_are_readable: lambda: False,
    }
    outer = FastAPI()
    outer.mount("/ultralink", app)
    return TestClient(outer, base_url="http://testserver/ultralink/", follow_redirects=False)


def test_the_page_shows_the_store(made: Store, page: TestClient) -> None:
    overview = page.get("")
    assert overview.status_code == 200, overview.text
    assert "fr" in overview.text
    listed = page.get(f"browse?language=fr&date={NIGHT}")
    assert listed.status_code == 200
    assert f"rows/fr/{NIGHT}/samples/0" in listed.text
    assert page.get(f"rows/fr/{NIGHT}/samples/0").status_code == 200
    assert page.get("verdicts.jsonl?language=fr").status_code == 200


def test_the_page_sees_at_once_what_another_process_wrote(made: Store, page: TestClient, server: S3) -> None:
    text = made.read_text(statistics_path(made, "fr", NIGHT))
    assert text is not None
    address = "browse?language=fr&date=2026-11-02"
    before = page.get(address).text
    assert "rows/fr/2026-11-02/samples/0" not in before
    copied = [SAMPLES, REJECTS, LEDGER]
    for stage in copied:
        made.fs.cp_file(made.part(stage, "fr", NIGHT).path, made.part(stage, "fr", "2026-11-02").path)
    made.write_text(statistics_path(made, "fr", "2026-11-02"), text.replace(NIGHT, "2026-11-02"))
    try:
        assert "rows/fr/2026-11-02/samples/0" in page.get(address).text
    finally:
        for stage in copied:
            made.fs.rm_file(made.part(stage, "fr", "2026-11-02").path)
        made.fs.rm_file(statistics_path(made, "fr", "2026-11-02"))


def test_a_store_that_is_down_is_a_page_and_an_exit_code(
    monkeypatch: pytest.MonkeyPatch, airflow_db: None, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with s3_server() as gone, named(gone):
        Store.at(gone.plain_url).write_text(f"{gone.bucket}/ultralink/statistics/fr/none.json", "{}")
        page = _client(gone, monkeypatch)
        assert page.get("").status_code == 200
        gone.stop()
        answer = page.get("")
        assert answer.status_code == 503
        assert "The store does not answer" in answer.text
        for secret in (KEY, SECRET, "aws_default"):
            assert secret not in answer.text
        assert main(["--store", gone.plain_url, "nights"]) == 2
        said = capsys.readouterr()
        assert "does not answer" in said.err
        assert "Traceback" not in said.err
        assert SECRET not in said.err


def test_gc_asks_the_store_for_the_age(made: Store) -> None:  # the last one: the night loses its parts
    limits = Limits(parts=1, journals=1)
    assert garbage(made, limits) == []
    # S3 sets the time of writing itself: so it is the clock that is moved on.
    later = datetime.now(UTC) + timedelta(days=3)
    found = garbage(made, limits, later)
    assert {one.what for one in found} >= {f"parts of fr {NIGHT}", f"journal of fr {NIGHT}"}
    for one in found:
        assert sweep(made, one)
    assert garbage(made, limits, later) == []
    assert made.parts(PASSAGES, "fr", NIGHT) == []
    assert made.part(SAMPLES, "fr", NIGHT).stamp() is not None
