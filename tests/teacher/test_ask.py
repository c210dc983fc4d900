"""The door: journaled, asked once, validated, capped; and what a rehearsal does instead."""

from __future__ import annotations

import asyncio
import enum
import json
from dataclasses import replace
from pathlib import Path
from typing import Literal

import fsspec
import pytest
from pydantic import BaseModel, Field
from tests.teacher.fake_teacher import (
    CARDS,
    Asked,
    Reply,
    Script,
    completion,
    desk,
    echo,
    endpoint,
    error,
    fake_teacher,
    first,
    good,
    opened,
    say,
    slow,
)

from ultralink.errors import (
    AnswerInvalid,
    BudgetExceeded,
    KeyRejected,
    ModelUnknown,
    RequestRefused,
    TeacherUnavailable,
)
from ultralink.teacher import client
from ultralink.teacher.ask import Ask, Style
from ultralink.teacher.budget import Budget
from ultralink.teacher.desk import Desk, rehearsal, teacher
from ultralink.teacher.endpoint import Limits
from ultralink.teacher.live import Origin
from ultralink.teacher.request import Message, Sampling


class Verdict(BaseModel):
    grounded: bool
    quote: str = Field(min_length=2)


GOOD = json.dumps({"grounded": True, "quote": "so it is"})


# --- asked once --------------------------------------------------------------------------------


def test_what_was_answered_is_not_asked_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with fake_teacher() as fake:
            for round in range(2):
                async with teacher(
                    desk(str(tmp_path), origin=Origin(f"run-{round}", round)), endpoint(fake.url)
                ) as ask:
                    said = [await ask("step", say(f"row {row}")) for row in range(5)]
                    assert [each.text for each in said] == [f"re: row {row}" for row in range(5)]
                    assert ask.tally.total.replayed == 5 * round
            assert len(fake.asked) == 5

    asyncio.run(main())


def test_any_change_of_the_request_asks_again(tmp_path: Path) -> None:
    base = desk(str(tmp_path))
    hello = [Message("system", "be kind"), Message("user", "hello")]
    other = [Message("system", "be brief"), Message("user", "hello")]
    style = base.style
    cases: list[tuple[Desk, list[Message], int]] = [
        (base, hello, 0),
        (base, other, 0),
        (base, hello, 1),
        (replace(base, style=replace(style, model="else")), hello, 0),
        (replace(base, style=replace(style, sampling=Sampling(temperature=0.1, max_tokens=50))), hello, 0),
        (replace(base, style=replace(style, sampling=Sampling(max_tokens=51))), hello, 0),
        (replace(base, steps={"step": Style("judge-model")}), hello, 0),
    ]

    async def main() -> None:
        async with fake_teacher() as fake:
            for _ in range(2):
                for changed, messages, attempt in cases:
                    async with teacher(changed, endpoint(fake.url)) as ask:
                        await ask("step", messages, attempt=attempt)
            assert len(fake.asked) == len(cases)

    asyncio.run(main())


def test_a_changed_schema_asks_again(tmp_path: Path) -> None:
    class Longer(Verdict):
        why: str = ""

    async def main() -> None:
        async with opened(lambda _: good(GOOD), str(tmp_path)) as (ask, fake):
            for schema in (Verdict, Longer, Verdict, Longer):
                await ask.structured("judge", say("x"), schema)
            assert len(fake.asked) == 2

    asyncio.run(main())


