"""Batch mode against the offline teacher's Batch API: waves, limits, kills between all steps, bad ends, budgets."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from tests.teacher.batching import (
    LIMITS,
    Answer,
    Killed,
    Provider,
    Verdict,
    attempt,
    batch_desk,
    chain,
    echo,
    ending_at,
    expected,
    good,
    journal,
    kill,
    provider,
    refused,
    tickets,
    to_the_end,
)
from tests.teacher.fake_teacher import CARDS, KEY, desk, endpoint, fake_teacher, opened, say
from tests.teacher.test_listener import Heard

from ultralink.errors import (
    BatchCancelled,
    BatchRefused,
    BatchUnsupported,
    BudgetExceeded,
    ContextOverflow,
    KeyRejected,
    ModelUnknown,
    QuotaExhausted,
    RequestRefused,
    SchemaMismatch,
    TeacherUnavailable,
)
from ultralink.insight.batches import batches_of
from ultralink.insight.damage import Damages
from ultralink.recipe import Mode
from ultralink.store import Store
from ultralink.teacher.ask import Ask, Style
from ultralink.teacher.batch.client import TRIES, Batch, BatchClient
from ultralink.teacher.batch.elsewhere import open_batches
from ultralink.teacher.batch.tickets import Stage, Tickets
from ultralink.teacher.batch.waves import Waves
from ultralink.teacher.budget import Budget
from ultralink.teacher.desk import Desk, call_off, rehearsal, teacher
from ultralink.teacher.endpoint import Limits
from ultralink.teacher.ledger import ledger
from ultralink.teacher.live import Origin
from ultralink.teacher.program import HOPELESS, run_rows
from ultralink.teacher.request import Form, Sampling
from ultralink.teacher.waiting import Unanswered, Waiting

ROWS = ["a", "b", "c"]
CALLS = 3 * len(ROWS)
SHORT = Sampling(temperature=0.7, max_tokens=5)


def results(outcomes: list[Any]) -> list[str | None]:
    return [outcome.result for outcome in outcomes]


# --- the good way -----------------------------------------------------------------------------------


def test_rows_become_waves_and_each_request_is_paid_once(tmp_path: Path) -> None:
    async def check() -> None:
        one = batch_desk(tmp_path)
        async with provider() as served:
            assert results(await to_the_end(one, served.url, ROWS)) == expected(ROWS)
            assert set(served.paid.values()) == {1}
            assert len(served.paid) == CALLS
            before = len(served.bodies)
            assert results(await attempt(one, served.url, ROWS)) == expected(ROWS)  # all of it is in the journal
            assert len(served.bodies) == before
        assert [(ticket.wave, ticket.requests, ticket.ended) for ticket in tickets(one)] == [
            (wave, 3, "completed") for wave in (1, 2, 3)
        ]

    asyncio.run(check())
    assert not list(tmp_path.rglob("*.asks"))


def test_the_same_answers_come_by_batch_and_live(tmp_path: Path) -> None:
    async def check() -> None:
        async with provider() as served:
            by_batch = await to_the_end(batch_desk(tmp_path / "batch"), served.url, ROWS)
        script = lambda asked: opened_good(asked.last)  # noqa: E731
        async with opened(script, str(tmp_path / "live")) as (ask, _):
            live = [outcome async for outcome in run_rows(chain, ROWS, ask, concurrency=2)]
        assert results(by_batch) == results(live)
        keys = [{record.key for record in journal(batch_desk(tmp_path / each))} for each in ("batch", "live")]
        assert keys[0] == keys[1]

    asyncio.run(check())


def opened_good(said: str) -> Any:
    from tests.teacher.fake_teacher import good as live_good

    return live_good(f"re: {said}")


def test_lines_are_in_the_form_of_the_api_and_the_batch_bears_its_tag(tmp_path: Path) -> None:
    async def check() -> None:
        one = batch_desk(tmp_path)
        async with provider(seconds=60) as served:
            with pytest.raises(Waiting) as waiting:
                await attempt(one, served.url, ROWS)
            (ticket,) = tickets(one)
            assert ticket.stage is Stage.SENT
            assert waiting.value.batch_id == ticket.batch_id
            (file,) = served.batches._files.values()
            lines = [json.loads(line) for line in file.content.splitlines()]
            assert [line["body"]["messages"][0]["content"] for line in lines] == ROWS
            assert {(line["method"], line["url"]) for line in lines} == {("POST", "/v1/chat/completions")}
            (batch,) = served.batches._batches.values()
            assert batch.wanted.metadata == {"ultralink": ticket.tag}
            assert batch.wanted.completion_window == "24h"
            assert KEY not in ticket.model_dump_json()
            for _ in range(3):  # waiting again sends nothing
                with pytest.raises(Waiting):
                    await attempt(one, served.url, ROWS)
            assert served.batches.counts["created"] == 1

    asyncio.run(check())


@pytest.mark.parametrize(("limits", "files"), [({"batch_requests": 2}, 4), ({"batch_bytes": 1000}, 4)])
def test_a_wave_is_split_at_the_limits(tmp_path: Path, limits: dict[str, int], files: int) -> None:
    rows = [f"row {number} {'x' * (200 if 'batch_bytes' in limits else 1)}" for number in range(7)]

    async def check() -> None:
        one = batch_desk(tmp_path)
        async with provider() as served:
            outcomes = await to_the_end(one, served.url, rows, once, Limits(batch_poll_s=0.01, **limits))
            assert results(outcomes) == [f"re: {row}" for row in rows]
            assert set(served.paid.values()) == {1}
            sent = [ticket for ticket in tickets(one) if ticket.wave == 1]
            assert len(sent) == files
            assert sum(ticket.requests for ticket in sent) == 7
            assert all(ticket.size <= limits.get("batch_bytes", 10**9) for ticket in sent)
            assert all(ticket.requests <= limits.get("batch_requests", 10**9) for ticket in sent)
            assert served.batches.counts["failed"] == 0

    asyncio.run(check())


async def once(row: str, ask: Ask) -> str:
    return (await ask("only", say(row))).text


def test_a_request_longer_than_a_file_costs_its_row(tmp_path: Path) -> None:
    async def check() -> None:
        async with provider() as served:
            limits = Limits(batch_poll_s=0.01, batch_bytes=1000)
            outcomes = await to_the_end(batch_desk(tmp_path), served.url, ["a", "x" * 2000, "b"], once, limits)
            assert results(outcomes) == ["re: a", None, "re: b"]
            assert isinstance(outcomes[1].error, RequestRefused)

    asyncio.run(check())


def test_each_model_has_files_of_its_own(tmp_path: Path) -> None:
    async def both(row: str, ask: Ask) -> str:
        return (await ask("write" if row < "c" else "judge", say(row))).text

    async def check() -> None:
        one = batch_desk(tmp_path, steps={"judge": Style("priced-2", Sampling(max_tokens=9))})
        async with provider() as served:
            assert results(await to_the_end(one, served.url, ["a", "b", "c"], both)) == ["re: a", "re: b", "re: c"]
        assert [(ticket.model, ticket.requests) for ticket in tickets(one)] == [("priced", 2), ("priced-2", 1)]

    asyncio.run(check())


def test_two_shards_at_once_each_have_their_own_batches(tmp_path: Path) -> None:
    async def check() -> None:
        desks = [
            batch_desk(tmp_path, task=f"shard-{shard}", writer=f"w{shard}", origin=Origin("run-1", shard))
            for shard in (0, 1)
        ]
        async with provider(seconds=0.1) as served:
            found = await asyncio.gather(
                *(to_the_end(one, served.url, [f"{row}{number}" for row in ROWS]) for number, one in enumerate(desks))
            )
            assert [results(each) for each in found] == [expected([f"{r}{n}" for r in ROWS]) for n in (0, 1)]
            assert set(served.paid.values()) == {1}
        table = ledger(journal(desks[0]), CARDS).to_pylist()
        assert Counter({row["shard"]: 0 for row in table}).keys() == {0, 1}
        assert sum(row["paid"] for row in table) == 2 * CALLS

    asyncio.run(check())


# --- structured answers, gates' new attempts ----------------------------------------------------------


def test_an_answer_that_does_not_fit_is_asked_for_again_in_the_next_wave(tmp_path: Path) -> None:
    def script(said: str, body: dict[str, Any]) -> Answer:
        return good('{"good": true}' if "cannot be used" in said else "what?")

    async def judged(row: str, ask: Ask) -> bool:
        return (await ask.structured("judge", say(row), Verdict)).value.good

    async def check() -> None:
        one = batch_desk(tmp_path)
        async with provider(script) as served:
            assert results(await to_the_end(one, served.url, ROWS, judged)) == [True, True, True]
            assert len(served.paid) == 2 * len(ROWS)
            assert set(served.paid.values()) == {1}
            assert all(body["response_format"]["type"] == "json_schema" for body in served.bodies)
        assert [ticket.wave for ticket in tickets(one)] == [1, 2]

    asyncio.run(check())


def test_a_new_attempt_is_a_request_of_its_own(tmp_path: Path) -> None:
    async def insists(row: str, ask: Ask) -> list[str]:
        return [(await ask("again", say(row), attempt=number)).text for number in range(3)]

    async def check() -> None:
        one = batch_desk(tmp_path)
        async with provider() as served:
            assert results(await to_the_end(one, served.url, ["a"], insists)) == [["re: a"] * 3]
            assert len(served.bodies) == 3
        assert len({record.key for record in journal(one)}) == 3

    asyncio.run(check())


def test_a_schema_is_put_another_way_where_the_server_refuses_it(tmp_path: Path) -> None:
    def script(said: str, body: dict[str, Any]) -> Answer:
        return refused("no response_format here") if "response_format" in body else good('{"good": true}')

    async def judged(row: str, ask: Ask) -> bool:
        return (await ask.structured("judge", say(row), Verdict)).value.good

    async def check() -> None:
        one = batch_desk(tmp_path)
        async with provider(script) as served:
            assert results(await to_the_end(one, served.url, ROWS, judged)) == [True, True, True]
        assert [ticket.form for ticket in tickets(one)] == [Form.JSON_SCHEMA, Form.JSON_OBJECT, Form.INSTRUCTED]

    asyncio.run(check())


# --- kills --------------------------------------------------------------------------------------------


def test_a_kill_between_any_two_steps_pays_nothing_twice_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("fsync", "fdatasync"):  # no machine goes down here, and there are hundreds of them
        monkeypatch.setattr(f"os.{name}", lambda file: None)
    limits = Limits(batch_poll_s=0.01, batch_requests=2)  # two files a wave

    async def killed_at(point: int) -> list[str]:
        one = batch_desk(tmp_path / str(point))
        async with provider() as served:
            with ending_at(point, kill) as passed:
                try:
                    await to_the_end(one, served.url, ROWS, chain, limits)
                except Killed:
                    pass
                else:
                    return passed
            assert results(await to_the_end(one, served.url, ROWS, chain, limits)) == expected(ROWS), passed[-1]
            assert set(served.paid.values()) == {1}, passed[-1]
            assert len(served.paid) == CALLS
            table = ledger(journal(one), CARDS).to_pylist()
            assert sum(row["paid"] for row in table) == CALLS, passed[-1]
            assert all(ticket.stage is Stage.DONE for ticket in tickets(one))
        return []

    async def check() -> None:
        point = 0
        while not (passed := await killed_at(point)):
            point += 1
        assert {f"{when} {step}" for when in ("before", "after") for step in ("begin", "upload", "create")} <= set(
            passed
        )
        assert point == len(passed) > 60

    asyncio.run(check())


def test_a_batch_whose_creation_was_not_heard_of_is_found_by_its_tag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is lost after the provider created the batch."""

    async def check() -> None:
        one = batch_desk(tmp_path)
        async with provider() as served:
            real = served.batches._create

            async def silent(request: Any) -> Any:
                answer = await real(request)
                served.batches._create = real  # type: ignore[method-assign]
                request.transport.close()
                return answer

            served.batches._create = silent  # type: ignore[method-assign]
            async with AppOf(served) as url:
                assert results(await to_the_end(one, url, ROWS)) == expected(ROWS)
            assert set(served.paid.values()) == {1}
            assert served.batches.counts["created"] == 3

    asyncio.run(check())


