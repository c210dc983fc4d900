"""The store and the journal on object storage, as on a disk: moto's server stands in for S3, in another process."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path

import httpx
import pytest
from tests.real.s3 import KEY, S3, SECRET, named, s3_server
from tests.teacher.test_journal import key, record
from tests.test_store import selection_row

from ultralink.errors import (
    PartMissing,
    SchemaMismatch,
    StoreMissing,
    StoreRefused,
    StoreUnreachable,
)
from ultralink.release.claims import claim, give_back, owner_of
from ultralink.remote import Remote
from ultralink.schemas import PASSAGES, SELECTION
from ultralink.store import Store
from ultralink.teacher.journal import Journal
from ultralink.teacher.roster import Roster
from ultralink.watch.alarm import Alarm
from ultralink.watch.sent import Sent

ROOT = Path(__file__).parents[1]
_places = count()


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    with s3_server() as running, named(running):
        yield running


@pytest.fixture
def bucket(server: S3) -> Store:
    """A store of its own on S3."""
    return Store.at(f"{server.plain_url}-{next(_places)}")


@pytest.fixture(params=["disk", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """The contract of a store is the same on both."""
    return Store.at(str(tmp_path)) if request.param == "disk" else request.getfixturevalue("bucket")


def url(store: Store) -> str:
    return store.root if store.is_local else f"s3://{store.root}"


def run(code: str, *arguments: str) -> subprocess.Popen[str]:
    """Another process that knows the store's address from the environment only."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'include'}"}
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    )


# --- parts ------------------------------------------------------------------------------------------


def test_a_part_appears_whole_and_is_listed_at_once(store: Store) -> None:
    part = store.part(SELECTION, "zh", "2026-11-01", 3)
    assert part.stamp() is None
    assert store.dates(SELECTION, "zh") == []
    assert store.parts(SELECTION, "zh", "2026-11-01") == []
    written = part.write((selection_row(n) for n in range(1000)), "made by this")
    assert part.stamp() == written
    assert [row["position"] for row in part.rows()] == list(range(1000))
    assert store.dates(SELECTION, "zh") == ["2026-11-01"]
    assert [one.path for one in store.parts(SELECTION, "zh", "2026-11-01")] == [part.path]
    assert [path.rpartition("/")[2] for path in store.folders(SELECTION.name)] == ["zh"]
    with pytest.raises(PartMissing):
        list(store.part(PASSAGES, "zh", "2026-11-01").rows())


def test_a_bad_row_leaves_the_old_part_and_nothing_else(store: Store) -> None:
    part = store.part(SELECTION, "zh", "2026-11-01")
    before = part.write([selection_row(0)], "good")
    with pytest.raises(SchemaMismatch):
        part.write([*(selection_row(n) for n in range(300)), selection_row(1) | {"title": None}], "bad")
    with pytest.raises(RuntimeError, match="killed"), part.writer("f") as rows:
        rows.add(selection_row(0))
        raise RuntimeError("killed")
    assert part.stamp() == before
    assert [path.rpartition("/")[2] for path in store.fs.find(store.root)] == ["00000.parquet"]


def test_times_are_of_the_store_and_files_of_any_size_come_back(store: Store) -> None:
    part = store.part(SELECTION, "zh", "2026-11-01")
    part.write([selection_row(0)], "f")
    earlier = part.modified()
    text = "灯塔" * 200_000
    store.write_text(store.folder("statistics", "zh.json"), text)
    assert store.read_text(store.folder("statistics", "zh.json")) == text
    assert store.read_text(store.folder("statistics", "none.json")) is None
    assert part.modified() == earlier
    assert earlier.utcoffset() is not None


def test_a_folder_that_a_console_marked_holds_nothing(bucket: Store) -> None:
    bucket.fs.pipe_file(f"{bucket.folder('selection')}/", b"")
    assert bucket.folders("selection") == []
    assert bucket.dates(SELECTION, "zh") == []
    assert bucket.parts(SELECTION, "zh", "2026-11-01") == []


