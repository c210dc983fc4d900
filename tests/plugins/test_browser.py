"""The browser's routes: what they show of hostile rows, where they lead, who may judge, and what is kept."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from tests.insight.night_rows import DATES, article, dialogue, evidence, messages, publish, reject, translation

from ultralink.store import Store

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Route
    from starlette.testclient import TestClient

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\u202egnp.exe\u2066 \x1b[31m \"'>& {{7*7}}"
ESCAPED = "&lt;script&gt;alert(1)&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;"
NIGHT = DATES[2]
ARABIC = "تمسك الأشجار ضفاف القناة بجذورها. "
UNGROUNDED = {"answer": 2, "grounded": False, "quote": HOSTILE}
ORIGIN = {"sec-fetch-site": "same-origin"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store.at(str(tmp_path_factory.mktemp("store")))
    said = messages(("user", HOSTILE), ("assistant", "x" * 999_000 + HOSTILE))
    source = article(9, title=HOSTILE, url="javascript:alert(1)", passage=HOSTILE, categories=[HOSTILE])
    samples = [
        dialogue(1),
        translation(2, "Use `x`.", "Prends `x`."),
        dialogue(9, id=HOSTILE, messages=said, source=source),
    ]
    rejects = [reject(4), reject(5, reason=HOSTILE), reject(6, messages=[], stage="articles", gate="too_short")]
    publish(store, NIGHT, samples, rejects)
    arabic = article(12, passage=ARABIC * 30 + "بُنيت القناة سنة ١٦٨١ بين Toulouse و Sète بعد وفاة مهندسها. " + ARABIC)
    judged = [
        dialogue(11, evidence=evidence("it was OPENED in 1681, some months after", None)),
        dialogue(12, source=arabic, evidence=evidence("بُنيت القناة سنة ١٦٨١ بين toulouse و sète", "تمسك الأشجار")),
    ]
    publish(store, DATES[0], judged, [reject(13, gate="judge", evidence=[*evidence(None), UNGROUNDED])])
    return publish(store, DATES[1], [dialogue(100 + number) for number in range(60)])


@pytest.fixture
def client(store: Store, monkeypatch: pytest.MonkeyPatch, airflow_db: None) -> Iterator[TestClient]:
    """A signed-in user who may read French and Spanish, and judge French."""
    from airflow.api_fastapi.core_api.security import get_user
    from fastapi import FastAPI
    from starlette.testclient import TestClient

    from ultralink_airflow.page import security
    from ultralink_airflow.page.app import build

    monkeypatch.setenv("ULTRALINK_STORE", store.root)
    monkeypatch.setattr(security, "may_write", lambda user, language: language == "fr")
    app = build()
    app.dependency_overrides = {
        security.signed_in: lambda: None,
        get_user: lambda: SimpleNamespace(get_name=lambda: "anna"),
        security._readable_languages: lambda: ["es", "fr"],
    }
    outer = FastAPI()
    outer.mount("/ultralink", app)
    yield TestClient(outer, base_url="http://testserver/ultralink/", follow_redirects=False)
    for path in store.fs.find(store.folder("verdicts")):
        store.fs.rm_file(path)


def get(client: TestClient, address: str, status: int = 200) -> str:
    answer = client.get(address.removeprefix("/ultralink/"))
    assert answer.status_code == status, answer.text
    return answer.text


def links(html: str) -> list[str]:
    return [link.replace("&amp;", "&") for link in re.findall(r'href="([^"]*)"', html)]


# --- what is shown ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        f"browse?language=fr&date={NIGHT}",
        f"rows/fr/{NIGHT}/samples/2",
        f"rows/fr/{NIGHT}/samples/2?whole=1",
        f"rows/fr/{NIGHT}/rejects/1",
        "browse?language=fr&kind=rejects",
        "browse?language=fr&q=%3Cscript%3Ealert(1)%3C/script%3E&subset=%22%3E%3Cscript%3Ealert(1)%3C/script%3E",
    ],
)
def test_a_hostile_row_is_text_and_nothing_else(client: TestClient, address: str) -> None:
    html = get(client, address)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert not set(html) & set("\u202e\u2066\x1b")
    assert not re.search(r"<script>|<img src=x|href=.javascript", html)
    assert not re.search(r"<script(?! src=)|<style|\sstyle=|\son\w+=\"", html)


def test_a_megabyte_is_clipped_and_shown_on_demand(client: TestClient) -> None:
    clipped = get(client, f"rows/fr/{NIGHT}/samples/2")
    assert len(clipped) < 60_000
    (more,) = {link for link in links(clipped) if "whole=1" in link}
    whole = get(client, more)
    assert len(whole) > 999_000
    assert whole.count(ESCAPED) > clipped.count(ESCAPED)


def test_a_link_that_is_no_web_address_is_shown_as_text(client: TestClient) -> None:
    html = get(client, f"rows/fr/{NIGHT}/samples/2")
    assert not [link for link in links(html) if link.startswith("javascript")]
    assert "https://fr.wikipedia.org/wiki/Canal_1?oldid=7" in links(get(client, f"rows/fr/{NIGHT}/samples/0"))


def test_a_dialogue_stands_beside_its_passage_with_shared_words(client: TestClient) -> None:
    html = get(client, f"rows/fr/{NIGHT}/samples/0")
    assert '<a class="shared" href="#p1">It was opened in 1681, some months after the death of</a> Riquet.' in html
    assert '<mark class="shared" id="p1">It was opened in 1681' in html
    assert "not quoted by the judge: nothing is kept of a judge for this row" in html
    assert '<mark class="quoted">' not in html
    assert 'dir="auto" lang="fr"' in html


def test_a_dialogue_stands_beside_its_passage_with_what_the_judge_quoted(client: TestClient) -> None:
    html = get(client, f"rows/fr/{DATES[0]}/samples/0")
    number = 'title="Quoted for answer 1" aria-label="Quoted for answer 1">1</a>'
    assert f'<a class="cite" id="q1" href="#a1" {number}<mark class="quoted">It was opened in 1681, some' in html
    assert '<article id="a1" class="said assistant">' in html
    assert '<a href="#q1">Quoted from the passage</a>: <q dir="auto" lang="fr">it was OPENED' in html
    assert "Quoted by the judge</mark> as what supports the answer" in html
    assert 'class="shared"' not in html
    assert html.count("not grounded") == 1
    assert "The judge found nothing in the passage for it." in html
    ids = re.findall(r'id="([^"]*)"', html)
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in links(html) if re.fullmatch(r"#[aq]\d+", link)} <= set(ids)


def test_a_hostile_quotation_is_text_and_nothing_else(client: TestClient) -> None:
    html = get(client, f"rows/fr/{DATES[0]}/rejects/0")
    assert f'The judge gives <q dir="auto" lang="fr">{ESCAPED}' in html
    assert not set(html) & set("\u202e\u2066\x1b")
    assert not re.search(r"<script>|<img src=x", html)
    assert "not quoted by the judge, who found no quotation that the passage has" in html


@pytest.mark.parametrize(("row", "first"), [(0, "It was opened"), (1, "بُنيت القناة")])
def test_answers_and_what_is_quoted_for_them_lead_to_one_another(
    client: TestClient, row: int, first: str, browser: Browser
) -> None:
    """With the keyboard alone, in a real browser."""
    page = browser.new_page(viewport={"width": 1200, "height": 500})

    def serve(route: Route) -> None:
        answer = client.get(urlsplit(route.request.url).path.removeprefix("/ultralink/"))
        route.fulfill(status=answer.status_code, headers=dict(answer.headers), body=answer.content)

    page.route("**/*", serve)
    page.goto(f"http://testserver/ultralink/rows/fr/{DATES[0]}/samples/{row}")
    page.locator("#a1 .found a").focus()
    page.keyboard.press("Enter")
    quoted = page.locator("#q1 + mark")
    assert page.url.endswith("#q1")
    assert quoted.inner_text().startswith(first)
    assert quoted.evaluate("one => getComputedStyle(one).outlineStyle") == "solid"
    assert quoted.evaluate(
        "one => { const at = one.getBoundingClientRect(); return 0 <= at.top && at.bottom <= innerHeight }"
    )
    assert page.evaluate("document.activeElement.id") == "q1"
    page.keyboard.press("Enter")
    assert page.url.endswith("#a1")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('href')") == "#q1"
    assert page.locator("#a1").evaluate("one => getComputedStyle(one).outlineStyle") == "solid"
    page.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from tests.real.chromium import chromium

    with chromium() as started:
        yield started


def test_a_translation_stands_beside_its_source_with_masks(client: TestClient) -> None:
    html = get(client, f"rows/fr/{NIGHT}/samples/1")
    assert html.count('<mark class="kept" title="masked: 1">`x`</mark>') == 2
    assert 'lang="en">Use ' in html


def test_a_reject_says_why_and_may_have_no_messages(client: TestClient) -> None:
    assert "turned away: leak" in get(client, f"rows/fr/{NIGHT}/rejects/0")
    assert "Turned away by too_short" in get(client, f"rows/fr/{NIGHT}/rejects/2")


# --- where it leads -----------------------------------------------------------------------------


def test_lists_lead_on_and_back(client: TestClient) -> None:
    first = get(client, "browse?language=fr")
    older = [link for link in links(first) if "page=" in link]
    assert len(older) == 1
    second = get(client, older[0])
    assert f"/ultralink/rows/fr/{DATES[1]}/samples/22?language=fr&kind=samples" in links(second)
    newer = next(link for link in links(second) if "back=1" in link)
    assert [link for link in links(get(client, newer)) if "/rows/" in link] == [
        link for link in links(first) if "/rows/" in link
    ]


def test_next_and_previous_keep_to_the_filter(client: TestClient) -> None:
    step = f"browse/step?language=fr&subset=chat_specific&page={NIGHT}"
    at = "/ultralink/rows/fr/{}/samples/{}?language=fr&kind=samples&subset=chat_specific"
    assert client.get(f"{step}.0").headers["location"] == at.format(NIGHT, 2)
    assert client.get(f"{step}.2").headers["location"] == at.format(DATES[1], 0)
    assert client.get(f"{step}.2&back=1").headers["location"] == at.format(NIGHT, 0)
    assert client.get(f"{step}.0&back=1").headers["location"] == at.format(NIGHT, 0) + "&end=first"
    assert "first row" in get(client, f"rows/fr/{NIGHT}/samples/0?end=first")


def test_a_search_that_stopped_offers_to_go_on(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    from ultralink.insight import browse

    monkeypatch.setattr(browse.page, "__kwdefaults__", {**browse.page.__kwdefaults__, "bounds": browse.Bounds(rows=1)})
    html = get(client, "browse?language=fr&q=canal+150")
    assert "has looked at 3 rows and stopped" in html
    on = next(link for link in links(html) if "page=" in link)
    assert f"/ultralink/rows/fr/{DATES[1]}/samples/50" in get(client, on)
    stepped = client.get(f"browse/step?language=fr&q=canal+150&page={NIGHT}.0").headers["location"]
    assert stepped == f"/ultralink/browse?language=fr&kind=samples&q=canal+150&page={DATES[1]}.0"


@pytest.mark.parametrize(
    "address",
    [
        "browse?language=de", "browse?language=../fr", "browse?kind=ledger", "browse?language=fr&date=../../etc",
        "browse?low=abc&score=language", "browse?page=2026-11-01", "browse?page=..%2F..%2Fx.1", f"browse?q={'x' * 201}",
        "rows/de/2026-11-03/samples/0", "rows/fr/2026-11-03/samples/3", "rows/fr/2020-01-01/samples/0",
        "rows/fr/2026-11-03/ledger/0", "rows/fr/2026-11-03/samples/-1", "rows/fr/2026-11-03/samples/1e3",
        "rows/fr/..%2F..%2Fx/samples/0", "rows/fr/2026-11-03/samples/9999999999", "rows/..%2Ffr/2026-11-03/samples/0",
        "browse/step?language=fr", "browse/step?language=fr&page=x", "verdicts.jsonl", "verdicts.jsonl?language=de",
        "verdicts.jsonl?language=fr&date=..%2F..%2Fx", "verdicts.jsonl?language=fr&form=secrets",
        "verdicts?language=de",
    ],
)  # fmt: skip
def test_what_is_not_there_is_a_friendly_page(client: TestClient, address: str) -> None:
    html = client.get(address)
    assert html.status_code in (404, 405)
    assert "To the overview" in html.text


def test_a_reader_of_no_language_is_told(client: TestClient) -> None:
    from ultralink_airflow.page import security

    client.app.routes[-1].app.dependency_overrides[security._readable_languages] = lambda: []  # type: ignore[attr-defined]
    assert "no language whose Dag you may read" in get(client, "browse")
    get(client, f"rows/fr/{NIGHT}/samples/0", 404)


# --- verdicts -----------------------------------------------------------------------------------


def form(client: TestClient, address: str, **changes: object) -> dict[str, object]:
    """The form of a row's page, as a browser would send it."""
    html = get(client, address)
    hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', html))
    return {**hidden, "thumb": "up", "fault": "", "note": "", **changes}


