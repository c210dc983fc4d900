"""A copy of a store that is being written, by the commands of docs/deploy.md: nothing that was paid for is missing."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from tests.real.debian import have_program
from tests.stages.nights import night
from tests.test_offline_teacher import Running, serving
from tests.waiting import wait_for

from ultralink.stages.extract import extract
from ultralink.stages.generate import generate
from ultralink.stages.night import Night
from ultralink.stages.publish import publish
from ultralink.stages.select import select
from ultralink.teacher.endpoint import Endpoint
from ultralink.teacher.journal import Journal
from ultralink.teacher.record import Record, Usage

ROOT = Path(__file__).parents[1]
DOCUMENT = (ROOT / "docs/deploy.md").read_text()


@pytest.fixture(scope="module", autouse=True)
def rsync() -> None:
    """What the documented commands need."""
    have_program("rsync", "rsync")


def documented(heading: str, **variables: str) -> None:
    """Run the shell block that the document has below ``heading``."""
    block = DOCUMENT.partition(f"### {heading}\n")[2].partition("```bash\n")[2].partition("```")[0]
    assert block.strip(), heading
    command, environment = ["bash", "-euc", block], {**os.environ, **variables}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr


def french(root: Path) -> Night:
    return night(root, "fr", articles=50)


def keys(one: Night) -> set[str]:
    return keys_of(Path(one.journal_folder))


def keys_of(folder: Path) -> set[str]:
    return {record.key for record in Journal.open(fsspec.filesystem("file"), str(folder), "reader").records()}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    folder = tmp_path / "teacher"
    folder.mkdir()
    with serving(folder, "--latency", "0.1") as running:
        yield running


def paid(server: Running) -> int:
    return int(str(server.stats()["paid"]))


def test_a_copy_taken_during_a_run_pays_only_for_what_came_later(server: Running, tmp_path: Path) -> None:
    store, backup, elsewhere = (tmp_path / name for name in ("store", "backup", "elsewhere"))
    one = french(store)
    select(one)
    extract(one, 0)
    command = [sys.executable, "-m", "tests.stages.one_shard", str(store), server.url]
    path = os.pathsep.join((str(ROOT), str(ROOT / "include")))
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}) as run:
        wait_for(lambda: len(keys(one)) >= 20, 60)
        durable = keys(one)
        documented("Copying", STORE=str(store), BACKUP=str(backup))
        assert run.poll() is None, "the copy was to be taken during the run"
        run.kill()  # the machine is lost

    documented("Restoring", STORE=str(elsewhere), BACKUP=str(backup))
    two = french(elsewhere)
    kept = keys(two)
    assert durable <= kept
    server.stats("stats/reset", "POST")
    endpoint = Endpoint(server.url, {"Authorization": "Bearer any"})
    asyncio.run(generate(two, 0, endpoint))
    assert paid(server) == len(keys(two)) - len(kept)
    publish(two)
    environment = {**os.environ, "PYTHONPATH": path, "ULTRALINK_STORE": str(elsewhere)}
    verify = [sys.executable, "-m", "ultralink", "verify"]
    done = subprocess.run(verify, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert paid(server) > 0


def test_an_older_store_is_filled_again_and_a_newer_one_is_left_alone(server: Running, tmp_path: Path) -> None:
    store, backup = tmp_path / "store", tmp_path / "backup"
    one = french(store)
    endpoint = Endpoint(server.url, {"Authorization": "Bearer any"})
    select(one)
    extract(one, 0)
    documented("Copying", STORE=str(store), BACKUP=str(backup))
    asyncio.run(generate(one, 0, endpoint))
    publish(one)
    bill = paid(server)

    again = asyncio.run(generate(french(store), 0, endpoint))  # the scheduler does not know of the night yet
    assert "Nothing to do" in again.line
    assert "Nothing to do" in publish(french(store)).built.line
    assert paid(server) == bill

    shutil.rmtree(store)
    documented("Restoring", STORE=str(store), BACKUP=str(backup))
    asyncio.run(generate(french(store), 0, endpoint))  # cleared
    publish(french(store))
    assert paid(server) == 2 * bill


def record(number: int) -> Record:
    return Record(
        key=f"{number:032x}", text="an answer", finish_reason="stop", model="m", served="m", usage=Usage(1, 0, 1),
        latency_s=1.0, created=f"2026-11-01T00:00:00.{number:06d}", run="r", shard=0, step="answer",
    )  # fmt: skip


def test_segments_merged_during_the_copy_are_not_missed(tmp_path: Path) -> None:
    store, backup = tmp_path / "store", tmp_path / "backup"
    folder = store / "journal/fr/2026-11-01"

    async def answers(writer: str, numbers: range) -> None:
        async with Journal.open(fsspec.filesystem("file"), str(folder), writer) as journal:
            await asyncio.gather(*(journal.put(record(number)) for number in numbers))

    for writer in range(40):
        asyncio.run(answers(f"{writer}", range(writer * 10, writer * 10 + 10)))
    over = threading.Event()

    def merge_again_and_again() -> None:
        first = 400
        while not over.is_set():
            asyncio.run(answers("late", range(first, first + 5)))
            first += 5
            Journal.open(fsspec.filesystem("file"), str(folder), "merger").compact(0)

    merger = threading.Thread(target=merge_again_and_again)
    merger.start()
    try:
        documented("Copying", STORE=str(store), BACKUP=str(backup))
    finally:
        over.set()
        merger.join()
    assert {f"{number:032x}" for number in range(400)} <= keys_of(backup / "journal/fr/2026-11-01")


def test_the_document_leaves_out_what_is_being_written() -> None:
    block = DOCUMENT.partition("### Copying\n")[2].partition("```bash\n")[2].partition("```")[0]
    calls = re.findall(r"rsync [^;\n]*", block)
    assert len(calls) == 2
    assert all("--exclude='.*.tmp'" in call for call in calls)
    assert "/journal" in calls[0].partition("--exclude=")[2], "the journal comes last"
