"""ApiWiki against real MediaWikis: what they list, redirect, cache, limit and refuse."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator

import httpx
import pyarrow as pa
import pytest
from tests.real.mediawiki import Farm
from tests.wikipedia.conftest import MANY
from tests.wikipedia.opening import RANDOM, category, open_wiki, titles

from ultralink.errors import SelectionEmpty, WikiRefused, WikiUnreachable
from ultralink.recipe import CategoryWalk, RandomDraw, TitleList
from ultralink.schemas import SELECTION
from ultralink.wikipedia import api
from ultralink.wikipedia.article import Candidate, Page, TurnedAway
from ultralink.wikipedia.selection import Draw, choose, selection_rows
from ultralink.wikipedia.transport import Patience

Selection = CategoryWalk | TitleList | RandomDraw


def names(candidates: Iterable[Candidate]) -> list[str]:
    return [candidate.title for candidate in candidates]


def candidates(wikis: Farm, selection: Selection, *, language: str = "en", seed: int = 0) -> list[Candidate]:
    with open_wiki(wikis.api(language), selection, language=language, seed=seed) as wiki:
        return list(wiki.candidates())


def fetched(wikis: Farm, *wanted: str, language: str = "en") -> list[Page | TurnedAway]:
    with open_wiki(wikis.api(language), titles(*wanted), language=language) as wiki:
        return list(wiki.pages(list(wiki.candidates())))


def page(wikis: Farm, title: str) -> Page:
    (found,) = fetched(wikis, title)
    assert isinstance(found, Page), found
    return found


def asked_of(wikis: Farm, title: str) -> dict[str, object]:
    """A page as the wiki itself tells it, by a request of the test's own."""
    params = {
        "action": "query",
        "titles": title,
        "prop": "revisions|info",
        "format": "json",
        "formatversion": "2",
    }
    found: dict[str, object] = httpx.get(wikis.api("en"), params=params).json()["query"]["pages"][0]
    return found


# --- pages ---


def test_a_page_has_text_revision_and_categories_of_one_answer(wikis: Farm) -> None:
    water = page(wikis, "Water")
    known = asked_of(wikis, "Water")
    assert (water.page_id, water.revision_id) == (known["pageid"], known["lastrevid"])
    assert water.form == "extract"
    assert water.text.startswith("Water is wet.")
    assert water.categories == ("Drinks",)
    assert not water.is_disambiguation


def test_a_page_is_one_request(wikis: Farm) -> None:
    with open_wiki(wikis.api("en"), titles("Water", "Cocoa", "Headed")) as wiki:
        chosen = list(wiki.candidates())
        before = len(wikis.requests())
        assert len(list(wiki.pages(chosen))) == 3
    assert len(wikis.requests()) - before == 3


def test_the_user_agent_names_us_the_contact_and_the_library(wikis: Farm) -> None:
    before = len(wikis.requests())
    candidates(wikis, category("Drinks", 1))
    lines = wikis.requests()[before:]
    assert any("list=categorymembers" in line for line in lines)  # the library's call
    assert any("generator=categorymembers" in line for line in lines)  # our own
    assert all("ultralink/" in line and "tests@example.org" in line and "Wikipedia-API/" in line for line in lines)
    assert all("maxlag=5" in line for line in lines)


def test_headings_stay_raw_even_without_a_lead_or_a_body(wikis: Farm) -> None:
    text = page(wikis, "Headed").text
    assert [line for line in text.splitlines() if line.startswith("==")] == [
        "== North ==",
        "== South ==",
        "== References ==",
    ]


def test_a_disambiguation_page_says_so(wikis: Farm) -> None:
    assert page(wikis, "Mercury").is_disambiguation


def test_an_empty_page_has_an_empty_text(wikis: Farm) -> None:
    assert page(wikis, "Without text").text == ""


def test_all_categories_come_however_many_and_a_long_text_with_them(wikis: Farm) -> None:
    many = page(wikis, "Many")
    assert len(many.categories) == len(set(many.categories)) == MANY
    assert many.text.count("Word.") == 60_000


def test_hidden_categories_are_left_out(wikis: Farm) -> None:
    assert page(wikis, "Hidden and shown").categories == ("Shown",)


def test_text_and_revision_change_together(wikis: Farm) -> None:
    before = page(wikis, "To be edited")
    wikis.edit("en", "To be edited", "Second text.")
    after = page(wikis, "To be edited")
    assert (before.text, after.text) == ("First text.", "Second text.")
    assert before.revision_id < after.revision_id == asked_of(wikis, "To be edited")["lastrevid"]


