"""The English pool's stages: the bundled sample whole, and small sources for what can go wrong."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.stages.editions import built, edition, problem, source
from tests.stages.nights import files
from tests.teacher.fake_teacher import endpoint as fake_endpoint
from tests.teacher.fake_teacher import fake_teacher, good
from tests.test_offline_teacher import Running, serving

from ultralink.errors import PartMissing, PoolEmpty, SourceError, TeacherUnfit
from ultralink.pool.row import Kind
from ultralink.schemas import DISTINCT_ROWS, DUPLICATES, ENGLISH_REJECTS, ENGLISH_ROWS, POOL_REJECTS, SCREEN_REJECTS
from ultralink.stages.edition import Edition, complete_editions, pool_part, read_pool_statistics
from ultralink.stages.pool_distinct import keep_distinct
from ultralink.stages.pool_publish import publish_pool
from ultralink.stages.pool_read import read_source
from ultralink.stages.pool_screen import screen_chats
from ultralink.teacher.endpoint import Endpoint

CULTURAL = {  # lines of the bundled chats that the seven criteria are there for
    "chats_sharegpt": {3, 6, 10, 13, 16, 20, 23, 25},
    "chats_ultrachat": {3, 6, 9, 12, 15, 18},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("teacher")) as running:
        yield running


@pytest.fixture
def teacher(server: Running) -> Running:
    server.stats("stats/reset", "POST")
    return server


def at(teacher: Running) -> Endpoint:
    return Endpoint(teacher.url, {"Authorization": "Bearer any"})


def calls(teacher: Running) -> int:
    return int(str(teacher.stats()["calls"]))


def rows(one: Edition, kind: Kind) -> list[dict[str, object]]:
    return list(pool_part(one.store, one.date, kind).rows())


def test_the_bundled_sample_becomes_a_pool(tmp_path: Path, teacher: Running) -> None:
    one = edition(tmp_path)
    published = built(one, at(teacher))
    figures = published.statistics
    assert published.changed
    for kind in Kind:
        found = rows(one, kind)
        assert len(found) == figures.rows[kind] >= 25
        assert figures.clusters[kind] == len({row["cluster"] for row in found}) > 5
        assert all(row["licence"] and row["url"] for row in found)
    rejects = list(one.part(POOL_REJECTS).rows())
    assert len(rejects) == sum(figures.rejects.values())
    read = sum(len(Path(each.path).read_text(encoding="utf-8").splitlines()) for each in one.recipe.sources)
    assert read == sum(figures.rows.values()) + len(rejects)
    sources = [row["source"] for row in rejects if row["gate"] == "screen"]
    turned_away = {(source["dataset"], source["row"]) for source in sources}  # type: ignore[index]
    assert turned_away == {(name, line) for name, lines in CULTURAL.items() for line in lines}
    assert {"empty_message", "unfinished", "url", "roles_do_not_alternate"} <= {row["reason"] for row in rejects}
    for row in rows(one, Kind.CHAT):
        assert [finding["score"] for finding in row["screen"]] == [0] * 7  # type: ignore[attr-defined]
    assert figures.calls == calls(teacher) > 0


def test_the_same_edition_again_writes_and_pays_nothing(tmp_path: Path, teacher: Running) -> None:
    one = edition(tmp_path)
    built(one, at(teacher))
    before, asked = files(tmp_path), calls(teacher)
    assert built(edition(tmp_path, attempt=1), at(teacher)).changed  # the same run's next try still tells the news
    again = built(edition(tmp_path, run_id="manual__2"), at(teacher))
    assert not again.changed
    assert files(tmp_path) == before
    assert calls(teacher) == asked


def test_a_rebuild_gives_the_same_bytes_and_pays_nothing(tmp_path: Path, teacher: Running) -> None:
    one = edition(tmp_path)
    built(one, at(teacher))
    asked = calls(teacher)
    before = {kind: Path(pool_part(one.store, one.date, kind).path).read_bytes() for kind in Kind}
    assert not built(edition(tmp_path, rebuild=True, run_id="manual__2"), at(teacher)).changed
    assert {kind: Path(pool_part(one.store, one.date, kind).path).read_bytes() for kind in Kind} == before
    assert calls(teacher) == asked


def test_the_next_edition_pays_for_new_chats_alone(tmp_path: Path, teacher: Running) -> None:
    sources = [each.model_dump(mode="json") for each in edition(tmp_path).recipe.sources]
    built(edition(tmp_path, {"sources": sources[:1]}), at(teacher))
    first = calls(teacher)
    grown = edition(tmp_path, {"sources": sources[:2]}, date="2026-11-02", run_id="manual__2")
    built(grown, at(teacher))
    assert teacher.stats()["unique"] == calls(teacher) > first > 0
    same = edition(tmp_path, {"sources": sources[:2]}, date="2026-11-03", run_id="manual__3")
    built(same, at(teacher))
    found = [read_pool_statistics(one.store, one.date) for one in (grown, same)]
    assert [one.calls for one in found if one] == [calls(teacher) - first, 0]


def test_only_another_pool_is_news(tmp_path: Path, teacher: Running) -> None:
    path = tmp_path / "problems.jsonl"
    overlay = {"sources": [source(path, "math", "metamath", [problem(number) for number in range(20)])]}
    assert built(edition(tmp_path / "store", overlay), at(teacher)).changed
    assert not built(edition(tmp_path / "store", overlay, date="2026-11-02"), at(teacher)).changed
    overlay = {"sources": [source(path, "math", "metamath", [problem(number) for number in range(25)])]}
    grown = edition(tmp_path / "store", overlay, date="2026-11-03")
    assert built(grown, at(teacher)).changed
    assert complete_editions(grown.store) == ["2026-11-01", "2026-11-02", "2026-11-03"]
    dates = ("2026-11-01", "2026-11-03")
    ids = [{row["id"] for row in rows(edition(tmp_path / "store", date=date), Kind.MATH)} for date in dates]
    assert ids[0] < ids[1]


def test_malformed_rows_are_counted_and_kept_as_rejects(tmp_path: Path) -> None:
    bad = [{"query": 7, "response": "x", "type": "GSM_SV"}, {"query": "no response", "type": "GSM_SV"}]
    good = [problem(number) for number in range(30)]
    overlay = {"sources": [source(tmp_path / "mixed.jsonl", "math", "metamath", [*good[:15], *bad, *good[15:]])]}
    one = edition(tmp_path / "store", overlay)
    read_source(one, 0)
    found = list(one.part(ENGLISH_REJECTS).rows())
    assert [(row["gate"], row["source"]["row"]) for row in found] == [("malformed", 16), ("malformed", 17)]  # type: ignore[index]
    assert str(found[0]["reason"]).startswith("query: ")
    assert str(found[1]["reason"]).startswith("response: ")
    assert sum(1 for _ in one.part(ENGLISH_ROWS).rows()) == 30


def test_too_many_malformed_rows_fail_the_source(tmp_path: Path) -> None:
    bad = [{"question": "a field of another format"}] * 12
    overlay = {"sources": [source(tmp_path / "other.jsonl", "math", "metamath", bad)]}
    one = edition(tmp_path / "store", overlay)
    with pytest.raises(SourceError, match=r"other.*row"):
        read_source(one, 0)
    assert not (tmp_path / "store").exists() or files(tmp_path / "store") == {}


@pytest.mark.parametrize("few", [1, 10])
def test_a_source_of_malformed_rows_alone_fails_however_few(tmp_path: Path, few: int) -> None:
    bad = [{"question": "a field of another format"}] * few
    one = edition(tmp_path / "store", {"sources": [source(tmp_path / "other.jsonl", "math", "metamath", bad)]})
    with pytest.raises(SourceError, match=f"{few} of {few} rows are malformed"):
        read_source(one, 0)


def test_a_file_that_is_one_array_is_told_so(tmp_path: Path) -> None:
    overlay = {"sources": [source(tmp_path / "array.jsonl", "math", "metamath", [])]}
    (tmp_path / "array.jsonl").write_text(json.dumps([problem(1), problem(2)]))
    with pytest.raises(SourceError, match=r"array\.jsonl.*one JSON array"):
        read_source(edition(tmp_path / "store", overlay), 0)


def test_a_screen_without_verdicts_is_stopped(tmp_path: Path) -> None:
    async def script() -> None:
        async with fake_teacher(lambda asked: good("I cannot judge that.")) as fake:
            await screen_chats(one, 0, fake_endpoint(fake.url))

    one = edition(tmp_path, {"shards": 1}, shards=1)
    for number in range(len(one.recipe.sources)):
        read_source(one, number)
    keep_distinct(one)
    with pytest.raises(TeacherUnfit, match="18 of the last 18 chats"):
        asyncio.run(script())
    assert complete_editions(one.store) == []


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    one = edition(tmp_path / "store", {"sources": [source(tmp_path / "gone.jsonl", "math", "metamath", [])]})
    (tmp_path / "gone.jsonl").unlink()
    with pytest.raises(SourceError, match=r"gone\.jsonl"):
        read_source(one, 0)


def test_duplicates_name_the_row_that_stays(tmp_path: Path) -> None:
    first = [problem(number) for number in range(10)]
    near = {**problem(3), "query": str(problem(3)["query"]).replace("next door", "nearby")}
    overlay = {
        "sources": [
            source(tmp_path / "one.jsonl", "math", "metamath", first),
            source(tmp_path / "two.jsonl", "math", "metamath", [problem(5), near, problem(77)]),
        ]
    }
    one = edition(tmp_path / "store", overlay)
    for number in range(2):
        read_source(one, number)
    keep_distinct(one)
    ids = {row["row"]: row["id"] for row in one.part(ENGLISH_ROWS, 0).rows()}
    removed = {row["source"]["row"]: row["reason"] for row in one.part(DUPLICATES).rows()}  # type: ignore[index]
    assert removed == {1: f"of {ids[6]}", 2: f"of {ids[4]}"}
    assert sum(1 for _ in one.part(DISTINCT_ROWS, 1).rows()) == 11


def test_without_its_parts_nothing_is_published(tmp_path: Path, teacher: Running) -> None:
    one = edition(tmp_path)
    with pytest.raises(PartMissing, match="english_rows"):
        keep_distinct(one)
    built(one, at(teacher))
    Path(one.part(SCREEN_REJECTS, 2).path).unlink()
    with pytest.raises(PartMissing, match="screen_rejects"):
        publish_pool(edition(tmp_path, rebuild=True))


def test_a_pool_without_a_row_is_an_error(tmp_path: Path) -> None:
    flawed = [{"query": "Empty?", "response": " ", "type": "GSM_SV"}] * 3
    one = edition(tmp_path / "store", {"sources": [source(tmp_path / "empty.jsonl", "math", "metamath", flawed)]})
    read_source(one, 0)
    with pytest.raises(PoolEmpty):
        keep_distinct(one)
    assert complete_editions(one.store) == []


def test_a_dry_run_prices_the_screen_and_calls_nobody(tmp_path: Path, teacher: Running) -> None:
    one = edition(tmp_path, dry_run=True)
    for number in range(len(one.recipe.sources)):
        read_source(one, number)
    keep_distinct(one)
    lines = [asyncio.run(screen_chats(one, shard, at(teacher))).line for shard in range(one.shards)]
    asked = [re.search(r"(\d+) calls to pay for", line) for line in lines]
    assert sum(int(found[1]) for found in asked if found) == 42
    assert calls(teacher) == 0
    assert read_pool_statistics(one.store, one.date) is None
    assert {path.partition("/")[0] for path in files(tmp_path)} == {"rehearsals"}
