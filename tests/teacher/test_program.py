"""Running row programs: order, bounds, rows that fail, runs that end, and a killed process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest
from tests.teacher.fake_teacher import (
    Asked,
    FakeTeacher,
    Reply,
    completion,
    echo,
    error,
    fake_teacher,
    good,
    opened,
    say,
    slow,
)

from ultralink.errors import (
    AnswerInvalid,
    BudgetExceeded,
    ContextOverflow,
    KeyRejected,
    PartMissing,
    RequestRefused,
    TeacherUnavailable,
)
from ultralink.teacher import client
from ultralink.teacher.ask import Ask
from ultralink.teacher.budget import Budget
from ultralink.teacher.desk import rehearsal
from ultralink.teacher.endpoint import Limits
from ultralink.teacher.program import HOPELESS, WINDOW, Outcome, Progress, run_rows


async def one_ask(row: int, ask: Ask) -> str:
    return (await ask("step", say(str(row)))).text


async def three_asks(row: int, ask: Ask) -> str:
    """A small dialogue: each message quotes the answer before."""
    text = str(row)
    for _ in range(3):
        text = (await ask("step", say(f"{row}: {text}"))).text
    return text


async def collect(ask: Ask, rows: range, concurrency: int = 8, program: object = one_ask) -> list[Outcome[int, str]]:
    return [outcome async for outcome in run_rows(program, rows, ask, concurrency=concurrency)]  # type: ignore[arg-type]


def test_results_come_in_the_order_of_the_rows(tmp_path: Path) -> None:
    def script(asked: Asked) -> Reply:
        return Reply(body=completion(asked.last), hang_s=0.03 if int(asked.last) % 7 == 0 else 0)

    async def main() -> None:
        async with opened(script, str(tmp_path)) as (ask, _):
            outcomes = await collect(ask, range(60))
            assert [outcome.row for outcome in outcomes] == list(range(60))
            assert [outcome.result for outcome in outcomes] == [str(row) for row in range(60)]

    asyncio.run(main())


def test_no_rows(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(echo, str(tmp_path)) as (ask, fake):
            assert await collect(ask, range(0)) == []
            assert not fake.asked

    asyncio.run(main())


def test_rows_are_taken_only_as_they_are_needed(tmp_path: Path) -> None:
    taken = 0

    def rows() -> Iterator[int]:
        nonlocal taken
        for row in range(10_000):
            taken += 1
            yield row

    async def main() -> None:
        def script(asked: Asked) -> Reply:
            return Reply(body=completion("x"), hang_s=0.4 if asked.last == "0" else 0)

        async with opened(script, str(tmp_path)) as (ask, _):
            async with aclosing(run_rows(one_ask, rows(), ask, concurrency=2)) as outcomes:
                async for _ in outcomes:
                    break
            assert taken <= 2 * WINDOW + 1

    asyncio.run(main())


def test_a_slow_row_does_not_hold_up_the_others(tmp_path: Path) -> None:
    async def main() -> None:
        release = asyncio.Event()
        done: list[int] = []

        async def program(row: int, ask: Ask) -> str:
            if row == 0:
                await release.wait()
            text = await one_ask(row, ask)
            done.append(row)
            if len(done) == 20:
                release.set()
            return text

        async with opened(echo, str(tmp_path)) as (ask, _):
            await collect(ask, range(40), concurrency=4, program=program)
            assert done.index(0) >= 20

    asyncio.run(main())


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (error(400, "refused"), RequestRefused),
        (error(400, "too long", "context_length_exceeded"), ContextOverflow),
        (error(500, "down"), TeacherUnavailable),
    ],
)
def test_a_row_that_fails_costs_only_itself(
    fault: Reply, expected: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "FIRST_WAIT_S", 0.001)

    async def main() -> None:
        def script(asked: Asked) -> Reply:
            return fault if asked.last == "7" else echo(asked)

        async with opened(script, str(tmp_path)) as (ask, _):
            outcomes = await collect(ask, range(20))
            assert [type(outcome.error) for outcome in outcomes if outcome.error] == [expected]
            assert outcomes[7].error is not None
            assert outcomes[7].result is None
            assert sum(outcome.result is not None for outcome in outcomes) == 19

    asyncio.run(main())


def test_rows_that_all_fail_end_the_run(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(lambda _: error(400, "refused"), str(tmp_path)) as (ask, fake):
            with pytest.raises(RequestRefused, match=f"{HOPELESS} rows failed one after the other.*refused"):
                await collect(ask, range(10_000))
            assert len(fake.asked) < HOPELESS + 20

    asyncio.run(main())


def test_an_invalid_answer_is_a_failed_row(tmp_path: Path) -> None:
    async def program(row: int, ask: Ask) -> str:
        if row % 2:
            raise AnswerInvalid("nothing fits")
        return await one_ask(row, ask)

    async def main() -> None:
        async with opened(echo, str(tmp_path)) as (ask, _):
            outcomes = await collect(ask, range(100), program=program)
            assert [outcome.error is not None for outcome in outcomes] == [bool(row % 2) for row in range(100)]

    asyncio.run(main())


def test_a_permanent_error_ends_the_run_and_keeps_what_was_on_the_wire(tmp_path: Path) -> None:
    def script(asked: Asked) -> Reply:
        return error(401) if asked.last == "5" else Reply(body=completion(asked.last), hang_s=0.2)

    async def main() -> None:
        async with opened(script, str(tmp_path), limits=Limits(concurrency=8)) as (ask, fake):
            with pytest.raises(KeyRejected):
                await collect(ask, range(1000), concurrency=8)
            assert len(ask.journal) == fake.paid.total() > 0

    asyncio.run(main())


def test_an_error_of_the_rows_themselves_ends_the_run(tmp_path: Path) -> None:
    def rows() -> Iterator[int]:
        yield from range(12)
        raise PartMissing("no such part")

    async def main() -> None:
        async with opened(echo, str(tmp_path)) as (ask, _):
            with pytest.raises(PartMissing):
                async for _ in run_rows(one_ask, rows(), ask, concurrency=3):
                    pass

    asyncio.run(main())


def test_the_budgets_end_says_how_far_the_run_came(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(lambda _: good(prompt=10, completion=50), str(tmp_path), budget=Budget(tokens=1000)) as (
            ask,
            fake,
        ):
            with pytest.raises(BudgetExceeded, match=r"spent \d+ of 1000 tokens.*\d+ of 500 rows are done"):
                async for _ in run_rows(one_ask, range(500), ask, concurrency=20, progress=Progress(total=500)):
                    pass
            assert fake.paid.total() * 60 <= 1000

    asyncio.run(main())


def test_cancelled_it_closes_cleanly_and_a_second_run_pays_for_the_rest(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(slow(0.02), str(tmp_path), limits=Limits(concurrency=10)) as (ask, fake):
            run = asyncio.create_task(collect(ask, range(200), program=three_asks))
            await fake.until(lambda: fake.paid.total() >= 50)
            run.cancel()
            with pytest.raises(asyncio.CancelledError):
                await run
            paid = fake.paid.total()
            assert len(ask.journal) == paid  # not one answer on the wire was lost
            assert not [task for task in asyncio.all_tasks() if "program.py" in repr(task.get_coro())]
        async with opened(echo, str(tmp_path)) as (ask, fake):
            outcomes = await collect(ask, range(200), program=three_asks)
            assert all(outcome.result for outcome in outcomes)
            assert paid + fake.paid.total() == 600

    asyncio.run(main())


def test_progress_is_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def main() -> None:
        async with opened(slow(0.05), str(tmp_path)) as (ask, _):
            progress = Progress(total=6, every_s=0.02)
            async for _ in run_rows(one_ask, range(6), ask, concurrency=2, progress=progress):
                pass

    asyncio.run(main())
    lines = [record.message for record in caplog.records if record.name.endswith("program")]
    assert len(lines) >= 3
    assert any("ETA" in line and "in flight 2" in line for line in lines)
    assert "rows 6/6 (0 failed)" in lines[-1]
    assert "calls 6, replayed 0, 429s 0" in lines[-1]
    assert "USD" in lines[-1]


def test_a_dry_run_goes_through_the_whole_loop(tmp_path: Path) -> None:
    from tests.teacher.fake_teacher import desk

    async def main() -> None:
        async with rehearsal(desk(str(tmp_path)), lambda request: 100) as ask:
            outcomes = await collect(ask, range(50), program=three_asks)
            assert len(outcomes) == 50
            assert ask.tally.total.paid == 150
            assert ask.tally.total.prompt_tokens > 100 * 50  # later prompts quote earlier answers

    asyncio.run(main())
    assert not list(tmp_path.iterdir())


# --- killed in the middle ----------------------------------------------------------------------

RUN = """
import asyncio, sys
import uvloop
from tests.teacher.fake_teacher import desk, endpoint
from tests.teacher.test_program import three_asks
from ultralink.teacher.desk import teacher
from ultralink.teacher.endpoint import Limits
from ultralink.teacher.program import run_rows