def lines(client: TestClient, address: str = "verdicts.jsonl?language=fr") -> list[dict[str, object]]:
    return [json.loads(line) for line in get(client, address).splitlines()]


def test_a_verdict_is_kept_shown_replaced_exported_and_taken_back(client: TestClient, store: Store) -> None:
    address = f"rows/fr/{NIGHT}/samples/0"
    given = form(client, address, thumb="down", fault="ungrounded", answer="2", note="Non.\r\nFaux <b>")
    answer = client.post("verdicts?language=fr&kind=samples&q=canal", data=given, headers=ORIGIN)
    assert (answer.status_code, answer.headers["location"]) == (
        303, f"/ultralink/{address}?language=fr&kind=samples&q=canal#verdict",
    )  # fmt: skip
    (kept,) = lines(client)
    assert (kept["user"], kept["thumb"], kept["answer"], kept["note"]) == ("anna", "down", 2, "Non.\nFaux <b>")
    assert kept["row"]["source"]["title"] == "Canal 1"  # type: ignore[index]
    (item,) = lines(client, "verdicts.jsonl?language=fr&form=judge")
    assert (item["answer"], item["grounded"]) == ("The trees do.", False)
    html = get(client, address)
    assert "You said" in html
    assert "Faux &lt;b&gt;</textarea>" in html
    assert "you: " in get(client, "browse?language=fr")
    client.post("verdicts", data=form(client, address), headers=ORIGIN)
    assert [one["thumb"] for one in lines(client)] == ["up"]
    client.post("verdicts", data=form(client, address, thumb="none"), headers=ORIGIN)
    assert lines(client) == []
    assert client.get("verdicts.jsonl?language=fr").headers["content-type"].startswith("application/x-ndjson")