def test_edits_within_a_second_do_not_get_each_others_text(wikis: Farm) -> None:
    """TextExtracts gives the text of the first edit with the revision of the second; ApiWiki must not."""
    with open_wiki(wikis.api("en"), titles("To be edited twice")) as wiki:
        chosen = list(wiki.candidates())
        for number in range(8):  # several a second: saving takes about 0.2 s
            wikis.edit("en", "To be edited twice", f"Edit {number}.")
            (found,) = wiki.pages(chosen)
            assert isinstance(found, Page)
            latest = asked_of(wikis, "To be edited twice")["lastrevid"]
            assert (found.text.strip(), found.revision_id) == (f"Edit {number}.", latest)
        before = len(wikis.requests())
        list(wiki.pages(chosen))
    assert len(wikis.requests()) - before == 2  # extract, then wikitext; the history is not read


def test_each_page_comes_once_and_in_order(wikis: Farm) -> None:
    with open_wiki(wikis.api("en"), titles("Water", "Cocoa", "Green tea", "Black tea")) as wiki:
        chosen = list(wiki.candidates())
        order = [*reversed(chosen), *chosen]
        assert [found.page_id for found in wiki.pages(order)] == [c.page_id for c in reversed(chosen)]


def test_stopping_half_way_leaves_nothing_hanging(wikis: Farm) -> None:
    with open_wiki(wikis.api("en"), RANDOM) as wiki:
        pages = wiki.pages(list(wiki.candidates()))
        next(pages)
        pages.close()  # type: ignore[attr-defined]
    waiting = [thread for thread in threading.enumerate() if thread.name.startswith("wiki")]
    for thread in waiting:
        thread.join(20)
    assert not any(thread.is_alive() for thread in waiting)


def test_what_changed_between_choice_and_fetch_is_turned_away(wikis: Farm) -> None:
    with open_wiki(wikis.api("en"), titles("To be turned", "Water")) as wiki:
        chosen = list(wiki.candidates())
        wikis.edit("en", "To be turned", "#REDIRECT [[Water]]")
        gone = Candidate(999_999, "To be deleted", 5)
        turned, water, deleted = wiki.pages([*chosen, gone])
    assert isinstance(turned, TurnedAway)
    assert (turned.gate, turned.title, turned.page_id) == ("redirect", "To be turned", chosen[0].page_id)
    assert isinstance(water, Page)
    assert isinstance(deleted, TurnedAway)
    assert (deleted.gate, deleted.title, deleted.revision_id) == ("missing", "To be deleted", 5)


# --- titles ---


def test_titles_give_articles_with_their_revisions(wikis: Farm) -> None:
    (water,) = candidates(wikis, titles("Water"))
    known = asked_of(wikis, "Water")
    assert water == Candidate(known["pageid"], "Water", known["lastrevid"])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "title",
    [
        "Smørrebrød & 東京 100% \"+\" 'é' 🙂",
        "Café",
        "Cafe\u0301",
        "  Black_tea ",
        "black tea",
        "Black tea#Leaves",
        "Chai",
        "Masala chai",
        "Black tea leaves",
    ],
)
def test_however_a_title_is_written_it_leads_to_its_article(wikis: Farm, title: str) -> None:
    (found,) = fetched(wikis, title)
    assert isinstance(found, Page)
    expected = {"S": "Unicode.", "C": "With an accent.", "B": "Black tea is black."}
    first = "B" if "tea" in title.lower() or "hai" in title else title.strip()[0]
    assert found.text == expected[first]
    assert asked_of(wikis, found.title)["lastrevid"] == found.revision_id


def test_titles_that_lead_to_one_page_give_it_once(wikis: Farm) -> None:
    listed = titles("Chai", "Black tea", "Masala chai", "black tea", "Black tea leaves", "Black tea")
    assert names(candidates(wikis, listed)) == ["Black tea"]