async def main(url, folder, rows):
    limits = Limits(concurrency=20)
    async with teacher(desk(folder), endpoint(url, limits=limits)) as ask:
        async for outcome in run_rows(three_asks, range(rows), ask, concurrency=40):
            print(outcome.row, outcome.result)

uvloop.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""
ROWS, IN_FLIGHT = 150, 20


@contextlib.contextmanager
def threaded_teacher() -> Iterator[FakeTeacher]:
    """The fake teacher in a thread of its own, so that the test may wait for a process."""
    started, stop = threading.Event(), asyncio.Event()
    box: list[tuple[FakeTeacher, asyncio.AbstractEventLoop]] = []

    async def serve() -> None:
        async with fake_teacher(slow(0.01)) as fake:
            box.append((fake, asyncio.get_running_loop()))
            started.set()
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert started.wait(20)
        yield box[0][0]
    finally:
        box[0][1].call_soon_threadsafe(stop.set)
        thread.join()


def start(url: str, folder: Path) -> subprocess.Popen[str]:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root}:{root / 'include'}"}
    command = [sys.executable, "-c", RUN, url, str(folder), str(ROWS)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True)


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_killed_run_pays_again_only_for_what_was_in_flight(
    share: float, blow: signal.Signals, tmp_path: Path
) -> None:
    with threaded_teacher() as fake:
        with start(fake.url, tmp_path) as killed:
            while fake.paid.total() < share * 3 * ROWS:
                assert killed.poll() is None
            killed.send_signal(blow)
        with start(fake.url, tmp_path) as second:
            output, errors = second.communicate()
        assert second.returncode == 0, errors
        assert len(output.splitlines()) == ROWS  # nothing is missing
        assert len(fake.paid) == 3 * ROWS
        twice = fake.paid.total() - 3 * ROWS
        assert twice <= (IN_FLIGHT if blow == signal.SIGKILL else 0)
        with start(fake.url, tmp_path) as third:
            replayed, _ = third.communicate()
        assert replayed == output
        assert fake.paid.total() - 3 * ROWS == twice  # a third run pays nothing