def test_what_ends_a_line_to_some_readers_ends_none_of_an_export(client: TestClient) -> None:
    note = "a\u2028b\u2029c\x85d\x0be"
    client.post("verdicts", data=form(client, f"rows/fr/{NIGHT}/samples/0", note=note), headers=ORIGIN)
    (kept,) = lines(client)
    assert kept["note"] == note
    client.post("verdicts", data=form(client, f"rows/fr/{NIGHT}/samples/0", thumb="none"), headers=ORIGIN)


def test_verdicts_are_listed_filtered_and_withdrawn(client: TestClient, store: Store) -> None:
    for number, changes in ((0, {"thumb": "down", "fault": "other", "note": HOSTILE}), (1, {}), (2, {})):
        client.post("verdicts", data=form(client, f"rows/fr/{NIGHT}/samples/{number}", **changes), headers=ORIGIN)
    html = get(client, "verdicts?language=fr")
    assert "3 verdicts" in html
    assert not set(html) & set("\u202e\u2066\x1b")
    assert ESCAPED in html
    linked = [link for link in links(html) if "/rows/fr/" in link]
    assert len(linked) == 3
    for link in linked:
        assert "another row stands here" not in get(client, link)
    assert "2 verdicts" in get(client, "verdicts?language=fr&thumb=up")
    assert "1 verdict," in get(client, "verdicts?language=fr&thumb=down&user=anna")
    assert "No verdict fits" in get(client, "verdicts?language=fr&user=bert")
    assert "No verdict fits" in get(client, f"verdicts?language=fr&date={DATES[0]}")
    assert "3 verdicts" in get(client, f"verdicts?language=fr&date={NIGHT}")
    assert "Nobody has judged" in get(client, "verdicts?language=es")
    for row_id in re.findall(r'name="row_id" value="([^"]*)"', html):
        given = {"language": "fr", "night": NIGHT, "kind": "samples", "row_id": row_id}
        assert client.post("verdicts/withdraw", data=given).status_code == 403
        assert client.post("verdicts/withdraw", data=given, headers=ORIGIN).status_code == 303
    assert lines(client) == []


