"""ApiWiki against a fake wiki that drops, cuts, hangs, lags, limits, moves and lies."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.wikipedia.fake_wiki import (
    Act,
    FakeWiki,
    Handler,
    api_error,
    article,
    cut,
    dropped,
    fake_wiki,
    good,
    raw,
    reply,
    status,
    times,
)
from tests.wikipedia.opening import RANDOM, category, open_wiki, titles

from ultralink.errors import RecipeError, UltraLinkError, WikiRefused, WikiUnreachable
from ultralink.wikipedia.article import Candidate, Page, TurnedAway
from ultralink.wikipedia.transport import Pace, Patience, PoliteTransport, endpoint_of, retry_after

HTML = b"<!DOCTYPE html><title>Welcome</title>"
IN_A_SECOND = format_datetime(datetime.now(UTC) + timedelta(seconds=1), usegmt=True)


def fetch(wiki: FakeWiki, *page_ids: int, timeout_s: float = 20) -> list[Page | TurnedAway]:
    with open_wiki(wiki.base_url, timeout_s=timeout_s) as source:
        return list(source.pages([Candidate(page_id, "x" * page_id, 7) for page_id in page_ids or (4,)]))


# --- what the next attempt mends ---


@pytest.mark.parametrize(
    "fault",
    [
        dropped,
        cut,
        raw(b'{"query": {"pa'),
        raw(b""),
        raw(b"[1, 2]"),
        raw(b"\xff\xfe\x00"),
        raw(b"[" * 100_000),
        raw(HTML, "text/html"),
        status(500),
        status(502),
        status(503),
        status(504),
        status(408),
        status(429),
        status(429, Retry_After="0"),
        status(503, Retry_After="0"),
        status(429, Retry_After="soon"),
        status(429, Retry_After=IN_A_SECOND),
        status(503, Retry_After=IN_A_SECOND),
        api_error("maxlag", Retry_After="0"),
        api_error("ratelimited"),
        api_error("readonly"),
        api_error("internal_api_error_DBQueryError"),
    ],
)
def test_a_passing_fault_is_survived(fault: Act) -> None:
    with fake_wiki(fault) as wiki:
        (page,) = fetch(wiki)
    assert isinstance(page, Page)
    assert (page.text, page.revision_id) == ("Text of 4.", 7)
    assert len(wiki.seen) == 2
    assert wiki.seen[0] == wiki.seen[1]


def test_a_passing_fault_is_survived_in_the_librarys_call_too() -> None:
    members = {"query": {"categorymembers": [{"pageid": 9, "ns": 14, "title": "Kategorie:Sub"}]}}
    acts = [good, dropped, api_error("maxlag", Retry_After="0"), reply(members)]
    with fake_wiki(*acts) as wiki, open_wiki(wiki.base_url, category("Top", 1)) as source:
        assert len(list(source.candidates())) == 2
    assert [asked.get("cmtitle") for asked in wiki.seen] == [None, *["Category:Top"] * 3, None]
    assert wiki.seen[-1]["gcmtitle"] == "Category:Sub"
    assert all(asked["maxlag"] == "5" for asked in wiki.seen)


@pytest.mark.parametrize("how", ["hang", "drip"])
def test_a_hanging_wiki_times_out_and_is_asked_again(how: str) -> None:
    with fake_wiki() as wiki:
        wiki.script.append(getattr(wiki, how))
        (page,) = fetch(wiki, timeout_s=0.3)
    assert isinstance(page, Page)
    assert len(wiki.seen) == 2


def test_many_pages_through_a_bad_line_all_arrive_in_order() -> None:
    faults = [dropped, status(503), raw(b"{"), status(429, Retry_After="0"), cut]
    times_asked: Counter[int] = Counter()

    def twice_bad(handler: Handler) -> None:
        page_id = int(handler.params["pageids"])
        times_asked[page_id] += 1
        bad = times_asked[page_id] <= 2
        (faults[(page_id + times_asked[page_id]) % len(faults)] if bad else good)(handler)

    wanted = list(range(1, 13))
    with fake_wiki() as wiki:
        wiki.usual = twice_bad
        assert [page.page_id for page in fetch(wiki, *wanted)] == wanted
    assert set(times_asked.values()) == {3}


# --- what lasts ---


@pytest.mark.parametrize(
    ("fault", "error", "says"),
    [
        (dropped, WikiUnreachable, "connection failed"),
        (cut, WikiUnreachable, "connection failed"),
        (status(500), WikiUnreachable, "HTTP 500"),
        (raw(b'{"query": {"pa'), WikiUnreachable, "not a JSON object"),
        (raw(HTML, "text/html"), WikiRefused, "not a JSON object.*base_url"),
        (api_error("internal_api_error_DBQueryError"), WikiUnreachable, "internal_api_error_DBQueryError"),
    ],
)
def test_a_lasting_fault_ends_after_the_attempts(fault: Act, error: type[UltraLinkError], says: str) -> None:
    with fake_wiki(*times(fault, 9)) as wiki, pytest.raises(error, match=f"(?s)/w/api.php about 4: .*{says}"):
        fetch(wiki)
    assert len(wiki.seen) == 4


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (status(404), "HTTP 404"),
        (status(403), "HTTP 403"),
        (status(401), "HTTP 401"),
        (status(400), "HTTP 400"),
        (api_error("readapidenied"), "readapidenied.*What readapidenied means"),
        (reply({"error": "odd"}), "unknown"),
        (reply({"query": {"pages": [{"pageid": "four"}]}}), "query.pages.0.pageid"),
        (raw(b'{"query": {"pages": [{"pageid": 4, "title": "\\ud800"}]}}'), "not an answer"),
    ],
)
def test_what_no_retry_mends_is_refused_at_once(fault: Act, says: str) -> None:
    with fake_wiki(fault) as wiki, pytest.raises(WikiRefused, match=f"(?s){says}"):
        fetch(wiki)
    assert len(wiki.seen) == 1


def test_a_hanging_wiki_is_unreachable_in_the_end() -> None:
    with fake_wiki() as wiki:
        wiki.script += times(wiki.hang, 9)
        with pytest.raises(WikiUnreachable, match=r"no answer within 0\.1 s \(4 attempts\)"):
            fetch(wiki, timeout_s=0.1)


def test_nobody_there_is_unreachable() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with (
            open_wiki(f"http://127.0.0.1:{port}") as wiki,
            pytest.raises(WikiUnreachable, match=f":{port}/w/api.php"),
        ):
            list(wiki.candidates())


def test_closing_wakes_whoever_waits() -> None:
    patient = Patience(put_off_s=10_000, longest_wait_s=5_000)
    with (
        fake_wiki(status(429, Retry_After="4000")) as fake,
        open_wiki(fake.base_url, patience=patient) as wiki,
    ):
        threading.Timer(0.3, wiki.close).start()
        with pytest.raises(WikiUnreachable, match="closed"):
            list(wiki.pages([Candidate(4, "xxxx", 7)]))


# --- waiting as asked ---


def put_off_for(monkeypatch: pytest.MonkeyPatch, patience: Patience, *faults: Act) -> list[float]:
    """The seconds that the wiki's machine is left alone after each fault, without waiting for them."""
    waits: list[float] = []
    monkeypatch.setattr(Pace, "put_off", lambda _, wait_s: waits.append(wait_s))
    with fake_wiki(*faults) as wiki, open_wiki(wiki.base_url, titles("x"), patience=patience) as source:
        list(source.candidates())
    return waits


