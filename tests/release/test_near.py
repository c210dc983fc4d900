"""Near duplicates: what is similar goes and nothing else, in linear time, as comparing all with all would have it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.release.nights_of_samples import DATES, planned, publish_samples, sample, samples
from tests.stages.nights import writes_nothing

from ultralink.errors import PartMissing
from ultralink.pool.near import PERMUTATIONS, bands
from ultralink.pool.recipe import NearDuplicateRules
from ultralink.release.features import signature
from ultralink.release.near import Sketches, near_copies
from ultralink.release.recipe import ReleaseRecipe
from ultralink.release.roll import Copy
from ultralink.release.words import normalised, units
from ultralink.schemas import EXACT_REMOVED, NEAR_REMOVED, REMOVED
from ultralink.stages.assembly import Assembly
from ultralink.stages.release_decontaminate import decontaminate
from ultralink.stages.release_exact import drop_exact
from ultralink.stages.release_features import measure_samples
from ultralink.stages.release_near import drop_near
from ultralink.stages.release_split import split_rows
from ultralink.store import Row, Store

Signatures = NDArray[np.uint16]
Nights = dict[tuple[str, str], Sequence[Row]]


def latin(draw: random.Random, length: int) -> list[str]:
    return [f"{draw.choice('bdfgklmnprst')}{draw.choice('aeiou')}{draw.randrange(300)} " for _ in range(length)]


def chinese(draw: random.Random, length: int) -> list[str]:
    return [chr(draw.randrange(0x4E00, 0x4E00 + 1500)) for _ in range(length)]


def changed(words: list[str], share: float, draw: random.Random, others: list[str]) -> list[str]:
    places = set(draw.sample(range(len(words)), round(share * len(words))))
    return [other if place in places else word for place, (word, other) in enumerate(zip(words, others, strict=True))]


def chat(words: list[str]) -> list[tuple[str, str]]:
    return [("user", "".join(words[:20])), ("assistant", "".join(words[20:]))]


def jaccard(one: list[str], other: list[str]) -> float:
    """The true similarity of two texts by n-grams of three units."""
    first, second = (
        {tuple(found[start : start + 3]) for start in range(len(found) - 2)}
        for found in (units(normalised(" ".join(("".join(words[:20]), "".join(words[20:]))))) for words in (one, other))
    )
    return len(first & second) / len(first | second)


def run_on(store: Store, nights: Nights, **changes: object) -> Assembly:
    for (language, date), rows in nights.items():
        publish_samples(store, language, date, rows)
    languages = tuple(dict.fromkeys(language for language, _ in nights))
    run = planned(store, languages=languages, shards=1, **changes)
    measure_samples(run, 0)
    drop_exact(run)
    return run


def removed(run: Assembly) -> list[dict[str, object]]:
    drop_near(run)
    return list(run.part(NEAR_REMOVED).rows())


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.at(str(tmp_path / "store"))


# --- texts ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("language", "write", "length"), [("fr", latin, 250), ("zh", chinese, 400)])
def test_how_many_planted_duplicates_are_found(
    store: Store, language: str, write: Callable[[random.Random, int], list[str]], length: int
) -> None:
    """Of pairs with a true similarity of 0.8 or a little more at least 95%, of unrelated rows less than 0.1%."""
    draw = random.Random(language)
    originals = [write(draw, length) for _ in range(1200)]
    planted: dict[int, list[str]] = {}
    for number, words in enumerate(originals[:300]):
        for share in (0.04, 0.035, 0.03):
            other = changed(words, share, draw, write(draw, length))
            if 0.8 <= jaccard(words, other) <= 0.85:
                planted[number] = other
                break
    assert len(planted) > 250
    first = [sample(language, number=number, messages=chat(words)) for number, words in enumerate(originals)]
    later = [sample(language, number=5000 + number, messages=chat(words)) for number, words in planted.items()]
    gone = removed(run_on(store, {(language, DATES[0]): first, (language, DATES[1]): later}))
    names = {later[place]["id"]: first[number]["id"] for place, number in enumerate(planted)}
    right = [row for row in gone if names.get(row["id"]) == row["duplicate_of"]]
    assert len(right) >= 0.95 * len(planted)
    assert len(gone) - len(right) < 0.001 * len(originals)
    assert {row["reason"] for row in gone} == {"similar text"}
    assert all(0.7 <= float(str(row["similarity"])) <= 1 for row in gone)
    assert np.mean([float(str(row["similarity"])) for row in gone]) == pytest.approx(0.82, abs=0.02)


@pytest.mark.parametrize(("language", "write"), [("fr", latin), ("zh", chinese)])
def test_what_shares_half_of_its_words_stays(
    store: Store, language: str, write: Callable[[random.Random, int], list[str]]
) -> None:
    draw = random.Random(7)
    document = write(draw, 150)
    rows = [sample(language, number=number, messages=chat(document + write(draw, 150))) for number in range(60)]
    assert removed(run_on(store, {(language, DATES[0]): rows})) == []


@pytest.mark.parametrize(
    "chats",
    [
        [("?", "!"), ("...", "!!"), (".", "?!")],
        [("Hi", "Ho"), ("Hi", "Hu"), ("你", "好"), ("你", "们")],
        [("3 + 5?", "8"), ("3 * 5?", "15"), ("3 - 5?", "-2"), ("3 / 5?", "0.6")],
        [("法国的首都在哪里？", "巴黎。"), ("德国的首都在哪里？", "柏林。"), ("英国的首都在哪里？", "伦敦。")],
        [("Capital of France?", "Paris."), ("Capital of Peru?", "Lima."), ("Capital of Chad?", "N'Djamena.")],
        [("👍", "👍👍 ok"), ("👎", "👎👎 ok")],
    ],
)
def test_short_chats_that_differ_stay(store: Store, chats: list[tuple[str, str]]) -> None:
    rows = [
        sample(number=number, messages=[("user", question), ("assistant", answer)])
        for number, (question, answer) in enumerate(chats)
    ]
    assert removed(run_on(store, {("en", DATES[0]): rows})) == []


def test_translations_of_one_row_stay_and_copies_within_a_language_go(store: Store) -> None:
    """Code that is hardly translated is similar in all languages."""
    draw = random.Random(8)
    code = latin(draw, 200)

    def row(language: str, number: int, comment: str) -> Row:
        return sample(language, "code", number, messages=[("user", comment), ("assistant", "".join(code))])

    nights: Nights = {
        ("en", DATES[0]): [row("en", 1, "Write it.")],
        ("fr", DATES[0]): [row("fr", 1, "Veuillez l'écrire."), row("fr", 2, "Veuillez l'écrire !")],
        ("zh", DATES[0]): [row("zh", 1, "请写出来。")],
        ("zh", DATES[1]): [row("zh", 3, "请把它写出来。")],
    }
    gone = removed(run_on(store, nights))
    assert [(each["language"], each["date"], each["row"], each["duplicate_of_language"]) for each in gone] == [
        ("fr", DATES[0], 1, "en"),
        ("zh", DATES[1], 0, "en"),
    ]


SUM = "Anna runs {} rounds of {} metres three times a week, and wants to know how far she runs in all of the week."
WAY = """First we find out how many rounds Anna runs in a whole week, for which we multiply the rounds of a day with
the days on which she runs. Then we multiply this number with the length of a round in metres, which the question
gives, and this is how far she runs in all of the week. The answer is: """


def test_sums_with_other_figures_stay(store: Store) -> None:
    def row(number: int, rounds: int, metres: int, ends: str) -> Row:
        said = [("user", SUM.format(rounds, metres) + ends), ("assistant", f"{WAY}{3 * rounds * metres}")]
        return sample("en", "math", number, messages=said)

    asked = [(3, 60, ""), (3, 70, ""), (4, 60, ""), (3, 60, " Tell her."), (60, 60, ""), (3, 70, "!!")]
    rows = [row(number, *each) for number, each in enumerate(asked)]
    run = run_on(store, {("en", DATES[0]): rows})
    assert [row["row"] for row in run.part(EXACT_REMOVED).rows()] == []
    assert [(row["row"], row["duplicate_of"]) for row in removed(run)] == [(3, rows[0]["id"]), (5, rows[1]["id"])]


def test_of_a_chain_only_what_is_similar_to_a_row_that_stays_goes(store: Store) -> None:
    draw = random.Random(9)
    words = latin(draw, 300)
    second = changed(words, 0.05, draw, latin(draw, 300))
    third = changed(second, 0.05, draw, latin(draw, 300))
    assert jaccard(words, second) > 0.72 < jaccard(second, third)
    assert jaccard(words, third) < 0.62
    rows = [sample(number=number, messages=chat(each)) for number, each in enumerate((words, second, third))]
    gone = removed(run_on(store, {("en", DATES[0]): rows}))
    assert [(row["row"], row["duplicate_of"]) for row in gone] == [(1, rows[0]["id"])]


def test_rows_that_exact_took_out_count_no_more(store: Store) -> None:
    """The second goes for its id alone, so the third, which resembles it, stays."""
    draw = random.Random(10)
    words = latin(draw, 300)
    rows = [
        sample(number=1, sample_id="a"),
        sample(number=2, sample_id="a", messages=chat(words)),
        sample(number=3, messages=chat(changed(words, 0.02, draw, latin(draw, 300)))),
    ]
    run = run_on(store, {("en", DATES[0]): rows})
    assert [row["row"] for row in run.part(EXACT_REMOVED).rows()] == [1]
    assert removed(run) == []


def test_a_copy_of_a_row_that_went_names_the_row_that_stays(store: Store) -> None:
    draw = random.Random(13)
    words = latin(draw, 300)
    other = changed(words, 0.02, draw, latin(draw, 300))
    rows = [sample(number=number, messages=chat(each)) for number, each in enumerate((words, other, other))]
    run = run_on(store, {("en", DATES[0]): rows})
    drop_near(run)
    decontaminate(run, 0)
    split_rows(run)
    gone = list(run.part(REMOVED).rows())
    assert [(row["row"], row["stage"], row["duplicate_of"]) for row in gone] == [
        (1, "near", rows[0]["id"]),
        (2, "exact", rows[0]["id"]),
    ]
    assert gone[1]["similarity"] == gone[0]["similarity"] != 1
    assert gone[1]["detail"] == f"of {rows[1]['id']}, which went itself"


def test_the_threshold_is_the_recipes(store: Store) -> None:
    draw = random.Random(11)
    words = latin(draw, 400)
    other = changed(words, 0.085, draw, latin(draw, 400))
    assert 0.6 < jaccard(words, other) < 0.68
    nights: Nights = {
        ("en", DATES[0]): [sample(number=1, messages=chat(words)), sample(number=2, messages=chat(other))]
    }
    for threshold, expected in ((0.5, 1), (0.85, 0)):
        recipe = ReleaseRecipe(near_duplicates=NearDuplicateRules(threshold=threshold))
        assert len(removed(run_on(store, nights, recipe=recipe, run_id=f"run {threshold}"))) == expected


# --- the stage --------------------------------------------------------------------------------------


def test_a_second_call_does_nothing(store: Store) -> None:
    run = run_on(store, {("en", DATES[0]): samples("en", DATES[0], 3)})
    assert drop_near(run).line == "0 of 12 rows are near duplicates"
    line = writes_nothing(Path(store.root), lambda: drop_near(run).line)
    assert str(line).startswith("Nothing to do")
    assert drop_near(replace(run, rebuild=True)).line == "0 of 12 rows are near duplicates"


def test_of_empty_nights(store: Store) -> None:
    assert removed(run_on(store, {("en", DATES[0]): [], ("en", DATES[1]): []})) == []


def test_before_exact(store: Store) -> None:
    run = run_on(store, {("en", DATES[0]): samples("en", DATES[0], 1)})
    store.fs.rm_file(run.part(EXACT_REMOVED).path)
    with pytest.raises(PartMissing, match="'exact'"):
        drop_near(run)


# --- signatures -------------------------------------------------------------------------------------


def sketches(
    signatures: Signatures,
    origins: Sequence[int] = (),
    languages: Sequence[int] = (),
    figures: Sequence[str | None] = (),
) -> Sketches:
    rows = len(signatures)
    return Sketches(
        signatures=signatures,
        compared=np.ones(rows, bool),
        origins=np.array(origins or range(rows), np.int64),
        languages=np.array(languages or [0] * rows, np.int16),
        figures=pa.array(figures or [None] * rows, pa.large_string()),
    )


def numbers(draw: np.random.Generator, *shape: int) -> Signatures:
    return draw.integers(0, 1 << 16, shape, dtype=np.uint16)


def family(draw: np.random.Generator, rows: int, share: float) -> Signatures:
    """Signatures that each have ``share`` of their numbers from one and the same."""
    found = numbers(draw, rows, PERMUTATIONS)
    taken = draw.random(found.shape) < share
    found[taken] = np.broadcast_to(numbers(draw, PERMUTATIONS), found.shape)[taken]
    return found


def plainly(found: Sketches, threshold: float) -> list[Copy]:
    """By comparing each row with all that stayed before it."""
    number = bands(threshold)
    gone: list[Copy] = []
    kept: list[int] = []
    for row, mine in enumerate(found.signatures):
        for first in kept:
            equal = mine == found.signatures[first]
            translation = found.origins[row] == found.origins[first] and found.languages[row] != found.languages[first]
            meets = equal.reshape(number, -1).all(axis=1).any()
            if not translation and meets and equal.mean() >= threshold - 1e-9:
                gone.append(Copy(row, first, "similar text", float(equal.mean())))
                break
        else:
            kept.append(row)
    return gone


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    families=st.lists(st.tuples(st.integers(1, 12), st.sampled_from([0.3, 0.8, 0.85, 0.9, 1.0])), max_size=5),
    threshold=st.sampled_from([0.5, 0.7, 0.8, 1.0]),
)
def test_agrees_with_comparing_all_with_all(seed: int, families: list[tuple[int, float]], threshold: float) -> None:
    draw = np.random.default_rng(seed)
    parts = [family(draw, rows, share) for rows, share in families]
    signatures = draw.permutation(np.concatenate([numbers(draw, 3, PERMUTATIONS), *parts]))
    origins = draw.integers(1, 6, len(signatures)).tolist()
    languages = draw.integers(0, 3, len(signatures)).tolist()
    found = sketches(signatures, origins, languages)
    assert list(near_copies(found, threshold)) == plainly(found, threshold)


def test_rows_that_are_out_or_have_no_signature_are_not_compared() -> None:
    signatures = np.zeros((4, PERMUTATIONS), np.uint16)
    found = sketches(signatures)
    found.compared[[0, 2]] = False
    assert [(copy.row, copy.of) for copy in near_copies(found, 0.7)] == [(3, 1)]


def test_ten_thousand_copies_of_one_text() -> None:
    found = sketches(family(np.random.default_rng(1), 10_000, 0.97))
    assert [(copy.row, copy.of) for copy in near_copies(found, 0.7)] == [(row, 0) for row in range(1, 10_000)]


def test_ten_thousand_rows_that_have_a_band_in_common_and_nothing_else() -> None:
    """Duplicates among them are found by their other bands."""
    draw = np.random.default_rng(2)
    signatures = numbers(draw, 10_000, PERMUTATIONS)
    signatures[:, :6] = numbers(draw, 6)
    later = signatures[5000:5200].copy()
    fresh = draw.random(later.shape) < 0.1
    fresh[:, :6] = False
    later[fresh] = numbers(draw, int(fresh.sum()))
    copies = list(near_copies(sketches(np.concatenate([signatures, later])), 0.7))
    assert [(copy.row, copy.of) for copy in copies] == [(10_000 + place, 5000 + place) for place in range(200)]


def test_ten_thousand_sums_that_are_alike_but_for_their_figures() -> None:
    signatures = family(np.random.default_rng(4), 10_000, 0.97)
    found = sketches(signatures, figures=[f"{row % 9990} 3" for row in range(10_000)])
    assert [(copy.row, copy.of) for copy in near_copies(found, 0.7)] == [(9990 + row, row) for row in range(10)]


def test_texts_of_which_most_is_the_same_in_all() -> None:
    """Two rows are alike in 40% of their numbers: every row has bands in common with hundreds, and stays."""
    draw = np.random.default_rng(3)
    signatures = family(draw, 10_000, 0.64)
    later = signatures[-200:].copy()
    fresh = draw.random(later.shape) < 0.08
    later[fresh] = numbers(draw, int(fresh.sum()))
    copies = list(near_copies(sketches(np.concatenate([signatures, later])), 0.7))
    right = [copy for copy in copies if copy.row >= 10_000 and copy.of == copy.row - 200]
    assert len(right) >= 190
    assert len(copies) - len(right) < 10


def test_signatures_of_few_n_grams_do_not_agree_by_accident() -> None:
    draw = random.Random(12)
    texts = {"".join(latin(draw, draw.randrange(3, 7))) for _ in range(3000)}
    found = [np.frombuffer(signature(text, 3), "<u2") for text in sorted(texts)]
    assert list(near_copies(sketches(np.stack(found)), 0.7)) == []