def test_another_users_verdict_is_shown_and_not_withdrawn(client: TestClient) -> None:
    from airflow.api_fastapi.core_api.security import get_user

    client.post("verdicts", data=form(client, f"rows/fr/{NIGHT}/samples/0"), headers=ORIGIN)
    (row_id,) = re.findall(r'name="row_id" value="([^"]*)"', get(client, "verdicts?language=fr"))
    app = client.app.routes[-1].app  # type: ignore[attr-defined]
    app.dependency_overrides[get_user] = lambda: SimpleNamespace(get_name=lambda: "bert")
    html = get(client, "verdicts?language=fr")
    assert "anna" in html
    assert "Withdraw" not in html
    given = {"language": "fr", "night": NIGHT, "kind": "samples", "row_id": row_id}
    client.post("verdicts/withdraw", data=given, headers=ORIGIN)
    assert len(lines(client)) == 1
    for forged in ({"language": "de"}, {"night": "../x"}, {"kind": "ledger"}):
        assert client.post("verdicts/withdraw", data={**given, **forged}, headers=ORIGIN).status_code == 404
    assert client.post("verdicts/withdraw", data={**given, "language": "es"}, headers=ORIGIN).status_code == 403


def test_a_verdict_of_a_row_that_has_moved_leads_to_a_search(client: TestClient) -> None:
    html = get(client, f"rows/fr/{NIGHT}/samples/0?judged=another-id")
    assert "another row stands here" in html
    assert "q=another-id" in html


