"""Items that the page exported measure the judge as those of include/judge/ do."""

from __future__ import annotations

from pathlib import Path

import pytest

from ultralink.dialogue.labelled import LEAST_OF_EACH, Item, load_exported
from ultralink.errors import RecipeError


def item(number: int) -> Item:
    return Item(title="t", passage=f"Passage {number}.", question="Q?", answer="A.", grounded=number % 2 == 0)


def test_an_export_is_read_again(tmp_path: Path) -> None:
    items = [item(number) for number in range(2 * LEAST_OF_EACH)]
    path = tmp_path / "verdicts-zh-judge.jsonl"
    path.write_text("".join(each.model_dump_json() + "\n" for each in items), encoding="utf-8")
    assert load_exported(path).items == items


def test_a_text_may_hold_other_line_ends(tmp_path: Path) -> None:
    items = [item(n).model_copy(update={"passage": f"a\u2028{n}\x85\u2029b"}) for n in range(2 * LEAST_OF_EACH)]
    path = tmp_path / "x.jsonl"
    path.write_bytes("".join(each.model_dump_json() + "\r\n" for each in items).encode())
    assert load_exported(path).items == items


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "needs at least"),
        (item(0).model_dump_json(), "needs at least"),
        (item(0).model_dump_json() + '\n{"title": "t"}\n', "line 2: passage: Field required"),
        ("{", "line 1: "),
    ],
)
def test_a_file_that_is_none_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError, match=said):
        load_exported(path)
    with pytest.raises(RecipeError, match="cannot be read"):
        load_exported(tmp_path / "away.jsonl")
