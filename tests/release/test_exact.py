"""Exact duplicates: the first row stays, every other names a row that stays and why it goes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.release.nights_of_samples import DATES, planned, publish_samples, sample, samples
from tests.stages.nights import writes_nothing

from ultralink.errors import PartMissing
from ultralink.release.exact import ExactKeys, exact_copies
from ultralink.schemas import EXACT_REMOVED
from ultralink.stages.assembly import Assembly
from ultralink.stages.release_exact import drop_exact
from ultralink.stages.release_features import measure_samples
from ultralink.store import Row, Store

Nights = dict[tuple[str, str], Sequence[Row]]
CHAT = [("user", "Why is it so?"), ("assistant", "It has always been so, as everybody knows.")]
OTHER = [("user", "Who was that?"), ("assistant", "Nobody that any of us has ever met.")]
THIRD = [("user", "Where to?"), ("assistant", "Down to the harbour, and then across the bay.")]


def run_on(store: Store, nights: Nights, **changes: object) -> Assembly:
    for (language, date), rows in nights.items():
        publish_samples(store, language, date, rows)
    languages = tuple(dict.fromkeys(language for language, _ in nights))
    run = planned(store, languages=languages, shards=1, **changes)
    measure_samples(run, 0)
    return run


def removed(run: Assembly) -> list[dict[str, object]]:
    drop_exact(run)
    return list(run.part(EXACT_REMOVED).rows())


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.at(str(tmp_path / "store"))


def test_nothing_goes_of_rows_that_differ(store: Store) -> None:
    nights: Nights = {
        (language, date): samples(language, date, 4, first=10 * int(date[-1]) + 100 * place)
        for place, language in enumerate(("en", "zh"))
        for date in DATES
    }
    assert removed(run_on(store, nights)) == []


def test_same_text(store: Store) -> None:
    first = sample("en", number=1, messages=CHAT)
    again = sample("fr", "chat_agnostic", 2, messages=[(role, f" {text.upper()}") for role, text in CHAT])
    run = run_on(store, {("en", DATES[1]): [sample(number=7), first], ("fr", DATES[2]): [again]})
    assert removed(run) == [
        {
            "language": "fr",
            "date": DATES[2],
            "row": 0,
            "id": again["id"],
            "subset": "chat_agnostic",
            "stage": "exact",
            "reason": "same text",
            "duplicate_of": first["id"],
            "duplicate_of_language": "en",
            "duplicate_of_date": DATES[1],
            "similarity": 1.0,
            "item": None,
            "detail": None,
        }
    ]


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([sample(number=1, sample_id="x"), sample(number=2, sample_id="x")], "same id"),
        ([sample("en", "math", 1), sample("en", "math", 1, messages=OTHER, sample_id="y")], "same English row"),
        ([sample(page=1, messages=CHAT), sample(page=1, messages=OTHER, sample_id="y")], "same passage"),
    ],
)
def test_reasons_within_a_night(store: Store, rows: list[Row], reason: str) -> None:
    (gone,) = removed(run_on(store, {("en", DATES[0]): rows}))
    assert (gone["row"], gone["reason"], gone["similarity"]) == (1, reason, None)
    assert gone["duplicate_of"] == rows[0]["id"]


def test_passages_of_one_article_stay(store: Store) -> None:
    rows = [sample(page=1, passage=(start, start + 1200), number=start) for start in (0, 1200, 2400)]
    assert removed(run_on(store, {("en", DATES[0]): rows})) == []


def test_an_article_revision_that_a_later_night_used_again(store: Store) -> None:
    first = [sample(page=1, passage=(start, start + 1200), number=start) for start in (0, 1200)]
    later = [
        sample(page=1, passage=(1200, 2400), number=5),
        sample(page=1, passage=(2400, 3600), number=6),
        sample(page=1, revision=2, passage=(0, 1200), number=7),  # edited since: another article
    ]
    gone = removed(run_on(store, {("en", DATES[0]): first, ("en", DATES[1]): later}))
    assert [(row["row"], row["reason"], row["duplicate_of"]) for row in gone] == [
        (0, "same article revision", first[1]["id"]),  # the same passage of it
        (1, "same article revision", first[0]["id"]),
    ]
    assert {row["duplicate_of_date"] for row in gone} == {DATES[0]}


def test_page_ids_are_those_of_a_language(store: Store) -> None:
    nights: Nights = {("en", DATES[0]): [sample("en", page=1)], ("zh", DATES[0]): [sample("zh", page=1)]}
    assert removed(run_on(store, nights)) == []


def test_a_row_that_was_left_untranslated(store: Store) -> None:
    rows = {language: sample(language, "code", 1, messages=CHAT) for language in ("en", "fr", "zh")}
    nights: Nights = {(language, DATES[0]): [row] for language, row in rows.items()}
    gone = removed(run_on(store, nights))
    assert [(row["language"], row["reason"], row["duplicate_of"]) for row in gone] == [
        ("fr", "same text", rows["en"]["id"]),
        ("zh", "same text", rows["en"]["id"]),
    ]


def test_an_english_row_and_its_translations_stay(store: Store) -> None:
    rows = {"en": CHAT, "fr": OTHER, "zh": THIRD}
    nights: Nights = {
        (language, DATES[0]): [sample(language, "code", 1, messages=said)] for language, said in rows.items()
    }
    assert removed(run_on(store, nights)) == []


def test_one_text_in_traditional_and_in_simplified_characters(store: Store) -> None:
    texts = ["简单地说，汉语是一种语言。", "簡單地說，漢語是一種語言。"]
    rows = [sample("zh", number=number, messages=[("assistant", text)]) for number, text in enumerate(texts)]
    (gone,) = removed(run_on(store, {("zh", DATES[0]): rows}))
    assert (gone["row"], gone["reason"]) == (1, "same text")


def test_a_row_that_goes_takes_no_other_with_it(store: Store) -> None:
    """The second has the first's text and goes; the third has the second's id, but that is free now."""
    rows = [
        sample(number=1, messages=CHAT, sample_id="a"),
        sample(number=2, messages=CHAT, sample_id="b"),
        sample(number=3, messages=OTHER, sample_id="b"),
        sample(number=4, messages=OTHER, sample_id="c"),
    ]
    gone = removed(run_on(store, {("en", DATES[0]): rows}))
    assert [(row["row"], row["reason"], row["duplicate_of"]) for row in gone] == [
        (1, "same text", "a"),
        (3, "same text", "b"),
    ]


def test_the_order_is_date_then_language_as_listed(store: Store) -> None:
    nights: Nights = {
        ("zh", DATES[1]): [sample("zh", number=1, messages=CHAT), sample("zh", number=2, messages=OTHER)],
        ("en", DATES[1]): [sample("en", number=3, messages=CHAT), sample("en", number=4, messages=OTHER)],
        ("en", DATES[0]): [sample("en", number=5, messages=OTHER)],
    }
    gone = removed(run_on(store, nights))
    assert [(row["language"], row["row"], row["duplicate_of_language"]) for row in gone] == [
        ("zh", 1, "en"),
        ("en", 0, "zh"),
        ("en", 1, "en"),
    ]


def test_what_was_released_once_stays_when_nights_are_added(store: Store) -> None:
    first: Nights = {("en", DATES[0]): [sample(number=1, messages=CHAT), sample(number=2, messages=CHAT)]}
    before = removed(run_on(store, first))
    nights: Nights = {("en", DATES[1]): [sample(number=3, messages=CHAT), sample(number=4, messages=THIRD)]}
    after = removed(run_on(store, nights, run_id="manual__2"))
    assert after[: len(before)] == before
    assert [row["date"] for row in after[len(before) :]] == [DATES[1]]


def test_a_second_call_does_nothing(store: Store) -> None:
    run = run_on(store, {("en", DATES[0]): [sample(messages=CHAT), sample(number=1, messages=CHAT)]})
    assert drop_exact(run).line == "1 of 2 rows are exact duplicates"
    built = writes_nothing(Path(store.root), lambda: drop_exact(run).line)
    assert str(built).startswith("Nothing to do")
    assert drop_exact(replace(run, rebuild=True)).line == "1 of 2 rows are exact duplicates"
    other = planned(store, languages=("en",), run_id="manual__2")
    assert not drop_exact(other).line.startswith("Nothing to do")  # another run's list is its own


def test_before_the_nights_are_measured(store: Store) -> None:
    publish_samples(store, "en", DATES[0], samples("en", DATES[0], 1))
    with pytest.raises(PartMissing, match="'measure'"):
        drop_exact(planned(store, languages=("en",)))


def test_of_empty_nights(store: Store) -> None:
    assert removed(run_on(store, {("en", DATES[0]): [], ("en", DATES[1]): []})) == []


# --- against a plain implementation -----------------------------------------------------------------


class Line(NamedTuple):
    """A row by what counts; small numbers, so that they meet often."""

    text: int
    article: bool
    number: int
    revision: int
    passage: int
    id: int


LINES = st.builds(Line, *[st.integers(1, 4), st.booleans(), *[st.integers(1, 3)] * 3, st.integers(1, 30)])
NIGHTS = st.lists(st.tuples(st.sampled_from(["en", "fr"]), st.lists(LINES, max_size=8)), max_size=4)


def plainly(nights: list[tuple[str, list[Line]]]) -> list[tuple[int, int]]:
    """Rows that go and whose copies they are, by comparing each with all that stayed before it."""
    rows = [(place, language, line) for place, (language, lines) in enumerate(nights) for line in lines]
    kept: list[int] = []
    gone = []
    for row, mine in enumerate(rows):
        of = [first for test in TESTS for first in kept if test(rows[first], mine)]
        if of:
            gone.append((row, of[0]))
        else:
            kept.append(row)
    return gone


Place = tuple[int, str, Line]


def _same_origin(one: Place, other: Place) -> bool:
    if one[2].article != other[2].article or one[2].number != other[2].number:
        return False
    return not one[2].article or one[1] == other[1]


def _same_revision(one: Place, other: Place) -> bool:
    return one[2].article and _same_origin(one, other) and one[2].revision == other[2].revision


def _same_text(one: Place, other: Place) -> bool:
    return one[2].text == other[2].text


TESTS: list[Callable[[Place, Place], bool]] = [
    _same_text,
    lambda one, other: not one[2].article and _same_origin(one, other) and one[1] == other[1],
    lambda one, other: _same_revision(one, other) and one[2].passage == other[2].passage,
    lambda one, other: _same_revision(one, other) and one[0] != other[0],
    lambda one, other: one[2].id == other[2].id,
]


@settings(max_examples=400)
@given(nights=NIGHTS)
def test_agrees_with_comparing_all_with_all(nights: list[tuple[str, list[Line]]]) -> None:
    rows = [(place, language, line) for place, (language, lines) in enumerate(nights) for line in lines]

    def column(values: list[object]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return np.array([0 if value is None else hash(value) or 1 for value in values], dtype=np.int64)

    origins = [(line.article, line.number, language if line.article else "") for _, language, line in rows]
    revisions = [
        (origin, line.revision) if line.article else None for origin, (_, _, line) in zip(origins, rows, strict=True)
    ]
    keys = ExactKeys(
        text=column([line.text for _, _, line in rows]),
        english_row=column(
            [None if line.article else (language, o) for o, (_, language, line) in zip(origins, rows, strict=True)]
        ),
        revision=column(list(revisions)),
        passage=column([(r, line.passage) if r else None for r, (_, _, line) in zip(revisions, rows, strict=True)]),
        id=column([line.id for _, _, line in rows]),
        nights=np.array([place for place, _, _ in rows], dtype=np.int32),
    )
    assert [(copy.row, copy.of) for copy in exact_copies(keys)] == plainly(nights)
