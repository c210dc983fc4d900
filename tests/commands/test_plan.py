"""Plan: prices of real and of made-up nights, budgets, and that nobody is called and nothing is taken."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import cast

import pytest
from tests.stages.nights import DATES, files
from tests.test_offline_teacher import Running

from ultralink.__main__ import main
from ultralink.commands import plan
from ultralink.recipe import Budget, Recipe

Told = dict[str, object]


def planned(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Told:
    assert main(["plan", "fr", "--json", *arguments]) == code
    told: Told = json.loads(capsys.readouterr().out)
    return told


def line(told: Told, what: str, of: str = "night") -> Told:
    (found,) = (one for one in cast(list[Told], told[of]) if one["what"] == what)
    return found


def number(value: object) -> float:
    assert isinstance(value, int | float)
    return value


def capped(monkeypatch: pytest.MonkeyPatch, **budget: float | int | None) -> None:
    load = plan.load_language

    def other(code: str) -> tuple[Recipe, object]:
        recipe, book = load(code)
        return recipe.model_copy(update={"budget": Budget(usd=None).model_copy(update=budget)}), book

    monkeypatch.setattr(plan, "load_language", other)


def test_a_night_is_priced_on_real_input(
    root: Path, teacher: Running, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    capped(monkeypatch)
    shutil.rmtree(root / "selection")
    teacher.stats("stats/reset", "POST")
    before = files(root)
    told = planned(capsys, "--date", DATES[1], "--articles", "4", "--math", "2", "--code", "0")
    assert {path for path in files(root) if path not in before and not path.startswith("rehearsals/")} == set()
    assert teacher.stats()["calls"] == 0
    dialogues, chat, math = (line(told, what) for what in ("dialogues", "chat", "math"))
    assert number(dialogues["rows"]) > 0
    assert number(dialogues["calls"]) > 2 * number(dialogues["rows"])
    assert math["rows"] == 2
    assert number(chat["rows"]) > 0
    assert "code" not in {one["what"] for one in cast(list[Told], told["night"])}
    total = cast(Told, told["total"])
    assert number(total["cost_usd"]) == pytest.approx(
        sum(number(one["cost_usd"]) for one in cast(list[Told], told["night"]))
    )
    assert number(total["cost_usd"]) > 0
    batch = planned(capsys, "--date", DATES[1], "--articles", "4", "--math", "2", "--code", "0", "--mode", "batch")
    assert number(cast(Told, batch["total"])["cost_usd"]) == pytest.approx(number(total["cost_usd"]) / 2)


def test_answers_in_the_journal_are_free(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = ("--articles", "11", "--chat", "3", "--math", "4", "--code", "3")
    told = planned(capsys, "--date", DATES[0], "--model", "offline-teacher", *rows)
    assert cast(Told, told["total"])["calls"] == 0
    assert number(cast(Told, told["total"])["free"]) > 0
    whole = planned(capsys, "--date", DATES[0], "--model", "offline-teacher", "--whole", *rows)
    assert number(line(whole, "math", "whole")["calls"]) >= 31_000  # not free because a few of them are


def test_a_store_without_anything_is_priced_with_made_up_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ULTRALINK_STORE", str(tmp_path / "none"))
    capped(monkeypatch)
    told = planned(capsys, "--estimate", "--articles", "10", "--math", "200", "--chat", "0", "--code", "0")
    assert line(told, "math")["rows"] == 200
    assert number(line(told, "math")["calls"]) >= 200
    few = planned(capsys, "--estimate", "--articles", "10", "--math", "100", "--chat", "0", "--code", "0")
    assert number(line(told, "math")["cost_usd"]) == pytest.approx(2 * number(line(few, "math")["cost_usd"]))
    assert "made-up passages" in str(told["notes"])
    real = planned(capsys, "--articles", "3", "--math", "3", "--chat", "0", "--code", "0")
    assert "the store has no English pool yet" in str(real["notes"])
    assert "made-up" not in str(line(real, "dialogues")["about"])


def test_a_source_that_is_not_there_is_told_and_made_up(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    load = plan.load_language

    def elsewhere(code: str) -> tuple[Recipe, object]:
        recipe, book = load(code)
        assert recipe.wikipedia.dump is not None
        dump = recipe.wikipedia.dump.model_copy(update={"path": "/nowhere/frwiki.xml"})
        return recipe.model_copy(update={"wikipedia": recipe.wikipedia.model_copy(update={"dump": dump})}), book

    monkeypatch.setattr(plan, "load_language", elsewhere)
    capped(monkeypatch)
    told = planned(capsys, "--date", DATES[1], "--articles", "5")
    assert "/nowhere/frwiki.xml" in str(told["notes"])
    assert number(line(told, "dialogues")["rows"]) > 0


def test_the_whole_budget_is_what_is_left_of_it(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    capped(monkeypatch)
    told = planned(capsys, "--date", DATES[1], "--articles", "0", "--whole")
    math = line(told, "math", "whole")
    assert math["rows"] == 32_000 - 4
    assert "4 chosen so far" in str(math["about"])
    per_row = number(line(told, "math")["cost_usd"]) / number(line(told, "math")["rows"])
    assert number(math["cost_usd"]) == pytest.approx(per_row * (32_000 - 4))


def test_above_the_budget_is_a_problem(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    capped(monkeypatch, tokens=1000, usd=0.0001, english=0.5)
    told = planned(capsys, "--date", DATES[1], "--articles", "0", code=1)
    assert "English rows: " in str(told["over_budget"])
    assert main(["plan", "fr", "--date", DATES[1], "--articles", "0"]) == 1
    shown = capsys.readouterr()
    assert "above their part of budget.tokens, 500" in shown.out
    assert "Nobody was called" in shown.out
    assert "Counting calls" in shown.err


def test_a_model_without_a_price_is_told(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    capped(monkeypatch)
    assert main(["plan", "fr", "--date", DATES[1], "--articles", "0", "--model", "own-model"]) == 0
    shown = capsys.readouterr().out
    assert "without a price in models.yaml" in shown
    assert "unknown" in shown