class AppOf:
    """Another server with the provider's routes as they are now."""

    def __init__(self, served: Any) -> None:
        self._served = served

    async def __aenter__(self) -> str:
        from aiohttp import web

        app = web.Application()
        routes = self._served.batches

        async def create(request: Any) -> Any:
            return await routes._create(request)

        app.add_routes([each for each in routes.routes() if (each.method, each.path) != ("POST", "/v1/batches")])
        app.router.add_post("/v1/batches", create)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()


def test_a_batch_is_found_pages_back(tmp_path: Path) -> None:
    async def check() -> None:
        async with provider(seconds=60) as served, BatchClient(endpoint(served.url)) as client:
            path = tmp_path / "file"
            path.write_bytes(b'{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{}}\n')
            file_id = await client.upload(path, "file.jsonl")
            for number in range(120):
                await client.create(file_id, f"tag-{number}")
            found = await client.find("tag-3")
            assert found is not None
            assert found.metadata == {"ultralink": "tag-3"}
            assert await client.find("tag-none") is None

    asyncio.run(check())


# --- bad ends -----------------------------------------------------------------------------------------


def test_of_an_expired_batch_the_finished_part_is_kept_and_the_rest_sent_again(tmp_path: Path) -> None:
    async def check() -> None:
        one = batch_desk(tmp_path)
        async with provider(expire=1, expire_at=0.5) as served:
            rows = [f"row {number}" for number in range(8)]
            assert results(await to_the_end(one, served.url, rows, once)) == [f"re: {row}" for row in rows]
            assert set(served.paid.values()) == {1}
        assert [(ticket.requests, ticket.answered, ticket.ended) for ticket in tickets(one)] == [
            (8, 4, "expired"),
            (4, 4, "completed"),
        ]

    asyncio.run(check())


