"""Choose and translate in a language's night: slices, budgets, checks that catch each misdeed, prices, replays."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from tests.stages.editions import built, edition, problem, source
from tests.stages.nights import DATES, column, files, night
from tests.test_offline_teacher import Running, serving

from ultralink.errors import BudgetExceeded, NothingNew, PartMissing, TeacherUnavailable, TeacherUnfit
from ultralink.offline_teacher import SERVED
from ultralink.pool.row import Kind
from ultralink.schemas import CHOICE, TRANSLATION_REJECTS, TRANSLATIONS
from ultralink.stages.choose import choose_rows
from ultralink.stages.night import Night
from ultralink.stages.partition import Built
from ultralink.stages.publish import publish
from ultralink.stages.rehearsal import rehearsed_in_all
from ultralink.stages.translate import take_rows, translate_rows
from ultralink.teacher.endpoint import Endpoint
from ultralink.teacher.journal import Journal

LANGUAGES = ("zh", "ru", "fr", "es")
ALL = dict.fromkeys(Kind, 100)
FEW = {Kind.CHAT: 4, Kind.MATH: 6, Kind.CODE: 5}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("teacher")) as running:
        yield running


@pytest.fixture
def teacher(server: Running) -> Running:
    server.stats("stats/reset", "POST")
    return server


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory, server: Running) -> Path:
    root = tmp_path_factory.mktemp("pool")
    built(edition(root), at(server))
    return root


@pytest.fixture
def root(pool: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pool, tmp_path / "store"))


def at(teacher: Running) -> Endpoint:
    return Endpoint(teacher.url, {"Authorization": "Bearer any"})


def calls(teacher: Running) -> int:
    return int(str(teacher.stats()["calls"]))


def one_night(root: Path, language: str = "fr", **changes: object) -> Night:
    settings: dict[str, object] = {"rows": FEW, "shards": 2}
    return night(root, language, **{**settings, **changes})  # type: ignore[arg-type]


def translated(one: Night, teacher: Running) -> list[Built]:
    """The night's English rows, chosen and translated."""
    choose_rows(one)
    shards = range(one.translated_shards)
    return [asyncio.run(translate_rows(one, kind, shard, at(teacher))) for kind in Kind for shard in shards]


def made(one: Night, stages: Mapping[Kind, object], kind: Kind) -> list[dict[str, object]]:
    return [row for shard in range(one.translated_shards) for row in one.part(stages[kind], shard).rows()]  # type: ignore[arg-type]


# --- the whole --------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_human_translations_pass_every_check(root: Path, teacher: Running, language: str) -> None:
    one = one_night(root, language, rows=ALL)
    translated(one, teacher)
    chosen = Counter(str(kind) for kind in column(one, CHOICE, "kind"))
    for kind in Kind:
        rows = made(one, TRANSLATIONS, kind)
        rejects = made(one, TRANSLATION_REJECTS, kind)
        assert [(row["id"], row["gate"], row["reason"]) for row in rejects] == []
        assert len(rows) == chosen[kind] >= 25
        for row in rows:
            assert row["subset"] == kind.subset
            assert row["teacher"]["model"] == SERVED  # type: ignore[index]
            assert row["source"]["row_id"] in str(row["id"])  # type: ignore[index]
            assert row["source"]["licence"]  # type: ignore[index]
            assert len(row["source"]["english"]) == len(row["messages"])  # type: ignore[index,arg-type]
    figures = publish(one).statistics
    assert {name: subset.samples for name, subset in figures.subsets.items()} == {
        "chat_specific": 0,
        **{kind.subset: chosen[kind] for kind in Kind},
    }
    assert figures.pool == "2026-11-01"
    assert figures.calls == calls(teacher)


def test_english_takes_its_rows_as_they_are(root: Path, teacher: Running) -> None:
    one = one_night(root, "en")
    choose_rows(one)
    for kind in Kind:
        for shard in range(one.translated_shards):
            take_rows(one, kind, shard)
        rows = made(one, TRANSLATIONS, kind)
        assert len(rows) == FEW[kind]
        assert all(row["teacher"] is None and row["messages"] == row["source"]["english"] for row in rows)  # type: ignore[index]
    assert publish(one).statistics.samples == sum(FEW.values())
    assert calls(teacher) == 0


# --- choice -----------------------------------------------------------------------------------


def test_nights_take_different_rows_until_the_pool_is_empty(root: Path) -> None:
    nights = [one_night(root, date=date, rows={Kind.MATH: 20}) for date in DATES]
    for one in nights:
        choose_rows(one)
    slices = [set(column(one, CHOICE, "id")) for one in nights]
    assert [len(each) for each in slices] == [20, 20, 2]
    assert len(set().union(*slices)) == 42
    with pytest.raises(NothingNew, match="used up, or the pool"):
        choose_rows(one_night(root, date="2026-11-04", rows={Kind.MATH: 20}))


