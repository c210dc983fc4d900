"""How far a judge agrees with the labelled items; the items themselves; the report of `make judge`."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from rich.console import Console
from tests.dialogue.material import BOOK, LANGUAGES, Call, Teacher

from ultralink.dialogue.agreement import Agreement, Ruling, measure
from ultralink.dialogue.labelled import LABELLED, Item, LabelledSet, load_labelled
from ultralink.errors import AnswerInvalid, ContextOverflow, KeyRejected, RecipeError
from ultralink.judge_report import report
from ultralink.language import language_score
from ultralink.prompts import Step, Turn
from ultralink.recipe import load_recipe


def labelled(language: str = "en") -> LabelledSet:
    found = load_labelled(language)
    assert found is not None
    return found


def agreement(teacher: Teacher, *, concurrency: int = 4) -> Agreement:
    return asyncio.run(measure(labelled(), teacher, BOOK, new_attempts=2, concurrency=concurrency))


def item_of(call: Call) -> Item:
    return next(item for item in labelled().items if item.answer in call.messages[1].content)


def ruling_that(grounded: Callable[[Item], bool]) -> Callable[[Call], str]:
    """A judge that finds grounded what ``grounded`` says, and quotes the passage's longest sentence."""

    def spoil(call: Call) -> str:
        item = item_of(call)
        quote = max(item.passage.split(". "), key=len)
        verdict = {"answer": 1, "supported": grounded(item), "quote": quote if grounded(item) else ""}
        return json.dumps({"answers": [verdict]})

    return spoil


# --- the figures ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("grounded", "share", "precision", "recall"),
    [
        (lambda item: item.grounded, 1.0, 1.0, 1.0),
        (lambda item: not item.grounded, 0.0, 0.0, 0.0),
        (lambda item: True, 0.5, None, 0.0),
        (lambda item: False, 0.5, 0.5, 1.0),
    ],
)
def test_the_figures_of_a_judge(
    grounded: Callable[[Item], bool], share: float, precision: float | None, recall: float
) -> None:
    found = agreement(Teacher(ruling_that(grounded)))
    assert (found.share, found.precision, found.recall) == (share, precision, recall)
    assert len(found.wrong) == round(14 * (1 - share))
    assert Agreement.model_validate_json(found.model_dump_json()) == found


def test_precision_and_recall_are_of_the_ungrounded_verdict() -> None:
    labels_and_verdicts = [(True, True), (True, False), (False, False), (False, True), (False, None), (False, False)]
    rulings = tuple(
        Ruling(number=number, title="x", grounded=grounded, judged=judged, reason="")
        for number, (grounded, judged) in enumerate(labels_and_verdicts, 1)
    )
    found = Agreement(rulings=rulings)
    assert found.share == pytest.approx(3 / 6)
    assert found.precision == pytest.approx(2 / 3)
    assert found.recall == pytest.approx(2 / 4)
    assert [ruling.number for ruling in found.wrong] == [2, 4, 5]


def test_a_quotation_that_is_not_in_the_passage_makes_ungrounded() -> None:
    invented = {"answer": 1, "supported": True, "quote": "This sentence can be found in none of the passages here."}
    found = agreement(Teacher(lambda call: json.dumps({"answers": [invented]})))
    assert (found.share, found.recall) == (0.5, 1.0)
    assert {ruling.reason for ruling in found.rulings} == {"quote_not_in_passage"}


def test_an_item_is_judged_as_a_dialogue_of_one_turn_is() -> None:
    teacher = Teacher()
    agreement(teacher)
    assert {call.step for call in teacher.calls} == {Step.JUDGE}
    expected = [
        BOOK.messages(Step.JUDGE, item.as_passage(), [Turn(item.question, item.answer)]) for item in labelled().items
    ]
    assert [list(call.messages) for call in teacher.calls] == expected


# --- judges that fail -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "reason"), [(AnswerInvalid("no"), "invalid_verdict"), (ContextOverflow("no"), "no_room")]
)
def test_an_item_without_a_verdict_counts_as_disagreement(error: Exception, reason: str) -> None:
    good = ruling_that(lambda item: item.grounded)

    def spoil(call: Call) -> str:
        if item_of(call) in labelled().items[:3]:
            raise error
        return good(call)

    found = agreement(Teacher(spoil))
    assert found.share == pytest.approx(11 / 14)
    assert [(ruling.number, ruling.judged, ruling.reason) for ruling in found.wrong] == [
        (number, None, reason) for number in (1, 2, 3)
    ]


