"""The journal: nothing that was acknowledged is lost, whatever is torn, killed, merged or full."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path

import fsspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ultralink.errors import StoreFull, StoreReadOnly
from ultralink.teacher import storage
from ultralink.teacher.journal import Journal
from ultralink.teacher.record import Record, Usage, decode, encode, is_sound

LOCAL = fsspec.filesystem("file")
QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def key(number: int) -> str:
    return f"{number:032x}"


def record(number: int, text: str = "an answer", created: str = "2026-11-01T12:00:00.000000+00:00") -> Record:
    return Record(
        key=key(number),
        text=text,
        finish_reason="stop",
        model="m",
        served="m-1",
        usage=Usage(10, 2, 5),
        latency_s=0.5,
        created=created,
        run="run",
        shard=0,
        step="question",
    )


def write(folder: Path, writer: str, *records: Record) -> None:
    async def main() -> None:
        async with Journal.open(LOCAL, str(folder), writer) as journal:
            await asyncio.gather(*(journal.put(each) for each in records))

    asyncio.run(main())


def read(folder: Path, fs: fsspec.AbstractFileSystem = LOCAL) -> dict[str, Record]:
    """All answers, each looked up by its key."""

    async def main() -> dict[str, Record]:
        journal = Journal.open(fs, str(folder), "reader")
        keys = {each.key for each in journal.records()}
        assert len(keys) == len(journal)
        found = {each: await journal.get(each) for each in keys}
        return {name: each for name, each in found.items() if each is not None}

    return asyncio.run(main())


def segments(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


# --- records -----------------------------------------------------------------------------------

texts = st.text(max_size=200)


@given(texts, texts)
def test_a_record_survives_its_line(text: str, step: str) -> None:
    if any("\ud800" <= each <= "\udfff" for each in text + step):
        return
    whole = record(1, text)
    line = encode(whole)
    assert line.count(b"\n") == 1
    assert is_sound(line)
    assert decode(line) == whole


@given(st.data())
def test_any_change_of_a_line_is_noticed(data: st.DataObject) -> None:
    line = bytearray(encode(record(1, "some text")))
    place = data.draw(st.integers(0, len(line) - 1))
    line[place] ^= data.draw(st.integers(1, 255))
    assert not is_sound(bytes(line))


# --- durable before the row moves on -----------------------------------------------------------


def test_an_answer_is_found_again_and_a_stranger_is_not(tmp_path: Path) -> None:
    write(tmp_path, "a", record(1, "one"), record(2, "two"))
    found = read(tmp_path)
    assert {each.text for each in found.values()} == {"one", "two"}

    async def main() -> None:
        journal = Journal.open(LOCAL, str(tmp_path), "b")
        assert await journal.get(key(3)) is None
        assert key(1) in journal
        assert key(3) not in journal

    asyncio.run(main())


def test_opening_and_reading_write_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "never"
    assert read(folder) == {}
    assert not folder.exists()


def test_many_waiters_share_one_fsync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    real = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda file: synced.append(os.fstat(file).st_size) or real(file))
    write(tmp_path, "a", *(record(number) for number in range(100)))
    assert len(synced) == 1
    assert synced[0] == segments(tmp_path)[0].stat().st_size


def test_put_returns_only_after_the_fsync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    real = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda file: (real(file), events.append("synced"))[0])

    async def main() -> None:
        async with Journal.open(LOCAL, str(tmp_path), "a") as journal:
            await journal.put(record(1))
            events.append("returned")

    asyncio.run(main())
    assert events == ["synced", "returned"]


def test_a_waiter_that_is_cancelled_does_not_undo_the_write(tmp_path: Path) -> None:
    async def main() -> None:
        async with Journal.open(LOCAL, str(tmp_path), "a") as journal:
            cancelled = asyncio.create_task(journal.put(record(1)))
            other = asyncio.create_task(journal.put(record(2)))
            await asyncio.sleep(0)
            cancelled.cancel()
            await other

    asyncio.run(main())
    assert set(read(tmp_path)) == {key(1), key(2)}


WRITER = """
import asyncio, sys, fsspec
from tests.teacher.test_journal import record
from ultralink.teacher.journal import Journal