def test_batches_that_expire_without_an_answer_do_not_go_on_for_ever(tmp_path: Path) -> None:
    async def check() -> None:
        one = batch_desk(tmp_path)
        async with provider(expire=3, expire_at=0.0) as served:
            with pytest.raises(TeacherUnavailable, match="3 waves of batches brought no answer"):
                await to_the_end(one, served.url, ROWS)
            assert not served.paid
            assert results(await to_the_end(one, served.url, ROWS)) == expected(ROWS)  # the next try goes on

    asyncio.run(check())


def test_a_failed_batch_ends_the_task_in_the_providers_words(tmp_path: Path) -> None:
    async def check() -> None:
        one = batch_desk(tmp_path)
        async with provider(fail=1) as served:
            with pytest.raises(BatchRefused, match=r"invalid_request: refused \(by --batch-fail\)"):
                await to_the_end(one, served.url, ROWS)
            assert results(await to_the_end(one, served.url, ROWS)) == expected(ROWS)  # after clearing
            assert set(served.paid.values()) == {1}

    asyncio.run(check())


def test_a_full_queue_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> None:
        one = batch_desk(tmp_path)
        async with provider(fail=2, fail_code="token_limit_exceeded") as served:
            pauses = []
            for _ in range(100):
                try:
                    found = await attempt(one, served.url, ROWS)
                except Waiting as waiting:
                    pauses.append(waiting.pause_s if waiting.batch_id is None else None)
                    await asyncio.sleep(0.01)
                else:
                    break
            assert results(found) == expected(ROWS)
            assert [pause for pause in pauses if pause] == [600.0, 600.0]

    asyncio.run(check())


def test_a_batch_cancelled_by_hand_keeps_its_answers_and_fails_the_task_once(tmp_path: Path) -> None:
    rows = [f"row {number}" for number in range(10)]

    async def check() -> None:
        one = batch_desk(tmp_path)
        async with provider(seconds=2) as served:
            with pytest.raises(Waiting):
                await attempt(one, served.url, rows, once)
            (ticket,) = tickets(one)
            await served.until(lambda: len(served.paid) >= 3)
            served.batches._batches[str(ticket.batch_id)].end("cancelling")
            with pytest.raises(Waiting) as waiting:
                await attempt(one, served.url, rows, once)
            assert waiting.value.batch_id is None  # the trigger takes "cancelling" for an end
            with pytest.raises(BatchCancelled, match="Clear the task"):
                await to_the_end(one, served.url, rows, once)
            kept = len(journal(one))
            assert 3 <= kept == len(served.paid) < len(rows)
            served.faults.seconds = 0
            assert results(await to_the_end(one, served.url, rows, once)) == [f"re: {row}" for row in rows]
            assert set(served.paid.values()) == {1}

    asyncio.run(check())


@pytest.mark.parametrize("half", [1, 3])
def test_half_a_file_of_results_is_looked_at_again(tmp_path: Path, half: int) -> None:
    async def check() -> None:
        one = batch_desk(tmp_path)
        async with provider(half=half) as served:
            assert results(await to_the_end(one, served.url, ROWS)) == expected(ROWS)
            assert set(served.paid.values()) == {1}
        assert len(journal(one)) == CALLS

    asyncio.run(check())


def test_results_that_stay_torn_are_asked_for_again(tmp_path: Path) -> None:
    async def check() -> None:
        one = batch_desk(tmp_path)
        async with provider(half=4) as served:
            assert results(await to_the_end(one, served.url, ROWS, once)) == [f"re: {row}" for row in ROWS]
        assert [ticket.looks for ticket in tickets(one)] == [3, 0]
        assert len(journal(one)) == len(ROWS)

    asyncio.run(check())


def test_single_lines_that_are_refused_cost_their_rows(tmp_path: Path) -> None:
    def script(said: str, body: dict[str, Any]) -> Answer:
        if said == "b":
            return refused("that is not allowed")
        if said == "c":
            return refused("maximum context length is 8", code="context_length_exceeded")
        return echo(said, body)

    async def check() -> None:
        one = batch_desk(tmp_path)
        async with provider(script) as served:
            outcomes = await to_the_end(one, served.url, ROWS)
            assert [type(outcome.error) for outcome in outcomes] == [type(None), RequestRefused, ContextOverflow]
            assert "that is not allowed" in str(outcomes[1].error)
            asked = len(served.bodies)
            assert asked == 5  # b and c once only
            await to_the_end(one, served.url, ROWS)  # a task that begins anew asks anew, as live
            assert len(served.bodies) == asked + 2

    asyncio.run(check())


def test_lines_that_fail_for_the_moment_are_sent_again_a_few_times(tmp_path: Path) -> None:
    seen: Counter[str] = Counter()

    def script(said: str, body: dict[str, Any]) -> Answer:
        seen[said] += 1
        if said == "b" or (said == "a" and seen[said] == 1):
            return refused("overloaded", status=500)
        return echo(said, body)

    async def check() -> None:
        async with provider(script) as served:
            outcomes = await to_the_end(batch_desk(tmp_path), served.url, ROWS, once)
            assert results(outcomes) == ["re: a", None, "re: c"]
            assert isinstance(outcomes[1].error, TeacherUnavailable)
            assert seen == {"a": 2, "b": 3, "c": 1}

    asyncio.run(check())