def test_a_verdict_about_another_answer_is_asked_for_again() -> None:
    teacher = Teacher(lambda call: json.dumps({"answers": [{"answer": 2, "supported": True, "quote": ""}]}))
    found = agreement(teacher, concurrency=1)
    assert found.share == 0.0
    assert {ruling.reason for ruling in found.rulings} == {"incomplete_verdict"}
    assert [call.attempt for call in teacher.calls[:3]] == [0, 1, 2]
    assert len(teacher.calls) == 3 * 14


def test_an_error_that_is_not_the_item_s_ends_it() -> None:
    def spoil(call: Call) -> str:
        raise KeyRejected("no key")

    with pytest.raises(KeyRejected):
        agreement(Teacher(spoil))


# --- the items --------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_items_are_balanced_short_and_in_their_language(language: str) -> None:
    items = labelled(language).items
    assert [sum(item.grounded is label for item in items) for label in (True, False)] == [7, 7]
    assert len({item.title for item in items}) == len({item.passage for item in items}) == 14
    for item in items:
        size, bounds = len(item.passage.split()), (60, 150)
        if language == "zh":
            size, bounds = len(item.passage), (100, 200)
        assert bounds[0] <= size <= bounds[1], item.title
        score = language_score(f"{item.passage} {item.answer}", load_recipe(language).text.detector_labels)
        assert score is not None
        assert score > 0.8, item.title


def test_a_language_may_go_without_items(tmp_path: Path) -> None:
    assert load_labelled("de", tmp_path) is None


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ((0, "grounded"), "perhaps", ["items.0.grounded", "valid boolean"]),
        ((3, "answer"), "", ["items.3.answer", "at least 1 character"]),
        ((2, "verdict"), True, ["items.2.verdict", "not permitted"]),
        ((1, "passage"), 7, ["items.1.passage", "valid string"]),
    ],
)
def test_a_mistake_names_file_and_field(tmp_path: Path, path: tuple[int, str], value: object, words: list[str]) -> None:
    written = yaml.safe_load((LABELLED / "en.yaml").read_text(encoding="utf-8"))
    written["items"][path[0]][path[1]] = value
    file = tmp_path / "en.yaml"
    file.write_text(yaml.safe_dump(written), encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        load_labelled("en", tmp_path)
    for word in [str(file), *words]:
        assert word in str(caught.value)


def test_items_of_one_label_alone_measure_nothing(tmp_path: Path) -> None:
    written = yaml.safe_load((LABELLED / "en.yaml").read_text(encoding="utf-8"))
    written["items"] = [item for item in written["items"] if item["grounded"]]
    (tmp_path / "en.yaml").write_text(yaml.safe_dump(written), encoding="utf-8")
    with pytest.raises(RecipeError, match="at least 5 items with grounded: true and as many with false, found 7 and 0"):
        load_labelled("en", tmp_path)


# --- the report -------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_offline_teacher_agrees_well_enough_and_the_report_shows_it(language: str) -> None:
    shown = io.StringIO()
    asyncio.run(report(language, Console(file=shown, width=120)))
    text = shown.getvalue()
    assert "offline-teacher (not an LLM)" in text
    (figures,) = [line for line in text.splitlines() if "(at least 0.8)" in line]
    cells = [cell.strip() for cell in figures.split("│")]
    assert cells[1:3] == [language, "14"]
    assert float(cells[3].split()[0]) >= 0.8
    assert cells[6] == "yes"
    share = float(cells[3].split()[0])
    rows = [line for line in text.partition("Got wrong")[2].splitlines() if line.startswith("│")]
    assert len(rows) == round(14 * (1 - share))


def test_the_report_names_an_unknown_language() -> None:
    with pytest.raises(RecipeError, match="no recipe for language 'xx'"):
        asyncio.run(report("xx", Console(file=io.StringIO())))
