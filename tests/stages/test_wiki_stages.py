"""Select and extract against a real MediaWiki: slices, edits, outages, shards, and what re-makes a part."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.real.mediawiki import Farm, running
from tests.stages.nights import (
    DATES,
    SHORT,
    TOPICS,
    chosen,
    column,
    covered,
    files,
    night,
    of_all_shards,
    wikitext,
    writes_nothing,
)
from tests.wikipedia.fake_wiki import Handler, dropped, fake_wiki, times
from tests.wikipedia.opening import QUICK

from ultralink.errors import NothingNew, SelectionEmpty, WikiUnreachable
from ultralink.schemas import ARTICLE_REJECTS, ARTICLES, PASSAGES, SELECTION
from ultralink.stages.extract import extract
from ultralink.stages.night import Night
from ultralink.stages.select import select

EDITED, TOPIC_LIST = "Anvil", "List of tools"


@pytest.fixture(scope="module")
def wiki() -> Iterator[Farm]:
    pages = {topic: wikitext(topic) for topic in TOPICS}
    pages[TOPIC_LIST] = "* [[Anvil]]\n* [[Hammer]]\n[[Category:Old things]]"
    with running(["en"], {"en": pages}) as farm:
        yield farm


@pytest.fixture(autouse=True)
def _little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ultralink.wikipedia.api.Patience", lambda: QUICK)


def settings(base_url: str, **changes: object) -> dict[str, object]:
    """The overlay that reads the articles of "Old things" from the wiki at ``base_url``."""
    return SHORT | {
        "wikipedia.source": "api",
        "wikipedia.api.base_url": base_url,
        "wikipedia.api.requests_per_second": 1000,
        "wikipedia.api.concurrency": 2,
        "wikipedia.api.selection": {"kind": "category", "category": "Old things", "depth": 0},
        **changes,
    }


def on(wiki: Farm, root: Path, date: str = DATES[0], **changes: object) -> Night:
    return night(root, "en", settings(wiki.api("en")), date=date, **changes)


def dead_end() -> str:
    """An address on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/w/api.php"


# --- select -----------------------------------------------------------------------------------


def test_a_backfill_gives_disjoint_slices_and_the_same_night_its_own_again(wiki: Farm, tmp_path: Path) -> None:
    nights = [on(wiki, tmp_path, date, articles=4) for date in DATES]
    for one in nights:
        select(one)
    slices = [chosen(one) for one in nights]
    assert [len(each) for each in slices] == [4, 4, 4]
    assert len({page_id for each in slices for page_id in each}) == len(TOPICS) + 1
    for again in (nights[1], on(wiki, tmp_path, DATES[1], articles=4, rebuild=True, attempt=2)):
        writes_nothing(tmp_path, lambda again=again: select(again))  # type: ignore[misc]
    assert [chosen(one) for one in nights] == slices


def test_a_night_is_chosen_without_asking_the_wiki_twice(wiki: Farm, tmp_path: Path) -> None:
    select(on(wiki, tmp_path))
    before = len(wiki.requests())
    assert "already chosen" in select(on(wiki, tmp_path)).line
    assert len(wiki.requests()) == before


def test_when_all_are_taken_there_is_nothing_new_until_a_page_is_edited(wiki: Farm, tmp_path: Path) -> None:
    first = on(wiki, tmp_path, articles=50)
    select(first)
    assert len(chosen(first)) == len(TOPICS) + 1
    second = on(wiki, tmp_path, DATES[1], articles=50)
    with pytest.raises(NothingNew, match="api"):
        writes_nothing(tmp_path, lambda: select(second))
    extract(first, 0)
    wiki.edit("en", EDITED, wikitext(EDITED, "forged"))
    select(second)
    extract(second, 0)
    assert column(second, ARTICLES, "title") == [EDITED]
    assert "forged" in str(column(second, ARTICLES, "text")[0])
    assert column(second, SELECTION, "revision_id") == column(second, ARTICLES, "revision_id")
    assert set(column(second, PASSAGES, "id")).isdisjoint(column(first, PASSAGES, "id"))
    with pytest.raises(NothingNew):
        select(on(wiki, tmp_path, DATES[2], articles=50))


def test_a_wiki_that_is_down_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(WikiUnreachable, match=r"127\.0\.0\.1"):
        select(night(tmp_path, overlay=settings(dead_end())))
    assert files(tmp_path) == {}