@pytest.mark.parametrize(
    "headers",
    [{}, {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"origin": "https://evil.example"}],
)
def test_a_form_of_another_site_is_refused(client: TestClient, headers: dict[str, str]) -> None:
    given = form(client, f"rows/fr/{NIGHT}/samples/0")
    assert client.post("verdicts", data=given, headers=headers).status_code == 403
    assert lines(client) == []


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"language": "es"}, 403),  # may be read, not judged
        ({"language": "de"}, 404),
        ({"night": "../../etc"}, 404),
        ({"number": "77"}, 404),
        ({"number": "-1"}, 404),
        ({"kind": "ledger"}, 404),
        ({"number": "1"}, 409),
        ({"shown": "0" * 32}, 409),
        ({"answer": "9", "thumb": "down"}, 400),
        ({"note": "x" * 2001}, 400),
        ({"thumb": "sideways"}, 404),
    ],
)
def test_a_forged_form_gets_nowhere(client: TestClient, changes: dict[str, str], status: int) -> None:
    given = form(client, f"rows/fr/{NIGHT}/samples/0", **changes)
    assert client.post("verdicts", data=given, headers=ORIGIN).status_code == status
    assert lines(client) == []


def test_who_may_not_judge_sees_no_form(client: TestClient, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from ultralink_airflow.page import security

    given = form(client, f"rows/fr/{NIGHT}/samples/0")
    monkeypatch.setattr(security, "may_write", lambda user, language: False)
    assert "<form" not in get(client, f"rows/fr/{NIGHT}/samples/0")
    assert client.post("verdicts", data=given, headers=ORIGIN).status_code == 403
    assert not Path(store.folder("verdicts")).exists() or lines(client) == []


def test_a_store_that_is_down_is_a_page_that_says_so(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ULTRALINK_STORE", str(tmp_path / "away"))
    for address in ("browse?language=fr", f"rows/fr/{NIGHT}/samples/0", "verdicts.jsonl?language=fr"):
        assert "store does not answer" in get(client, address, 503)