@pytest.mark.parametrize(
    ("title", "gate"),
    [
        ("Tea|Glacier", "invalid"),
        ("Water|Cocoa", "invalid"),
        ("<b>", "invalid"),
        ("", "invalid"),
        ("   ", "invalid"),
        ("a\x1fWater", "invalid"),
        ("line\nbreak", "invalid"),
        ("x" * 256, "invalid"),
        ("{{Water}}", "invalid"),
        ("No such page", "missing"),
        ("To nowhere", "missing"),
        ("mw:Help", "missing"),
        ("Special:Random", "missing"),
        ("To elsewhere", "missing"),
        ("Round one", "redirect"),
        ("Category:Drinks", "namespace"),
    ],
)
def test_what_is_not_an_article_is_turned_away_by_name(wikis: Farm, title: str, gate: str) -> None:
    found, turned = fetched(wikis, title, "Water")
    assert isinstance(found, Page)
    assert found.title == "Water"
    assert isinstance(turned, TurnedAway)
    assert (turned.title, turned.gate) == (title, gate), turned.reason
    assert turned.page_id < 0
    assert turned.reason


def test_stand_ins_have_the_same_id_in_every_process(wikis: Farm) -> None:
    *_, turned = candidates(wikis, titles("Water", "No such page"))
    assert turned == Candidate(-130_156_719_609_985, "No such page", None)


@pytest.mark.parametrize("title", ["\ud800", "x" * 100_000, "\x00"])
def test_no_title_is_too_odd_to_be_written_down(wikis: Farm, title: str) -> None:
    _, odd = candidates(wikis, titles("Water", title))
    pa.Table.from_pylist(selection_rows([odd]), schema=SELECTION.schema)
    with open_wiki(wikis.api("en")) as wiki:
        (turned,) = wiki.pages([odd])
    assert isinstance(turned, TurnedAway)
    assert (turned.page_id, turned.title) == (odd.page_id, odd.title)


def test_a_list_without_any_article_is_an_empty_selection(wikis: Farm) -> None:
    with pytest.raises(SelectionEmpty, match=r"none of the 2 titles.*No such page"):
        candidates(wikis, titles("No such page", "Tea|Glacier"))


def test_a_list_of_hundreds_of_long_titles(wikis: Farm) -> None:
    listed = [f"{'東' * 80} {number}" for number in range(120)]
    found = candidates(wikis, titles(*listed, "Water"))
    assert found[0].title == "Water"
    assert names(found[1:]) == listed


def test_chinese_titles_in_either_script(wikis: Farm) -> None:
    for written in ("茶馆", "茶館"):
        (found,) = fetched(wikis, written, language="zh")
        assert isinstance(found, Page)
        assert found.title == "茶馆"
        assert "茶" in found.text
        assert found.form == "extract"


# --- categories ---


@pytest.mark.parametrize(
    ("depth", "expected"),
    [
        (0, ["Black tea", "Water"]),
        (1, ["Black tea", "Cocoa", "Water"]),
        (8, ["Black tea", "Black tea", "Cocoa", "Green tea", "Water"]),  # Black tea is in two of the three
    ],
)
def test_a_category_is_walked_to_its_depth_and_only_once_round(wikis: Farm, depth: int, expected: list[str]) -> None:
    assert sorted(names(candidates(wikis, category("Drinks", depth)))) == expected


@pytest.mark.parametrize(
    "name", ["Drinks", "drinks", "Category:Drinks", "category: Drinks", "分类:Drinks", "Hot_drinks"]
)
def test_a_category_goes_with_or_without_its_prefix(wikis: Farm, name: str) -> None:
    assert candidates(wikis, category(name))


def test_category_members_carry_their_revision_and_no_redirect(wikis: Farm) -> None:
    by_name = {candidate.title: candidate for candidate in candidates(wikis, category("Teas"))}
    assert set(by_name) == {"Green tea", "Black tea"}
    assert by_name["Green tea"].revision_id == asked_of(wikis, "Green tea")["lastrevid"]


