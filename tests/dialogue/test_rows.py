"""Rows of the stages around a dialogue fit their schemas and come back as they were."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import cast

import pyarrow as pa
from tests.dialogue.material import BOOK, Call, Teacher, english

from ultralink.dialogue.converse import converse
from ultralink.dialogue.outcome import Outcome
from ultralink.dialogue.rows import PassageRow, dialogue_row, passage_of, turned_down_row
from ultralink.prompts import Step
from ultralink.schemas import DIALOGUE_REJECTS, DIALOGUES, PASSAGES
from ultralink.wikipedia.rows import passage_row


def held(teacher: Teacher) -> Outcome:
    about, recipe = english()
    return asyncio.run(converse(about, teacher, BOOK, recipe, None, judge_may_reject=True))


def test_a_passage_survives_its_row() -> None:
    about, _ = english()
    table = pa.Table.from_pylist([passage_row(about)], schema=PASSAGES.schema)
    back = passage_of(cast(PassageRow, table.to_pylist()[0]))
    assert back == replace(about, article=replace(about.article, text="", tokens=0))


def test_a_dialogue_fits_the_schema_with_all_its_provenance() -> None:
    about, recipe = english()
    dialogue = held(Teacher()).dialogue
    assert dialogue is not None
    made = dialogue_row(dialogue, recipe, "gpt-4o-mini", "prompts-1", "part-1")
    (row,) = pa.Table.from_pylist([made], schema=DIALOGUES.schema).to_pylist()
    assert row["id"] == f"en-chat_specific-{about.id}"
    assert (row["language"], row["subset"], row["fingerprint"]) == ("en", "chat_specific", "part-1")
    assert [message["role"] for message in row["messages"][:2]] == ["user", "assistant"]
    assert len(row["messages"]) == 2 * len(dialogue.turns)
    assert row["source"]["passage"] == about.text
    assert row["source"]["revision_id"] == about.article.revision_id
    assert row["source"]["licence"] == "CC BY-SA 4.0"
    teacher = row["teacher"]
    assert (teacher["model"], teacher["requested_model"], teacher["prompts"]) == (
        "fake-2026",
        "gpt-4o-mini",
        "prompts-1",
    )
    calls = len(dialogue.turns) * 2
    assert (teacher["asks"], teacher["prompt_tokens"]) == (calls + 1, calls * 100 + 1000)
    assert (teacher["cached_tokens"], teacher["completion_tokens"]) == (calls * 40, calls * 10 + 100)
    assert teacher["cost_usd"] == calls * 0.25 + 1
    assert dict(row["scores"])["grounded"] == 1.0
    assert [each["answer"] for each in row["evidence"]] == [*range(1, len(dialogue.turns) + 1)]
    assert all(each["grounded"] and each["quote"] in about.text for each in row["evidence"])
    assert row["created"] == datetime(2026, 11, 1, 13, tzinfo=UTC)
    assert dialogue.spent[Step.JUDGE].asks == 1


def test_a_reject_fits_the_schema() -> None:
    about, recipe = english()

    def refuse(call: Call) -> str | None:
        return "Sorry, as an AI language model I cannot answer." if call.place == "answer 1" else None

    (turned_down,) = held(Teacher(refuse)).turned_down
    made = turned_down_row(turned_down, recipe, "part-1")
    (row,) = pa.Table.from_pylist([made], schema=DIALOGUE_REJECTS.schema).to_pylist()
    assert row["id"] == f"en-chat_specific-{about.id}"
    assert (row["stage"], row["gate"], row["attempts"]) == ("dialogues", "refusal", 3)
    assert row["messages"][1]["content"].startswith("Sorry")
    assert row["evidence"] is None
    assert row["source"]["passage"] == about.text
    assert row["created"] is not None


def test_a_dropped_turn_has_an_id_of_its_own() -> None:
    _, recipe = english()
    (turned_down,) = held(Teacher(lambda call: "No." if call.place == "answer 1" else None)).turned_down
    made = turned_down_row(replace(turned_down, turn=4, created=None), recipe, "part-1")
    (row,) = pa.Table.from_pylist([made], schema=DIALOGUE_REJECTS.schema).to_pylist()
    assert str(row["id"]).endswith("-turn4")
    assert row["created"] is None
