"""Readers of one wiki share its request rate: across processes, by the roster on the store."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from tests.stages.nights import recipe
from tests.waiting import wait_for
from tests.wikipedia.fake_wiki import Handler, fake_wiki, good

from ultralink.recipe import Recipe
from ultralink.store import Store
from ultralink.teacher.roster import Roster
from ultralink.wikipedia.article import Candidate
from ultralink.wikipedia.readers import among_readers
from ultralink.wikipedia.source import open_source
from ultralink.wikipedia.transport import Pace, endpoint_of, machine_of, pace_of

ROOT = Path(__file__).parents[2]
WIKI = endpoint_of("http://127.0.0.1:9/en")


def reading(base_url: str, requests_per_second: float) -> Recipe:
    """The English recipe, with the wiki at ``base_url`` as its source."""
    return recipe(
        "en",
        {
            "wikipedia.source": "api",
            "wikipedia.api.base_url": base_url,
            "wikipedia.api.requests_per_second": requests_per_second,
        },
    )


def other_reader(store: Store, endpoint: httpx.URL) -> Roster:
    """Another process's place in the roster."""
    return Roster(store.fs, store.folder("readers"), machine_of(endpoint), "other", beat_s=1)


def live(root: Path) -> list[Path]:
    return list((root / "readers").rglob("*.live"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    yield Store.at(str(tmp_path))
    assert live(tmp_path) == []


# --- across processes ---

RATE, PAGES, PROCESSES = 10.0, 12, 2
CHILD = """
import sys
from tests.wikipedia.test_readers import PAGES, RATE, reading
from ultralink.store import Store
from ultralink.wikipedia.article import Candidate
from ultralink.wikipedia.source import open_source

root, base_url = sys.argv[1:]
with open_source(reading(base_url, RATE), Store.at(root)) as source:
    print("ready", flush=True)
    sys.stdin.readline()
    assert len(list(source.pages([Candidate(number, "x" * number, 7) for number in range(1, PAGES + 1)]))) == PAGES
"""


def test_processes_together_keep_to_the_rate_of_the_recipe(tmp_path: Path, store: Store) -> None:
    moments: list[float] = []

    def timed(handler: Handler) -> None:
        moments.append(time.monotonic())
        good(handler)

    with fake_wiki() as wiki, ExitStack() as children:
        wiki.usual = timed
        started = [
            children.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", CHILD, str(tmp_path), wiki.base_url],
                    cwd=ROOT,
                    env={"PYTHONPATH": f"{ROOT / 'include'}:{ROOT}"},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for _ in range(PROCESSES)
        ]
        for child in started:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        assert len(live(tmp_path)) == PROCESSES
        for child in started:
            child.communicate("go\n")
        assert [child.returncode for child in started] == [0] * PROCESSES
    assert len(moments) == PROCESSES * PAGES
    # A busy machine makes it longer, never shorter, but for a first request that arrives late.
    assert max(moments) - min(moments) > 0.8 * PROCESSES * PAGES / RATE


# --- one process ---


def test_a_newcomer_takes_its_part_and_lets_the_others_notice_first(tmp_path: Path, store: Store) -> None:
    pace, other = pace_of(WIKI), other_reader(store, WIKI)
    other.beat()
    with among_readers(store, WIKI):
        assert pace.readers == 2
        assert pace.turn(10) > 1
        assert other.beat() == 2
        other.leave()
        wait_for(lambda: pace.readers == 1, 30)
    assert pace.readers == 1


def test_who_reads_alone_waits_for_nobody(store: Store) -> None:
    endpoint = endpoint_of("http://127.0.0.1:10/en")
    with among_readers(store, endpoint):
        assert pace_of(endpoint).turn(10) == 0


def test_the_sources_of_a_process_are_one_reader(store: Store) -> None:
    other = other_reader(store, WIKI)
    with among_readers(store, WIKI):
        with among_readers(store, endpoint_of("http://127.0.0.1:9/zh")):  # the same machine
            assert other.beat() == 2
        assert other.beat() == 2
    assert other.beat() == 1
    other.leave()


def test_a_killed_reader_gives_its_part_back(tmp_path: Path, store: Store) -> None:
    other_reader(store, WIKI).beat()
    with among_readers(store, WIKI):
        assert pace_of(WIKI).readers == 2
        wait_for(lambda: pace_of(WIKI).readers == 1, 30)
    for left in live(tmp_path):  # swept away much later
        left.unlink()


def test_a_roster_that_cannot_be_written_stops_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "readers").write_text("in the way")
    with fake_wiki() as wiki, open_source(reading(wiki.base_url, 1000), Store.at(str(tmp_path))) as source:
        assert len(list(source.pages([Candidate(4, "xxxx", 7)]))) == 1
    assert caplog.text.count("Cannot read the roster of the wiki's readers, so 1 are assumed") == 1


def test_a_part_of_the_rate() -> None:
    pace = Pace()
    pace.share(5)
    assert pace.turn(10) == 0
    assert 0 < pace.turn(10) <= 0.5
    pace.rest(100)
    assert 99 < pace.turn(10) <= 100
