"""The labelled chats, the figures that a screen reaches with them, and the report of `make screen`."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from tests.pool.test_screen import Teacher, verdict
from tests.teacher.fake_teacher import Asked, Reply, completion, fake_teacher

from ultralink.errors import AnswerInvalid, KeyRejected, RecipeError
from ultralink.pool.recipe import Criterion, Screen
from ultralink.pool.screen import load_screen_prompts
from ultralink.screen_report import (
    ALL,
    TURNED_AWAY,
    Figures,
    Item,
    Ruling,
    figures,
    load_items,
    main,
    measure,
    report,
    show,
)
from ultralink.tokens import count_tokens

LABELLED = Path(__file__).parents[1] / "data" / "screen.jsonl"
ITEMS = load_items(LABELLED)
PLACES = sum(Criterion.PLACE in item.violates for item in ITEMS)
CLEAN = sum(not item.violates for item in ITEMS)


def measured(answer: Callable[[Item], str], items: list[Item] = ITEMS) -> list[Ruling]:
    """What a screen is found to be that answers each item by itself (one at a time)."""
    settings = Screen(model="any", concurrency=1)
    rulings: list[Ruling] = []
    for item in items:
        teacher = Teacher(lambda number, item=item: answer(item))  # type: ignore[misc]
        rulings += asyncio.run(measure([item], teacher, load_screen_prompts(), settings))
    return rulings


def as_labelled(item: Item) -> str:
    return verdict(**{criterion.value: quote for criterion, quote in item.violates.items()})


def shown(rulings: list[Ruling]) -> str:
    page = io.StringIO()
    show(rulings, LABELLED, Console(file=page, width=160))
    return page.getvalue()


def cells(text: str, name: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.strip("│ ").startswith(f"{name} ")]
    return [cell.strip() for cell in line.strip("│").split("│")]


# --- the labelled set -------------------------------------------------------------------------


def test_the_set_is_large_short_and_has_every_criterion_alone_and_clean_chats() -> None:
    assert len(ITEMS) >= 100
    assert len({item.id for item in ITEMS}) == len({tuple(item.messages) for item in ITEMS}) == len(ITEMS)
    alone = Counter(next(iter(item.violates)) for item in ITEMS if len(item.violates) == 1)
    assert all(alone[criterion] >= 5 for criterion in Criterion), alone
    assert any(len(item.violates) > 1 for item in ITEMS)
    assert CLEAN >= 40
    assert all(len(item.messages) % 2 == 0 and count_tokens("\n".join(item.messages)) <= 150 for item in ITEMS)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", ["line 2", "JSON"]),
        ('{"id": "x", "messages": ["a", "b"]}', ["line 2", "violates"]),
        ('{"id": "x", "messages": ["a"], "violates": {}}', ["line 2", "messages"]),
        ('{"id": "x", "messages": ["a", "b"], "violates": {"colour": "a"}}', ["line 2", "violates.colour"]),
        ('{"id": "x", "messages": ["Oslo", "b"], "violates": {"place": "Rome"}}', ["line 2", "place", "'Rome'"]),
        ('{"id": "x", "messages": ["a", "b"], "violates": {}, "more": 1}', ["line 2", "more"]),
    ],
)
def test_a_mistake_names_file_line_and_field(tmp_path: Path, line: str, words: list[str]) -> None:
    file = tmp_path / "screen.jsonl"
    file.write_text('{"id": "w", "messages": ["a", "b"], "violates": {}}\n' + line, encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        load_items(file)
    for word in [str(file), *words]:
        assert word in str(caught.value)


def test_a_file_that_is_missing_or_empty_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot be read"):
        load_items(tmp_path / "none.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(RecipeError, match="no labelled chat"):
        load_items(tmp_path / "empty.jsonl")


# --- the figures ------------------------------------------------------------------------------


def test_a_screen_that_knows_all_has_full_marks() -> None:
    rulings = measured(as_labelled)
    assert all(ruling.is_right for ruling in rulings)
    found = figures(rulings)
    assert set(found) == {*(each.value for each in Criterion), ALL, TURNED_AWAY}
    assert all((each.precision, each.recall, each.f1) == (1.0, 1.0, 1.0) for each in found.values())
    assert found["place"].right == PLACES
    assert found[TURNED_AWAY].right == len(ITEMS) - CLEAN
    assert "Got wrong" not in shown(rulings)


def test_a_screen_that_finds_nothing_is_never_wrong_and_has_no_recall() -> None:
    found = figures(measured(lambda item: verdict()))
    for each in found.values():
        assert (each.right, each.wrong, each.precision, each.recall, each.f1) == (0, 0, None, 0.0, 0.0)
    assert found[TURNED_AWAY].missed == len(ITEMS) - CLEAN


def test_a_screen_that_finds_places_everywhere_has_little_precision() -> None:
    found = figures(measured(lambda item: verdict(place=item.messages[0])))
    assert found["place"] == Figures(PLACES, len(ITEMS) - PLACES, 0)
    assert found["place"].precision == pytest.approx(PLACES / len(ITEMS))
    assert found["place"].recall == 1.0
    assert found[TURNED_AWAY] == Figures(len(ITEMS) - CLEAN, CLEAN, 0)
    labels = sum(len(item.violates) for item in ITEMS)
    assert found[ALL] == Figures(PLACES, len(ITEMS) - PLACES, labels - PLACES)


def test_f1_is_the_harmonic_mean() -> None:
    figure = Figures(right=6, wrong=2, missed=4)
    assert (figure.precision, figure.recall) == (0.75, 0.6)
    assert figure.f1 == pytest.approx(2 * 0.75 * 0.6 / (0.75 + 0.6))
    assert Figures(0, 0, 0).f1 is None


def test_without_a_verdict_nothing_is_found_and_it_is_counted_and_shown() -> None:
    def answer(item: Item) -> str:
        if item is ITEMS[0]:
            raise AnswerInvalid("no JSON")
        if item is ITEMS[1]:
            return verdict(place="a quote from nowhere")
        return as_labelled(item)

    rulings = measured(answer)
    assert [(ruling.found, ruling.detail) for ruling in rulings[:2]] == [
        (None, "invalid_verdict"),
        (None, "quote_not_found"),
    ]
    assert [ruling.is_right for ruling in rulings] == [False, False] + [True] * (len(ITEMS) - 2)
    assert figures(rulings)[TURNED_AWAY].missed == 2
    text = shown(rulings)
    assert f"{len(ITEMS)} chats, 2 without a verdict" in text
    assert cells(text, "s001")[1:] == ["person_name: Helen Marlowe", "no verdict: invalid_verdict"]
    assert "no verdict: quote_not_found" in text


def test_a_wrong_row_is_shown_with_its_evidence_and_no_markup_of_its_own() -> None:
    item = Item(id="x1", messages=["Is [bold]Oslo[/bold] fine?", "Yes."], violates={})
    text = shown(measured(lambda _: verdict(place="[bold]Oslo[/bold]"), [item]))
    assert cells(text, "x1")[1:] == ["", "place: [bold]Oslo[/bold]"]


# --- the report -------------------------------------------------------------------------------


def test_without_a_key_the_offline_teacher_is_measured_and_is_good_but_not_perfect(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    page = io.StringIO()
    asyncio.run(report(LABELLED, Console(file=page, width=160)))
    text = page.getvalue()
    assert "offline-teacher (not an LLM)" in text
    assert f"{len(ITEMS)} chats, 0 without a verdict" in text
    for criterion in Criterion:
        name, _, _, _, precision, recall, _ = cells(text, criterion.value)
        assert name == criterion
        assert float(precision) >= 0.9, name
        assert float(recall) >= 0.8, name
    labelled, found, right = (int(each) for each in cells(text, ALL)[1:4])
    assert labelled == sum(len(item.violates) for item in ITEMS)
    assert right < labelled
    assert right <= found
    assert "Got wrong" in text


def test_with_a_key_the_configured_model_is_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "screen.jsonl"
    file.write_text("".join(LABELLED.read_text(encoding="utf-8").splitlines(keepends=True)[-5:]), encoding="utf-8")
    page = io.StringIO()

    def script(asked: Asked) -> Reply:
        return Reply(body=completion(verdict()))

    async def run() -> list[Asked]:
        async with fake_teacher(script) as fake:
            monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
            monkeypatch.setenv("OPENAI_BASE_URL", fake.url)
            await report(file, Console(file=page, width=160))
            return fake.asked

    asked = asyncio.run(run())
    assert len(asked) == 5
    assert {each.body["model"] for each in asked} == {"gpt-4o-mini"}
    assert {each.body["temperature"] for each in asked} == {0}
    assert all(each.headers["Authorization"] == "Bearer sk-secret" for each in asked)
    assert json.loads(json.dumps(asked[0].body["response_format"]))["json_schema"]["name"] == "Verdict"
    text = page.getvalue()
    assert "gpt-4o-mini at http://127.0.0.1" in text
    assert "5 chats, 0 without a verdict" in text
    assert "sk-secret" not in text


def test_an_error_ends_the_measurement() -> None:
    def refuse(item: Item) -> str:
        raise KeyRejected("no key")

    with pytest.raises(KeyRejected):
        measured(refuse, ITEMS[:1])


def test_the_command_line_says_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["screen_report", "--labelled", str(tmp_path / "none.jsonl")])
    assert main() == 1
    assert "none.jsonl" in capsys.readouterr().out.replace("\n", "")