def test_a_category_longer_than_one_answer(wikis: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = candidates(wikis, category("Drinks", 8))
    monkeypatch.setattr(api, "_BATCH", 1)
    small = candidates(wikis, category("Drinks", 8))
    assert sorted(small, key=lambda c: c.page_id) == sorted(whole, key=lambda c: c.page_id)


@pytest.mark.parametrize("name", ["No such category", "Only redirects"])
def test_a_category_without_articles_is_an_empty_selection(wikis: Farm, name: str) -> None:
    with pytest.raises(SelectionEmpty, match=name):
        candidates(wikis, category(name, 2))


# --- random draw ---


def test_a_draw_is_of_all_articles_and_repeatable(wikis: Farm) -> None:
    found = candidates(wikis, RANDOM, seed=3)
    assert found == candidates(wikis, RANDOM, seed=3)
    assert names(found) != names(candidates(wikis, RANDOM, seed=4))
    assert len(names(found)) == len(set(names(found)))
    assert {"Water", "Cocoa", "Headed", "Lighthouse"} <= set(names(found))
    assert not {"Chai", "Round one", "Category:Teas"} & set(names(found))


def test_a_seed_says_where_the_draw_begins(wikis: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "_BATCH", 3)
    beginnings = {frozenset(names(candidates(wikis, RANDOM, seed=seed))[:3]) for seed in range(5)}
    assert len(beginnings) > 1


def test_a_draw_by_small_answers_comes_round_to_every_article(wikis: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = set(candidates(wikis, RANDOM))
    monkeypatch.setattr(api, "_BATCH", 3)
    small = candidates(wikis, RANDOM, seed=9)
    assert set(small) == whole
    assert len(small) == len(whole)


def test_nights_of_a_draw_are_disjoint_and_read_only_what_they_need(
    wikis: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "_BATCH", 4)
    earlier: set[tuple[int, int | None]] = set()
    nights = []
    before = len(wikis.requests())
    for _ in range(3):
        with open_wiki(wikis.api("en"), RANDOM) as wiki:
            draw = wiki.candidates()
            assert isinstance(draw, Draw)
            night = choose(draw, earlier, 4, seed=0)
        nights.append({candidate.page_id for candidate in night})
        earlier |= {(candidate.page_id, candidate.revision_id) for candidate in night}
    assert len(set.union(*nights)) == 12
    assert len(wikis.requests()) - before == 1 + 2 + 3


# --- lag, limits, addresses ---


@pytest.fixture
def lagging(wikis: Farm) -> Iterator[Farm]:
    wikis.lag.write_text("8.5")
    yield wikis
    wikis.lag.unlink(missing_ok=True)


def test_a_lagging_wiki_is_waited_for(lagging: Farm) -> None:
    """The genuine answer is HTTP 200 with an error and Retry-After: 5."""
    recovery = threading.Timer(1, lagging.lag.unlink)
    before = len(lagging.requests())
    recovery.start()
    started = time.monotonic()
    assert page(lagging, "Water").text
    assert time.monotonic() - started >= 5  # a floor: it came back no sooner than it was asked to
    assert len(lagging.requests()) - before == 3  # put off, then the titles, then the page


def test_a_wiki_that_keeps_lagging_is_unreachable_for_now(lagging: Farm) -> None:
    patience = Patience(put_off_s=1, first_wait_s=0.01)
    with (
        open_wiki(lagging.api("en"), titles("Water"), patience=patience) as wiki,
        pytest.raises(WikiUnreachable, match=r"maxlag.*8\.5 seconds lagged"),
    ):
        list(wiki.candidates())


def test_real_429s_slow_us_down_and_lose_nothing(wikis: Farm) -> None:
    with open_wiki(wikis.api("en", "limited"), RANDOM, concurrency=8) as wiki:
        chosen = list(wiki.candidates())
        before = len(wikis.requests())
        found = list(wiki.pages(chosen))
    assert [(p.page_id, type(p)) for p in found] == [(c.page_id, Page) for c in chosen]
    refused = [line for line in wikis.requests()[before:] if '" 429 ' in line]
    assert refused
    assert len(refused) < 3 * len(chosen)


def test_a_moved_wiki_is_followed(wikis: Farm) -> None:
    with open_wiki(wikis.api("en", "moved"), titles("Water")) as wiki:
        assert len(list(wiki.pages(list(wiki.candidates())))) == 1


def test_one_address_serves_many_wikis_by_their_host_name(wikis: Farm) -> None:
    for language, title in (("en", "Water"), ("zh", "茶馆")):
        with open_wiki(wikis.address, titles(title), language=language) as wiki:
            assert names(wiki.candidates()) == [title]


def test_an_api_error_is_refused_with_its_code(wikis: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "_TITLES", 51)
    listed = titles(*(f"Title {number}" for number in range(51)))
    with pytest.raises(WikiRefused, match="toomanyvalues"):
        candidates(wikis, listed)


def test_an_address_without_a_wiki_is_refused(wikis: Farm) -> None:
    with (
        open_wiki(f"{wikis.address}/nothing/here.php", titles("Water")) as wiki,
        pytest.raises(WikiRefused, match=r"here\.php.*HTTP 404.*base_url"),
    ):
        list(wiki.candidates())
