"""The key of a request: the same content always has the same one, any other content another."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ultralink.teacher.request import AnswerSchema, Form, Message, Request, Sampling

BASE = Request(
    model="m",
    messages=(Message("system", "be kind"), Message("user", "hello")),
    sampling=Sampling(temperature=0.7, top_p=1.0, max_tokens=100, seed=None),
    schema=AnswerSchema("Verdict", '{"type":"object"}'),
)
CHANGES = [
    replace(BASE, model="m2"),
    replace(BASE, attempt=1),
    replace(BASE, messages=(Message("system", "be brief"), Message("user", "hello"))),
    replace(BASE, messages=(Message("user", "be kind"), Message("user", "hello"))),
    replace(BASE, messages=BASE.messages[1:]),
    replace(BASE, messages=BASE.messages[::-1]),
    replace(BASE, messages=(Message("system", "be kindhello"), Message("user", ""))),
    replace(BASE, sampling=replace(BASE.sampling, temperature=0.8)),
    replace(BASE, sampling=replace(BASE.sampling, top_p=0.9)),
    replace(BASE, sampling=replace(BASE.sampling, max_tokens=101)),
    replace(BASE, sampling=replace(BASE.sampling, seed=0)),
    replace(BASE, schema=None),
    replace(BASE, schema=AnswerSchema("Other", '{"type":"object"}')),
    replace(BASE, schema=AnswerSchema("Verdict", '{"type":"array"}')),
]


def test_any_change_of_content_has_another_key() -> None:
    keys = [BASE.key, *(change.key for change in CHANGES)]
    assert len(set(keys)) == len(keys)


def test_the_key_does_not_depend_on_the_process() -> None:
    # Written down: a key that changes asks for everything again, in every store there is.
    assert BASE.key == "78c47bd2cbd41715fc5ca7440c82894d"
    assert replace(BASE).key == BASE.key


@given(st.text(), st.text())
def test_different_texts_have_different_keys(one: str, other: str) -> None:
    same = replace(BASE, messages=(Message("user", one),)).key == replace(BASE, messages=(Message("user", other),)).key
    assert same == (one == other)


def test_the_form_of_a_schema_is_not_part_of_the_key_but_of_the_body() -> None:
    enforced = json.loads(BASE.body(Form.JSON_SCHEMA))
    assert enforced["response_format"]["json_schema"] == {
        "name": "Verdict",
        "strict": True,
        "schema": {"type": "object"},
    }
    assert [each["content"] for each in enforced["messages"]] == ["be kind", "hello"]
    for form, response_format in ((Form.JSON_OBJECT, {"type": "json_object"}), (Form.INSTRUCTED, None)):
        body = json.loads(BASE.body(form))
        assert body.get("response_format") == response_format
        assert body["messages"][-1]["content"].startswith("hello\n\n")
        assert '{"type":"object"}' in body["messages"][-1]["content"]


def test_a_new_attempt_has_a_new_seed() -> None:
    seeded = replace(BASE, sampling=replace(BASE.sampling, seed=7))
    assert json.loads(seeded.body())["seed"] == 7
    assert json.loads(replace(seeded, attempt=2).body())["seed"] == 9
    assert "seed" not in json.loads(BASE.body())
