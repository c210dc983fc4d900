"""The endpoint: what the openai client would have sent, and no secret in sight."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from openai import AsyncOpenAI, OpenAI
from openai.auth import x509_workload_identity
from tests.teacher.fake_teacher import KEY, Asked, Reply, desk, error, fake_teacher, good, say

from ultralink.errors import KeyRejected, RecipeError
from ultralink.teacher.desk import teacher
from ultralink.teacher.endpoint import DEFAULT_TIMEOUT_S, Endpoint


def test_the_client_decides() -> None:
    client = AsyncOpenAI(
        api_key=KEY,
        base_url="http://user:hidden@host:1/v1/",
        organization="org-1",
        project="proj-1",
        default_headers={"X-Mine": "yes"},
        default_query={"api-version": "2"},
        timeout=7,
    )
    endpoint = Endpoint.from_client(client, {"requests_per_minute": 60, "concurrency": "4", "else": 1})
    assert endpoint.base_url == "http://user:hidden@host:1/v1"
    assert endpoint.headers["Authorization"] == f"Bearer {KEY}"
    assert endpoint.headers["OpenAI-Organization"] == "org-1"
    assert endpoint.headers["OpenAI-Project"] == "proj-1"
    assert endpoint.headers["X-Mine"] == "yes"
    assert endpoint.query == {"api-version": "2"}
    assert endpoint.timeout_s == 7
    assert (endpoint.limits.requests_per_minute, endpoint.limits.concurrency) == (60, 4)
    assert endpoint.shown_url == "http://host:1/v1/chat/completions"


def test_nothing_secret_is_shown() -> None:
    client = OpenAI(api_key=KEY, base_url="http://h/v1", default_query={"key": "query-secret"})
    endpoint = Endpoint.from_client(client, {})
    assert KEY not in repr(endpoint)
    assert "query-secret" not in repr(endpoint)
    assert KEY in endpoint.secrets()
    assert "query-secret" in endpoint.secrets()


def test_timeouts() -> None:
    assert Endpoint.from_client(OpenAI(api_key=KEY), {}).timeout_s == DEFAULT_TIMEOUT_S
    assert Endpoint.from_client(OpenAI(api_key=KEY, timeout=9), {}).timeout_s == 9
    assert Endpoint.from_client(OpenAI(api_key=KEY, timeout=9), {}, 11).timeout_s == 11


def test_no_key_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    client = OpenAI(api_key="", admin_api_key="admin", base_url="http://h/v1")
    with pytest.raises(KeyRejected, match="no key"):
        Endpoint.from_client(client, {})


@pytest.mark.parametrize(
    ("extra", "field"),
    [
        ({"concurrency": 0}, "concurrency"),
        ({"requests_per_minute": "many"}, "requests_per_minute"),
        ({"model": ""}, "model"),
    ],
)
def test_a_bad_limit_is_named(extra: dict[str, object], field: str) -> None:
    with pytest.raises(RecipeError, match=field):
        Endpoint.from_client(OpenAI(api_key=KEY, base_url="http://h/v1"), extra)


def test_a_host_that_is_no_url_is_named() -> None:
    with pytest.raises(RecipeError, match="host of the openai connection"):
        Endpoint.from_client(OpenAI(api_key=KEY, base_url="localhost:8000/v1"), {})


def test_the_model_of_the_connection_is_exposed() -> None:
    endpoint = Endpoint.from_client(OpenAI(api_key=KEY, base_url="http://h/v1"), {"model": "local-7b"})
    assert endpoint.limits.model == "local-7b"


def test_x509_identity_is_refused_by_name() -> None:
    identity = x509_workload_identity(identity_provider_id="p", service_account_id="s")
    with pytest.raises(KeyRejected, match=r"X\.509"):
        Endpoint.from_client(OpenAI(workload_identity=identity), {})


def test_a_token_is_fetched_and_renewed(tmp_path: Path) -> None:
    tokens = iter(["token-one", "token-two"])
    seen: list[str] = []

    def script(asked: Asked) -> Reply:
        seen.append(asked.headers["Authorization"])
        return good() if asked.headers["Authorization"] == "Bearer token-two" else error(401, "expired")

    async def main() -> None:
        async with fake_teacher(script) as fake:
            endpoint = Endpoint(base_url=fake.url, bearer=lambda: next(tokens))
            async with teacher(desk(str(tmp_path)), endpoint) as ask:
                assert (await ask("step", say("a"))).text == "fine"
                assert (await ask("step", say("b"))).text == "fine"

    asyncio.run(main())
    assert seen == ["Bearer token-one", "Bearer token-two", "Bearer token-two"]


def test_query_parameters_reach_the_server(tmp_path: Path) -> None:
    async def main() -> None:
        async with fake_teacher() as fake:
            client = AsyncOpenAI(api_key=KEY, base_url=fake.url, default_query={"api-version": "2024-06-01"})
            async with teacher(desk(str(tmp_path)), Endpoint.from_client(client, {})) as ask:
                await ask("step", say("a"))
            assert fake.asked[0].query == {"api-version": "2024-06-01"}

    asyncio.run(main())
