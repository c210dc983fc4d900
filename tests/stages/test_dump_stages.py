"""Select and extract from dumps: all three forms, damage, foreign parts, and stores that cannot be written."""

from __future__ import annotations

import bz2
from collections.abc import Callable, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import pytest
from tests.real.disks import BALLAST, leave_free, read_only, small_disk
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

from ultralink.errors import DumpError, NothingNew, PartMissing, SchemaMismatch, StoreFull, StoreReadOnly
from ultralink.schemas import ARTICLE_REJECTS, ARTICLES, PASSAGES, SELECTION, Stage
from ultralink.stages.extract import extract
from ultralink.stages.night import Night
from ultralink.stages.select import select
from ultralink.store import Store

HEAD = (
    '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="en">'
    '<siteinfo><namespaces><namespace key="0" /><namespace key="1">Talk</namespace></namespaces></siteinfo>\n'
)
TAIL = "</mediawiki>\n"


def page(number: int, title: str, text: str, revision: int = 1) -> str:
    goes_to = '<redirect title="Anvil" />' if text.startswith("#REDIRECT") else ""
    return (
        f"<page><title>{escape(title)}</title><ns>0</ns><id>{number}</id>{goes_to}<revision>"
        f"<id>{number * 100 + revision}</id><timestamp>2025-01-01T00:00:00Z</timestamp>"
        f"<model>wikitext</model><format>text/x-wiki</format><text>{escape(text)}</text></revision></page>\n"
    )


PAGES = [page(number, topic, wikitext(topic)) for number, topic in enumerate(TOPICS, 1)]


# --- the three forms --------------------------------------------------------------------------


def plain(folder: Path, pages: Sequence[str] = PAGES) -> dict[str, object]:
    path = folder / "wiki.xml"
    path.write_text(HEAD + "".join(pages) + TAIL, encoding="utf-8")
    return {"wikipedia.dump.path": str(path)}


def packed(folder: Path, pages: Sequence[str] = PAGES) -> dict[str, object]:
    path = folder / "wiki.xml.bz2"
    path.write_bytes(bz2.compress((HEAD + "".join(pages) + TAIL).encode()))
    return {"wikipedia.dump.path": str(path)}


def indexed(folder: Path, pages: Sequence[str] = PAGES, per_stream: int = 2) -> dict[str, object]:
    path, index = folder / "multi.xml.bz2", folder / "multi-index.txt.bz2"
    written, lines = bz2.compress(HEAD.encode()), ""
    for start in range(0, len(pages), per_stream):
        group = pages[start : start + per_stream]
        for one in group:
            title = one.partition("<title>")[2].partition("</title>")[0]
            number = one.partition("<id>")[2].partition("</id>")[0]
            lines += f"{len(written)}:{number}:{title}\n"
        written += bz2.compress("".join(group).encode())
    path.write_bytes(written + bz2.compress(TAIL.encode()))
    index.write_bytes(bz2.compress(lines.encode()))
    return {"wikipedia.dump.path": str(path), "wikipedia.dump.index": str(index)}


Form = Callable[..., dict[str, object]]
FORMS: dict[str, Form] = {"plain": plain, "bz2": packed, "multistream": indexed}


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> Form:
    return FORMS[request.param]


@pytest.fixture
def dumps(tmp_path: Path) -> Path:
    folder = tmp_path / "dumps"
    folder.mkdir()
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    folder.mkdir()
    return folder


def on(
    store: Store | Path | str,
    dump: dict[str, object],
    date: str = DATES[0],
    shards: int = 1,
    articles: int = 4,
    dry_run: bool = False,
) -> Night:
    overlay = SHORT | {"wikipedia.source": "dump"} | dump
    return night(store, "en", overlay, date=date, shards=shards, articles=articles, dry_run=dry_run)


# --- slices -----------------------------------------------------------------------------------


def test_a_backfill_gives_disjoint_slices_and_the_same_night_its_own_again(form: Form, dumps: Path, root: Path) -> None:
    dump = form(dumps)
    nights = [on(root, dump, date) for date in DATES]
    for one in nights:
        select(one)
    slices = [chosen(one) for one in nights]
    assert [len(each) for each in slices] == [4, 4, 3]
    assert sorted(page_id for each in slices for page_id in each) == list(range(1, len(TOPICS) + 1))
    for one in nights:
        writes_nothing(root, lambda one=one: select(one))  # type: ignore[misc]
    with pytest.raises(NothingNew, match="dump"):
        writes_nothing(root, lambda: select(on(root, dump, "2026-11-04")))


@pytest.mark.parametrize("shards", [1, 2, 3, 4])
def test_shards_cover_the_selection_once(form: Form, dumps: Path, root: Path, shards: int) -> None:
    one = on(root, form(dumps), shards=shards, articles=7)
    select(one)
    for shard in range(shards):
        extract(one, shard)
    assert covered(one) == sorted(chosen(one))
    assert set(of_all_shards(one, PASSAGES, "page_id")) == set(chosen(one))
    if shards > 1:
        again = writes_nothing(root, lambda: extract(one, 1))
        assert "Nothing to do" in again.line  # type: ignore[attr-defined]