def test_a_line_that_never_brings_an_answer_costs_its_row_and_not_the_task(tmp_path: Path) -> None:
    def script(said: str, body: dict[str, Any]) -> Answer:
        return (200, {"choices": []}) if said == "b" else echo(said, body)

    async def check() -> None:
        one = batch_desk(tmp_path)
        async with provider(script) as served:
            assert results(await to_the_end(one, served.url, ["a"], once)) == ["re: a"]
            (outcome,) = await to_the_end(one, served.url, ["b"], once)  # three waves of nothing else
            assert isinstance(outcome.error, TeacherUnavailable)
            assert "list index" in str(outcome.error)

    asyncio.run(check())


def test_an_unknown_model_ends_the_task(tmp_path: Path) -> None:
    def script(said: str, body: dict[str, Any]) -> Answer:
        return refused("The model `x` does not exist", status=404, code="model_not_found")

    async def check() -> None:
        async with provider(script) as served:
            with pytest.raises(ModelUnknown, match="does not exist"):
                await to_the_end(batch_desk(tmp_path), served.url, ROWS)

    asyncio.run(check())


def test_foreign_and_doubled_lines_are_left_out(tmp_path: Path) -> None:
    async def check() -> None:
        one = batch_desk(tmp_path)
        async with provider(seconds=0.3) as served:
            with pytest.raises(Waiting):
                await attempt(one, served.url, ROWS, once)
            (batch,) = served.batches._batches.values()
            assert batch.work is not None
            await served.until(lambda: len(batch.output) >= 1)
            batch.output.append(batch.output[0])
            batch.output.append(b'{"custom_id": "' + b"0" * 32 + b'", "response": {"status_code": 200, "body": {}}}\n')
            batch.output.append(b'{"custom_id": "../x", "response": null, "error": null}\n')
            await batch.work
            assert results(await to_the_end(one, served.url, ROWS, once)) == [f"re: {row}" for row in ROWS]
        assert len(journal(one)) == len(ROWS)

    asyncio.run(check())


def test_an_endpoint_without_batches_is_named(tmp_path: Path) -> None:
    async def check() -> None:
        async with fake_teacher() as fake:
            with pytest.raises(BatchUnsupported, match="not found"):
                await attempt(batch_desk(tmp_path), fake.url, ROWS)

    asyncio.run(check())


def test_a_batch_that_the_provider_does_not_know_is_not_sent_again_by_itself(tmp_path: Path) -> None:
    async def check() -> None:
        one = batch_desk(tmp_path)
        async with provider(seconds=60) as served:
            with pytest.raises(Waiting):
                await attempt(one, served.url, ROWS)
            (ticket,) = tickets(one)
            served.batches._batches.clear()
            for _ in range(2):
                with pytest.raises(BatchUnsupported, match=f"{ticket.name}.json"):
                    await attempt(one, served.url, ROWS)
            assert served.batches.counts["created"] == 1

    asyncio.run(check())


# --- what is rare ------------------------------------------------------------------------------------


async def ended(served: Provider) -> None:
    """Let all batches come to their end."""
    await asyncio.gather(*(batch.work for batch in served.batches._batches.values() if batch.work))


def test_results_whose_file_is_not_there_yet_are_waited_for(tmp_path: Path) -> None:
    async def check() -> None:
        one = batch_desk(tmp_path)
        async with provider() as served:
            with pytest.raises(Waiting):
                await attempt(one, served.url, ROWS, once)
            await ended(served)
            (batch,) = served.batches._batches.values()
            file_id = batch.files.pop("output_file_id")
            with pytest.raises(Waiting, match="incomplete"):
                await attempt(one, served.url, ROWS, once)
            batch.files["output_file_id"] = file_id
            assert results(await attempt(one, served.url, ROWS, once)) == [f"re: {row}" for row in ROWS]
            assert set(served.paid.values()) == {1}

    asyncio.run(check())


def test_results_whose_file_is_gone_are_asked_for_again(tmp_path: Path) -> None:
    async def check() -> None:
        one = batch_desk(tmp_path)
        async with provider() as served:
            with pytest.raises(Waiting):
                await attempt(one, served.url, ROWS, once)
            await ended(served)
            (batch,) = served.batches._batches.values()
            del served.batches._files[batch.files["output_file_id"]]
            assert results(await to_the_end(one, served.url, ROWS, once)) == [f"re: {row}" for row in ROWS]
        assert [ticket.looks for ticket in tickets(one)] == [3, 0]

    asyncio.run(check())


def test_a_status_that_nobody_knows_is_no_end(tmp_path: Path) -> None:
    async def check() -> None:
        one = batch_desk(tmp_path)
        async with provider(seconds=60) as served:
            with pytest.raises(Waiting):
                await attempt(one, served.url, ROWS)
            (batch,) = served.batches._batches.values()
            batch.status = "paused"
            with pytest.raises(Waiting, match="paused") as caught:
                await attempt(one, served.url, ROWS)
            assert caught.value.batch_id is None  # the trigger would come back at once
            assert served.batches.counts["created"] == 1

    asyncio.run(check())


def test_what_was_answered_elsewhere_meanwhile_still_costs(tmp_path: Path) -> None:
    async def check() -> None:
        one = batch_desk(tmp_path)
        async with provider() as served:
            live = replace(one, mode="live", task="shard-1", writer="b")
            async with teacher(live, endpoint(served.url)) as ask:  # it has begun before the batch was sent
                with pytest.raises(Waiting):
                    await attempt(one, served.url, ROWS, once)
                for row in ROWS:
                    await once(row, ask)
            await to_the_end(one, served.url, ROWS, once)
            table = ledger(journal(one), CARDS).to_pylist()
            assert sum(row["paid"] for row in table) == sum(served.paid.values()) == 2 * len(ROWS)

    asyncio.run(check())


# --- other shards than before --------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["batch", "live"])
@pytest.mark.parametrize("seconds", [0.0, 0.3])
def test_rows_of_a_shard_that_is_no_more_are_not_paid_for_again(tmp_path: Path, mode: Mode, seconds: float) -> None:
    async def check() -> None:
        one, two = batch_desk(tmp_path), batch_desk(tmp_path, task="shard-1", writer="b")
        async with provider(seconds=seconds) as served:
            for desk_, rows in ((one, ROWS[:1]), (two, ROWS[1:])):
                with pytest.raises(Waiting):
                    await attempt(desk_, served.url, rows)
            fewer = replace(one, mode=mode, writer="c", origin=Origin("run-2", 0))
            assert results(await to_the_end(fewer, served.url, ROWS)) == expected(ROWS)
            assert set(served.paid.values()) == {1}
            assert len(served.paid) == 3 * len(ROWS)
            assert all(ticket.stage is Stage.DONE for ticket in tickets(two))
            paid = [record for record in journal(one) if record.step == "first"]
            assert sorted(record.run for record in paid) == ["run-1"] * len(ROWS)  # and the run that sent it has paid

    asyncio.run(check())


