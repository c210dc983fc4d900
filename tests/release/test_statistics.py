"""A release in figures, against plain counts over the same rows."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from statistics import fmean

import pytest
from tests.release.nights_of_samples import DATES, MODEL, planned, publish_samples, sample, samples

from ultralink.errors import PartMissing
from ultralink.release.diversity import LEAST_WORDS, hdd, mtld
from ultralink.release.paper import TABLE_1, TABLE_2, TOTALS, ULTRALINK, dialogues
from ultralink.release.recipe import SUBSETS
from ultralink.release.segment import words
from ultralink.release.statistics import ReleaseStatistics
from ultralink.schemas import FINDINGS, LEDGER, PLACES, REJECTS, REMOVED, STAGED_FILES
from ultralink.stages.assembly import Assembly
from ultralink.stages.release_census import count_language, release_statistics
from ultralink.stages.release_features import measure_samples
from ultralink.store import Row, Store
from ultralink.tokens import count_tokens

PRIVATE = {"detail": "06…", "item": None, "stage": "privacy", "reason": "phone", "removes": False}


def assembled(
    store: Store, nights: dict[tuple[str, str], list[Row]], removed: list[Row] | None = None, *, keep: bool = True
) -> Assembly:
    """A run whose rows are measured and placed: every tenth in validation, those in ``removed`` nowhere."""
    for (language, date), rows in nights.items():
        publish_samples(store, language, date, rows)
    run = planned(store)
    for shard in range(run.shards):
        measure_samples(run, shard)
    gone = {(row["language"], row["date"], row["row"]) for row in removed or []}
    places: dict[tuple[str, str], list[Row]] = {each: [] for each in run.configurations}
    for source in run.plan.sources:
        run.of_source(FINDINGS, source).write(
            [{"row": 1, "id": "x", "subset": "math", **PRIVATE}] * 2
            + [{"row": 2, "id": "y", "subset": "math", **PRIVATE, "removes": True}],
            "findings",
        )
        for number, row in enumerate(nights[source.language, source.date]):
            if keep and (source.language, source.date, number) not in gone:
                split = "validation" if number % 10 == 0 else "train"
                place = {"date": source.date, "row": number, "id": row["id"], "split": split}
                places[source.language, str(row["subset"])].append(place)
    run.part(REMOVED).write(removed or [], "removed")
    for each, rows in places.items():
        run.part(PLACES, *each).write(rows, "places")
        run.part(STAGED_FILES, *each).write(_files(*each, rows), "staged")
    return run


def _files(language: str, subset: str, rows: list[Row]) -> list[Row]:
    name, found = f"{language}_{subset}", []
    for split in ("train", "validation"):
        if count := sum(row["split"] == split for row in rows):
            path = f"data/{name}/{split}-00000-of-00001.parquet"
            found.append({"path": path, "format": "parquet", "rows": count, "bytes": 1000 * count, "sha256": "0"})
            path = f"messages/{name}.{split}.jsonl"
            found.append({"path": path, "format": "messages", "rows": count, "bytes": 7, "sha256": "0"})
    return found


def removal(language: str, date: str, row: int, stage: str = "exact", reason: str = "same text") -> Row:
    nothing = dict.fromkeys(
        ("duplicate_of", "duplicate_of_language", "duplicate_of_date", "similarity", "item", "detail")
    )
    where = {"language": language, "date": date, "row": row, "id": f"{row}", "subset": "chat_specific"}
    return {**nothing, **where, "stage": stage, "reason": reason}


def statistics_of(run: Assembly) -> ReleaseStatistics:
    sizes = dict.fromkeys(SUBSETS, 5000)
    return release_statistics(run, {each: count_language(run, each, sizes) for each in run.plan.languages})


@pytest.fixture(scope="module")
def nights() -> dict[tuple[str, str], list[Row]]:
    return {
        (language, date): samples(language, date, 8, first=9 * n)
        for language in ("en", "zh")
        for n, date in enumerate(DATES[:2])
    }


@pytest.fixture(scope="module")
def counted(nights: dict[tuple[str, str], list[Row]], tmp_path_factory: pytest.TempPathFactory) -> ReleaseStatistics:
    removed = [
        removal("en", DATES[1], 3),
        removal("en", DATES[1], 5),
        removal("zh", DATES[0], 4, "near", "similar text"),
    ]
    return statistics_of(assembled(Store.at(str(tmp_path_factory.mktemp("store"))), nights, removed))


def _kept(nights: dict[tuple[str, str], list[Row]], language: str, subset: str) -> list[Row]:
    gone = {("en", DATES[1], 3), ("en", DATES[1], 5), ("zh", DATES[0], 4)}
    return [
        row
        for (its, date), rows in nights.items()
        for number, row in enumerate(rows)
        if its == language and row["subset"] == subset and (its, date, number) not in gone
    ]


@pytest.mark.parametrize("subset", SUBSETS)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_configuration_is_counted_like_its_rows(
    counted: ReleaseStatistics, nights: dict[tuple[str, str], list[Row]], language: str, subset: str
) -> None:
    rows = _kept(nights, language, subset)
    said = [[(m["role"], m["content"]) for m in row["messages"]] for row in rows]  # type: ignore[attr-defined]
    found = counted.configuration(language, subset)
    assert found is not None
    turns = [sum(role == "assistant" for role, _ in each) for each in said]
    asked = [count_tokens(text) for each in said for role, text in each if role == "user"]
    answered = [count_tokens(text) for each in said for role, text in each if role == "assistant"]
    assert found.lengths.dialogues == found.train + found.validation == len(rows)
    assert found.lengths.turns == sum(turns)
    assert found.turns == dict(sorted(Counter(turns).items()))
    assert found.lengths.mean_question_tokens == round(sum(asked) / sum(turns), 2)
    assert found.lengths.mean_answer_tokens == round(sum(answered) / sum(turns), 2)
    assert found.parquet_bytes == 5000
    texts = ["\n".join(text for _, text in each) for each in said]
    measured = [each for each in (words(text, language) for text in texts) if each and len(each) >= LEAST_WORDS]
    assert found.diversity.rows == len(measured) > 0
    assert found.diversity.mtld == round(fmean(map(mtld, measured)), 2)
    assert found.diversity.hdd == round(fmean(map(hdd, measured)), 4)


def test_the_whole_is_the_sum_of_its_parts(
    counted: ReleaseStatistics, nights: dict[tuple[str, str], list[Row]]
) -> None:
    assert counted.samples == sum(map(len, nights.values()))
    assert counted.lengths.dialogues == counted.samples - 3 == counted.train + counted.validation
    assert sum(each.rows for each in counted.removed) == 3
    assert {(each.stage, each.reason, each.language): each.rows for each in counted.removed} == {
        ("exact", "same text", "en"): 2,
        ("near", "similar text", "zh"): 1,
    }
    assert sum(each.rows for each in counted.licences) == counted.lengths.dialogues
    articles = counted.of_subset("chat_specific").dialogues
    assert sum(each.rows for each in counted.attribution) == articles
    assert sum(each.rows for each in counted.english) == counted.lengths.dialogues - articles
    assert {(night.language, night.date): (night.made, night.released) for night in counted.nights} == {
        ("en", DATES[0]): (32, 32), ("en", DATES[1]): (32, 30), ("zh", DATES[0]): (32, 31), ("zh", DATES[1]): (32, 32),
    }  # fmt: skip
    assert all(each.rows == counted.of_language(each.language).dialogues for each in counted.scores)
    assert all(each.bins[-1] == each.rows for each in counted.scores)
    assert ReleaseStatistics.model_validate_json(counted.model_dump_json()) == counted


def test_findings_that_remove_nothing_are_counted_once_a_row(counted: ReleaseStatistics) -> None:
    assert {(each.language, each.stage, each.reason): each.rows for each in counted.counted} == {
        ("en", "privacy", "phone"): 2,
        ("zh", "privacy", "phone"): 2,
    }


def test_topics_are_shares_of_the_rows_with_an_article(
    counted: ReleaseStatistics, nights: dict[tuple[str, str], list[Row]]
) -> None:
    for topics in counted.topics:
        rows = _kept(nights, topics.language, "chat_specific")
        names = Counter(name for row in rows for name in set(row["source"]["categories"]))  # type: ignore[index]
        assert topics.rows == len(rows)
        assert topics.categories == len(names)
        assert {each.name: each.rows for each in topics.top} == dict(
            sorted(names.items(), key=lambda item: (-item[1], item[0]))[:10]
        )
        assert 1 < topics.effective <= topics.categories


def test_the_teacher_is_told_from_rows_without_one(counted: ReleaseStatistics) -> None:
    taken_as_is = sum(counted.configuration("en", subset).lengths.dialogues for subset in SUBSETS[1:])  # type: ignore[union-attr]
    assert {each.model: each.rows for each in counted.teachers} == {MODEL: counted.lengths.dialogues - taken_as_is}
    assert counted.rehearsal
    assert [(each.model, each.calls, each.cost_usd) for each in counted.models] == [(MODEL, 128, 0.256)]
    assert counted.cost_usd == 0.256


def test_a_model_without_a_price_has_an_unknown_cost_not_none(tmp_path: Path) -> None:
    run = assembled(
        Store.at(str(tmp_path)), {("en", date): [sample(number=n, date=date)] for n, date in enumerate(DATES)}
    )
    accounts = list(run.of_source(LEDGER, run.plan.sources[1]).rows())
    run.of_source(LEDGER, run.plan.sources[1]).write([{**accounts[0], "cost_usd": None}], "x")
    found = statistics_of(run)
    assert [(each.calls, each.cost_usd) for each in found.models] == [(3, None)]
    assert found.cost_usd is None


def test_articles_are_rejected_by_gate_and_other_rows_by_gate_and_reason(tmp_path: Path) -> None:
    run = assembled(Store.at(str(tmp_path)), {("en", DATES[0]): samples("en", DATES[0], 2)})
    rejects = list(run.of_source(REJECTS, run.plan.sources[0]).rows())
    article = {**rejects[0], "stage": "articles", "gate": "stub", "reason": "has the template 'x'"}
    run.of_source(REJECTS, run.plan.sources[0]).write(
        [*rejects, article, {**article, "reason": "the template 'y'"}], "x"
    )
    found = {(each.subset, each.gate, each.reason): each.rows for each in statistics_of(run).rejected}
    assert found == {
        ("chat_specific", "article · stub", ""): 2,
        ("chat_specific", "language", "language"): 1,
        ("math", "numbers", "numbers differ"): 1,
    }


def test_scores_that_are_missing_or_no_numbers_are_left_out(tmp_path: Path) -> None:
    scores = [
        {},
        {"language": float("nan")},
        {"language": 0.0},
        {"language": 0.949},
        {"language": 1.0},
        {"grounded": 0.1},
    ]
    rows = [sample(number=n, scores=each) for n, each in enumerate(scores)]
    [english, _] = statistics_of(assembled(Store.at(str(tmp_path)), {("en", DATES[0]): rows})).scores
    assert english.rows == 3
    assert (english.bins[0], english.bins[18], english.bins[19]) == (1, 1, 1)


def test_a_release_of_no_rows_is_counted_too(tmp_path: Path) -> None:
    nights: dict[tuple[str, str], list[Row]] = {("en", DATES[0]): samples("en", DATES[0], 2)}
    found = statistics_of(assembled(Store.at(str(tmp_path)), nights, keep=False))
    assert found.lengths.dialogues == 0
    assert found.lengths.mean_turn_tokens is None
    assert found.filled == []


def test_a_part_that_lacks_is_named(tmp_path: Path) -> None:
    run = assembled(Store.at(str(tmp_path)), {("en", DATES[0]): samples("en", DATES[0], 2)})
    Path(run.part(REMOVED).path).unlink()
    with pytest.raises(PartMissing, match="removed"):
        statistics_of(run)


def test_the_papers_tables_agree_with_each_other() -> None:
    for subset in SUBSETS:
        assert abs(sum(cells[subset] for cells in TABLE_1.values()) - TOTALS[subset]) <= 1  # its cells are rounded
    assert sum(TOTALS.values()) == ULTRALINK.dialogues
    assert dialogues("zh", "math") == 32_000
    assert dialogues("ja", "math") is None
    for each in TABLE_2:
        assert each.turn_tokens == pytest.approx(each.question_tokens + each.answer_tokens, abs=0.03)
