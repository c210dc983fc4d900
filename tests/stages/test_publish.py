"""Publish: a night's shards gathered into samples, rejects, ledger and statistics, and the journals tidied."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from tests.stages.nights import DATES, as_before, column, files, night, of_all_shards
from tests.test_offline_teacher import Running, serving

from ultralink.commands.verify import content_is
from ultralink.errors import PartMissing
from ultralink.offline_teacher import SERVED
from ultralink.quotation import Quotable
from ultralink.schemas import ARTICLES, DIALOGUE_REJECTS, DIALOGUES, LEDGER, PASSAGES, REJECTS, SAMPLES
from ultralink.stages.extract import extract
from ultralink.stages.generate import generate
from ultralink.stages.night import Night
from ultralink.stages.publish import publish
from ultralink.stages.select import select
from ultralink.stages.statistics import read_statistics
from ultralink.teacher.endpoint import Endpoint
from ultralink.teacher.journal import Journal

SHARDS = 3


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("teacher")) as running:
        yield running


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory, teacher: Running) -> Path:
    """A store with one night, complete but for its publication."""
    root = tmp_path_factory.mktemp("generated")
    one = at(root)
    select(one)
    for shard in range(SHARDS):
        extract(one, shard)
        make(one, shard, teacher)
    return root


@pytest.fixture
def root(generated: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(generated, tmp_path / "store"))


def at(root: Path, **changes: object) -> Night:
    return night(root, "es", **{"articles": 6, "shards": SHARDS, **changes})  # type: ignore[arg-type]


def make(one: Night, shard: int, teacher: Running) -> None:
    asyncio.run(generate(one, shard, Endpoint(teacher.url, {"Authorization": "Bearer any"})))


def calls(teacher: Running) -> int:
    return int(str(teacher.stats()["calls"]))


def test_the_parts_hold_the_rows_of_all_shards(root: Path) -> None:
    one = at(root)
    published = publish(one)
    assert column(one, SAMPLES, "id") == of_all_shards(one, DIALOGUES, "id") != []
    assert set(of_all_shards(one, DIALOGUE_REJECTS, "id")) < set(column(one, REJECTS, "id"))
    assert all(Path(path).is_file() for path in published.built.outputs)


def test_what_the_judge_quoted_goes_with_the_sample(root: Path) -> None:
    one = at(root)
    publish(one)
    assert column(one, SAMPLES, "evidence") == of_all_shards(one, DIALOGUES, "evidence")
    quoted = 0
    for row in cast(list[dict[str, Any]], list(one.part(SAMPLES).rows())):
        found, grounded = row["evidence"], dict(row["scores"]).get("grounded")
        assert (found is None) == (grounded is None)
        if found is not None:
            assert [each["answer"] for each in found] == [*range(1, len(row["messages"]) // 2 + 1)]
            assert sum(each["grounded"] for each in found) / len(found) == pytest.approx(grounded)
            passage = Quotable(row["source"]["passage"])
            assert all(passage.find(each["quote"]) for each in found if each["grounded"])
            quoted += sum(each["grounded"] for each in found)
    assert quoted > 10


def test_a_night_from_before_quotations_were_kept_stays_as_it_is(root: Path, teacher: Running) -> None:
    one = at(root)
    for shard in range(SHARDS):
        as_before(one.part(DIALOGUES, shard))
        as_before(one.part(DIALOGUE_REJECTS, shard))
    assert publish(one).statistics.samples > 0
    as_before(one.part(SAMPLES))
    as_before(one.part(REJECTS))
    before, paid = files(root), calls(teacher)
    for shard in range(SHARDS):
        make(one, shard, teacher)
    assert "Nothing to do" in publish(one).built.line
    assert (files(root), calls(teacher)) == (before, paid)
    assert set(column(one, SAMPLES, "evidence")) == {None}


def test_shards_from_before_and_after_are_published_together(root: Path) -> None:
    one = at(root)
    as_before(one.part(DIALOGUES, 0))
    publish(one)
    part = one.part(SAMPLES)
    kept = column(one, SAMPLES, "evidence")
    old = len(column(one, DIALOGUES, "id", 0))
    assert set(kept[:old]) == {None}
    assert any(kept[old:])
    assert content_is(part, part.stamp_or_missing("publish"))


def test_the_figures_are_those_of_the_parts(root: Path) -> None:
    one = at(root)
    figures = publish(one).statistics
    samples, rejects = list(one.part(SAMPLES).rows()), list(one.part(REJECTS).rows())
    assert figures == read_statistics(one.store, "es", DATES[0])
    assert figures.articles == len(of_all_shards(one, ARTICLES, "page_id")) > 0
    assert figures.passages == len(of_all_shards(one, PASSAGES, "id")) > 0
    assert figures.samples == len(samples) > 0
    dialogues = figures.subsets["chat_specific"]
    assert dialogues.samples == len(samples)
    assert dialogues.turns == sum(len(row["messages"]) for row in samples) / 2  # type: ignore[arg-type]
    assert figures.rejects == len(rejects) > 0
    gates = Counter(str(row["gate"]) for row in rejects)
    for gate, count in gates.items():
        assert sum(n for reason, n in dialogues.rejects.items() if gate in reason) == count
    assert figures.models == [SERVED] == sorted({row["teacher"]["model"] for row in samples})  # type: ignore[index]


def test_the_ledger_is_the_journal_in_sums(root: Path) -> None:
    one = at(root)
    records = list(Journal.open(one.store.fs, one.journal_folder, "reader").records())
    figures = publish(one).statistics
    accounts = list(one.part(LEDGER).rows())
    assert figures.calls == len(records) == sum(account["paid"] for account in accounts)  # type: ignore[misc]
    assert figures.prompt_tokens == sum(record.usage.prompt for record in records)
    assert figures.completion_tokens == sum(record.usage.completion for record in records)
    assert figures.cost_usd == 0  # the offline teacher's price, not an unknown one
    assert {(account["run"], account["shard"]) for account in accounts} == {
        (record.run, record.shard) for record in records
    }


def test_a_second_publication_does_nothing(root: Path) -> None:
    one = at(root)
    first = publish(one)
    before = files(root)
    second = publish(at(root, run_id="manual__2"))
    assert files(root) == before
    assert second.statistics == first.statistics
    assert "Nothing to do" in second.built.line


@pytest.mark.parametrize("stage", [DIALOGUES, DIALOGUE_REJECTS, ARTICLES, PASSAGES])
def test_a_missing_shard_is_named_and_nothing_is_written(root: Path, stage: object) -> None:
    one = at(root)
    path = Path(one.part(stage, 1).path)  # type: ignore[arg-type]
    path.unlink()
    before = files(root)
    with pytest.raises(PartMissing, match=str(path)):
        publish(one)
    assert files(root) == before


def test_fewer_shards_leave_out_what_the_others_made(root: Path, teacher: Running) -> None:
    publish(at(root))
    fewer = at(root, shards=2)
    for shard in range(2):
        extract(fewer, shard)
        make(fewer, shard, teacher)
    publish(fewer)
    ids = column(fewer, SAMPLES, "id")
    assert ids == of_all_shards(fewer, DIALOGUES, "id")
    assert len(set(ids)) == len(ids)


def test_lost_statistics_are_written_again(root: Path) -> None:
    one = at(root)
    first = publish(one)
    path = Path(first.statistics.outputs["statistics"])
    path.unlink()
    assert publish(one).statistics == first.statistics
    path.write_bytes(b"\xff{")
    assert publish(one).statistics == first.statistics
    assert read_statistics(one.store, "es", DATES[0]) == first.statistics


def test_old_journals_are_merged_and_a_rebuild_from_them_pays_nothing(root: Path, teacher: Running) -> None:
    one = at(root)
    first = publish(one)
    folder = Path(one.journal_folder)
    assert len(list(folder.glob("*.log"))) > 1  # too young to be taken
    long_ago = time.time() - 86_400
    for segment in folder.glob("*.log"):
        os.utime(segment, (long_ago, long_ago))

    later = at(root, date=DATES[1])
    select(later)
    for shard in range(SHARDS):
        extract(later, shard)
        make(later, shard, teacher)
    publish(later)
    assert [path.suffix for path in folder.iterdir()] == [".zst"]

    asked = calls(teacher)
    rebuilt = at(root, rebuild=True)
    for shard in range(SHARDS):
        make(rebuilt, shard, teacher)
    again = publish(rebuilt)
    assert calls(teacher) == asked
    assert again.statistics == first.statistics