async def main():
    journal = Journal.open(fsspec.filesystem("file"), sys.argv[1], "killed")
    for number in range(10**6):
        await journal.put(record(number))
        print(number, flush=True)

asyncio.run(main())
"""


def test_what_was_acknowledged_survives_sigkill(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root}:{root / 'include'}"}
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, env=environment, text=True
    ) as writer:
        assert writer.stdout is not None
        for line in writer.stdout:
            if int(line) >= 20:
                writer.kill()
                break
        acknowledged = [int(line), *(int(rest) for rest in writer.stdout if rest.endswith("\n"))]
    assert {key(number) for number in range(acknowledged[-1] + 1)} <= set(read(tmp_path))


# --- torn and garbled --------------------------------------------------------------------------


def test_a_last_record_torn_at_any_byte_is_survived(tmp_path: Path) -> None:
    folder = tmp_path / "j"
    write(folder, "a", record(1, "one"), record(2, "two"))
    (path,) = segments(folder)
    whole = path.read_bytes()
    start = whole.index(b"\n") + 1
    for end in range(start, len(whole)):
        path.write_bytes(whole[:end])
        assert set(read(folder)) == {key(1)}, end
    path.write_bytes(whole[: len(whole) - 1])
    write(folder, "a", record(3, "three"))  # the next attempt goes on in a segment of its own
    assert set(read(folder)) == {key(1), key(3)}


@QUICK
@given(data=st.data())
def test_garbage_costs_only_what_it_hits(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("j")
    write(folder, "a", *(record(number) for number in range(5)))
    write(folder, "b", record(9))
    path = next(each for each in segments(folder) if each.name.startswith("a~"))
    lines = path.read_bytes().splitlines(keepends=True)
    hit = data.draw(st.integers(0, 4))
    place = data.draw(st.integers(0, len(lines[hit]) - 2))  # not the line break, which would take the next along
    damaged = bytearray(lines[hit])
    damaged[place] ^= data.draw(st.integers(1, 255).filter(lambda flip: damaged[place] ^ flip != 0x0A))
    path.write_bytes(b"".join([*lines[:hit], bytes(damaged), *lines[hit + 1 :]]))
    assert set(read(folder)) == {key(9), *(key(number) for number in range(5) if number != hit)}


def test_a_record_of_another_make_is_left_out(tmp_path: Path) -> None:
    import zlib

    json = b'{"something": "else"}'
    tmp_path.joinpath("x~1.0000.log").write_bytes(b"%08x %b\n" % (zlib.crc32(json), json) + encode(record(1)))
    assert set(read(tmp_path)) == {key(1)}


# --- several writers ---------------------------------------------------------------------------


def test_two_attempts_at_once_have_their_own_segments(tmp_path: Path) -> None:
    async def main() -> None:
        one = Journal.open(LOCAL, str(tmp_path), "shard-0")
        two = Journal.open(LOCAL, str(tmp_path), "shard-0")
        await asyncio.gather(*(each.put(record(number, "x" * 5000)) for number in range(40) for each in (one, two)))
        await one.close()
        await two.close()

    asyncio.run(main())
    assert len(segments(tmp_path)) == 2
    assert len(read(tmp_path)) == 40


def test_the_record_created_first_holds_for_every_reader(tmp_path: Path) -> None:
    early, late = "2026-11-01T12:00:00.000000+00:00", "2026-11-01T12:00:01.000000+00:00"
    for folder, order in ((tmp_path / "x", (late, early)), (tmp_path / "y", (early, late))):
        for writer, created in zip("ab", order, strict=True):
            write(folder, writer, record(1, created, created))
        assert read(folder)[key(1)].text == early
        merge(folder)
        assert read(folder)[key(1)].text == early
    assert len(list(Journal.open(LOCAL, str(tmp_path / "x"), "r").records())) == 2  # both were paid for


Step = tuple[str, int, int]  # what to do, by which writer, with which key
steps = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "put", "restart", "tear", "merge"]),
        st.integers(0, 2),
        st.integers(0, 9),
    ),
    max_size=30,
)


@QUICK
@given(steps=steps, seed=st.integers(0, 2**16))
def test_no_interleaving_loses_an_answer(
    steps: list[Step], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Writers that put, die, leave torn ends and merge one another, in any order, keep every answer."""
    folder = tmp_path_factory.mktemp("j")
    draw = random.Random(seed)

    async def main() -> None:
        journals = [Journal.open(LOCAL, str(folder), f"writer-{number}") for number in range(3)]
        written: dict[str, list[Record]] = {}
        for count, (what, who, number) in enumerate(steps):
            if what == "put":
                new = record(
                    number,
                    f"text {count} " * draw.randrange(1, 40),
                    f"2026-11-01T12:00:{draw.randrange(60):02}",
                )
                await journals[who].put(new)
                written.setdefault(new.key, []).append(new)
            elif what == "restart":
                journals[who] = Journal.open(LOCAL, str(folder), f"writer-{who}")
            elif what == "tear":
                (folder / f"dead~{count}.0000.log").write_bytes(encode(record(number))[: draw.randrange(60)])
            else:
                journals[who].compact(quiet_s=-1)
        for journal in [*journals, Journal.open(LOCAL, str(folder), "reader")]:
            if journal not in journals:
                assert len(journal) == len(written)
            for name, all_of_it in written.items():
                found = await journal.get(name)
                if journal not in journals:
                    assert found == min(all_of_it, key=lambda each: (each.created, encode(each)))
                else:
                    assert found is None or found in all_of_it
        everything = [encode(each) for each in Journal.open(LOCAL, str(folder), "reader").records()]
        assert sorted(everything) == sorted({encode(each) for all_of_it in written.values() for each in all_of_it})

    asyncio.run(main())