def test_what_an_expired_batch_of_a_former_shard_lacks_is_sent_once(tmp_path: Path) -> None:
    async def check() -> None:
        one, former = batch_desk(tmp_path), batch_desk(tmp_path, task="shard-1", writer="b")
        async with provider(expire=1) as served:
            with pytest.raises(Waiting):
                await attempt(former, served.url, ROWS, once)
            await ended(served)
            assert results(await to_the_end(one, served.url, ROWS, once)) == [f"re: {row}" for row in ROWS]
            assert set(served.paid.values()) == {1}
            assert [ticket.ended for ticket in tickets(former)] == ["expired"]
            assert len(tickets(one)) == 1

    asyncio.run(check())


def test_a_former_shards_upload_that_never_became_a_batch_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def check() -> None:
        one, former = batch_desk(tmp_path), batch_desk(tmp_path, task="shard-1", writer="b")

        async def killed(self: BatchClient, file_id: str, tag: str) -> Batch:
            raise Killed

        async with provider() as served:
            with monkeypatch.context() as patch:
                patch.setattr(BatchClient, "create", killed)
                with pytest.raises(Killed):
                    await attempt(former, served.url, ROWS, once)
            assert [ticket.stage for ticket in tickets(former)] == [Stage.UPLOADED]
            assert results(await to_the_end(one, served.url, ROWS, once)) == [f"re: {row}" for row in ROWS]
            assert set(served.paid.values()) == {1}

    asyncio.run(check())


def test_an_attempt_whose_answers_came_in_behind_its_back_asks_nothing_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def check() -> None:
        one, other = batch_desk(tmp_path), batch_desk(tmp_path, task="shard-1", writer="b")
        async with provider() as served:
            with pytest.raises(Waiting):
                await attempt(one, served.url, ROWS, once)
            await ended(served)
            real = Waves.settle

            async def late(self: Waves) -> None:  # another task takes the batch in, after this journal was read
                monkeypatch.setattr(Waves, "settle", real)
                await to_the_end(other, served.url, ROWS, once)
                await real(self)

            monkeypatch.setattr(Waves, "settle", late)
            with pytest.raises(Waiting, match="taken over"):
                await attempt(one, served.url, ROWS, once)
            assert results(await attempt(one, served.url, ROWS, once)) == [f"re: {row}" for row in ROWS]
            assert set(served.paid.values()) == {1}

    asyncio.run(check())


def test_the_last_line_says_what_was_paid_by_batch_and_at_what_price(tmp_path: Path) -> None:
    async def check() -> None:
        one = batch_desk(tmp_path)
        async with provider() as served:
            await to_the_end(one, served.url, ROWS, once)
            async with teacher(one, endpoint(served.url, limits=LIMITS)) as ask:
                for row in ROWS:
                    await once(row, ask)
                # 10 prompt tokens at 100 and 5 of the answer at 200 USD per million, at half the price
                assert ask.tally.line() == (
                    "3 calls paid by batch, at its price: 30 + 15 tokens (0 cached), $0.0030, 3 answers read"
                )
            again = replace(one, origin=Origin("run-2", 0))
            async with teacher(again, endpoint(served.url, limits=LIMITS)) as ask:
                for row in ROWS:
                    await once(row, ask)
                assert ask.tally.line() == "0 calls paid, 3 replayed, 0 + 0 tokens (0 cached), $0.0000"

    asyncio.run(check())


def test_a_task_that_turns_live_waits_for_what_it_has_sent(tmp_path: Path) -> None:
    async def check() -> None:
        one = batch_desk(tmp_path)
        async with provider(seconds=0.3) as served:
            with pytest.raises(Waiting):
                await attempt(one, served.url, ROWS)
            live = replace(one, mode="live")
            with pytest.raises(Waiting, match="under way"):
                await attempt(live, served.url, ROWS)
            await ended(served)
            assert results(await attempt(live, served.url, ROWS)) == expected(ROWS)
            assert results(await attempt(one, served.url, ROWS)) == expected(ROWS)
            assert set(served.paid.values()) == {1}
            assert served.batches.counts["created"] == 1

    asyncio.run(check())


def test_a_batch_that_was_cancelled_for_live_mode_is_no_error_there_nor_later(tmp_path: Path) -> None:
    async def check() -> None:
        one = batch_desk(tmp_path)
        async with provider(seconds=60) as served:
            with pytest.raises(Waiting):
                await attempt(one, served.url, ROWS)
            (batch,) = served.batches._batches.values()
            batch.end("cancelled")
            assert results(await attempt(replace(one, mode="live"), served.url, ROWS)) == expected(ROWS)
            assert results(await attempt(one, served.url, ROWS)) == expected(ROWS)
            assert set(served.paid.values()) == {1}

    asyncio.run(check())


def test_an_attempt_that_was_overtaken_while_it_uploads_sends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def check() -> None:
        one = batch_desk(tmp_path)
        async with provider() as served:
            real = BatchClient.upload

            async def overtaken(self: BatchClient, path: Path, name: str) -> str:
                monkeypatch.setattr(BatchClient, "upload", real)
                with pytest.raises(Waiting, match="under way"):
                    await attempt(replace(one, writer="b"), served.url, ROWS, once)
                return await real(self, path, name)

            monkeypatch.setattr(BatchClient, "upload", overtaken)
            with pytest.raises(Waiting, match="taken over"):
                await attempt(one, served.url, ROWS, once)
            assert results(await to_the_end(one, served.url, ROWS, once)) == [f"re: {row}" for row in ROWS]
            assert set(served.paid.values()) == {1}
            assert len(tickets(one)) == 1

    asyncio.run(check())