LISTENER = """
import sys
from ultralink.schemas import SELECTION
from ultralink.store import Store

store = Store.at(sys.argv[1])
for _ in sys.stdin:
    languages = [path.rpartition("/")[2] for path in store.folders("selection")]
    print(store.dates(SELECTION, "zh"), languages, store.fs.exists(store.folder("selection", "fr")), flush=True)
"""


def test_a_process_that_lives_long_sees_at_once_what_another_wrote(store: Store) -> None:
    with run(LISTENER, url(store)) as other:
        assert other.stdin is not None
        assert other.stdout is not None

        def seen() -> str:
            assert other.stdin is not None
            assert other.stdout is not None
            other.stdin.write("look\n")
            other.stdin.flush()
            return other.stdout.readline().strip()

        assert seen() == "[] [] False"
        store.part(SELECTION, "zh", "2026-11-01").write([selection_row(0)], "f")
        assert seen() == "['2026-11-01'] ['zh'] False"
        store.part(SELECTION, "zh", "2026-11-02").write([selection_row(0)], "f")
        store.part(SELECTION, "fr", "2026-11-02").write([selection_row(0)], "f")
        assert seen() == "['2026-11-01', '2026-11-02'] ['fr', 'zh'] True"
        other.stdin.close()


ENDLESS = """
import sys
from tests.test_store import selection_row
from ultralink.schemas import SELECTION
from ultralink.store import Store

part = Store.at(sys.argv[1]).part(SELECTION, "zh", "2026-11-01")
with part.writer("second") as rows:
    for number in range(10**9):
        rows.add(selection_row(number))
        if number == 1000:
            print("writing", flush=True)
"""


def test_a_writer_that_is_killed_leaves_the_old_part(store: Store) -> None:
    part = store.part(SELECTION, "zh", "2026-11-01")
    first = part.write([selection_row(0)], "first")
    with run(ENDLESS, url(store)) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "writing\n"
        writer.kill()
    assert part.stamp() == first
    second = part.write([selection_row(0), selection_row(1)], "second")
    assert (part.stamp(), second.rows) == (second, 2)
    if not store.is_local:  # on a disk a hidden file stays for a day
        assert store.fs.find(store.root) == [part.path]