# --- compaction --------------------------------------------------------------------------------


def merge(folder: Path, quiet_s: float = -1) -> int:
    return Journal.open(LOCAL, str(folder), "merger").compact(quiet_s).segments


def test_dead_segments_become_one_and_no_answer_is_lost(tmp_path: Path) -> None:
    for number in range(20):
        write(
            tmp_path,
            f"w{number % 3}",
            *(record(number * 100 + each, f"text {each} " * 50) for each in range(30)),
        )
    before = read(tmp_path)
    size = sum(path.stat().st_size for path in segments(tmp_path))
    assert merge(tmp_path) == 20
    (merged,) = segments(tmp_path)
    assert merged.suffix == ".zst"
    assert merged.stat().st_size < size / 5
    assert read(tmp_path) == before
    assert merge(tmp_path) == 0  # nothing left to do
    write(tmp_path, "late", record(1_000_000))
    assert merge(tmp_path) == 2
    assert len(read(tmp_path)) == len(before) + 1


def test_a_merged_segment_of_many_blocks_is_read_at_any_place(tmp_path: Path) -> None:
    draw = random.Random(1)
    write(tmp_path, "a", *(record(number, draw.randbytes(1500).hex()) for number in range(500)))
    before = read(tmp_path)
    merge(tmp_path)
    assert read(tmp_path) == before


def test_a_segment_that_was_just_written_is_left_alone(tmp_path: Path) -> None:
    write(tmp_path, "a", record(1))
    write(tmp_path, "b", record(2))
    assert merge(tmp_path, quiet_s=3600) == 0
    assert all(path.suffix == ".log" for path in segments(tmp_path))


def test_a_living_writer_whose_segment_was_taken_loses_nothing(tmp_path: Path) -> None:
    """As after a jump of the file server's clock: everything looks old."""

    async def main() -> None:
        async with Journal.open(LOCAL, str(tmp_path), "alive") as journal:
            await journal.put(record(1))
            os.utime(segments(tmp_path)[0], (0, 0))
            assert merge(tmp_path, quiet_s=3600) == 1
            await journal.put(record(2))  # into a file that is no longer there
            assert (await journal.get(key(1)) or record(0)).key == key(1)
            assert (await journal.get(key(2)) or record(0)).key == key(2)

    asyncio.run(main())
    assert set(read(tmp_path)) == {key(1), key(2)}


