"""The page's app without a browser: sign-in, rights, headers, what is not there, a store that is down, hostile data."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from tests.insight.made_nights import night, publish
from tests.insight.night_rows import reject

from ultralink.insight.batches import Batches
from ultralink.pool.row import Kind
from ultralink.release.manifest import Configuration, Manifest, ReleasedNight
from ultralink.schemas import CHOICE, DIALOGUE_REJECTS, DIALOGUES, LEDGER, PASSAGES, POOL_REJECTS, SELECTION
from ultralink.stages.edition import PoolStatistics
from ultralink.store import Store
from ultralink.teacher.batch.tickets import Ticket

if TYPE_CHECKING:
    from fastapi.testclient import TestClient

TODAY = datetime.now(UTC).date()
YESTERDAY = (TODAY - timedelta(days=1)).isoformat()
EDITION = "2026-11-01"
RUN = "manual__2026-11-01T00:00:00+00:00__abc"
HOSTILE = '<script>alert("x")</script>\u202e'

Login = Callable[[str, str | None], "TestClient"]


@pytest.fixture(scope="module")
def dags(airflow_db: None) -> None:
    from airflow.models.dag import DagModel
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from airflow.utils.state import DagRunState
    from airflow.utils.types import DagRunType

    with create_session() as session:
        if session.get(DagBundleModel, "dags-folder") is None:
            session.add(DagBundleModel(name="dags-folder"))
            session.flush()
        for dag_id in ("ultralink_zh", "ultralink_fr", "ultralink_english_pool", "ultralink_release", "other"):
            session.merge(DagModel(dag_id=dag_id, bundle_name="dags-folder", fileloc="f", relative_fileloc="f"))
        session.flush()
        for dag_id, run_id, key, state, conf in (
            ("ultralink_zh", RUN, YESTERDAY, DagRunState.FAILED, {}),
            ("ultralink_zh", "dry", TODAY.isoformat(), DagRunState.RUNNING, {"dry_run": True}),
            ("ultralink_fr", "running", YESTERDAY, DagRunState.RUNNING, {}),
            ("ultralink_fr", "later", YESTERDAY, DagRunState.SUCCESS, {}),
            ("ultralink_english_pool", "pooled", EDITION, DagRunState.SUCCESS, {}),
            ("ultralink_english_pool", "spoilt", YESTERDAY, DagRunState.FAILED, {}),
            ("ultralink_release", "lost", YESTERDAY, DagRunState.FAILED, {}),
            ("ultralink_release", "released", YESTERDAY, DagRunState.SUCCESS, {}),
        ):
            run = DagRun(dag_id=dag_id, run_id=run_id, run_type=DagRunType.MANUAL, conf=conf, state=state)
            run.partition_key = key
            run.run_after = datetime.now(UTC)
            session.add(run)


@pytest.fixture(scope="module")
def login(dags: None) -> Iterator[Login]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW__CORE__AUTH_MANAGER", "tests.e2e.dagwise.DagWise")
        patch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", "s" * 64)
        from airflow.api_fastapi import app as airflow_app
        from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
        from fastapi import FastAPI
        from fastapi.testclient import TestClient

        from ultralink_airflow.page.app import build

        airflow_app.purge_cached_app()
        manager = airflow_app.create_auth_manager()
        outer = FastAPI()
        outer.mount("/ultralink", build())

        def sign_in(name: str, role: str | None) -> TestClient:
            user = SimpleAuthManagerUser(username=name, role=role)
            return TestClient(outer, cookies={"_token": manager.generate_jwt(user)}, raise_server_exceptions=False)

        yield sign_in
        airflow_app.purge_cached_app()


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("ULTRALINK_STORE", str(tmp_path))
    return Store.at(str(tmp_path))


@pytest.fixture
def admin(login: Login, store: Store) -> TestClient:
    return login("admin", "admin")


ROUTES = [
    "/",
    "/dags/ultralink_zh",
    "/dags/ultralink_english_pool",
    "/dags/ultralink_release",
    f"/runs/ultralink_zh/{RUN}",
    f"/runs/ultralink_zh/{RUN}/tasks/dialogue.generate",
    "/runs/ultralink_english_pool/pooled",
    "/runs/ultralink_release/released",
    "/releases/2026.11.01",
    "/verdicts?language=zh",
    "/browse?language=zh",
    "/browse/step?language=zh&page=2026-11-01.0",
    "/rows/zh/2026-11-01/samples/0",
    "/verdicts.jsonl?language=zh",
    "/static/page.css",
    "/no/such/page",
    "/docs",
    "/openapi.json",
]


@pytest.mark.parametrize("route", ROUTES)
def test_nobody_gets_in_without_a_session(login: Login, store: Store, route: str) -> None:
    client = login("admin", "admin")
    client.cookies.clear()
    answer = client.get(f"/ultralink{route}")
    assert answer.status_code == 401
    assert "Please log in" in answer.text
    forged = client.get(f"/ultralink{route}", headers={"cookie": "_token=e30.e30.x"})
    assert forged.status_code in {401, 403}
    for each in (answer, forged):
        assert "default-src 'self'" in each.headers["content-security-policy"]


def test_every_route_is_behind_the_session() -> None:
    from ultralink_airflow.page.app import app
    from ultralink_airflow.page.security import signed_in

    for route in app.routes:
        assert any(each.call is signed_in for each in route.dependant.dependencies), route.path  # type: ignore[attr-defined]


@pytest.mark.parametrize("route", ROUTES)
def test_every_answer_has_its_headers(admin: TestClient, route: str) -> None:
    headers = admin.get(f"/ultralink{route}").headers
    policy = headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'self'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert "private" in headers["cache-control"]


def test_a_user_without_a_role_is_told_so(login: Login, store: Store) -> None:
    assert login("nobody", None).get("/ultralink/").status_code == 403


def test_a_language_that_may_not_be_read_leaves_no_trace(login: Login, store: Store) -> None:
    publish(store, night("zh", YESTERDAY, math=5), night("fr", YESTERDAY, math=7777))
    zoe = login("zoe", "viewer")
    page = zoe.get("/ultralink/").text
    assert "中文" in page
    for word in ("Français", "ultralink_fr", "7,777", "7777", "English pool"):
        assert word not in page
    for route in (
        "/?language=fr",
        "/dags/ultralink_fr",
        "/dags/ultralink_english_pool",
        "/dags/ultralink_release",
        "/runs/ultralink_fr/running",
        "/runs/ultralink_english_pool/pooled",
        "/runs/ultralink_release/released",
        "/releases/2026.11.01",
        "/verdicts?language=fr",
        "/browse?language=fr",
        "/browse/step?language=fr&page=2026-11-01.0",
        "/rows/fr/2026-11-01/samples/0",
        "/verdicts.jsonl?language=fr",
    ):
        answer = zoe.get(f"/ultralink{route}")
        assert answer.status_code == 404
        assert "Français" not in answer.text
    assert zoe.get(f"/ultralink/runs/ultralink_zh/{RUN}").status_code == 200


def test_the_overview_shows_figures_states_and_spend(admin: TestClient, store: Store) -> None:
    publish(store, night("zh", YESTERDAY, math=1234, cost=3.21), night("fr", TODAY.isoformat(), math=5, cost=None))
    page = admin.get("/ultralink/").text
    assert f"中文, {YESTERDAY}: 1,234 samples, 0 rejects, $3.21; run: failed" in page
    assert f"Français, {YESTERDAY}: not published; run: running" in page  # the one that is going on, not the newest
    assert f'中文, {TODAY.isoformat()}: not published"' in page  # a dry run makes no night
    assert f'href="/ultralink/runs/ultralink_zh/{RUN.replace("+", "%2B").replace(":", "%3A")}"' in page
    assert "1 without a known price" in page


def test_the_overview_tells_of_a_pool_that_failed_but_not_of_what_went_well_since(admin: TestClient) -> None:
    page = admin.get("/ultralink/").text
    assert f'<a href="/ultralink/runs/ultralink_english_pool/spoilt">English pool, {YESTERDAY}</a>' in page
    assert f'<a href="/ultralink/runs/ultralink_fr/running">Français, {YESTERDAY}</a>' in page
    assert "runs/ultralink_release/lost" not in page
    assert re.search(r"<b>2</b><span>runs failed", page)
    assert re.search(r"<b>1</b><span>run under way", page)
    alone = admin.get("/ultralink/?language=zh").text
    assert "English pool, " not in alone
    assert re.search(r"<b>1</b><span>run failed", alone)


def test_a_backfill_counts_in_the_month_in_which_it_was_paid(admin: TestClient, store: Store) -> None:
    old = night("zh", "2020-01-01", cost=7.5).model_copy(update={"paid_usd": {TODAY.isoformat(): 7.5}})
    publish(store, old, night("fr", "2020-02-01", cost=99.0).model_copy(update={"paid_usd": {"2020-02-01": 99.0}}))
    page = admin.get("/ultralink/").text
    assert f"<b>$7.50</b><span>paid in {TODAY:%B %Y}" in page
    assert re.search(r"2020-02</th><td class=\"n\">\$99\.00", page)


def test_the_calendar_can_show_how_runs_went(admin: TestClient, store: Store) -> None:
    page = admin.get("/ultralink/?metric=runs").text
    assert re.search(r'class="cell h0 failed run"[^>]*>✗', page)
    assert re.search(r'class="cell h0 going run"[^>]*>…', page)


@pytest.mark.parametrize(
    "route",
    [
        "/?language=xx",
        "/?language=../zh",
        "/?metric=nonsense",
        "/?nights=0",
        "/?nights=99999999",
        "/?until=2026-13-45",
        "/?until=..%2F..",
        "/dags/ultralink_xx",
        "/dags/other",
        "/dags/..%2f..%2fetc",
        "/runs/ultralink_zh/unknown",
        "/runs/ultralink_zh/%00",
        "/runs/ultralink_zh/..%2F..%2Fetc%2Fpasswd",
        "/runs/ultralink_xx/unknown",
        "/runs/ultralink_english_pool/unknown",
        "/runs/ultralink_english_pool/pooled/tasks/no.such",
        "/runs/ultralink_release/unknown",
        "/releases/2026.11.01",
        "/releases/latest",
        "/releases/..%2F..%2Fetc",
        "/releases/.staging",
        "/releases/%2e%2e",
        "/verdicts?language=xx",
        "/verdicts?language=zh&date=..%2F..",
        "/verdicts?language=zh&thumb=sideways",
        "/verdicts?language=zh&skip=-1",
        f"/runs/ultralink_zh/{RUN}/tasks/no.such",
        f"/runs/ultralink_zh/{RUN}/tasks/dialogue.generate?map_index=99",
        f"/runs/ultralink_zh/{RUN}/tasks/dialogue.generate?map_index=x",
        "/static/..%2Fapp.py",
        "/static/%2e%2e/app.py",
        "/static/nothing.css",
        "/%3Cscript%3Ealert(1)%3C/script%3E",
    ],
)
def test_what_is_not_there_is_a_friendly_page(admin: TestClient, route: str) -> None:
    answer = admin.get(f"/ultralink{route}")
    assert answer.status_code == 404
    assert "Nothing here" in answer.text
    assert "To the overview" in answer.text
    assert "<script>" not in answer.text
    assert "Traceback" not in answer.text


def test_the_first_and_last_dates_are_no_error(admin: TestClient) -> None:
    assert admin.get("/ultralink/?until=0001-01-05&nights=366").status_code == 404
    assert admin.get("/ultralink/?until=2000-01-01&nights=366").status_code == 200
    assert admin.get("/ultralink/?until=2099-12-31").status_code == 200


def test_a_store_that_is_not_there_gives_a_page_that_says_so(
    login: Login, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ULTRALINK_STORE", str(tmp_path / "unmounted"))
    for route in ("/", "/dags/ultralink_zh", f"/runs/ultralink_zh/{RUN}"):
        answer = login("admin", "admin").get(f"/ultralink{route}")
        assert answer.status_code == 503
        assert "The store does not answer" in answer.text
        assert str(tmp_path / "unmounted") in answer.text


def test_a_store_that_breaks_in_the_middle_gives_the_same_page(
    admin: TestClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fsspec.implementations.local import LocalFileSystem

    def broken(*_: object, **__: object) -> None:
        raise ConnectionError("the disk has gone")

    monkeypatch.setattr(LocalFileSystem, "find", broken)
    answer = admin.get("/ultralink/")
    assert answer.status_code == 503
    assert "the disk has gone" in answer.text


def test_a_remote_store_that_does_not_answer_gives_the_same_page(login: Login, monkeypatch: pytest.MonkeyPatch) -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    from ultralink_airflow.page import shelf

    admin = login("admin", "admin")
    monkeypatch.setattr(shelf, "open_store", lambda: Store.at("memory://away"))
    assert admin.get("/ultralink/").status_code == 200  # nothing was ever written

    def broken(*_: object, **__: object) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(MemoryFileSystem, "info", broken)
    answer = admin.get("/ultralink/")
    assert answer.status_code == 503
    assert "no route to host" in answer.text


@pytest.mark.parametrize("route", [route for route in ROUTES if route.startswith(("/?", "/dags", "/runs"))] + ["/"])
def test_no_request_holds_a_connection_while_it_takes_another_or_makes_its_page(
    admin: TestClient, monkeypatch: pytest.MonkeyPatch, route: str
) -> None:
    """Requests that each hold one of a small pool and wait for a second would wait for each other."""
    from jinja2 import Template
    from sqlalchemy import event
    from sqlalchemy.orm import Session, SessionTransaction

    held: set[Session] = set()
    most: list[int] = []

    def began(session: Session, *_: object) -> None:
        held.add(session)
        most.append(len(held))

    def ended(session: Session, transaction: SessionTransaction) -> None:
        if transaction.parent is None:
            held.discard(session)

    render = Template.render

    def rendered(template: Template, *given: object, **named: object) -> str:
        most.append(len(held) + 1)
        return render(template, *given, **named)

    monkeypatch.setattr(Template, "render", rendered)
    event.listen(Session, "after_begin", began)
    event.listen(Session, "after_transaction_end", ended)
    try:
        assert admin.get(f"/ultralink{route}").status_code in {200, 404}
    finally:
        event.remove(Session, "after_begin", began)
        event.remove(Session, "after_transaction_end", ended)
    assert max(most) == 1
    assert not held


@pytest.mark.parametrize("route", ["/", "/browse?language=zh", f"/runs/ultralink_zh/{RUN}", "/verdicts?language=zh"])
def test_a_store_that_hangs_is_given_up_soon(login: Login, monkeypatch: pytest.MonkeyPatch, route: str) -> None:
    from ultralink_airflow.page import shelf

    released = threading.Event()
    monkeypatch.setattr(shelf, "PATIENCE_S", 0.05)
    monkeypatch.setattr(shelf, "open_store", lambda: released.wait(60))
    try:
        answer = login("admin", "admin").get(f"/ultralink{route}")
    finally:
        released.set()
    assert answer.status_code == 503
    assert "has not answered within" in answer.text
    assert "default-src 'self'" in answer.headers["content-security-policy"]


def test_a_server_of_s3_that_never_answers_is_given_up(login: Login, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the connection, and says nothing: what a client waits for longest."""
    s3fs = pytest.importorskip("s3fs")
    from ultralink_airflow.page import shelf

    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        fs = s3fs.S3FileSystem(key="k", secret="s", endpoint_url=url, skip_instance_cache=True)
        monkeypatch.setattr(shelf, "open_store", lambda: Store(fs, "bucket/ultralink"))
        monkeypatch.setattr(shelf, "_S3_PATIENCE", {**shelf._S3_PATIENCE, "connect_timeout": 0.2, "read_timeout": 0.2})
        answer = login("admin", "admin").get("/ultralink/")
    assert answer.status_code == 503
    assert "The store does not answer" in answer.text