def test_a_store_that_was_opened_before_a_fork_works_in_the_child(bucket: Store) -> None:
    part = bucket.part(SELECTION, "zh", "2026-11-01")
    part.write([selection_row(0)], "f")
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        try:
            bucket.part(SELECTION, "fr", "2026-11-01").write(part.rows(), "child")
            os.write(writing, b"done")
        except BaseException as error:
            os.write(writing, repr(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as told:
        assert told.read() == "done"
    assert bucket.part(SELECTION, "fr", "2026-11-01").stamp() is not None


def test_airflows_connection_and_the_environment_open_the_same_store(
    server: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ultralink_airflow.base import open_store

    outside = Store.at(server.plain_url)
    monkeypatch.setenv("ULTRALINK_STORE", server.store_url)
    with monkeypatch.context() as patch:  # only the connection knows the key and the place
        for name in server.environment:
            if name.startswith("AWS_"):
                patch.delenv(name)
        inside = open_store()
        written = inside.part(SELECTION, "zh", "2026-11-01").write([selection_row(0)], "inside")
    assert inside.root == outside.root
    assert outside.part(SELECTION, "zh", "2026-11-01").stamp() == written
    outside.part(SELECTION, "zh", "2026-11-02").write([selection_row(0)], "outside")
    assert inside.dates(SELECTION, "zh") == ["2026-11-01", "2026-11-02"]


def test_a_connection_in_the_url_is_for_airflow_only(server: S3) -> None:
    with pytest.raises(StoreMissing, match="an Airflow connection") as caught:
        Store.at(server.store_url)
    assert "aws_default" not in str(caught.value)


# --- one of two ---------------------------------------------------------------------------------------


def test_of_many_who_claim_at_once_one_gets_it(store: Store) -> None:
    owners = [f"run-{number}" for number in range(8)]
    for number in range(5):
        path = store.folder("releases", ".claims", f"1.{number}")
        with ThreadPoolExecutor(len(owners)) as pool:
            got = list(pool.map(lambda owner, path=path: claim(store, path, owner), owners))
        assert got.count(True) == 1
        assert owner_of(store, path) == owners[got.index(True)]
        assert claim(store, path, owners[got.index(True)])
    give_back(store, path, "somebody else")
    assert owner_of(store, path) is not None
    give_back(store, path, owners[got.index(True)])
    assert claim(store, path, "another")


CLAIMANT = """
import sys
from ultralink.release.claims import claim
from ultralink.store import Store

store = Store.at(sys.argv[1])
sys.stdin.readline()
print(claim(store, store.folder("releases", ".claims", "1.0"), sys.argv[2]))
"""


def test_of_two_processes_that_claim_at_once_one_gets_it(store: Store) -> None:
    both = [run(CLAIMANT, url(store), owner) for owner in ("first", "second")]
    for process in both:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert sorted(process.communicate()[0].strip() for process in both) == ["False", "True"]


def test_of_many_tasks_one_sends_the_alarm(store: Store) -> None:
    alarm = Alarm(kind="failed", key="one", title="a night failed", text="why", quiet_s=None)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: Sent(store).claim(alarm), range(8))).count(True) == 1


def test_writers_see_each_other_in_the_roster(store: Store) -> None:
    folder = store.folder("teacher", "roster")
    one, two = (Roster(store.fs, folder, "https://teacher.example/v1", name) for name in ("one", "two"))
    assert one.beat() == 1
    assert two.beat() == 2
    assert one.beat() == 2
    two.leave()
    assert one.beat() == 1


# --- the journal --------------------------------------------------------------------------------------


async def filled(store: Store, calls: int, at_once: int, opened: Callable[[Store, str], Journal]) -> None:
    """``calls`` answers, each put as soon as a place among ``at_once`` is free, as a shard's rows do."""
    numbers = iter(range(calls))
    async with opened(store, "shard-0") as journal:

        async def row() -> None:
            for number in numbers:
                await journal.put(record(number))

        await asyncio.gather(*(row() for _ in range(at_once)))


def opened(store: Store, writer: str) -> Journal:
    return Journal.open(store.fs, store.folder("journal", "zh", "2026-11-01"), writer)


def test_answers_are_found_by_the_next_attempt(store: Store) -> None:
    asyncio.run(filled(store, 40, 8, opened))
    journal = opened(store, "shard-0")
    assert len(journal) == 40
    found = asyncio.run(journal.get(key(39)))
    assert found is not None
    assert found == record(39)
    assert asyncio.run(journal.get(key(40))) is None
    assert len(list(journal.records())) == 40


def test_a_thousand_calls_cost_few_requests(server: S3, bucket: Store) -> None:
    before = server.requests()
    asyncio.run(filled(bucket, 1000, 64, opened))
    spent = server.requests() - before
    print(f"1,000 calls, 64 at once: {dict(spent)}")
    segments = bucket.fs.find(bucket.folder("journal"))
    assert len(segments) <= 1000 / 64 + 4  # those that wait together share one PUT
    assert spent["PUT"] == len(segments)
    assert spent["GET"] + spent["HEAD"] <= 3

    before = server.requests()
    journal = opened(bucket, "again")
    assert len(journal) == 1000
    reading = server.requests() - before
    print(f"opening its journal of {len(segments)} segments: {dict(reading)}")
    assert reading.total() <= len(segments) + 2
    assert reading["PUT"] == 0

    before = server.requests()
    done = journal.compact()
    merging = server.requests() - before
    print(f"merging them: {dict(merging)}")
    assert merging.total() <= 2 * len(segments) + 8
    assert (done.segments, done.lines) == (len(segments), 1000)
    assert len(bucket.fs.find(bucket.folder("journal"))) == 1
    assert len(opened(bucket, "third")) == 1000


def test_segments_are_read_ahead_whatever_happens_to_them(bucket: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for writer in range(9):
        asyncio.run(_one(bucket, writer))
    monkeypatch.setattr("ultralink.teacher.storage.AHEAD", 4)
    reader = opened(bucket, "reader")
    assert len(reader) == 9
    names = reader._store.names()
    reader._store.open(names[0]).close()
    bucket.fs.rm_file(f"{bucket.folder('journal', 'zh', '2026-11-01')}/{names[5]}")
    assert reader._store.open(names[2]).read().endswith(b"\n")
    with pytest.raises(FileNotFoundError):
        reader._store.open(names[5])
    assert len(opened(bucket, "reader")) == 8


async def _one(store: Store, number: int) -> None:
    async with opened(store, f"writer-{number}") as journal:
        await journal.put(record(number))


WRITER = """
import asyncio, sys
from tests.teacher.test_journal import record
from ultralink.store import Store
from ultralink.teacher.journal import Journal

async def main():
    store = Store.at(sys.argv[1])
    journal = Journal.open(store.fs, store.folder("journal", "zh", "2026-11-01"), "killed")

    async def row(first):
        for number in range(first, 10**6, 8):
            await journal.put(record(number))
            print(number, flush=True)

    await asyncio.gather(*map(row, range(8)))

asyncio.run(main())
"""


def test_what_was_acknowledged_survives_sigkill(store: Store) -> None:
    with run(WRITER, url(store)) as writer:
        assert writer.stdout is not None
        acknowledged = []
        for line in writer.stdout:
            acknowledged.append(int(line))
            if len(acknowledged) == 25:
                writer.kill()
                break
        acknowledged += [int(rest) for rest in writer.stdout if rest.endswith("\n")]
    journal = opened(store, "next")
    assert all(key(number) in journal for number in acknowledged)


def test_a_journal_is_merged_while_another_process_reads_it(store: Store) -> None:
    asyncio.run(filled(store, 30, 3, opened))
    reader, writer = opened(store, "reader"), opened(store, "writer")
    done = writer.compact(quiet_s=-1)
    assert done.lines == 30
    for number in range(30):
        assert asyncio.run(reader.get(key(number))) == record(number)


# --- what goes wrong ------------------------------------------------------------------------------------


@contextmanager
def in_front(server: S3, answers: Iterator[int], to: str = "GET PUT HEAD POST DELETE") -> Iterator[str]:
    """A door to the server that first gives these ``answers``: error codes, as S3 words them. Yields its address."""

    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            code = next(answers, 0) if self.command in to else 0
            if code:
                text = f"<Error><Code>{WORDS[code]}</Code><Message>said by the test</Message></Error>".encode()
                self._answer(code, text if self.command != "HEAD" else b"", {"content-type": "application/xml"})
                return
            headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "expect")}
            done = httpx.request(self.command, server.endpoint + self.path, content=body, headers=headers, timeout=30)
            keep = ("etag", "last-modified", "content-type", "content-range", "x-amz-request-id")
            self._answer(
                done.status_code, done.content, {name: done.headers[name] for name in keep if name in done.headers}
            )

        def _answer(self, code: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = pass_on

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Door) as door:
        door.daemon_threads = True
        threading.Thread(target=door.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{door.server_address[1]}"
        finally:
            door.shutdown()


WORDS = {
    403: "AccessDenied",
    409: "ConditionalRequestConflict",
    412: "PreconditionFailed",
    500: "InternalError",
    503: "SlowDown",
}


def through(store: Store, address: str) -> Store:
    """The same store by another door."""
    import fsspec

    return Store(fsspec.filesystem("s3", endpoint_url=address, skip_instance_cache=True), store.root)


def test_a_store_that_slows_us_down_for_a_moment_is_asked_again(server: S3, bucket: Store) -> None:
    with in_front(server, iter([503, 500, 503])) as address:
        store = through(bucket, address)
        written = store.part(SELECTION, "zh", "2026-11-01").write([selection_row(0)], "f")
    assert bucket.part(SELECTION, "zh", "2026-11-01").stamp() == written


def test_a_store_that_keeps_failing_is_an_error_that_a_retry_may_mend(
    server: S3, bucket: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with in_front(server, iter(lambda: 500, None)) as address:
        store = through(bucket, address)
        with pytest.raises(StoreUnreachable, match="selection/zh/2026-11-01"):
            store.part(SELECTION, "zh", "2026-11-01").write([selection_row(0)], "f")


@pytest.mark.parametrize("code", [409, 412])
def test_who_comes_second_by_a_hair_does_not_get_it(server: S3, bucket: Store, code: int) -> None:
    path = bucket.folder("releases", ".claims", "1.0")
    assert claim(bucket, path, "first")
    with in_front(server, iter(lambda: code, None), "PUT") as address:
        assert not claim(through(bucket, address), path, "second")
        assert claim(through(bucket, address), path, "first")  # its answer was lost, and it asked again
        with pytest.raises(OSError, match="said by the test"):
            claim(through(bucket, address), bucket.folder("releases", ".claims", "2.0"), "second")


def test_a_refused_key_is_no_damage_and_no_missing_part(server: S3, bucket: Store) -> None:
    bucket.part(SELECTION, "zh", "2026-11-01").write([selection_row(0)], "f")
    with in_front(server, iter(lambda: 403, None)) as address:
        store = through(bucket, address)
        part = store.part(SELECTION, "zh", "2026-11-01")
        for work in (
            part.stamp,
            lambda: list(part.rows()),
            lambda: part.write([selection_row(0)], "f"),
            lambda: store.dates(SELECTION, "zh"),
            lambda: opened(store, "any"),
            lambda: claim(store, store.folder("x"), "me"),
            lambda: asyncio.run(filled(store, 1, 1, lambda store, writer: _unread(store, writer))),
        ):
            with pytest.raises(StoreRefused) as caught:
                work()
            assert KEY not in str(caught.value)
            assert SECRET not in str(caught.value)


def _unread(store: Store, writer: str) -> Journal:
    from ultralink.teacher.storage import storage

    return Journal(storage(store.fs, store.folder("journal", "zh")), writer)


def test_a_bucket_that_is_not_there_is_not_made(server: S3) -> None:
    store = Store.at("s3://misspelt/ultralink")
    with pytest.raises(StoreMissing, match="no such bucket"):
        store.part(SELECTION, "zh", "2026-11-01").write([selection_row(0)], "f")
    with pytest.raises(StoreMissing, match="no such bucket"):
        asyncio.run(filled(store, 1, 1, opened))
    assert not store.fs.exists("misspelt")


def test_no_key_at_all_is_told(server: S3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    import fsspec

    store = Store(fsspec.filesystem("s3", skip_instance_cache=True), f"{server.bucket}/nobody")
    with pytest.raises(StoreRefused, match="credentials"):
        store.part(SELECTION, "zh", "2026-11-01").write([selection_row(0)], "f")


def test_a_store_that_is_down_is_told_and_no_key_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_server() as server, named(server):
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")  # as often as s3fs tries, not five times that
        store = Store.at(server.plain_url)
        part = store.part(SELECTION, "zh", "2026-11-01")
        part.write([selection_row(0)], "f")
        roster = Roster(store.fs, store.folder("teacher", "roster"), "https://teacher.example/v1", "one")
        server.stop()
        for work in (part.stamp, lambda: store.dates(SELECTION, "zh"), lambda: opened(store, "any")):
            with pytest.raises(StoreUnreachable, match="does not answer") as caught:
                work()
            assert KEY not in str(caught.value)
            assert SECRET not in str(caught.value)
        with pytest.raises(OSError, match="does not answer"):  # who can do without the roster goes on
            roster.beat()


def test_what_a_remote_store_is_opened_for_is_reading(bucket: Store) -> None:
    assert isinstance(bucket.fs, Remote)
    with pytest.raises(ValueError, match="is written by"):
        bucket.fs.open(bucket.folder("x"), "wb")
