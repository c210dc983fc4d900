"""A store with an edition of the pool and a published night of French, made once by the real stages."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.stages.editions import built, edition
from tests.stages.nights import DATES, night
from tests.test_offline_teacher import Running, serving

from ultralink.pool.row import Kind
from ultralink.stages.calibrate import calibrate
from ultralink.stages.choose import choose_rows
from ultralink.stages.extract import extract
from ultralink.stages.generate import generate
from ultralink.stages.night import Night
from ultralink.stages.publish import publish
from ultralink.stages.select import select
from ultralink.stages.translate import translate_rows
from ultralink.teacher.endpoint import Endpoint

FEW = {Kind.CHAT: 3, Kind.MATH: 4, Kind.CODE: 3}
SHARDS = 2


@pytest.fixture(scope="session")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("teacher")) as running:
        yield running


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, teacher: Running) -> Path:
    """Made once; never written to by a test."""
    root = tmp_path_factory.mktemp("made")
    endpoint = Endpoint(teacher.url, {"Authorization": "Bearer any"})
    built(edition(root), endpoint)
    one = french(root)
    select(one)
    choose_rows(one)
    asyncio.run(calibrate(one, endpoint))
    for shard in range(SHARDS):
        extract(one, shard)
        asyncio.run(generate(one, shard, endpoint))
    for kind in Kind:
        for shard in range(one.translated_shards):
            asyncio.run(translate_rows(one, kind, shard, endpoint))
    publish(one)
    return root


@pytest.fixture
def root(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the store, with its times, named by the environment."""
    store = Path(shutil.copytree(made, tmp_path / "store"))
    monkeypatch.setenv("ULTRALINK_STORE", str(store))
    monkeypatch.setenv("COLUMNS", "200")
    return store


def french(root: Path, **changes: object) -> Night:
    """The night of the store, as it was made."""
    settings: dict[str, object] = {"articles": 11, "rows": FEW, "shards": SHARDS, "date": DATES[0], **changes}
    return night(root, "fr", **settings)  # type: ignore[arg-type]