def test_the_name_of_a_connection_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    from ultralink_airflow.page.shelf import place

    monkeypatch.setenv("ULTRALINK_STORE", "s3://key:secret@bucket/ultralink")
    assert place() == "s3://bucket/ultralink"


def test_what_a_store_says_hides_its_connection_too(login: Login, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow names the connection that it does not know, and here that is a key and its secret."""
    monkeypatch.setenv("ULTRALINK_STORE", "file://key:secret@localhost/ultralink")
    answer = login("admin", "admin").get("/ultralink/")
    assert answer.status_code == 503
    assert "secret" not in answer.text


def test_what_nobody_foresaw_has_its_headers_and_page_too(
    admin: TestClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ultralink_airflow.page import overview

    def broken(*_: object) -> None:
        raise ZeroDivisionError("a secret of the inside")

    monkeypatch.setattr(overview, "published", broken)
    answer = admin.get("/ultralink/")
    assert answer.status_code == 500
    assert "Something broke" in answer.text
    assert "secret" not in answer.text
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert "no-store" in answer.headers["cache-control"]


@pytest.mark.parametrize("statistics", ["{", "[]", '{"language": "zh"}', "\udcff", ""])
def test_damage_leaves_the_rest_of_a_run_to_be_seen(admin: TestClient, store: Store, statistics: str) -> None:
    path = Path(store.folder("statistics", "zh", f"{YESTERDAY}.json"))
    path.parent.mkdir(parents=True)
    path.write_bytes(statistics.encode(errors="surrogateescape"))
    store.part(SELECTION, "zh", YESTERDAY).write([selected(1), selected(2)], "made")
    for stage in (DIALOGUES, DIALOGUE_REJECTS, CHOICE, LEDGER):
        part = Path(store.part(stage, "zh", YESTERDAY).path)
        part.parent.mkdir(parents=True)
        part.write_bytes(b"PAR1")
    store.part(SELECTION, "zh", YESTERDAY, 1).write([selected(3)], "made")
    Path(store.part(PASSAGES, "zh", YESTERDAY).path).parent.mkdir(parents=True)
    Path(store.part(SELECTION, "zh", YESTERDAY, 1).path).rename(store.part(PASSAGES, "zh", YESTERDAY).path)
    answer = admin.get(f"/ultralink/runs/ultralink_zh/{RUN}")
    assert answer.status_code == 200
    assert "articles chosen: 2" in answer.text
    assert "Something in the store cannot be read" in answer.text
    for name in ("statistics", "dialogues", "dialogue_rejects", "choice", "ledger", "passages"):
        assert re.search(rf"/{name}/zh/{YESTERDAY}.*(rebuild|clear the publish task)", answer.text), name


def test_an_edition_of_the_pool_has_its_tab_and_its_run(admin: TestClient, store: Store) -> None:
    edition(store)
    for route in ("/dags/ultralink_english_pool", "/runs/ultralink_english_pool/pooled"):
        page = admin.get(f"/ultralink{route}").text
        assert "rows of its sources: 9" in page
        assert "whole and clean: 7" in page
        assert "distinct: 6" in page
        assert "rows in the pool: 4" in page
        assert "place" in page
    tab = admin.get("/ultralink/dags/ultralink_english_pool").text
    assert "published nights drew from it" in tab
    assert "$1.25" in tab


def test_an_edition_whose_rejects_are_damaged_shows_the_rest(admin: TestClient, store: Store) -> None:
    edition(store)
    Path(store.part(POOL_REJECTS, "en", EDITION).path).write_bytes(b"PAR1")
    store.write_text(store.folder("statistics", "pool", "2026-10-01.json"), "{")
    page = admin.get("/ultralink/dags/ultralink_english_pool").text
    assert "rows in the pool: 4" in page
    assert "statistics/pool/2026-10-01.json: " in page
    assert f"pool_rejects/en/{EDITION}/00000.parquet: " in page


def test_releases_have_their_tab_and_their_run(admin: TestClient, store: Store) -> None:
    release(store)
    tab = admin.get("/ultralink/dags/ultralink_release").text
    assert 'href="/ultralink/releases/2026.11.01"' in tab
    assert "1,200" in tab
    run = admin.get("/ultralink/runs/ultralink_release/released").text
    assert "release 2026.11.01" in run
    assert "without test items: 1,250" in run
    page = admin.get("/ultralink/releases/2026.11.01").text
    assert re.search(r"<pre[^>]*># The card &lt;script&gt;", page)
    assert "Its end" in page
    assert "configs: []" not in page
    assert "\u202e" not in page


def test_a_release_that_cannot_be_read_leaves_the_others(admin: TestClient, store: Store) -> None:
    release(store)
    store.write_text(store.folder("releases", "2026.11.02", "release.json"), "{")
    tab = admin.get("/ultralink/dags/ultralink_release").text
    assert 'href="/ultralink/releases/2026.11.01"' in tab
    assert "releases/2026.11.02" in tab
    assert "Something in the store cannot be read" in tab


def selected(position: int) -> dict[str, object]:
    return {"position": position, "page_id": position, "title": "t", "revision_id": None}


def edition(store: Store) -> None:
    """A published edition: of nine chats four are in the pool."""
    turned = [reject(1, "malformed", reason="x"), reject(2, "cleaning", reason="empty"), reject(3, "duplicate")]
    steps = ["english_rows", "english_rows", "distinct_rows", "screened_rows", "screened_rows"]
    turned += [reject(4, "screen", reason="place (Paris)"), reject(5, "screen", reason="place (Rome)")]
    rows = [{**row, "subset": "chat_agnostic", "stage": step} for row, step in zip(turned, steps, strict=True)]
    store.part(POOL_REJECTS, "en", EDITION).write(rows, "made")
    made = PoolStatistics(
        date=EDITION, run="pooled", changed=True, digest="d", rows={Kind.CHAT: 4}, clusters={Kind.CHAT: 2},
        rejects={"malformed": 1, "cleaning: empty": 1, "duplicate": 1, "screen: place": 2}, calls=6, prompt_tokens=1,
        cached_tokens=0, completion_tokens=1, cost_usd=1.25, paid_usd={EDITION: 1.25}, outputs={},
    )  # fmt: skip
    store.write_text(store.folder("statistics", "pool", f"{EDITION}.json"), made.model_dump_json())


def release(store: Store) -> None:
    """A published release of 1,200 rows."""
    manifest = Manifest(
        version="2026.11.01", created=datetime(2026, 11, 2, tzinfo=UTC), run_id="released", tool="t", fingerprint="f",
        languages=("zh",), since=None, until="2026-11-01", formats=(), missing={"zh": ("code",)},
        sources=(ReleasedNight(language="zh", date="2026-11-01", rows=1300, digest="d"),),
        configurations=(Configuration(language="zh", subset="math", train=1100, validation=100),),
        removed={"exact": 40, "decontaminate": 10}, files=(), recipe={},
    )  # fmt: skip
    folder = store.folder("releases", "2026.11.01")
    store.write_text(f"{folder}/release.json", manifest.model_dump_json())
    settings = "---\nlicense: cc-by-sa-4.0\nconfigs: []\n---\n\n"
    store.write_text(f"{folder}/README.md", settings + "# The card <script>alert(1)</script>\u202e\n\n---\n\nIts end")


def test_hostile_text_in_the_figures_is_escaped(admin: TestClient, store: Store) -> None:
    rejects = {"math": {f"{HOSTILE}: {HOSTILE * 100}": 3}}
    publish(store, night("zh", YESTERDAY, math=5, rejects=rejects))
    store.write_text(store.folder("choice", "zh", YESTERDAY, "00000.json"), HOSTILE)
    page = admin.get("/ultralink/").text + admin.get(f"/ultralink/runs/ultralink_zh/{RUN}").text
    assert "<script>alert" not in page


def test_damaged_statistics_are_marked_and_harm_nothing_else(admin: TestClient, store: Store) -> None:
    publish(store, night("zh", YESTERDAY, math=5))
    store.write_text(store.folder("statistics", "fr", f"{YESTERDAY}.json"), "{")
    page = admin.get("/ultralink/").text
    assert "statistics that cannot be read" in page
    assert f"中文, {YESTERDAY}: 5 samples" in page


def test_pages_have_no_inline_script_or_style_and_no_other_host(admin: TestClient, store: Store) -> None:
    publish(store, night("zh", YESTERDAY, math=5))
    for route in ("/", "/dags/ultralink_zh", f"/runs/ultralink_zh/{RUN}", "/nowhere"):
        page = admin.get(f"/ultralink{route}").text
        assert not re.search(r"\sstyle=|\son\w+=|javascript:", page)
        assert not re.search(r"<script(?![^>]*\ssrc=)|<style", page)
        assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", page)


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "cross-site", "origin": "http://testserver"}, False),
        ({"sec-fetch-site": "same-site"}, False),
        ({"origin": "http://here"}, True),
        ({"origin": "http://evil"}, False),
        ({"origin": "null"}, False),
        ({"origin": "http://["}, False),
        ({"origin": "http://here.evil"}, False),
        ({}, False),
    ],
)
def test_only_the_page_itself_may_send_forms(headers: dict[str, str], allowed: bool) -> None:
    from fastapi import HTTPException

    from ultralink_airflow.page.security import same_origin

    request = SimpleNamespace(headers={"host": "here", **headers})
    if allowed:
        same_origin(request)  # type: ignore[arg-type]
    else:
        with pytest.raises(HTTPException):
            same_origin(request)  # type: ignore[arg-type]


def test_the_views_have_routes_of_their_own() -> None:
    from ultralink_airflow.page.links import views

    found = views()
    assert {view["destination"] for view in found} == {"nav", "dag", "dag_run", "task_instance"}
    assert len({view["url_route"] for view in found}) == len(found)


@pytest.mark.parametrize(
    ("log", "kind", "said"),
    [
        (
            [{"exc_type": "TeacherUnavailable", "exc_value": "3 of 20 rows\nstayed  unanswered"}],
            "TeacherUnavailable",
            "TeacherUnavailable: 3 of 20 rows stayed unanswered",
        ),
        ([{"exc_type": "E", "exc_value": "x" * 9000}], "E", f"E: {'x' * 500} …"),
        (None, "", "Its log ends without an error: the process was probably killed, or its worker was lost."),
    ],
)
def test_why_a_task_failed_is_told_from_its_log(
    monkeypatch: pytest.MonkeyPatch, log: list[dict[str, str]] | None, kind: str, said: str
) -> None:
    from ultralink_airflow.page import troubles

    lines = [SimpleNamespace(event="began")] + ([SimpleNamespace(event="bad", error_detail=log)] if log else [])
    reader = SimpleNamespace(read_log_chunks=lambda *_: (iter(lines), {}))
    monkeypatch.setattr(troubles, "TaskLogReader", lambda: reader)
    attempt = SimpleNamespace(source=SimpleNamespace(retry_reason=None), number=1)
    assert troubles._reason(attempt) == (kind, said)  # type: ignore[arg-type]


def test_tasks_that_never_began_take_no_time_and_need_no_look() -> None:
    from ultralink_airflow.page.runs import Attempt, Shards, Task

    now = datetime.now(UTC)

    def task(state: str, number: int) -> Task:
        # Airflow dates a task whose upstream failed, though it never began.
        return Task("t", 0, state, 5, (Attempt(number, state, now, now + timedelta(seconds=2), None),))  # type: ignore[arg-type]

    assert task("upstream_failed", 0).present.took is None
    assert task("failed", 1).present.took == 2
    for state, number, quiet in (
        ("upstream_failed", 0, True), ("waiting", 0, True), ("skipped", 0, True), ("success", 1, True),
        ("failed", 1, False), ("deferred", 1, False), ("running", 1, False), ("success", 2, True),
    ):  # fmt: skip
        assert Shards("t", (task("success", 1), task(state, number))).is_quiet is quiet, state
    again = Task("t", 0, "success", 5, (*task("failed", 1).attempts, *task("success", 2).attempts))
    assert not Shards("t", (again,)).is_quiet


def ticket(number: int, stage: str, **changes: object) -> Ticket:
    return Ticket.model_validate(
        {
            "tag": f"t{number}", "wave": 1, "file": number, "stage": stage, "model": "m", "form": "instructed",
            "requests": 1500, "size": 1, "sha256": "s", "run": "r", "shard": 0, "noted": "2026-11-23T19:26:35+00:00",
            **changes,
        }
    )  # fmt: skip


def test_what_waits_for_the_provider_is_a_table() -> None:
    from ultralink_airflow.page.runs import Attempt, Task
    from ultralink_airflow.page.view import _templates

    def task(name: str, shard: int) -> Task:
        attempt = Attempt(1, "deferred", datetime(2026, 11, 23, tzinfo=UTC), None, None)  # type: ignore[arg-type]
        return Task(name, shard, "deferred", 5, (attempt,))

    done = ticket(0, "done", answered=1499, refused=1)
    sent = ticket(1, "sent", batch_id="batch_<b>1", ended="expired", message=HOSTILE)
    waits = [
        (task("english.math", 0), Batches([done, sent])),
        (task("english.math", 1), Batches([done])),
        (task("dialogue.calibrate", -1), None),
    ]
    seen = SimpleNamespace(run=SimpleNamespace(dag_id="ultralink_zh", run_id=RUN))
    html = str(_templates.get_template("parts.html").module.retrying([], waits, [], seen))  # type: ignore[attr-defined]
    assert "3 tasks wait without a worker. 3,000 of 4,500 requests so far are back." in html
    assert "batch_&lt;b&gt;1" in html
    assert "2026-11-23 19:26:35 UTC" in html
    assert "<script>alert" not in html
    for told in ("english.math, shard 0", "1,500 of 3,000", "expired", "All are back", "noted no batch yet"):
        assert told in html, told
    assert html.count("/mapped/0") == html.count("/mapped/1") == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("2026-11-23T19:26:35+00:00", "2026-11-23 19:26:35 UTC"),
        ("2026-11-23T20:26:35.5+01:00", "2026-11-23 19:26:35 UTC"),
        ("soon", "soon"),
        ("0001-01-01T00:00:00+09:00", "0001-01-01T00:00:00+09:00"),
    ],
)
def test_a_moment_is_told_as_all_others_are(text: str, told: str) -> None:
    from ultralink_airflow.page.figures import instant

    assert instant(text) == told


def test_few_requests_read_logs_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from ultralink_airflow.page import troubles
    from ultralink_airflow.page.runs import Attempt, Task

    free, inside, most = threading.Lock(), 0, 0
    full = threading.Event()

    def reason(_: object) -> tuple[str, str]:
        nonlocal inside, most
        with free:
            inside += 1
            most = max(most, inside)
            if inside == 4:
                full.set()
        assert full.wait(60)
        with free:
            inside -= 1
        return "", "so"

    monkeypatch.setattr(troubles, "_reason", reason)
    monkeypatch.setattr(troubles, "_prepare", lambda *_: None)
    task = Task("t", 0, "failed", 5, (Attempt(1, "failed", None, None, None),))  # type: ignore[arg-type]
    session = SimpleNamespace(commit=lambda: None)
    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(lambda _: troubles.troubles(session, None, [task], logs=True), range(12)))  # type: ignore[arg-type]
    assert most == 4
    assert [each[0].why for each in found] == ["so"] * 12


def test_a_log_that_cannot_be_read_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from ultralink_airflow.page import troubles

    def gone(*_: object) -> None:
        raise ConnectionError("the worker is gone")

    monkeypatch.setattr(troubles, "TaskLogReader", lambda: SimpleNamespace(read_log_chunks=gone))
    attempt = SimpleNamespace(source=SimpleNamespace(retry_reason=None), number=1)
    assert troubles._reason(attempt) == ("", "Its log cannot be read now.")  # type: ignore[arg-type]