def test_the_budget_ends_it(root: Path) -> None:
    overlay = {"agnostic.math": {"budget": 25, "per_night": 20}}
    nights = [one_night(root, date=date, rows={Kind.MATH: 20}, overlay=overlay) for date in DATES]
    for one in nights[:2]:
        choose_rows(one)
    assert [len(column(one, CHOICE, "id")) for one in nights[:2]] == [20, 5]
    with pytest.raises(NothingNew):
        choose_rows(nights[2])


def test_a_night_keeps_its_choice_when_the_pool_grows(root: Path, teacher: Running, tmp_path: Path) -> None:
    first = one_night(root, rows={Kind.MATH: 10})
    choose_rows(first)
    before = column(first, CHOICE, "id")
    more = source(tmp_path / "more.jsonl", "math", "metamath", [problem(number) for number in range(60)])
    recipe = edition(root).recipe.model_dump(mode="json")["sources"]
    built(edition(root, {"sources": [*recipe, more]}, date="2026-11-02"), at(teacher))
    for again in (first, one_night(root, rows={Kind.MATH: 10}, rebuild=True)):
        choose_rows(again)
        assert column(again, CHOICE, "id") == before
    second = one_night(root, date=DATES[1], rows={Kind.MATH: 10})
    choose_rows(second)
    assert set(column(second, CHOICE, "edition")) == {"2026-11-02"}
    assert not set(column(second, CHOICE, "id")) & set(before)
    assert "more" in set(column(second, CHOICE, "source"))


def test_a_larger_amount_adds_to_the_night_s_choice(root: Path, teacher: Running, tmp_path: Path) -> None:
    choose_rows(one_night(root, rows={Kind.MATH: 10}))
    before = column(one_night(root), CHOICE, "id")
    more = source(tmp_path / "more.jsonl", "math", "metamath", [problem(number) for number in range(60)])
    sources = edition(root).recipe.model_dump(mode="json")["sources"]
    built(edition(root, {"sources": [*sources, more]}, date="2026-11-02"), at(teacher))
    larger = one_night(root, rows={Kind.MATH: 20, Kind.CODE: 2})
    choose_rows(larger)
    ids = column(larger, CHOICE, "id")
    assert ids[:10] == before
    assert len(set(ids)) == 22
    choose_rows(one_night(root, rows={Kind.MATH: 4}))
    assert column(larger, CHOICE, "id") == before[:4]


def test_who_translates_nothing_takes_nothing(root: Path) -> None:
    with pytest.raises(NothingNew, match="no section translation"):
        choose_rows(one_night(root, overlay={"translation": None}))
    with pytest.raises(NothingNew, match="no English rows"):
        choose_rows(one_night(root, rows=dict.fromkeys(Kind, 0)))
    assert not (root / "choice").exists()


def test_a_choice_is_spread_over_the_source_s_types(root: Path) -> None:
    one = one_night(root, rows={Kind.MATH: 8})
    choose_rows(one)
    assert len(set(column(one, CHOICE, "type"))) >= 4
    report = json.loads((root / "choice" / "fr" / f"{one.date}.json").read_text())
    assert sum(stratum["chosen"] for stratum in report["math"]) == 8
    assert sum(stratum["available"] for stratum in report["math"]) == 42
    assert max(stratum["chosen"] for stratum in report["math"]) == 1


def test_without_a_pool_there_is_nothing_to_choose(tmp_path: Path) -> None:
    with pytest.raises(NothingNew, match="ultralink_english_pool"):
        choose_rows(one_night(tmp_path))
    with pytest.raises(PartMissing, match="choice"):
        take_rows(one_night(tmp_path, "en"), Kind.MATH, 0)


# --- replay, budget, price ----------------------------------------------------------------------


def test_the_same_night_again_pays_nothing_and_a_rebuild_gives_the_same_bytes(root: Path, teacher: Running) -> None:
    one = one_night(root)
    translated(one, teacher)
    before, asked = files(root), calls(teacher)
    translated(one, teacher)
    assert files(root) == before
    written = {path: (root / path).read_bytes() for path in before if "_rows/fr" in path or "_rejects/fr" in path}
    translated(one_night(root, rebuild=True), teacher)
    assert {path: (root / path).read_bytes() for path in written} == written
    assert calls(teacher) == asked


def test_another_threshold_rebuilds_from_the_journal(root: Path, teacher: Running) -> None:
    translated(one_night(root), teacher)
    asked = calls(teacher)
    strict = one_night(root, overlay={"translation.length_ratio": {"min": 0.01, "max": 0.02}})
    translated(strict, teacher)
    assert {row["gate"] for row in made(strict, TRANSLATION_REJECTS, Kind.CODE)} == {"obeyed"}  # far too long
    translated(one_night(root), teacher)
    assert made(strict, TRANSLATION_REJECTS, Kind.CODE) == []
    assert calls(teacher) > asked  # new attempts were paid for; going back was not
    asked = calls(teacher)
    translated(one_night(root, rebuild=True), teacher)
    assert calls(teacher) == asked