def test_a_reader_with_an_old_index_finds_what_was_merged(tmp_path: Path) -> None:
    write(tmp_path, "a", record(1))
    write(tmp_path, "b", record(2))

    async def main() -> None:
        reader = Journal.open(LOCAL, str(tmp_path), "reader")
        merge(tmp_path)
        assert await reader.get(key(2)) == record(2)

    asyncio.run(main())


@pytest.mark.parametrize("call", ["unlink", "rename"])
def test_a_compaction_cut_short_at_any_call_loses_nothing(call: str, tmp_path: Path) -> None:
    """SIGKILL before the n-th change of the folder, for every n."""
    for calls in range(12):
        folder = tmp_path / str(calls)
        for number in range(4):
            write(folder, "w", record(number))
        code = (
            "import os, sys, fsspec, pathlib\n"
            "from ultralink.teacher.journal import Journal\n"
            f"real, left = pathlib.Path.{call}, [{calls}]\n"
            "def counted(*a, **k):\n"
            "    left[0] -= 1\n"
            "    if left[0] < 0: os.kill(os.getpid(), 9)\n"
            "    return real(*a, **k)\n"
            f"pathlib.Path.{call} = counted\n"
            "Journal.open(fsspec.filesystem('file'), sys.argv[1], 'm').compact(-1)\n"
        )
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "include")}
        done = subprocess.run([sys.executable, "-c", code, str(folder)], env=environment, check=False)
        assert set(read(folder)) == {key(number) for number in range(4)}
        assert len(list(Journal.open(LOCAL, str(folder), "r").records())) == 4
        merge(folder)
        assert set(read(folder)) == {key(number) for number in range(4)}
        if done.returncode == 0:
            return
    raise AssertionError("the compaction was never allowed to finish")


def test_damage_in_a_merged_segment_is_not_passed_over(tmp_path: Path) -> None:
    write(tmp_path, "a", record(1))
    merge(tmp_path)
    (path,) = segments(tmp_path)
    whole = bytearray(path.read_bytes())
    whole[-1] ^= 1
    path.write_bytes(whole)
    with pytest.raises(OSError, match="damaged"):
        Journal.open(LOCAL, str(tmp_path), "r")


# --- trouble with the disk ---------------------------------------------------------------------


def fail_with(number: int, after: int = 0) -> Callable[[int, bytes], int]:
    """An os.write that writes ``after`` bytes, then fails."""
    real, written = os.write, []

    def write(file: int, data: bytes) -> int:
        if not after or written:
            raise OSError(number, os.strerror(number))
        written.append(1)
        return real(file, bytes(data)[:after])

    return write


