"""Batch mode through the stages, with the offline teacher as a real server: the same parts as live, paid once."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path

import pytest
from tests.stages.editions import edition
from tests.stages.nights import DATES, night
from tests.test_offline_teacher import Running, serving

from ultralink.errors import RecipeError
from ultralink.pool.row import Kind
from ultralink.schemas import (
    DIALOGUE_REJECTS,
    DIALOGUES,
    SCREEN_REJECTS,
    SCREENED_ROWS,
    TRANSLATION_REJECTS,
    TRANSLATIONS,
    Stage,
)
from ultralink.stages.calibrate import calibrate
from ultralink.stages.choose import choose_rows
from ultralink.stages.extract import extract
from ultralink.stages.generate import generate
from ultralink.stages.partition import Built, Partition
from ultralink.stages.pool_distinct import keep_distinct
from ultralink.stages.pool_publish import publish_pool
from ultralink.stages.pool_read import read_source
from ultralink.stages.pool_screen import screen_chats
from ultralink.stages.publish import publish
from ultralink.stages.select import select
from ultralink.stages.translate import translate_rows
from ultralink.teacher.batch.tickets import Tickets
from ultralink.teacher.endpoint import Endpoint, Limits
from ultralink.teacher.journal import Journal
from ultralink.teacher.models import ModelCard, ModelCards, Prices
from ultralink.teacher.waiting import Waiting

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def passages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("passages")
    one = night(root, "fr", articles=50)
    select(one)
    extract(one, 0)
    return root


@pytest.fixture
def roots(passages: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Two stores with the same passages: one to work live, one by batch."""
    return tuple(Path(shutil.copytree(passages, tmp_path / name)) for name in ("live", "batch"))  # type: ignore[return-value]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("teacher")) as running:
        yield running


@pytest.fixture
def teacher(server: Running) -> Running:
    server.stats("stats/reset", "POST")
    return server


def at(server: Running, **limits: float) -> Endpoint:
    settings = {"batch_poll_s": 0.02, **limits}
    return Endpoint(server.url, {"Authorization": "Bearer any"}, limits=Limits.model_validate(settings))


def by_batch(work: Callable[[], Coroutine[None, None, Built]]) -> tuple[Built, int]:
    """The work, begun anew after each wait, and how often it waited."""
    for waits in range(500):
        try:
            return asyncio.run(work()), waits
        except Waiting:
            time.sleep(0.02)
    raise AssertionError("it waits for ever")


def rows(one: Partition, stage: Stage, shard: int = 0) -> list[dict[str, object]]:
    """All that does not depend on when it was answered and at which price."""
    return [plain(dict(row)) for row in one.part(stage, shard).rows()]


def plain(row: dict[str, object]) -> dict[str, object]:
    teacher = row.get("teacher")
    if isinstance(teacher, dict):
        row["teacher"] = {**teacher, "cached_tokens": None, "cost_usd": None}
    return {**row, "created": None}


def is_paid_once(teacher: Running) -> bool:
    page = teacher.stats()
    return int(str(page["paid"])) == int(str(page["unique"])) > 0


def test_dialogues_by_batch_are_those_that_live_would_make(roots: tuple[Path, Path], teacher: Running) -> None:
    live, batch = night(roots[0], "fr"), night(roots[1], "fr", mode="batch")
    asyncio.run(generate(live, 0, at(teacher)))
    teacher.stats("stats/reset", "POST")
    built, waits = by_batch(lambda: generate(batch, 0, at(teacher, batch_requests=5)))
    assert is_paid_once(teacher)
    assert teacher.stats()["calls"] == teacher.stats()["paid"]
    assert waits > 4
    for stage in (DIALOGUES, DIALOGUE_REJECTS):
        assert rows(live, stage) == rows(batch, stage)
    assert batch.up_to_date(batch.part(DIALOGUES), batch.part(DIALOGUES).stamp().fingerprint, [])  # type: ignore[union-attr]
    again, waits = by_batch(lambda: generate(batch, 0, at(teacher)))
    assert (waits, "up to date" in again.line) == (0, True)
    assert len({DATES[0], built.outputs}) == 2


def test_calibration_goes_by_batch_too(roots: tuple[Path, Path], teacher: Running) -> None:
    live, batch = night(roots[0], "fr"), night(roots[1], "fr", mode="batch")
    asked = asyncio.run(calibrate(live, at(teacher)))
    teacher.stats("stats/reset", "POST")
    built, waits = by_batch(lambda: calibrate(batch, at(teacher)))
    assert is_paid_once(teacher)
    assert 1 <= waits < 20
    assert Path(built.outputs[0]).read_text() == Path(asked.outputs[0]).read_text()
    created = teacher.stats()["batches"]["created"]  # type: ignore[index]
    assert created <= 3  # all items in one wave, not one wave per item