def test_an_attempt_that_was_overtaken_before_it_sends_sends_nothing(tmp_path: Path) -> None:
    async def check() -> None:
        one = batch_desk(tmp_path)
        async with provider() as served:

            async def slowly(row: str, ask: Ask) -> str:
                if row == "c":
                    with pytest.raises(Waiting, match="under way"):
                        await attempt(replace(one, writer="b"), served.url, ROWS, once)
                return await once(row, ask)

            with pytest.raises(Waiting, match="taken over"):
                await attempt(one, served.url, ROWS, slowly)
            assert results(await to_the_end(one, served.url, ROWS, once)) == [f"re: {row}" for row in ROWS]
            assert set(served.paid.values()) == {1}

    asyncio.run(check())


def test_two_attempts_that_take_in_the_same_results_at_once_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def check() -> None:
        one = batch_desk(tmp_path)
        async with provider() as served:
            with pytest.raises(Waiting):
                await attempt(one, served.url, ROWS, once)
            await ended(served)
            real = BatchClient.look

            async def overtaken(self: BatchClient, batch_id: str) -> Batch:
                monkeypatch.setattr(BatchClient, "look", real)
                found = await real(self, batch_id)
                await attempt(replace(one, writer="b"), served.url, ROWS, once)
                return found

            monkeypatch.setattr(BatchClient, "look", overtaken)
            with pytest.raises(Waiting, match="taken over"):
                await attempt(one, served.url, ROWS, once)
            assert results(await to_the_end(one, served.url, ROWS, once)) == [f"re: {row}" for row in ROWS]
            assert set(served.paid.values()) == {1}
            (ticket,) = tickets(one)
            assert (ticket.looks, ticket.answered) == (0, len(ROWS))
        assert len(journal(one)) == len(ROWS)

    asyncio.run(check())


def test_refused_rows_between_rows_that_wait_are_not_all_there_is(tmp_path: Path) -> None:
    rows = [f"{'bad' if number % 2 else 'good'} {number}" for number in range(2 * HOPELESS + 10)]

    def script(said: str, body: dict[str, Any]) -> Answer:
        return refused("that is not allowed") if said.startswith("bad") else echo(said, body)

    async def check() -> None:
        async with provider(script) as served:
            outcomes = await to_the_end(batch_desk(tmp_path), served.url, rows)
            assert results(outcomes)[::2] == expected(rows[::2])
            assert {type(outcome.error) for outcome in outcomes[1::2]} == {RequestRefused}

    asyncio.run(check())


def test_an_answer_that_is_no_json_is_told_as_such(tmp_path: Path) -> None:
    async def check() -> None:
        async with provider() as served:
            one = batch_desk(tmp_path)
            with pytest.raises(Waiting):
                await attempt(one, served.url, ROWS)
            (batch,) = served.batches._batches.values()
            batch.times["created_at"] = "soon"  # type: ignore[assignment]
            with pytest.raises(TeacherUnavailable, match="unreadable answer"):
                await attempt(one, served.url, ROWS)

    asyncio.run(check())


# --- a wave that cannot be sent -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "fails"),
    [(503, None, 2), (429, "rate_limit_exceeded", 2), (500, None, 1)],
)
def test_an_upload_that_fails_for_the_moment_is_tried_again_nearby(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, code: str | None, fails: int
) -> None:
    monkeypatch.setattr("ultralink.teacher.batch.client.FIRST_WAIT_S", 0.01)

    async def check() -> None:
        one = batch_desk(tmp_path)
        async with provider() as served:
            with pytest.raises(Waiting):
                await attempt(one, served.url, ROWS)
            await ended(served)
            served.refuse_uploads = [refused("busy", status, code)] * fails
            assert results(await to_the_end(one, served.url, ROWS)) == expected(ROWS)
            assert served.refuse_uploads == []
            assert set(served.paid.values()) == {1}
            assert len(tickets(one)) == 3

    asyncio.run(check())


