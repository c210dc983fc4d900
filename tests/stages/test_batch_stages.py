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
from ultralink.stages.leftovers import close_leftovers, leftovers
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


def test_an_edition_of_the_pool_by_batch_is_the_one_that_live_would_make(
    tmp_path: Path, teacher: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = ModelCard(context_tokens=32768, usd_per_million_tokens=Prices(prompt=1, cached=1, completion=2))
    for module in ("desks", "pool_publish"):
        monkeypatch.setattr(f"ultralink.stages.{module}.load_models", lambda: ModelCards({"offline-teacher": card}))
    figures = []
    for mode in ("live", "batch"):
        teacher.stats("stats/reset", "POST")
        one = edition(tmp_path / mode, mode=mode)
        for number in range(len(one.recipe.sources)):
            read_source(one, number)
        keep_distinct(one)
        for shard in range(one.shards):
            endpoint = at(teacher, batch_requests=5)
            by_batch(lambda one=one, shard=shard, endpoint=endpoint: screen_chats(one, shard, endpoint))  # type: ignore[misc]
        assert is_paid_once(teacher)
        assert leftovers(one) == 0
        figures.append(publish_pool(one).statistics)
    live, batch = figures
    assert (batch.rows, batch.rejects, batch.calls) == (live.rows, live.rejects, live.calls)
    assert live.cost_usd is not None
    assert batch.cost_usd == pytest.approx(live.cost_usd / 2)
    # What a batch has answered the next edition need not ask, in whichever mode.
    teacher.stats("stats/reset", "POST")
    later = edition(tmp_path / "batch", date="2026-11-02", run_id="manual__2")
    for number in range(len(later.recipe.sources)):
        read_source(later, number)
    keep_distinct(later)
    for shard in range(later.shards):
        asyncio.run(screen_chats(later, shard, at(teacher)))
    assert teacher.stats()["paid"] == 0
    assert not publish_pool(later).changed


def test_a_judge_that_was_measured_by_batch_rejects_what_it_would_live(
    roots: tuple[Path, Path], teacher: Running
) -> None:
    made = []
    for root, mode in zip(roots, ("live", "batch"), strict=True):
        one = night(root, "fr", {"judge.sampling_rate": 1.0}, mode=mode)
        by_batch(lambda one=one: calibrate(one, at(teacher, batch_requests=7)))  # type: ignore[misc]
        by_batch(lambda one=one: generate(one, 0, at(teacher)))  # type: ignore[misc]
        figures = publish(one).statistics
        made.append((rows(one, DIALOGUES), rows(one, DIALOGUE_REJECTS), figures.calls, figures.subsets))
    assert made[0] == made[1]
    assert is_paid_once(teacher)


def test_a_run_with_fewer_shards_closes_what_the_one_before_has_sent(
    roots: tuple[Path, Path], teacher: Running
) -> None:
    root = roots[1]
    four = night(root, "fr", mode="batch", articles=50, shards=2)
    for shard in range(2):
        extract(four, shard)
        with pytest.raises(Waiting):
            asyncio.run(generate(four, shard, at(teacher)))
    changed = night(root, "fr", {"teacher.temperature": 0.123}, mode="batch", articles=50, run_id="manual__2")
    extract(changed, 0)
    by_batch(lambda: generate(changed, 0, at(teacher)))
    assert leftovers(changed) == 1  # of the second shard: nobody asks that any more
    by_batch(lambda: close_leftovers(changed, changed.model, at(teacher)))
    assert leftovers(changed) == 0
    figures = publish(changed).statistics
    assert figures.calls == teacher.stats()["paid"]  # the batches of the former run are in the ledger
    assert is_paid_once(teacher)
