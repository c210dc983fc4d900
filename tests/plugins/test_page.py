"""The page's app without a browser: sign-in, rights, headers, what is not there, a store that is down, hostile data."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from tests.insight.made_nights import night, publish

from ultralink.store import Store

if TYPE_CHECKING:
    from fastapi.testclient import TestClient

TODAY = datetime.now(UTC).date()
YESTERDAY = (TODAY - timedelta(days=1)).isoformat()
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
        for dag_id in ("ultralink_zh", "ultralink_fr", "ultralink_english_pool", "other"):
            session.merge(DagModel(dag_id=dag_id, bundle_name="dags-folder", fileloc="f", relative_fileloc="f"))
        session.flush()
        for dag_id, run_id, key, state, conf in (
            ("ultralink_zh", RUN, YESTERDAY, DagRunState.FAILED, {}),
            ("ultralink_zh", "dry", TODAY.isoformat(), DagRunState.RUNNING, {"dry_run": True}),
            ("ultralink_fr", "running", YESTERDAY, DagRunState.RUNNING, {}),
            ("ultralink_fr", "later", YESTERDAY, DagRunState.SUCCESS, {}),
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
    f"/runs/ultralink_zh/{RUN}",
    f"/runs/ultralink_zh/{RUN}/tasks/dialogue.generate",
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


def test_every_route_is_behind_the_session() -> None:
    from ultralink_airflow.page.app import app
    from ultralink_airflow.page.security import signed_in

    for route in app.routes:
        assert any(each.call is signed_in for each in route.dependant.dependencies), route.path  # type: ignore[attr-defined]


@pytest.mark.parametrize("route", ["/", "/no/such/page", "/static/page.css"])
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
        "/runs/ultralink_fr/running",
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
        "/dags/ultralink_english_pool",
        "/dags/..%2f..%2fetc",
        "/runs/ultralink_zh/unknown",
        "/runs/ultralink_zh/%00",
        "/runs/ultralink_zh/..%2F..%2Fetc%2Fpasswd",
        "/runs/ultralink_xx/unknown",
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


def test_damaged_statistics_leave_the_run_to_be_seen(admin: TestClient, store: Store) -> None:
    store.write_text(store.folder("statistics", "zh", f"{YESTERDAY}.json"), "{")
    answer = admin.get(f"/ultralink/runs/ultralink_zh/{RUN}")
    assert answer.status_code == 200
    assert "not published yet" in answer.text


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


def test_a_log_that_cannot_be_read_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from ultralink_airflow.page import troubles

    def gone(*_: object) -> None:
        raise ConnectionError("the worker is gone")

    monkeypatch.setattr(troubles, "TaskLogReader", lambda: SimpleNamespace(read_log_chunks=gone))
    attempt = SimpleNamespace(source=SimpleNamespace(retry_reason=None), number=1)
    assert troubles._reason(attempt) == ("", "Its log cannot be read now.")  # type: ignore[arg-type]