def test_a_newer_dump_brings_edited_pages_again(dumps: Path, root: Path) -> None:
    first = on(root, plain(dumps), articles=50)
    select(first)
    edited = [*PAGES[1:], page(1, "Anvil", wikitext("Anvil", "forged"), revision=2)]
    second = on(root, plain(dumps, edited), DATES[1], articles=50)
    select(second)
    extract(second, 0)
    assert column(second, ARTICLES, "revision_id") == [102]
    assert "forged" in str(column(second, PASSAGES, "text"))


def test_a_newer_dump_with_an_index_brings_edited_pages_again(dumps: Path, root: Path) -> None:
    select(on(root, indexed(dumps, PAGES, per_stream=3), articles=50))
    edited = [*PAGES[1:], page(1, "Anvil", wikitext("Anvil", "forged"), revision=2)]
    second = on(root, indexed(dumps, edited, per_stream=3), DATES[1], articles=50)
    select(second)
    assert column(second, SELECTION, "revision_id") == [102]
    with pytest.raises(NothingNew):
        select(on(root, indexed(dumps, edited, per_stream=3), DATES[2], articles=50))


def test_a_page_edited_between_choice_and_reading_belongs_to_one_night(dumps: Path, root: Path) -> None:
    edited = [*PAGES[1:], page(1, "Anvil", wikitext("Anvil", "forged"), revision=2)]
    first = on(root, plain(dumps), articles=50)
    select(first)
    late = on(root, plain(dumps, edited), articles=50)
    extract(late, 0)  # reads revision 102, chosen as 101
    with pytest.raises(NothingNew):
        select(on(root, plain(dumps, edited), DATES[1], articles=50))


def test_a_revision_that_another_night_has_chosen_is_turned_away(dumps: Path, root: Path) -> None:
    edited = [*PAGES[1:], page(1, "Anvil", wikitext("Anvil", "forged"), revision=2)]
    select(on(root, plain(dumps), articles=50))
    second = on(root, plain(dumps, edited), DATES[1], articles=50)
    select(second)
    extract(second, 0)
    first = on(root, plain(dumps, edited), articles=50)
    extract(first, 0)
    assert set(column(first, PASSAGES, "id")).isdisjoint(column(second, PASSAGES, "id"))
    assert column(first, ARTICLE_REJECTS, "gate") == ["taken"]


def test_a_dry_run_takes_nothing_from_other_nights(dumps: Path, root: Path) -> None:
    dump = plain(dumps)
    built = on(root, dump, DATES[1], articles=2)
    select(built)
    extract(built, 0)
    before = {path: change for path, change in files(root).items() if not path.startswith("rehearsals/")}
    for date, articles in ((DATES[0], 50), (DATES[1], 2), (DATES[1], 6)):
        rehearsing = on(root, dump, date, articles=articles, dry_run=True)
        select(rehearsing)
        extract(rehearsing, 0)
        assert len(column(rehearsing, SELECTION, "page_id")) == min(articles, len(TOPICS) - 2 * (date == DATES[0]))
    assert {path: change for path, change in files(root).items() if not path.startswith("rehearsals/")} == before
    same = on(root, dump, DATES[1], articles=2, dry_run=True)
    select(same)
    assert chosen(same) == chosen(built)
    real = on(root, dump, DATES[0], articles=50)
    select(real)
    assert len(chosen(real)) == len(TOPICS) - 2


def test_a_store_with_odd_signs_in_its_path_keeps_nights_apart(dumps: Path, tmp_path: Path) -> None:
    root = tmp_path / "st[1]*?"
    nights = [on(root, plain(dumps), date, articles=4) for date in DATES]
    for one in nights:
        select(one)
    assert sorted(page_id for one in nights for page_id in chosen(one)) == list(range(1, len(TOPICS) + 1))


def test_an_index_full_of_redirects_still_gives_every_article(dumps: Path, root: Path) -> None:
    redirects = [page(100 + number, f"Alias {number}", "#REDIRECT [[Anvil]]") for number in range(60)]
    dump = indexed(dumps, [*PAGES, *redirects], per_stream=10)
    taken: list[int] = []
    for day in range(1, 7):
        one = on(root, dump, f"2026-11-{day:02}", articles=2)
        select(one)
        taken += chosen(one)
    assert sorted(taken) == list(range(1, len(TOPICS) + 1))
    with pytest.raises(NothingNew):
        select(on(root, dump, "2026-11-07", articles=2))


# --- damage -----------------------------------------------------------------------------------