@pytest.mark.parametrize("code", [429, 503])
def test_retry_after_is_kept_and_capped(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=41), usegmt=True)
    faults = [status(code, Retry_After=value) for value in ("7", "99999", date)]
    first, capped, dated = put_off_for(monkeypatch, Patience(put_off_s=1000), *faults)
    assert (first, capped) == (7, 60)
    assert 38 <= dated <= 41


def test_maxlag_waits_as_its_header_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert put_off_for(monkeypatch, Patience(), api_error("maxlag", Retry_After="5")) == [5]


def test_limits_without_a_time_are_waited_out_longer_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = put_off_for(monkeypatch, Patience(), *times(status(429), 5))
    assert all(wait <= 0.5 * 2**n and wait >= 0.25 * 2**n for n, wait in enumerate(waits))


def test_being_put_off_too_long_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WikiUnreachable, match=r"HTTP 429 \(3 times\)"):
        put_off_for(monkeypatch, Patience(), *times(status(429, Retry_After="60"), 9))


def test_a_date_is_read_by_the_servers_clock() -> None:
    headers = httpx.Headers({"Date": "Mon, 02 Mar 2037 10:00:00 GMT", "Retry-After": "Mon, 02 Mar 2037 10:00:30 GMT"})
    assert retry_after(headers) == 30


