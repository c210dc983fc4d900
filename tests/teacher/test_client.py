"""Every way in which an endpoint fails, and what the row sees of it."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from tests.teacher.fake_teacher import KEY, Asked, Reply, Script, completion, error, first, good, opened, say

from ultralink.errors import (
    ContextOverflow,
    KeyRejected,
    ModelUnknown,
    QuotaExhausted,
    RequestRefused,
    TeacherUnavailable,
    UltraLinkError,
)
from ultralink.teacher import client
from ultralink.teacher.ask import Answer
from ultralink.teacher.faults import MAX_RETRY_AFTER_S, explain, retry_after


def answer(script: Script, folder: Path, *, timeout_s: float = 20) -> tuple[Answer, int]:
    """One ask; returns the answer and the number of requests."""

    async def main() -> tuple[Answer, int]:
        async with opened(script, str(folder), timeout_s=timeout_s) as (ask, fake):
            return await ask("step", say("hello")), len(fake.asked)

    return asyncio.run(main())


WHOLE = completion("re: hello")
MENDED = {
    "429 without Retry-After": error(429),
    "429 with Retry-After in seconds": error(429, Retry_After="0.2"),
    "500": error(500, "The server had an error"),
    "502 with an HTML page": Reply(502, b"<html>Bad Gateway</html>"),
    "503 with Retry-After": error(503, Retry_After="0.2"),
    "408": error(408),
    "409": error(409),
    "body cut by the network": Reply(body=WHOLE[:50], content_length=len(WHOLE)),
    "body cut by the server": Reply(body=WHOLE[: len(WHOLE) // 2]),
    "malformed JSON": Reply(body=b"{'not': json}"),
    "no choices": Reply(body=completion("", choices=[])),
    "another shape": Reply(body=b"[1, 2, 3]"),
    "not UTF-8": Reply(body=WHOLE.replace(b"hello", b"\xff\xfe")),
    "empty body": Reply(body=b""),
    "connection dropped": Reply(drop=True),
}


@pytest.mark.parametrize("fault", MENDED.values(), ids=MENDED.keys())
def test_a_passing_fault_is_mended_on_the_spot(fault: Reply, tmp_path: Path) -> None:
    said, requests = answer(first(fault), tmp_path)
    assert said.text == "re: hello"
    assert requests == 2


def test_a_hanging_server_is_given_up_and_asked_again(tmp_path: Path) -> None:
    said, requests = answer(first(Reply(hang_s=5)), tmp_path, timeout_s=0.2)
    assert (said.text, requests) == ("re: hello", 2)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (error(401, "Incorrect API key"), KeyRejected),
        (error(403, "not allowed"), KeyRejected),
        (error(429, "You exceeded your current quota", "insufficient_quota"), QuotaExhausted),
        (error(404, "The model does not exist", "model_not_found"), ModelUnknown),
        (error(400, "no such model", "model_not_found"), ModelUnknown),
        (error(400, "The model `x` does not exist"), ModelUnknown),
        (Reply(404, b"Not Found"), ModelUnknown),
        (Reply(307, b"", {"Location": "/elsewhere"}), ModelUnknown),
        (error(400, "too long", "context_length_exceeded"), ContextOverflow),
        (error(400, "This model's maximum context length is 4096 tokens"), ContextOverflow),
        (error(400, "the request exceeds the available context size (4096 tokens)"), ContextOverflow),
        (error(500, "Requested tokens (9000) exceed context window of 4096"), ContextOverflow),
        (error(400, "bad parameter"), RequestRefused),
        (error(413, "too large"), RequestRefused),
        (error(422, "cannot be processed"), RequestRefused),
    ],
)
def test_what_no_retry_mends_fails_at_once(fault: Reply, expected: type[UltraLinkError], tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(lambda _: fault, str(tmp_path)) as (ask, fake):
            with pytest.raises(expected) as caught:
                await ask("step", say("hello"))
            assert type(caught.value) is expected
            assert len(fake.asked) == 1
            assert f"{fake.url}/chat/completions" in str(caught.value)
            assert "priced" in str(caught.value)

    asyncio.run(main())


def test_no_message_shows_the_key(tmp_path: Path) -> None:
    async def main() -> None:
        quoting = error(401, f"Incorrect API key provided: {KEY}")
        async with opened(lambda _: quoting, str(tmp_path)) as (ask, _):
            with pytest.raises(KeyRejected) as caught:
                await ask("step", say("hello"))
            assert "***" in str(caught.value)
            assert KEY not in str(caught.value)
            assert KEY not in repr(ask)

    asyncio.run(main())
    assert not any(KEY.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_an_endpoint_that_stays_broken_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(client, "LONGEST_WAIT_S", 0.02)

    async def main() -> None:
        async with opened(lambda _: error(500, "broken"), str(tmp_path)) as (ask, fake):
            with pytest.raises(TeacherUnavailable, match="broken"):
                await ask("step", say("hello"))
            assert len(fake.asked) == client.MAX_FAILURES

    asyncio.run(main())


def test_429s_alone_end_by_patience_not_by_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def script(asked: object) -> Reply:
        return error(429, Retry_After="0") if len(seen) < 30 and not seen.append(1) else good()

    seen: list[int] = []
    said, requests = answer(script, tmp_path)
    assert (said.text, requests) == ("fine", 31)

    monkeypatch.setattr(client, "PATIENCE_S", 0.5)
    with pytest.raises(TeacherUnavailable, match="429"):
        answer(lambda _: error(429, Retry_After="100"), tmp_path / "other")


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("kind", ["seconds", "date"])
def test_retry_after_is_waited_out(status: int, kind: str, tmp_path: Path) -> None:
    def wish() -> str:
        if kind == "seconds":
            return "1"
        return format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)

    async def main() -> None:
        def script(asked: Asked) -> Reply:
            return error(status, Retry_After=wish()) if asked.attempt == 1 else good()

        async with opened(script, str(tmp_path)) as (ask, fake):
            await ask("step", say("hello"))
            one, two = fake.asked
            assert two.at - one.at >= 0.99  # a date has whole seconds, so one of the two may be lost

    asyncio.run(main())


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("3", 3),
        ("0.25", 0.25),
        ("-5", 0),
        ("86400", MAX_RETRY_AFTER_S),
        ("inf", MAX_RETRY_AFTER_S),
        ("nan", None),
        ("soon", None),
    ],
)
def test_retry_after_values(value: str, seconds: float | None) -> None:
    assert retry_after({"Retry-After": value}) == seconds


def test_retry_after_dates_are_read_by_the_servers_clock() -> None:
    dates = {"Retry-After": "Sun, 01 Nov 2020 10:00:30 GMT", "Date": "Sun, 01 Nov 2020 10:00:00 GMT"}
    assert retry_after(dates) == 30
    assert retry_after({"Retry-After": dates["Retry-After"]}) == 0  # long past
    assert retry_after({}) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"3",
        b'"x"',
        b"[]",
        b'{"error": null}',
        b'{"error": "x"}',
        b"\xff",
        b'{"error": {"message": 5}}',
    ],
)
def test_any_error_body_is_explained(body: bytes) -> None:
    assert isinstance(explain(body).message, str)


def test_finish_reason_and_usage_are_surfaced(tmp_path: Path) -> None:
    choice = {"index": 0, "finish_reason": "length", "message": {"role": "assistant", "content": "cut o"}}
    usage = {"prompt_tokens": 100, "completion_tokens": 50, "prompt_tokens_details": {"cached_tokens": 40}}
    said, _ = answer(lambda _: Reply(body=completion("", choices=[choice], usage=usage)), tmp_path)
    assert said.finish_reason == "length"
    assert (said.usage.prompt, said.usage.cached, said.usage.completion) == (100, 40, 50)
    assert said.cost_usd == pytest.approx((60 * 100 + 40 * 50 + 50 * 200) / 1e6)
    assert said.model == "fake-2026-11-01"
    assert datetime.fromisoformat(said.created).utcoffset() == timedelta(0)


def test_a_refusal_is_an_answer(tmp_path: Path) -> None:
    choice = {
        "finish_reason": "stop",
        "message": {"role": "assistant", "content": None, "refusal": "I will not."},
    }
    said, _ = answer(lambda _: Reply(body=completion("", choices=[choice])), tmp_path)
    assert (said.text, said.finish_reason) == ("I will not.", "refusal")


def test_a_server_without_usage_is_counted_here(tmp_path: Path) -> None:
    body = json.loads(completion("four words of answer"))
    del body["usage"]
    said, _ = answer(lambda _: Reply(body=json.dumps(body).encode()), tmp_path)
    assert said.usage.completion == 4
    assert said.usage.prompt > 0


def test_the_request_on_the_wire(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(first(), str(tmp_path)) as (ask, fake):
            await ask("step", say("hello"))
            (asked,) = fake.asked
            assert asked.headers["Authorization"] == f"Bearer {KEY}"
            assert asked.body == {
                "model": "priced",
                "messages": [{"role": "user", "content": "hello"}],
                "temperature": 0.7,
                "top_p": 1.0,
                "max_tokens": 50,
            }

    asyncio.run(main())


def test_nobody_listening_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(client, "LONGEST_WAIT_S", 0.02)

    async def main() -> None:
        async with opened(first(), str(tmp_path)) as (ask, fake):
            fake_url = fake.url
        from tests.teacher.fake_teacher import desk, endpoint

        from ultralink.teacher.desk import teacher

        async with teacher(desk(str(tmp_path)), endpoint(fake_url)) as ask:
            with pytest.raises(TeacherUnavailable, match="cannot connect"):
                await ask("step", say("hello"))

    asyncio.run(main())