@pytest.mark.parametrize("files", [1, 3])
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((503, None), TeacherUnavailable),
        ((429, "rate_limit_exceeded"), TeacherUnavailable),
        ((429, "insufficient_quota"), QuotaExhausted),
        ((400, "invalid_request"), BatchRefused),
        ((401, None), KeyRejected),
    ],
)
def test_a_second_wave_that_cannot_be_uploaded_ends_the_task_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: tuple[int, str | None], error: type[Exception], files: int
) -> None:
    monkeypatch.setattr("ultralink.teacher.batch.client.FIRST_WAIT_S", 0.001)

    async def check() -> None:
        one = batch_desk(tmp_path)
        limits = LIMITS.model_copy(update={"batch_requests": len(ROWS) // files})
        async with provider() as served:
            with pytest.raises(Waiting):
                await attempt(one, served.url, ROWS, limits=limits)
            await ended(served)
            status, code = answer
            # Of several files the last one alone does not get there.
            served.refuse_uploads = [None] * (files - 1) + [refused("no", status, code)] * TRIES
            with pytest.raises(error):
                await attempt(one, served.url, ROWS, limits=limits)
            assert sorted(record.step for record in journal(one)) == ["first"] * len(ROWS)
            sent = [ticket for ticket in tickets(one) if ticket.stage is Stage.SENT]
            assert len(sent) == files - 1
            served.refuse_uploads = []
            assert results(await to_the_end(one, served.url, ROWS, limits=limits)) == expected(ROWS)
            assert set(served.paid.values()) == {1}
            assert len(served.paid) == CALLS
            assert {ticket.stage for ticket in tickets(one)} == {Stage.DONE}

    asyncio.run(check())


# --- batches that nobody asks for any more ---------------------------------------------------------


async def call_off_to_the_end(one: Desk, url: str) -> int:
    """How often it had to wait; always by the clock, because a trigger takes what is being cancelled for an end."""
    batch_ids: list[str | None] = []
    for waits in range(400):
        try:
            await call_off(one, endpoint(url, limits=LIMITS))
        except Waiting as waiting:
            batch_ids.append(waiting.batch_id)
            await asyncio.sleep(0.01)
        else:
            assert set(batch_ids) <= {None}
            return waits
    raise AssertionError("it waits for ever")


def test_a_batch_that_has_ended_is_taken_in_and_closed_without_its_task(tmp_path: Path) -> None:
    async def check() -> None:
        former = batch_desk(tmp_path, task="shard-7")
        async with provider() as served:
            with pytest.raises(Waiting):
                await attempt(former, served.url, ROWS)
            await ended(served)
            publishing = replace(former, task="publish", writer="p", mode="live", origin=Origin("run-2", 0))
            assert await call_off_to_the_end(publishing, served.url) == 0
            assert [(record.run, record.step) for record in journal(former)] == [("run-1", "first")] * len(ROWS)
            assert [(each.stage, each.ended) for each in tickets(former)] == [(Stage.DONE, "completed")]
            assert open_batches(former.fs, former.journal_folder) == []
            assert results(await to_the_end(former, served.url, ROWS)) == expected(ROWS)
            assert set(served.paid.values()) == {1}

    asyncio.run(check())


def test_a_batch_that_runs_is_cancelled_and_what_it_has_finished_is_kept(tmp_path: Path) -> None:
    async def check() -> None:
        rows = [f"row {number}" for number in range(40)]
        former = batch_desk(tmp_path, task="shard-7")
        async with provider(seconds=4) as served:
            with pytest.raises(Waiting):
                await attempt(former, served.url, rows, once)
            await served.until(lambda: len(served.paid) >= 3)
            assert await call_off_to_the_end(replace(former, task="publish", writer="p"), served.url) > 0
            finished = len(served.paid)
            assert 3 <= finished < len(rows)
            assert len(journal(former)) == finished
            assert [(each.stage, each.ended, each.answered) for each in tickets(former)] == [
                (Stage.DONE, "cancelled", finished)
            ]
            assert served.batches.counts["cancelled"] == 1
            served.batches.faults.seconds = 0
            # Should these rows have a task again, it goes on without a word of the cancelling.
            assert results(await to_the_end(former, served.url, rows, once)) == [f"re: {row}" for row in rows]
            assert set(served.paid.values()) == {1}

    asyncio.run(check())


def test_an_upload_that_never_became_a_batch_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> None:
        former = batch_desk(tmp_path, task="shard-7")

        async def killed(self: BatchClient, file_id: str, tag: str) -> Batch:
            raise Killed

        async with provider() as served:
            with monkeypatch.context() as patch:
                patch.setattr(BatchClient, "create", killed)
                with pytest.raises(Killed):
                    await attempt(former, served.url, ROWS, once)
            assert await call_off_to_the_end(replace(former, task="publish", writer="p"), served.url) == 0
            assert tickets(former) == []
            assert served.batches._files == {}

    asyncio.run(check())


def test_one_batch_that_cannot_be_closed_does_not_keep_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def check() -> None:
        lost, sound = batch_desk(tmp_path, task="shard-6"), batch_desk(tmp_path, task="shard-7", writer="b")
        async with provider() as served:
            for one, rows in ((lost, ROWS[:1]), (sound, ROWS[1:])):
                with pytest.raises(Waiting):
                    await attempt(one, served.url, rows, once)
            await ended(served)
            (ticket,) = tickets(lost)
            del served.batches._batches[str(ticket.batch_id)]
            assert await call_off_to_the_end(replace(lost, task="publish", writer="p"), served.url) == 0
            assert [each.stage for each in tickets(sound)] == [Stage.DONE]
            assert [each.task for each in open_batches(lost.fs, lost.journal_folder)] == ["shard-6"]
            assert f"stays open: wave 1, file 0: {ticket.batch_id}" in caplog.text

    asyncio.run(check())


def test_a_batch_that_never_ends_is_not_waited_for_beyond_two_days(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def check() -> None:
        former = batch_desk(tmp_path, task="shard-7")
        async with provider(seconds=60) as served:
            with pytest.raises(Waiting):
                await attempt(former, served.url, ROWS, once)
            (batch,) = served.batches._batches.values()
            publishing = replace(former, task="publish", writer="p")
            for status in ("in_progress", "cancelling"):
                batch.status = status
                with pytest.raises(Waiting):
                    await call_off(publishing, endpoint(served.url, limits=LIMITS))
            monkeypatch.setattr("ultralink.teacher.batch.elsewhere.GIVEN_UP", timedelta(0))
            for status in ("in_progress", "cancelling"):
                batch.status = status
                await call_off(publishing, endpoint(served.url, limits=LIMITS))
            assert [each.stage for each in tickets(former)] == [Stage.SENT]

    asyncio.run(check())


def test_a_ticket_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    async def check() -> None:
        one = batch_desk(tmp_path)
        async with provider() as served:
            with pytest.raises(Waiting):
                await attempt(one, served.url, ROWS, once)
            (ticket,) = tickets(one)
            store = Tickets.of(one.fs, one.journal_folder, one.task).store
            store.write_text(store.folder(f"{ticket.name}.json"), '{"tag": ')
            for task in (one.task, "shard-1"):
                with pytest.raises(SchemaMismatch, match=ticket.name):
                    await attempt(replace(one, task=task, writer="b"), served.url, ROWS, once)
            assert served.batches.counts["created"] == 1

    asyncio.run(check())


# --- what is seen while a task waits ------------------------------------------------------------------


def test_a_wait_tells_batches_progress_and_since_when(tmp_path: Path) -> None:
    async def check() -> None:
        rows = [f"row {number}" for number in range(20)]
        one = batch_desk(tmp_path)
        limits = LIMITS.model_copy(update={"batch_requests": 10})
        async with provider(seconds=60) as served:
            with pytest.raises(Waiting) as begun:
                await attempt(one, served.url, rows, once, limits)
            first, second = tickets(one)
            assert str(begun.value).startswith(
                f"0 of 20 requests are done, in 2 batches that are under way since {first.noted}: "
                f"{first.batch_id}, {second.batch_id}"
            )
            batches = list(served.batches._batches.values())
            batches[0].output, batches[0].failed, batches[1].output = [b""] * 4, [b""], [b""] * 2
            with pytest.raises(Waiting, match="7 of 20 requests are done"):
                await attempt(one, served.url, rows, once, limits)
            notes = Tickets.of(one.fs, one.journal_folder, one.task)
            looks = [notes.last_look(ticket) for ticket in tickets(one)]
            assert [look and look.finished for look in looks] == [5, 2]
            seen = batches_of(Store(one.fs, one.journal_folder), one.journal_folder, Damages())[one.task]
            assert (seen.answered, seen.requests, len(seen.open)) == (7, 20, 2)
            assert seen.looked == max(look.at for look in looks if look)
            batches[0].output = [b""] * 10**6  # nonsense
            with pytest.raises(Waiting, match="12 of 20 requests"):
                await attempt(one, served.url, rows, once, limits)

    asyncio.run(check())


def test_what_was_noted_of_looks_goes_with_the_batch(tmp_path: Path) -> None:
    async def check() -> None:
        one = batch_desk(tmp_path)
        async with provider(seconds=0.3) as served:
            for _ in range(2):
                with pytest.raises(Waiting):
                    await attempt(one, served.url, ROWS, once)
            folder = f"{one.journal_folder}/batches/{one.task}"
            assert {PurePosixPath(path).suffix for path in one.fs.ls(folder, detail=False)} >= {".look", ".asks"}
            await to_the_end(one, served.url, ROWS, once)
            assert {PurePosixPath(path).suffix for path in one.fs.ls(folder, detail=False)} == {".json"}
            seen = batches_of(Store(one.fs, one.journal_folder), one.journal_folder, Damages())[one.task]
            assert (seen.answered, seen.requests, seen.open, seen.looked) == (3, 3, [], None)

    asyncio.run(check())


# --- money --------------------------------------------------------------------------------------------


def test_records_bear_the_batch_price_in_ledger_answer_and_budget(tmp_path: Path) -> None:
    async def check() -> None:
        one = batch_desk(tmp_path)
        costs: list[float | None] = []

        async def noting(row: str, ask: Ask) -> str:
            answer = await ask("only", say(row))
            costs.append(answer.cost_usd)
            return answer.text

        async with provider() as served:
            await to_the_end(one, served.url, ["a"], noting)
        (record,) = journal(one)
        assert record.batch
        full = (10 * 100 + 5 * 200) / 1e6
        (row,) = ledger([record], CARDS).to_pylist()
        assert row["cost_usd"] == pytest.approx(full / 2) == costs[-1]
        assert row["paid"] == 1
        assert row["latency_p50_s"] is None

    asyncio.run(check())


def test_an_answer_of_another_model_than_asked_costs_and_is_named_as_it_would_live(tmp_path: Path) -> None:
    def other(said: str, body: dict[str, Any]) -> Answer:
        status, answered = echo(said, body)
        return status, {**answered, "model": "another-2026"}

    async def check() -> None:
        live, batch = desk(str(tmp_path / "live")), batch_desk(tmp_path / "batch")
        async with provider(other) as served:
            for one in (live, batch):
                assert results(await to_the_end(one, served.url, ["a"], once)) == ["re: a"]
        (asked,), (sent,) = journal(live), journal(batch)
        assert (sent.model, sent.served) == (asked.model, asked.served) == ("priced", "another-2026")
        costs = [ledger([record], CARDS).to_pylist()[0]["cost_usd"] for record in (asked, sent)]
        assert costs[1] == pytest.approx(costs[0] / 2)
        assert costs[0] == pytest.approx((10 * 100 + 5 * 200) / 1e6)

    asyncio.run(check())


def test_the_budgets_first_level_is_told_in_batch_mode(tmp_path: Path) -> None:
    async def check() -> None:
        heard = Heard()
        one = batch_desk(tmp_path, listener=heard, budget=Budget(tokens=50), style=Style("priced", SHORT))
        async with provider() as served:  # three answers of 10 + 5 tokens; a request needs 9 + 5 at worst
            assert results(await to_the_end(one, served.url, ROWS, once)) == [f"re: {row}" for row in ROWS]
            assert [level.level for level in heard.levels] == [0.8]
            assert heard.levels[0].tokens == 45

    asyncio.run(check())


def test_a_rehearsal_in_batch_mode_shows_the_batch_price(tmp_path: Path) -> None:
    async def price(mode: str) -> float:
        async with rehearsal(batch_desk(tmp_path / mode, mode=mode), lambda request: 20) as ask:
            async for _ in run_rows(chain, ROWS, ask, concurrency=2):
                pass
            return ask.tally.total.cost_usd

    assert asyncio.run(price("batch")) == pytest.approx(asyncio.run(price("live")) / 2)


def test_what_a_batch_cost_and_the_budgets_levels_are_told_to_the_listener(tmp_path: Path) -> None:
    async def check() -> None:
        heard = Heard()
        # An answer costs 0.001 USD, at worst 0.0055: the first finds room, a later one does not.
        one = batch_desk(tmp_path, listener=heard, budget=Budget(usd=0.0066))
        async with provider() as served:
            with pytest.raises(BudgetExceeded):
                await to_the_end(one, served.url, ["a"])
            assert heard.sums["priced"].paid == sum(served.paid.values()) > 0
            assert heard.sums["priced"].cost_usd == pytest.approx(0.001 * sum(served.paid.values()))
            assert heard.latencies == []  # a batch's hours are no latency
            assert heard.levels[-1].level == 1.0

    asyncio.run(check())


def test_a_wave_that_the_budget_has_no_room_for_is_not_sent(tmp_path: Path) -> None:
    async def check() -> None:
        async with provider() as served:
            with pytest.raises(BudgetExceeded, match="no room for the next call"):
                await to_the_end(batch_desk(tmp_path, budget=Budget(tokens=40)), served.url, ROWS)
            assert served.batches.counts["uploads"] == 0

    asyncio.run(check())


def test_of_a_wave_as_much_is_sent_as_the_budget_has_room_for(tmp_path: Path) -> None:
    async def check() -> None:
        one = batch_desk(tmp_path, budget=Budget(tokens=150))  # two requests of 9 + 50 at once; each turns out as 15
        async with provider() as served:
            assert results(await to_the_end(one, served.url, ROWS, once)) == [f"re: {row}" for row in ROWS]
            assert set(served.paid.values()) == {1}
            assert [ticket.requests for ticket in tickets(one)] == [2, 1]
            with pytest.raises(BudgetExceeded):
                await to_the_end(one, served.url, [f"row {number}" for number in range(40)], once)
        spent = sum(record.usage.prompt + record.usage.completion for record in journal(one))
        assert 90 <= spent <= 150

    asyncio.run(check())


# --- control flow ---------------------------------------------------------------------------------------


def test_no_program_can_take_a_wait_for_an_error(tmp_path: Path) -> None:
    async def greedy(row: str, ask: Ask) -> str:
        try:
            return (await ask("only", say(row))).text
        except Exception:
            return "swallowed"

    async def check() -> None:
        assert not issubclass(Unanswered, Exception)
        async with provider() as served:
            assert results(await to_the_end(batch_desk(tmp_path), served.url, ROWS, greedy)) == [
                f"re: {row}" for row in ROWS
            ]

    asyncio.run(check())


def test_what_is_asked_twice_is_sent_once(tmp_path: Path) -> None:
    async def check() -> None:
        async with provider() as served:
            await to_the_end(batch_desk(tmp_path), served.url, ["same"] * 20, once)
            assert len(served.bodies) == 1

    asyncio.run(check())
