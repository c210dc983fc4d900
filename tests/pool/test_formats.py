"""Every format: good rows become conversations, malformed ones say where and why, too many of them end it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.pool.sources import good, only_fault, pair, source, written

from ultralink.errors import SourceError
from ultralink.pool.files import Malformed
from ultralink.pool.formats import read, within
from ultralink.pool.recipe import Format, MalformedLimit
from ultralink.pool.row import EnglishRow, Kind, row_id
from ultralink.teacher.request import Message

ASKED, ANSWERED = Message("user", "What is it?"), Message("assistant", "It is that.")
TALK = [{"from": "human", "value": ASKED.content}, {"from": "gpt", "value": ANSWERED.content}]
ROLES = [{"role": "user", "content": ASKED.content}, {"role": "assistant", "content": ANSWERED.content}]

GOOD: list[tuple[Format, dict[str, object], str]] = [
    (Format.SHAREGPT, {"id": "x", "conversations": TALK}, ""),
    (Format.SHAREGPT, {"items": TALK}, ""),
    (Format.SHAREGPT, {"conversations": [{"from": "system", "value": " "}, *TALK]}, ""),
    (Format.ULTRACHAT, {"id": "0", "data": [ASKED.content, ANSWERED.content]}, ""),
    (Format.ULTRACHAT, {"prompt": "What is it?", "messages": ROLES, "data": None}, ""),
    (Format.METAMATH, {"query": ASKED.content, "response": ANSWERED.content, "type": "GSM_SV"}, "GSM_SV"),
    (Format.OSS_INSTRUCT, {"problem": ASKED.content, "solution": ANSWERED.content, "lang": "rust"}, "rust"),
    (Format.EVOL_INSTRUCT, {"instruction": ASKED.content, "response": ANSWERED.content}, ""),
    (
        Format.HUMANEVAL,
        {"task_id": "HumanEval/7", "prompt": ASKED.content, "canonical_solution": ANSWERED.content, "test": "..."},
        "HumanEval/7",
    ),
    (Format.MGSM, {"id": 12, "question": ASKED.content, "answer": ANSWERED.content, "answer_number": 3}, "12"),
    (Format.MGSM, {"question": ASKED.content, "answer": ANSWERED.content}, ""),
]


@pytest.mark.parametrize(("format_", "fields", "own_type"), GOOD)
@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_a_good_row(tmp_path: Path, format_: Format, fields: dict[str, object], own_type: str, suffix: str) -> None:
    path = tmp_path / f"rows{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist([fields]), path)
    else:
        path.write_text(json.dumps(fields))
    [row] = good(list(read(source(path, format_, Kind.MATH))))
    assert row == EnglishRow(
        id=row_id("sample", [ASKED, ANSWERED]),
        kind=Kind.MATH,
        messages=(ASKED, ANSWERED),
        source="sample",
        row=1,
        type=own_type,
        licence="CC0-1.0",
        url="https://example.org/sample",
    )


def test_an_answer_that_is_a_number(tmp_path: Path) -> None:
    path = written(tmp_path, {"question": "How many?", "answer": None, "answer_number": 18})
    [row] = good(list(read(source(path, Format.MGSM, Kind.MATH))))
    assert row.messages[-1].content == "18"


def test_order_of_roles_is_kept_as_it_stands(tmp_path: Path) -> None:
    path = written(tmp_path, {"conversations": [TALK[1], TALK[1], TALK[0]]})
    [row] = good(list(read(source(path, Format.SHAREGPT, Kind.CHAT))))
    assert [message.role for message in row.messages] == ["assistant", "assistant", "user"]


MALFORMED: list[tuple[Format, object, str, str]] = [
    (Format.SHAREGPT, {}, "conversations", "is missing"),
    (Format.SHAREGPT, {"conversations": TALK, "items": TALK}, "conversations", "beside items"),
    (Format.SHAREGPT, {"conversations": "hello"}, "conversations", "must be a list"),
    (Format.SHAREGPT, {"conversations": []}, "conversations", "empty list"),
    (Format.SHAREGPT, {"conversations": [*TALK, "bye"]}, "conversations.2", "must be an object"),
    (Format.SHAREGPT, {"conversations": [{"from": "human"}]}, "conversations.0.value", "is missing"),
    (Format.SHAREGPT, {"conversations": [{"from": "human", "value": 7}]}, "conversations.0.value", "must be a text"),
    (Format.SHAREGPT, {"conversations": [*TALK, {"from": "tool", "value": ""}]}, "conversations.2.from", "'tool'"),
    (
        Format.SHAREGPT,
        {"conversations": [{"from": "system", "value": "You are a pirate."}, *TALK]},
        "conversations.0.from",
        "a system prompt",
    ),
    (Format.ULTRACHAT, {"data": ["a", None]}, "data.1", "is missing"),
    (Format.ULTRACHAT, {"data": ["a", ["b"]]}, "data.1", "must be a text, is list"),
    (Format.ULTRACHAT, {"messages": [{"role": "narrator", "content": "a"}]}, "messages.0.role", "unknown role"),
    (Format.METAMATH, {"query": "a", "response": "b"}, "type", "is missing"),
    (Format.METAMATH, {"query": "a", "response": "b", "type": True}, "type", "must be a text, is bool"),
    (Format.METAMATH, b'{"query": "a", "query": "b", "response": "c", "type": "d"}', "query", "given twice"),
    (Format.METAMATH, b'{"query": NaN, "response": "c", "type": "d"}', "", "NaN"),
    (Format.METAMATH, b'{"query": "\\ud800", "response": "c", "type": "d"}', "query", "surrogate"),
    (Format.METAMATH, b'{"query": "\xe9", "response": "c", "type": "d"}', "", "not UTF-8"),
    (Format.OSS_INSTRUCT, {"problem": "a", "lang": "go"}, "solution", "is missing"),
    (Format.EVOL_INSTRUCT, {"instruction": "a", "response": 1.5}, "response", "must be a text, is float"),
    (Format.HUMANEVAL, {"prompt": "a", "canonical_solution": "b"}, "task_id", "is missing"),
    (Format.MGSM, {"question": "a"}, "answer_number", "is missing"),
    (Format.MGSM, {"question": "a", "answer_number": True}, "answer_number", "must be a text, is bool"),
]


@pytest.mark.parametrize(("format_", "row", "field", "reason"), MALFORMED)
def test_a_malformed_row(tmp_path: Path, format_: Format, row: object, field: str, reason: str) -> None:
    fault = only_fault(tmp_path, row, format_)
    assert (fault.source, fault.row, fault.field) == ("sample", 1, field)
    assert reason in fault.reason


def test_only_an_excerpt_of_a_malformed_row_is_kept(tmp_path: Path) -> None:
    fault = only_fault(tmp_path, {"instruction": "long\n\n\nand\x00 wide " * 10_000}, Format.EVOL_INSTRUCT)
    assert len(fault.excerpt) <= 80
    assert "\n" not in fault.excerpt


_json: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
_fields = st.sampled_from(
    ["conversations", "items", "data", "messages", "query", "response", "type", "question", "answer", "instruction"]
)


@given(format_=st.sampled_from(list(Format)), rows=st.lists(st.dictionaries(_fields, _json) | _json, max_size=5))
def test_whatever_a_row_holds_it_is_a_row_or_malformed(
    tmp_path_factory: pytest.TempPathFactory, format_: Format, rows: list[Any]
) -> None:
    path = written(tmp_path_factory.mktemp("any"), {}, *rows)
    read_rows = list(read(source(path, format_)))
    assert [row.row for row in read_rows] == list(range(1, len(rows) + 2))


@given(texts=st.lists(st.text(), min_size=1, max_size=6))
def test_an_id_is_made_of_the_texts(texts: list[str]) -> None:
    messages = [Message("user", text) for text in texts]
    name = row_id("sample", messages)
    assert name.startswith("sample-")
    assert name == row_id("sample", list(messages))
    assert name != row_id("sample", [*messages, Message("assistant", "")])
    assert name != row_id("sample", [Message("user", "\x00".join(texts) + "!")])


# --- the limit ------------------------------------------------------------------------------------


def stream(bad: int, fine: int) -> Iterator[EnglishRow | Malformed]:
    """Malformed rows first."""
    for number in range(bad):
        yield Malformed("sample", number + 1, "query", "is missing", "")
    for number in range(fine):
        yield EnglishRow(f"sample-{number}", Kind.MATH, (), "sample", bad + number + 1, "", "", "")


@pytest.mark.parametrize(
    ("bad", "fine", "count", "share", "fails"),
    [
        (0, 1, 0, 0.0, False),
        (1, 99, 0, 0.0, True),
        (3, 1, 3, 0.0, False),  # the count is not exceeded, whatever the share
        (4, 1, 3, 0.0, True),
        (4, 396, 0, 0.01, False),  # the share is not exceeded
        (5, 395, 0, 0.01, True),
        (500, 49_500, 5, 0.01, False),  # all of the bad ones come first
        (501, 49_499, 5, 0.01, True),
        (900, 100, 5, 1.0, False),
    ],
)
def test_the_limit(tmp_path: Path, bad: int, fine: int, count: int, share: float, fails: bool) -> None:
    rows = within(MalformedLimit(count=count, share=share), source(tmp_path / "rows.jsonl"), stream(bad, fine))
    if not fails:
        assert len(list(rows)) == bad + fine
        return
    with pytest.raises(SourceError, match="malformed") as caught:
        list(rows)
    assert "source sample" in str(caught.value)
    assert "row 1, field query: is missing" in str(caught.value)


def test_a_wrong_format_ends_early(tmp_path: Path) -> None:
    path = written(tmp_path, *map(pair, range(3000)))
    seen = 0
    wrong = source(path, Format.METAMATH, Kind.MATH)
    with pytest.raises(SourceError, match="Is 'metamath' its format"):
        for _ in read(wrong, MalformedLimit()):
            seen += 1
    assert seen == 1000


def test_a_file_without_rows(tmp_path: Path) -> None:
    path = written(tmp_path, b"", b"   ")
    with pytest.raises(SourceError, match="has no row"):
        list(read(source(path), MalformedLimit()))