def test_an_empty_category_is_named(wiki: Farm, tmp_path: Path) -> None:
    nowhere = {"kind": "category", "category": "Nowhere", "depth": 1}
    empty = settings(wiki.api("en"), **{"wikipedia.api.selection": nowhere})
    with pytest.raises(SelectionEmpty, match="Nowhere"):
        select(night(tmp_path, overlay=empty))
    assert files(tmp_path) == {}


def test_another_selection_chooses_the_night_anew(wiki: Farm, tmp_path: Path) -> None:
    select(on(wiki, tmp_path))
    titles = {"kind": "titles", "titles": ["Jug", "No such page", "Kettle"]}
    listed = night(tmp_path, overlay=settings(wiki.api("en"), **{"wikipedia.api.selection": titles}))
    select(listed)
    assert {"Jug", "Kettle"} <= set(column(listed, SELECTION, "title"))
    extract(listed, 0)
    assert column(listed, ARTICLES, "title") == ["Jug", "Kettle"]
    assert column(listed, ARTICLE_REJECTS, "gate") == ["missing"]


# --- extract ----------------------------------------------------------------------------------


@pytest.mark.parametrize("shards", [1, 2, 3, 4])
def test_shards_cover_the_selection_once(wiki: Farm, tmp_path: Path, shards: int) -> None:
    one = on(wiki, tmp_path, shards=shards, articles=50)
    select(one)
    for shard in range(shards):
        extract(one, shard)
    assert covered(one) == sorted(chosen(one))
    kept = of_all_shards(one, ARTICLES, "page_id")
    assert len(kept) == len(TOPICS)
    assert of_all_shards(one, ARTICLE_REJECTS, "gate") == ["list"]
    assert set(of_all_shards(one, PASSAGES, "page_id")) == set(kept)


def test_more_shards_than_articles_leave_empty_parts(wiki: Farm, tmp_path: Path) -> None:
    one = on(wiki, tmp_path, shards=4, articles=2)
    select(one)
    for shard in range(4):
        extract(one, shard)
    assert covered(one) == sorted(chosen(one))


def test_a_wiki_that_goes_down_in_the_middle_leaves_no_part(wiki: Farm, tmp_path: Path) -> None:
    def forward(handler: Handler) -> None:
        host = {"Host": handler.headers["Host"]}
        answer = httpx.get(wiki.address + handler.path.replace("/w/", "/en/w/"), headers=host)
        handler.send(200, answer.content)

    with fake_wiki(*times(forward, 4)) as failing:
        failing.usual = dropped
        one = night(tmp_path, overlay=settings(failing.base_url), articles=10)
        select(one)
        with pytest.raises(WikiUnreachable):
            writes_nothing(tmp_path, lambda: extract(one, 0))
        assert sum("pageids" in params for params in failing.seen) > 3
        failing.usual = forward
        extract(one, 0)
    assert covered(one) == sorted(chosen(one))


def test_what_makes_passages_again(wiki: Farm, tmp_path: Path) -> None:
    def with_(**changes: object) -> Night:
        return night(tmp_path, overlay=settings(wiki.api("en"), **changes), articles=3)

    first = with_()
    select(first)
    extract(first, 0)
    text_before = column(first, PASSAGES, "text")
    teaching = {
        "teacher.model": "gpt-4o", "teacher.temperature": 0.1, "dialogue.new_attempts": 0, "budget.usd": 1,
        "judge.min_grounded": 0.5, "gates.max_copied": 0.2, "text.leaks": ["nothing"], "shards": 3,
        "wikipedia.api.requests_per_second": 900, "schedule": "0 0 * * *",
    }  # fmt: skip
    assert "Nothing to do" in writes_nothing(tmp_path, lambda: extract(with_(**teaching), 0)).line  # type: ignore[attr-defined]
    cleaned = with_(**{"wikipedia.cleaning.drop_sections": ["Use"]})
    assert "Nothing to do" not in extract(cleaned, 0).line
    assert not any("apprentice" in str(text) for text in column(cleaned, PASSAGES, "text"))
    extract(first, 0)
    assert column(first, PASSAGES, "text") == text_before
    for changes in (
        {"wikipedia.api.article_url": "https://mirror.example/{title}"},
        {"wikipedia.licence": "CC0"},
        {"wikipedia.passage_tokens": {"min": 20, "max": 60}},
        {"text.abbreviations": ["old"]},
    ):
        assert "Nothing to do" not in extract(with_(**changes), 0).line, changes