@pytest.mark.parametrize("after", [0, 1, 40])
@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, StoreFull),
        (errno.EDQUOT, StoreFull),
        (errno.EROFS, StoreReadOnly),
        (errno.EACCES, StoreReadOnly),
        (errno.EPERM, StoreReadOnly),
    ],
)
def test_a_disk_that_fails_leaves_nothing_half_written(
    number: int, expected: type[Exception], after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with Journal.open(LOCAL, str(tmp_path), "a") as journal:
            await journal.put(record(1))
            with monkeypatch.context() as patch:
                patch.setattr(storage.os, "write", fail_with(number, after))
                failed = await asyncio.gather(journal.put(record(2)), journal.put(record(3)), return_exceptions=True)
            assert [type(each) for each in failed] == [expected, expected]
            assert str(tmp_path) in str(failed[0])
            assert await journal.get(key(2)) is None
            await journal.put(record(4))  # space is back

    asyncio.run(main())
    assert set(read(tmp_path)) == {key(1), key(4)}
    assert all(is_sound(line) for path in segments(tmp_path) for line in path.read_bytes().splitlines(keepends=True))


def test_a_failed_fsync_is_a_failed_put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async def main() -> None:
        async with Journal.open(LOCAL, str(tmp_path), "a") as journal:
            with monkeypatch.context() as patch:
                patch.setattr(os, "fdatasync", broken)
                with pytest.raises(StoreFull):
                    await journal.put(record(1))
            await journal.put(record(2))

    asyncio.run(main())
    assert set(read(tmp_path)) == {key(2)}


def test_a_real_full_disk(tmp_path: Path) -> None:
    """/dev/full answers every write with ENOSPC."""
    log = storage.LocalStorage(tmp_path).log("a")
    log._opened()  # type: ignore[attr-defined]
    os.dup2(full := os.open("/dev/full", os.O_WRONLY), log._file)  # type: ignore[attr-defined]
    os.close(full)
    with pytest.raises(StoreFull):
        log.append(encode(record(1)))


def test_a_real_read_only_folder() -> None:
    with tempfile.TemporaryDirectory() as parent:
        Path(parent).chmod(0o755)
        folder = Path(parent) / "ro"
        folder.mkdir(mode=0o555)
        owner = os.geteuid()
        if owner == 0:  # root may write anywhere
            os.seteuid(65534)
        try:
            journal = Journal.open(LOCAL, str(folder), "a")
            with pytest.raises(StoreReadOnly):
                journal.check_writable()
            with pytest.raises(StoreReadOnly):
                asyncio.run(journal.put(record(1)))
        finally:
            os.seteuid(owner)


def test_an_unwritable_store_is_known_before_anything_is_paid(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        Journal.open(LOCAL, str(tmp_path / "file" / "journal"), "a").check_writable()


@pytest.mark.parametrize("name", ["", "../up", "a/b", "a~b", ".hidden", "x" * 200])
def test_a_writer_needs_a_plain_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="writer"):
        Journal.open(LOCAL, str(tmp_path), name)


# --- object stores -----------------------------------------------------------------------------


def on_memory(work: Callable[[fsspec.AbstractFileSystem, str], Coroutine[None, None, None]]) -> None:
    fs = fsspec.filesystem("memory")
    folder = f"/journal-{random.randrange(2**60):x}"
    try:
        asyncio.run(work(fs, folder))
    finally:
        if fs.exists(folder):
            fs.rm(folder, recursive=True)


def test_what_earlier_journals_answer_is_found_but_counted_there(tmp_path: Path) -> None:
    write(tmp_path / "one", "a", record(1), record(2))
    write(tmp_path / "two", "a", record(2, created="2026-11-02T12:00:00.000000+00:00"), record(3))

    async def main() -> None:
        async with Journal.open(
            LOCAL, str(tmp_path / "two"), "b", [str(tmp_path / "one"), str(tmp_path / "none")]
        ) as two:
            assert await two.get(key(1)) == record(1)
            assert key(1) in two
            assert await two.get(key(2)) == record(2, created="2026-11-02T12:00:00.000000+00:00")  # its own comes first
            assert await two.get(key(4)) is None
            assert {each.key for each in two.records()} == {key(2), key(3)}
            assert len(two) == 2

    asyncio.run(main())


def test_on_an_object_store_each_commit_is_one_object(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage.ObjectStorage, "window_s", 0.01)

    async def work(fs: fsspec.AbstractFileSystem, folder: str) -> None:
        async with Journal.open(fs, folder, "a") as journal:
            await asyncio.gather(*(journal.put(record(number)) for number in range(50)))
            await journal.put(record(50))
            assert len(fs.ls(folder)) == 2
            assert await journal.get(key(7)) == record(7)
        reader = Journal.open(fs, folder, "b")
        assert len(reader) == 51
        assert await reader.get(key(50)) == record(50)
        assert Journal.open(fs, folder, "c").compact().segments == 2
        assert len(fs.ls(folder)) == 1
        assert await reader.get(key(13)) == record(13)
        assert {each.key for each in Journal.open(fs, folder, "d").records()} == {key(n) for n in range(51)}

    on_memory(work)


def test_an_object_store_that_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage.ObjectStorage, "window_s", 0.01)

    async def work(fs: fsspec.AbstractFileSystem, folder: str) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise PermissionError("Access Denied")

        async with Journal.open(fs, folder, "a") as journal:
            with monkeypatch.context() as patch:
                patch.setattr(type(fs), "pipe_file", refuse)
                with pytest.raises(StoreReadOnly):
                    await journal.put(record(1))
            assert await journal.get(key(1)) is None

    on_memory(work)