def test_the_run_s_budget_holds_for_translations(root: Path, teacher: Running) -> None:
    one = one_night(root, overlay={"budget.tokens": 40_000, "budget.usd": None})
    choose_rows(one)
    with pytest.raises(BudgetExceeded):
        for kind in Kind:
            asyncio.run(translate_rows(one, kind, 0, at(teacher)))
    spent = Journal.open(one.store.fs, one.journal_folder, "reader").records()
    assert sum(record.usage.prompt + record.usage.completion for record in spent) <= 40_000


PRICED = """
models:
  offline-teacher: {context_tokens: 128000, usd_per_million_tokens: {prompt: 0.4, cached: 0.1, completion: 1.6}}
"""


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_dry_run_is_within_a_tenth_of_the_bill(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, language: str
) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_text(PRICED)
    monkeypatch.setenv("ULTRALINK_MODELS", str(prices))
    with serving(tmp_path) as teacher:  # of its own: no earlier test has filled its cache of prefixes
        dry = one_night(root, language, rows=ALL, dry_run=True)
        translated(dry, teacher)
        assert calls(teacher) == 0
        foretold = rehearsed_in_all(dry)
        real = one_night(root, language, rows=ALL)
        translated(real, teacher)
    figures = publish(real).statistics
    assert f" {figures.calls} calls to pay for" in foretold
    tokens = int(foretold.partition(" tokens")[0].rpartition(" ")[2])
    assert tokens == pytest.approx(figures.prompt_tokens + figures.completion_tokens, rel=0.1)
    dollars = re.search(r"\$(\d+\.\d+)", foretold)
    assert dollars is not None
    assert float(dollars[1]) == pytest.approx(figures.cost_usd, rel=0.1)


# --- a teacher that misbehaves ------------------------------------------------------------------

CAUGHT = {
    "drop_placeholder": {"placeholders"},
    "double_placeholder": {"placeholders"},
    "change_number": {"numbers"},
    "answer_question": {"obeyed", "questions", "numbers", "placeholders", "length_ratio"},
    "wrong_language": {"language", "untranslated", "note"},
    "chatty_preface": {"note", "obeyed"},
    "touch_placeholder": {"placeholders"},
}


@pytest.mark.parametrize("misdeed", sorted(CAUGHT))
def test_each_misdeed_is_caught_by_the_check_that_is_for_it(root: Path, tmp_path: Path, misdeed: str) -> None:
    with serving(tmp_path, "--misdeed", f"{misdeed}=1") as bad:
        one = one_night(root, "es", rows=FEW)
        translated(one, bad)
    rejects = [row for kind in Kind for row in made(one, TRANSLATION_REJECTS, kind)]
    assert rejects, misdeed
    assert {str(row["gate"]) for row in rejects} <= CAUGHT[misdeed]
    assert all(row["attempts"] == 3 for row in rejects)


def test_a_small_shard_of_which_every_row_fails_is_an_error(root: Path, tmp_path: Path) -> None:
    with serving(tmp_path, "--misdeed", "chatty_preface=1") as bad:
        one = one_night(root, "es", rows={Kind.CHAT: 6}, shards=1)
        choose_rows(one)
        with pytest.raises(TeacherUnfit, match=r"6 of the last 6 chat rows"):
            asyncio.run(translate_rows(one, Kind.CHAT, 0, at(bad)))


def test_an_outage_is_tried_again(root: Path) -> None:
    one = one_night(root, "es", rows={Kind.MATH: 19}, shards=1)
    choose_rows(one)
    nowhere = Endpoint("http://127.0.0.1:9/v1", {"Authorization": "Bearer any"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ultralink.teacher.client.MAX_FAILURES", 1)
        with pytest.raises(TeacherUnavailable):
            asyncio.run(translate_rows(one, Kind.MATH, 0, nowhere))


def test_a_teacher_that_always_fails_is_stopped_early(root: Path, tmp_path: Path) -> None:
    with serving(tmp_path, "--misdeed", "chatty_preface=1") as bad:
        one = one_night(root, "es", rows=ALL, shards=1)
        choose_rows(one)
        with pytest.raises(TeacherUnfit, match=r"1[89] of the last \d+ math rows failed .*row math_metamath-.*obeyed"):
            asyncio.run(translate_rows(one, Kind.MATH, 0, at(bad)))
        assert calls(bad) < 42 * 3
    assert not Path(one.part(TRANSLATIONS[Kind.MATH]).path).exists()