def test_asks_at_once_for_the_same_content_make_one_call(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(lambda _: Reply(body=completion("one"), hang_s=0.05), str(tmp_path)) as (ask, fake):
            said = await asyncio.gather(*(ask("step", say("same")) for _ in range(20)))
            assert {each.text for each in said} == {"one"}
            assert len(fake.asked) == 1

    asyncio.run(main())


def test_one_of_many_waiters_may_leave(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(lambda _: Reply(body=completion("one"), hang_s=0.05), str(tmp_path)) as (ask, fake):
            leaver = asyncio.create_task(ask("step", say("same")))
            stayer = asyncio.create_task(ask("step", say("same")))
            await fake.until(lambda: bool(fake.asked))
            leaver.cancel()
            assert (await stayer).text == "one"

    asyncio.run(main())


def test_an_answer_on_the_wire_reaches_the_journal_though_its_row_is_gone(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(lambda _: Reply(body=completion("late"), hang_s=0.1), str(tmp_path)) as (ask, fake):
            row = asyncio.create_task(ask("step", say("a")))
            await fake.until(lambda: bool(fake.asked))
            row.cancel()
        async with opened(echo, str(tmp_path)) as (ask, fake):
            assert (await ask("step", say("a"))).text == "late"
            assert not fake.asked

    asyncio.run(main())


def test_on_an_object_store(tmp_path: Path) -> None:
    fs = fsspec.filesystem("memory")
    folder = f"/{tmp_path.name}"

    async def main() -> None:
        for _ in range(2):
            async with opened(echo, folder, fs=fs, roster_folder=f"{folder}-roster") as (ask, fake):
                assert (await ask("step", say("a"))).text == "re: a"
        assert not fake.asked

    asyncio.run(main())


# --- structured answers ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        f"  {GOOD}\n",
        f"```json\n{GOOD}\n```",
        f"Here you are:\n```\n{GOOD}\n```\nGood luck!",
        f"Sure! {GOOD} That is all.",
    ],
)
def test_one_object_is_found_wherever_it_stands(text: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(lambda _: good(text), str(tmp_path)) as (ask, fake):
            said = await ask.structured("judge", say("x"), Verdict)
            assert said.value == Verdict(grounded=True, quote="so it is")
            assert len(fake.asked) == 1

    asyncio.run(main())


def test_an_invalid_answer_is_asked_for_again_and_told_why(tmp_path: Path) -> None:
    def script(asked: Asked) -> Reply:
        return good('{"grounded": "perhaps", "quote": "x"}') if len(asked.body["messages"]) == 1 else good(GOOD)

    async def main() -> None:
        for _ in range(2):
            async with opened(script, str(tmp_path)) as (ask, fake):
                said = await ask.structured("judge", say("x"), Verdict)
                assert said.value.grounded is True
                assert said.usage.prompt == 20  # both asks
                assert said.cost_usd == pytest.approx(2 * (10 * 100 + 5 * 200) / 1e6)
                assert ask.tally.total.reasked == 1
                if fake.asked:
                    told = fake.asked[1].body["messages"]
                    assert [each["role"] for each in told] == ["user", "assistant", "user"]
                    assert "grounded" in told[2]["content"]
                    assert "quote" in told[2]["content"]
        assert not fake.asked  # the second round replays both

    asyncio.run(main())


def test_answers_that_never_fit_cost_the_row(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(lambda _: good('{"grounded": 7}'), str(tmp_path)) as (ask, fake):
            with pytest.raises(AnswerInvalid, match="quote"):
                await ask.structured("judge", say("x"), Verdict)
            assert len(fake.asked) == 3

    asyncio.run(main())


def test_an_answer_cut_at_the_limit_is_told_to_be_shorter(tmp_path: Path) -> None:
    cut = completion("", choices=[{"finish_reason": "length", "message": {"content": GOOD[:20]}}])

    async def main() -> None:
        async with opened(
            lambda asked: Reply(body=cut) if len(asked.body["messages"]) == 1 else good(GOOD), str(tmp_path)
        ) as (ask, fake):
            await ask.structured("judge", say("x"), Verdict)
            assert "shorter" in fake.asked[1].last

    asyncio.run(main())


def form_of(asked: Asked) -> str:
    asked_for = asked.body.get("response_format")
    return "instructed" if asked_for is None else str(asked_for["type"])


def refuses(status: int, *forms: str) -> Script:
    def script(asked: Asked) -> Reply:
        return error(status, "Unsupported response_format") if form_of(asked) in forms else good(GOOD)

    return script


@pytest.mark.parametrize("status", [400, 422, 500])
@pytest.mark.parametrize(
    ("forms", "left"), [(["json_schema"], "json_object"), (["json_schema", "json_object"], "instructed")]
)
def test_a_server_that_refuses_a_form_is_asked_in_another(
    status: int, forms: list[str], left: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "FIRST_WAIT_S", 0.01)

    async def main() -> None:
        async with opened(refuses(status, *forms), str(tmp_path)) as (ask, fake):
            await ask.structured("judge", say("one"), Verdict)
            probes = len(fake.asked)
            await ask.structured("judge", say("two"), Verdict)
            assert [form_of(each) for each in fake.asked[probes:]] == [left]  # remembered
        # Answers that came under one form are found by a run that would begin with another.
        async with opened(echo, str(tmp_path)) as (ask, fake):
            await ask.structured("judge", say("one"), Verdict)
            await ask.structured("judge", say("two"), Verdict)
            assert not fake.asked

    asyncio.run(main())


def test_a_server_that_ignores_the_schema_is_found_out(tmp_path: Path) -> None:
    def script(asked: Asked) -> Reply:
        return good(GOOD) if "JSON schema" in asked.last else good("Yes, it is grounded.")

    async def main() -> None:
        async with opened(script, str(tmp_path)) as (ask, fake):
            for row in range(5):
                assert (await ask.structured("judge", say(f"row {row}"), Verdict)).value.grounded
            forms = [form_of(each) for each in fake.asked]
            assert forms == ["json_schema", *["instructed"] * 5]

    asyncio.run(main())


def test_a_server_that_answers_in_a_shape_of_its_own_is_found_out(tmp_path: Path) -> None:
    def script(asked: Asked) -> Reply:
        return good(GOOD) if "JSON schema" in asked.last else good('{"verdict": "yes"}')

    async def main() -> None:
        async with opened(script, str(tmp_path)) as (ask, fake):
            for row in range(3):
                await ask.structured("judge", say(f"row {row}"), Verdict)
            assert [form_of(each) for each in fake.asked] == ["json_schema", *["instructed"] * 3]

    asyncio.run(main())


def test_a_passing_500_does_not_give_the_schema_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "FIRST_WAIT_S", 0.01)

    def script(asked: Asked) -> Reply:
        return error(500, "oops") if asked.attempt <= 2 else good(GOOD)

    async def main() -> None:
        async with opened(script, str(tmp_path)) as (ask, fake):
            for row in range(3):
                await ask.structured("judge", say(f"row {row}"), Verdict)
            assert {form_of(each) for each in fake.asked} == {"json_schema"}

    asyncio.run(main())


def test_a_request_refused_in_every_form_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(lambda _: error(400, "this prompt is not allowed"), str(tmp_path)) as (ask, fake):
            with pytest.raises(RequestRefused, match="not allowed"):
                await ask.structured("judge", say("x"), Verdict)
            assert len(fake.asked) == 3

    asyncio.run(main())


def test_the_schema_on_the_wire_is_strict(tmp_path: Path) -> None:
    class Part(BaseModel):
        title: str
        note: str | None = None

    class Whole(BaseModel):
        parts: list[Part]
        kind: Literal["a", "b"] = "a"

    async def main() -> None:
        text = json.dumps({"parts": [{"title": "t", "note": None}], "kind": "b"})
        async with opened(lambda _: good(text), str(tmp_path)) as (ask, fake):
            await ask.structured("judge", say("x"), Whole)
            sent = fake.asked[0].body["response_format"]["json_schema"]
            assert sent["name"] == "Whole"
            schema = sent["schema"]
            assert schema["required"] == ["parts", "kind"]
            assert schema["additionalProperties"] is False
            part = schema["$defs"]["Part"]
            assert part["required"] == ["title", "note"]
            assert "title" in part["properties"]
            assert part["additionalProperties"] is False
            assert "default" not in json.dumps(schema)

    asyncio.run(main())


# --- the budget --------------------------------------------------------------------------------


async def ask_many(ask: Ask, times: int) -> None:
    for time in range(times):
        await ask("step", say(f"again {time}"))


def usd(usage: dict[str, int]) -> float:
    return (usage["prompt"] * 100 + usage["completion"] * 200) / 1e6


@pytest.mark.parametrize("cap", ["usd", "tokens"])
@pytest.mark.parametrize("together", [1, 50])
def test_the_budget_is_never_passed(cap: str, together: int, tmp_path: Path) -> None:
    """Whatever runs at once, and however much of it: the sum that the server bills stays under the cap."""
    cost = {"prompt": 12, "completion": 40}
    budget = Budget(usd=20.5 * usd(cost)) if cap == "usd" else Budget(tokens=52 * 20 + 26)

    async def main() -> None:
        async with opened(
            lambda _: Reply(body=completion("x", **cost), hang_s=0.002), str(tmp_path), budget=budget
        ) as (ask, fake):
            refusals = []

            async def worker(number: int) -> None:
                for row in range(100):
                    try:
                        await ask("step", say(f"{number} {row}"))
                    except BudgetExceeded as error:
                        refusals.append(str(error))
                        return

            await asyncio.gather(*(worker(number) for number in range(together)))
            paid = fake.paid.total()
            assert paid * usd(cost) <= 20.5 * usd(cost)
            assert 18 <= paid <= 20  # the last ones may have no room for their worst case
            assert len(refusals) == together
            assert "spent" in refusals[0]
            assert "budget" in refusals[0]
        # A second attempt of the same shard in the same run has spent the same money.
        async with opened(lambda _: good("x", **cost), str(tmp_path), budget=budget) as (ask, fake):
            with pytest.raises(BudgetExceeded):
                await ask_many(ask, 10)
            assert paid + fake.paid.total() <= 20
        # Another run has a budget of its own, and what is journaled is free.
        async with opened(echo, str(tmp_path), budget=budget, origin=Origin("run-2", 0)) as (ask, fake):
            await ask("step", say("0 0"))
            assert not fake.asked
            await ask("step", say("new"))

    asyncio.run(main())


def test_lost_answers_count_as_spent(tmp_path: Path) -> None:
    """The provider bills what was cut on the way: 3 tries of 60 tokens, where the cap is of 4."""

    def script(asked: Asked) -> Reply:
        return Reply(body=completion("x", prompt=10, completion=50)[: 40 if asked.attempt % 3 else None])

    async def main() -> None:
        async with opened(script, str(tmp_path), budget=Budget(tokens=290)) as (ask, fake):
            await ask("step", say("a"))
            with pytest.raises(BudgetExceeded):
                await ask("step", say("b"))
            assert fake.paid.total() * 60 <= 290

    asyncio.run(main())


def test_a_server_that_counts_more_than_we_do_is_believed(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(
            lambda _: good("x", prompt=500, completion=10), str(tmp_path), budget=Budget(tokens=2000)
        ) as (ask, fake):
            with pytest.raises(BudgetExceeded):
                await ask_many(ask, 100)
            assert fake.paid.total() * 510 <= 2000

    asyncio.run(main())


def test_a_usd_budget_needs_a_price(tmp_path: Path) -> None:
    async def main() -> None:
        async with fake_teacher() as fake:
            with pytest.raises(ModelUnknown, match=r"'unpriced'.*|.*models\.yaml"):
                async with teacher(desk(str(tmp_path), model="unpriced", budget=Budget(usd=1)), endpoint(fake.url)):
                    raise AssertionError("opened all the same")
            async with teacher(
                desk(str(tmp_path), model="unpriced", budget=Budget(tokens=1000)), endpoint(fake.url)
            ) as ask:
                assert (await ask("step", say("a"))).cost_usd is None

    asyncio.run(main())


def test_a_budget_of_nothing_calls_nobody(tmp_path: Path) -> None:
    async def main() -> None:
        for budget in (Budget(usd=0), Budget(tokens=0)):
            async with opened(echo, str(tmp_path), budget=budget) as (ask, fake):
                with pytest.raises(BudgetExceeded):
                    await ask("step", say("a"))
                assert not fake.asked

    asyncio.run(main())


def test_shares_of_a_budget_sum_to_no_more_than_it() -> None:
    share = Budget(usd=10.0, tokens=100).share(3)
    assert share.usd is not None
    assert share.tokens is not None
    assert share.usd * 3 <= 10.0 + 1e-9
    assert share.tokens * 3 <= 100
    assert Budget().share(4) == Budget()


# --- rehearsal ---------------------------------------------------------------------------------


class Mood(enum.Enum):
    CALM = "calm"


class Nested(BaseModel):
    verdicts: list[Verdict]
    mood: Mood
    kind: Literal["x", "y"]
    note: str | None
    score: float
    count: int


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_rehearsal_calls_nobody_writes_nothing_and_prices_all(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(echo, str(tmp_path / "j")) as (ask, fake):
            await ask("step", say("known"))
        before = contents(tmp_path)
        async with rehearsal(desk(str(tmp_path / "j")), lambda request: 30) as ask:
            known = await ask("step", say("known"))
            assert (known.text, known.rehearsed) == ("re: known", False)
            new = await ask("step", say("one two three"))
            assert new.rehearsed is True
            assert new.usage.completion == 30
            made = await ask.structured("judge", say("x"), Nested)
            assert made.rehearsed is True
            assert isinstance(made.value.verdicts[0], Verdict)
            assert (made.value.mood, made.value.kind) == (Mood.CALM, "x")
            total = ask.tally.total
            assert (total.asks, total.replayed, total.paid) == (3, 1, 2)
            assert total.completion_tokens == 60
            prices = CARDS.prices("priced")
            assert prices is not None
            assert total.cost_usd == pytest.approx(prices.cost(total.prompt_tokens, 0, 60))
        assert contents(tmp_path) == before
        assert len(fake.asked) == 1

    asyncio.run(main())


# --- stopping ----------------------------------------------------------------------------------


@pytest.mark.parametrize("waiting", ["in a pause", "at the gate"])
def test_a_drained_door_begins_nothing_new(waiting: str, tmp_path: Path) -> None:
    async def main() -> None:
        limit = error(429, Retry_After="60")
        script = slow(0.1) if waiting == "at the gate" else first(limit, limit)
        async with opened(script, str(tmp_path), limits=Limits(concurrency=1)) as (ask, fake):
            rows = [asyncio.create_task(ask("step", say(str(row)))) for row in range(3)]
            await fake.until(lambda: bool(fake.asked))
            await asyncio.sleep(0.02)
            asked = len(fake.asked)
            await ask.drain(5)
            ended = await asyncio.gather(*rows, return_exceptions=True)
            assert len(fake.asked) == asked
            assert sum(isinstance(each, TeacherUnavailable) for each in ended) == (3 if waiting == "in a pause" else 2)

    asyncio.run(main())


def test_a_rejected_key_is_not_hidden_by_single_flight(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(lambda _: error(401), str(tmp_path)) as (ask, fake):
            ended = await asyncio.gather(*(ask("step", say("a")) for _ in range(3)), return_exceptions=True)
            assert all(isinstance(each, KeyRejected) for each in ended)
            with pytest.raises(KeyRejected):
                await ask("step", say("a"))
            assert len(fake.asked) == 2

    asyncio.run(main())


def test_a_fault_on_the_way_is_in_the_record(tmp_path: Path) -> None:
    async def main() -> None:
        faults = first(error(429, Retry_After="0"), Reply(body=b"{"))
        async with opened(faults, str(tmp_path)) as (ask, _):
            await ask("question", say("a"))
            (record,) = ask.journal.records()
            assert (record.tries, record.limited, record.lost) == (3, 1, 1)
            assert (record.run, record.shard, record.step) == ("run-1", 0, "question")
            assert (record.model, record.served) == ("priced", "fake-2026-11-01")

    asyncio.run(main())


def test_the_doors_annotations_fit_a_row_program(tmp_path: Path) -> None:
    async def program(row: int, ask: Ask) -> str:
        return (await ask("step", say(str(row)))).text

    async def main() -> None:
        async with opened(echo, str(tmp_path)) as (ask, _):
            assert await program(1, ask) == "re: 1"

    asyncio.run(main())