def test_a_screen_by_batch_turns_away_the_same_chats(tmp_path: Path, teacher: Running) -> None:
    editions = [edition(tmp_path / mode, mode=mode) for mode in ("live", "batch")]
    for one in editions:
        for number in range(len(one.recipe.sources)):
            read_source(one, number)
        keep_distinct(one)
    live, batch = editions
    asyncio.run(screen_chats(live, 0, at(teacher)))
    teacher.stats("stats/reset", "POST")
    by_batch(lambda: screen_chats(batch, 0, at(teacher)))
    assert is_paid_once(teacher)
    for stage in (SCREENED_ROWS, SCREEN_REJECTS):
        assert rows(live, stage) == rows(batch, stage)


def test_translations_by_batch_are_those_that_live_would_make(tmp_path: Path, teacher: Running) -> None:
    pool = edition(tmp_path / "live")
    for number in range(len(pool.recipe.sources)):
        read_source(pool, number)
    keep_distinct(pool)
    for shard in range(pool.shards):
        asyncio.run(screen_chats(pool, shard, at(teacher)))
    publish_pool(pool)
    shutil.copytree(tmp_path / "live", tmp_path / "batch")
    wanted = dict.fromkeys(Kind, 4)
    live, batch = (night(tmp_path / mode, "fr", mode=mode, rows=wanted) for mode in ("live", "batch"))
    for one in (live, batch):
        choose_rows(one)
    for kind in Kind:
        asyncio.run(translate_rows(live, kind, 0, at(teacher)))
    teacher.stats("stats/reset", "POST")
    for kind in Kind:
        by_batch(lambda kind=kind: translate_rows(batch, kind, 0, at(teacher)))  # type: ignore[misc]
    assert is_paid_once(teacher)
    for kind in Kind:
        for stages in (TRANSLATIONS, TRANSLATION_REJECTS):
            assert rows(live, stages[kind]) == rows(batch, stages[kind])


def test_statistics_show_the_batch_price(
    roots: tuple[Path, Path], teacher: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = ModelCard(context_tokens=32768, usd_per_million_tokens=Prices(prompt=1, cached=1, completion=2))
    cards = ModelCards({"offline-teacher": card})
    for module in ("desks", "publish"):
        monkeypatch.setattr(f"ultralink.stages.{module}.load_models", lambda: cards)
    live, batch = night(roots[0], "fr"), night(roots[1], "fr", mode="batch")
    asyncio.run(generate(live, 0, at(teacher)))
    by_batch(lambda: generate(batch, 0, at(teacher)))
    figures = [publish(one).statistics for one in (live, batch)]
    assert figures[0].calls == figures[1].calls == figures[1].batch_calls
    assert figures[0].batch_calls == 0
    assert figures[0].cost_usd is not None
    assert figures[1].cost_usd == pytest.approx(figures[0].cost_usd / 2)
    costs = [[row["teacher"]["cost_usd"] for row in one.part(DIALOGUES).rows()] for one in (live, batch)]  # type: ignore[index]
    assert costs[1] == pytest.approx([cost / 2 for cost in costs[0]])


def test_live_and_batch_use_the_same_journal(roots: tuple[Path, Path], teacher: Running) -> None:
    by_batch(lambda: generate(night(roots[0], "fr", mode="batch"), 0, at(teacher)))
    paid = teacher.stats()["calls"]
    asyncio.run(generate(night(roots[0], "fr", rebuild=True), 0, at(teacher)))
    assert teacher.stats()["calls"] == paid


def test_an_unknown_mode_is_no_recipe() -> None:
    with pytest.raises(RecipeError, match=r"teacher\.mode"):
        night("/nowhere", "fr", {"teacher.mode": "cheap"})


@pytest.mark.parametrize("point", [5, 14])
def test_sigkill_pays_nothing_twice(roots: tuple[Path, Path], teacher: Running, point: int) -> None:
    def begin(point: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tests.stages.one_batch_shard", str(roots[1]), teacher.url, str(point)]
        path = os.pathsep.join([str(ROOT / "include"), str(ROOT)])
        return subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    assert begin(point).returncode == -signal.SIGKILL
    ended = begin(-1)
    assert ended.returncode == 0, ended.stderr
    assert is_paid_once(teacher)
    one = night(roots[1], "fr", mode="batch")
    records = list(Journal.open(one.store.fs, one.journal_folder, "reader").records())
    assert len(records) == teacher.stats()["paid"]
    assert all(ticket.stage == "done" for ticket in Tickets.of(one.store.fs, one.journal_folder, "00000").all())