def test_a_dump_cut_after_the_selection_costs_only_the_shards_behind_the_cut(
    form: Form, dumps: Path, root: Path
) -> None:
    one = on(root, form(dumps), shards=3, articles=50)
    select(one)
    path = Path(one.recipe.wikipedia.dump.path)  # type: ignore[union-attr]
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 6 // 10])
    with pytest.raises(DumpError, match=path.name):
        writes_nothing(root, lambda: extract(one, 2))
    path.write_bytes(whole)
    extract(one, 2)


def test_a_truncated_dump_is_named_before_anything_is_chosen(dumps: Path, root: Path) -> None:
    dump = packed(dumps)
    path = dumps / "wiki.xml.bz2"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DumpError, match=r"wiki\.xml\.bz2: truncated"):
        select(on(root, dump))
    assert files(root) == {}


def test_without_a_selection_there_is_nothing_to_extract(dumps: Path, root: Path) -> None:
    one = on(root, plain(dumps))
    with pytest.raises(PartMissing, match=r"selection/en/2026-11-01/00000\.parquet"):
        extract(one, 0)
    assert files(root) == {}


# --- parts of another schema version ----------------------------------------------------------


def older(stage: Stage) -> Stage:
    return Stage(stage.name, stage.version - 1, stage.schema)


@pytest.mark.parametrize("stage", [SELECTION, PASSAGES])
def test_a_part_of_another_schema_version_is_named_and_a_rebuild_replaces_it(
    dumps: Path, root: Path, stage: Stage
) -> None:
    one = on(root, plain(dumps))
    select(one)
    extract(one, 0)
    slice_of_before = chosen(one)
    one.store.part(older(stage), "en", one.date).write([], "old")
    work = select if stage is SELECTION else lambda one: extract(one, 0)
    with pytest.raises(SchemaMismatch, match=rf"{stage.name}/en/2026-11-01/00000.parquet: .* version 0"):
        writes_nothing(root, lambda: work(one))
    work(night(root, "en", SHORT | plain(dumps), articles=4, rebuild=True))
    work(one)
    assert chosen(one) == slice_of_before


def test_another_night_s_selection_of_another_version_is_named(dumps: Path, root: Path) -> None:
    first = on(root, plain(dumps))
    first.store.part(older(SELECTION), "en", DATES[1]).write([], "old")
    with pytest.raises(SchemaMismatch, match="2026-11-02"):
        select(first)


def test_a_new_version_of_any_part_makes_all_three_again(
    dumps: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = on(root, plain(dumps))
    select(one)
    extract(one, 0)
    newer = Stage(ARTICLE_REJECTS.name, ARTICLE_REJECTS.version + 1, ARTICLE_REJECTS.schema)
    monkeypatch.setattr("ultralink.stages.extract.ARTICLE_REJECTS", newer)
    assert "Nothing to do" not in extract(one, 0).line
    assert one.part(newer).stamp() is not None


# --- stores that cannot be written ------------------------------------------------------------


def test_a_read_only_store_is_named(form: Form, dumps: Path, root: Path) -> None:
    one = on(root, form(dumps))
    with read_only(root):
        with pytest.raises(StoreReadOnly, match="selection/en"):
            select(one)
        assert files(root) == {}
    select(one)
    with read_only(root), pytest.raises(StoreReadOnly, match="passages/en"):
        writes_nothing(root, lambda: extract(one, 0))
    extract(one, 0)
    with read_only(root):
        assert "Nothing to do" in extract(one, 0).line


def test_a_full_disk_leaves_nothing_half_written(dumps: Path, root: Path) -> None:
    one = on(root, plain(dumps), articles=50)
    with small_disk(root, "128k"):
        leave_free(root, 0)
        with pytest.raises(StoreFull, match=r"selection/en/2026-11-01/00000\.parquet: no space left"):
            writes_nothing(root, lambda: select(one))
        (root / BALLAST).unlink()
        select(one)
        for spare in range(0, 1 << 16, 1 << 12):
            leave_free(root, spare)
            try:
                extract(one, 0)
                break
            except StoreFull:
                assert one.part(PASSAGES).stamp() is None
                assert all(Path(path).suffix == ".parquet" for path in files(root) if path != BALLAST)
        assert spare > 1 << 12
        assert covered(one) == sorted(chosen(one))
        assert len(files(root)) == 5  # selection, passages, articles, rejects, ballast


# --- other stores -----------------------------------------------------------------------------


def test_an_object_store_serves_both_stages(form: Form, dumps: Path) -> None:
    store = Store.at(f"memory://dump-{form.__name__}")
    nights = [on(store, form(dumps), date, shards=2) for date in DATES[:2]]
    for one in nights:
        select(one)
        for shard in range(2):
            extract(one, shard)
        assert covered(one) == sorted(chosen(one))
        assert "Nothing to do" in extract(one, 0).line
    assert set(chosen(nights[0])).isdisjoint(chosen(nights[1]))