@given(st.text())
def test_any_retry_after_is_a_time_or_nothing(value: str) -> None:
    seconds = retry_after(httpx.Headers([(b"Retry-After", value.encode("utf-8", "replace"))]))
    assert seconds is None or seconds >= 0


def test_the_pace_yields_to_limits_and_comes_back() -> None:
    pace = Pace()
    assert pace.turn(10) == 0
    assert 0 < pace.turn(10) <= 0.1
    for _ in range(5):  # answers to requests that were sent before the first of them came
        pace.put_off(100)
    assert 99 < pace.turn(10) <= 100
    assert pace._slowness == 2
    for _ in range(100):
        pace.served()
    assert pace._slowness == 1


def test_all_sources_of_one_wiki_share_its_pace() -> None:
    with open_wiki("http://127.0.0.1:1/en") as one, open_wiki("http://127.0.0.1:1/zh") as other:
        assert one._transport._pace is other._transport._pace
    with open_wiki("http://127.0.0.1:2/en") as third:
        assert third._transport._pace is not one._transport._pace


# --- moves ---


def test_a_move_within_the_wiki_keeps_the_question() -> None:
    there = "/elsewhere/api.php?pageids=4&moved=1"
    with fake_wiki(status(301, Location=there)) as wiki:
        (page,) = fetch(wiki)
    assert isinstance(page, Page)
    assert wiki.seen[1] == {"pageids": "4", "moved": "1"}


def test_a_move_to_the_name_in_the_host_header_stays_on_the_machine() -> None:
    with fake_wiki(status(301, Location="http://en.wikipedia.org/w/api.php?pageids=4")) as wiki:
        assert isinstance(fetch(wiki)[0], Page)
    assert [headers["Host"] for headers in wiki.headers] == ["en.wikipedia.org"] * 2


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:1/w/api.php",
        "https://evil.example/w/api.php",
        "//evil.example/",
        "file:///etc/passwd",
        "",
    ],
)
def test_a_move_elsewhere_is_refused(location: str) -> None:
    with fake_wiki(status(301, Location=location)) as wiki, pytest.raises(WikiRefused, match="redirected to"):
        fetch(wiki)
    assert len(wiki.seen) == 1


def test_going_in_circles_ends() -> None:
    round_again = status(302, Location="/w/api.php?pageids=4")
    with (
        fake_wiki(*times(round_again, 20)) as wiki,
        pytest.raises(WikiRefused, match="redirected more than 5 times"),
    ):
        fetch(wiki)
    assert len(wiki.seen) == 6


def test_https_may_be_taken_but_never_given_up() -> None:
    with open_wiki("http://wiki.example/w/api.php") as wiki:
        moved = wiki._transport._moved
        at = httpx.URL("http://wiki.example/w/api.php")
        assert moved(at, "wiki.example", "https://wiki.example/w/api.php").scheme == "https"
        with pytest.raises(WikiRefused):
            moved(at.copy_with(scheme="https"), "wiki.example", "http://wiki.example/w/api.php")


# --- odd answers ---


def test_a_page_without_extract_comes_as_wikitext_of_one_revision() -> None:
    bare = {key: value for key, value in article(4).items() if key != "extract"}
    exact = bare | {"revisions": [{"revid": 8, "slots": {"main": {"content": "'''Text'''"}}}]}
    with fake_wiki(reply({"query": {"pages": [bare]}}), reply({"query": {"pages": [exact]}})) as wiki:
        (page,) = fetch(wiki)
    assert isinstance(page, Page)
    assert (page.form, page.text, page.revision_id) == ("wikitext", "'''Text'''", 8)


def test_a_page_edited_while_the_wiki_answers_comes_as_wikitext() -> None:
    exact = article(4) | {"revisions": [{"revid": 9, "slots": {"main": {"content": "New."}}}]}
    torn = reply({"query": {"pages": [article(4) | {"lastrevid": 6}]}})
    with fake_wiki(torn, reply({"query": {"pages": [exact]}})) as wiki:
        (page,) = fetch(wiki)
    assert isinstance(page, Page)
    assert (page.form, page.text, page.revision_id) == ("wikitext", "New.", 9)


def test_a_page_with_neither_is_turned_away() -> None:
    bare = {key: value for key, value in article(4).items() if key != "extract"}
    with fake_wiki(*times(reply({"query": {"pages": [bare]}}), 2)) as wiki:
        (found,) = fetch(wiki)
    assert isinstance(found, TurnedAway)
    assert (found.gate, found.page_id, found.revision_id) == ("missing", 4, 7)


@pytest.mark.parametrize("answer", [{}, {"query": {}}, {"query": {"pages": [{"pageid": 4, "missing": True}]}}])
def test_a_page_that_the_wiki_does_not_have_is_turned_away(answer: object) -> None:
    with fake_wiki(reply(answer)) as wiki:
        (found,) = fetch(wiki)
    assert isinstance(found, TurnedAway)
    assert (found.gate, found.title) == ("missing", "xxxx")


def test_a_continuation_that_stands_still_is_refused() -> None:
    stuck = reply({"continue": {"grncontinue": "0.5|0.5|1|0", "continue": "grncontinue||"}, "query": {"pages": []}})
    with (
        fake_wiki(*times(stuck, 9)) as wiki,
        open_wiki(wiki.base_url, RANDOM) as source,
        pytest.raises(WikiRefused, match="stands still"),
    ):
        list(source.candidates())
    assert len(wiki.seen) == 2


# --- settings ---


@pytest.mark.parametrize(
    ("base_url", "endpoint"),
    [
        ("https://en.wikipedia.org", "https://en.wikipedia.org/w/api.php"),
        ("https://en.wikipedia.org/", "https://en.wikipedia.org/w/api.php"),
        ("https://en.wikipedia.org/w/api.php", "https://en.wikipedia.org/w/api.php"),
        ("http://127.0.0.1:81/en", "http://127.0.0.1:81/en/w/api.php"),
    ],
)
def test_the_endpoint_of_a_base_url(base_url: str, endpoint: str) -> None:
    assert str(endpoint_of(base_url)) == endpoint


@pytest.mark.parametrize(
    "base_url", ["https://me:secret@wiki.example", "https://", "http://wiki.example/?a=b", "http://[::"]
)
def test_a_bad_base_url_is_a_mistake_in_the_recipe(base_url: str) -> None:
    with pytest.raises(RecipeError, match="base_url") as caught:
        endpoint_of(base_url)
    assert "secret" not in str(caught.value)


def test_a_contact_that_no_header_can_hold_is_a_mistake_in_the_recipe() -> None:
    with open_wiki("http://127.0.0.1:1") as wiki:
        settings = wiki._settings.model_copy(update={"contact": "me\r\nX-Evil: 1"})
        with pytest.raises(RecipeError, match="contact"):
            type(wiki)(settings, wiki._wikipedia, "en")


def test_the_transport_is_plain_httpx() -> None:
    with fake_wiki() as wiki, open_wiki(wiki.base_url) as source:
        transport = PoliteTransport(source._settings, Patience(attempts=1))
        with httpx.Client(transport=transport) as client:
            assert client.get("https://xx.wikipedia.org/w/api.php", params={"pageids": "3"}).json()
    assert wiki.headers[0]["Host"] == "xx.wikipedia.org"
