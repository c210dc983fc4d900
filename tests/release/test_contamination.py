"""Test items in rows: verbatim, reshaped, with other numbers; and rows that only share a topic or a phrase."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opencc import OpenCC

from ultralink.release.contamination import EXCERPT, ItemIndex, Match, Text
from ultralink.release.evaluation import Item, read_items
from ultralink.release.recipe import Decontamination, EvaluationSet
from ultralink.release.words import normalised, units

DATA = Path(__file__).parents[1] / "data" / "evaluation"
LANGUAGES = ("en", "zh", "ru", "fr", "es")
MGSM = [
    EvaluationSet(name=f"mgsm_{one}", path=str(DATA / f"mgsm_{one}.tsv"), fields=["0"], ignore_numbers=True)
    for one in LANGUAGES
]
OMGEVAL = [
    EvaluationSet(name=f"omgeval_{one}", path=str(DATA / f"omgeval_{one}.jsonl"), fields=["instruction.text"])
    for one in LANGUAGES
]
HUMANEVAL = EvaluationSet(name="humaneval", path=str(DATA / "humaneval.jsonl.gz"), fields=["prompt"])
MMLU = EvaluationSet(name="mmlu", path=str(DATA / "mmlu.parquet"), fields=["question", "choices"])
SETS = {one.name: one for one in [*MGSM, *OMGEVAL, HUMANEVAL, MMLU]}


def items(name: str) -> list[Item]:
    return list(read_items(SETS[name]))


ALL = ItemIndex(Decontamination(sets=list(SETS.values())), items)


def row(*texts: str) -> list[Text]:
    """A conversation that a user begins."""
    return [Text(units(normalised(text)), place % 2 == 0) for place, text in enumerate(texts)]


def found(*texts: str, index: ItemIndex = ALL) -> list[tuple[str, str]]:
    [matches] = index.find([row(*texts)])
    return [(match.evaluation, match.item) for match in matches]


def index_of(*texts: str, ignore_numbers: bool = False, words: int = 13, characters: int = 25) -> ItemIndex:
    """An index of one set "own" with an item of each text."""
    own = EvaluationSet(name="own", path="own.jsonl", fields=["q"], ignore_numbers=ignore_numbers)
    held = [Item(f"row {number}", (text,), (False,)) for number, text in enumerate(texts, start=1)]
    return ItemIndex(Decontamination(words=words, characters=characters, sets=[own]), lambda _: held)


def numbered(first: int, last: int) -> str:
    """Words that are all different: word1 is no number."""
    return " ".join(f"word{number}" for number in range(first, last))


# --- what must be found -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("around", ["{}", "Hello!\n{}\nThank you.", "你好。{}谢谢。", "Ответь: {} Спасибо."])
def test_items_as_they_are(name: str, around: str) -> None:
    for item in items(name):
        labelled = "\n".join([item.texts[0], *(f"({'ABCD'[n]}) {text}" for n, text in enumerate(item.texts[1:]))])
        assert (name, item.label) in found(around.format(labelled))
        assert (name, item.label) in found("Hello", around.format(labelled))  # whoever says it


@pytest.mark.parametrize("name", [*(one.name for one in [*MGSM, *OMGEVAL])])
def test_items_in_another_shape(name: str) -> None:
    def wide(text: str) -> str:
        return "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in text)

    for item in items(name):
        [text] = item.texts
        for shape in (str.upper, str.title, wide, lambda one: one.replace(" ", "\n\n")):
            assert (name, item.label) in found(f"So: {shape(text)}"), shape
        bare = "".join(char for char in text if not unicodedata.category(char).startswith("P") or char in "'.")
        assert (name, item.label) in found(bare)
        assert (name, item.label) in found(unicodedata.normalize("NFD", text))


@pytest.mark.parametrize("figure", ["7", "1,000", "1.000,5", "12 500", "３００", "٣٤", "2/3"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_sums_with_other_figures(language: str, figure: str) -> None:
    text = items(f"mgsm_{language}")[0].texts[0]
    assert "120" in text
    assert (f"mgsm_{language}", "row 1") in found(f"Hm. {text.replace('120', figure)}")


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        (
            "Ravi has 12 goats, 25 hens and 3 old dogs at home",
            "Ravi has twelve goats, twenty-five hens and four old dogs at home",
        ),
        (
            "小明有12个苹果，又买了3个梨和25个桃，一共有多少个",
            "小明有十二个苹果，又买了两个梨和二十五个桃，一共有多少个",
        ),
        (
            "Léa a 12 pommes, 3 poires et 25 prunes dans son panier",
            "Léa a douze pommes, sept poires et vingt-cinq prunes dans son panier",
        ),
        (
            "У Ани есть 12 яблок, 3 груши и 25 слив в корзине дома",
            "У Ани есть двенадцать яблок, три груши и двадцать пять слив в корзине дома",
        ),
        (
            "Ana tiene 12 manzanas, 3 peras y 25 ciruelas en su cesta",
            "Ana tiene doce manzanas, ocho peras y veinte ciruelas en su cesta",
        ),
    ],
    ids=["en", "zh", "fr", "ru", "es"],
)
def test_figures_in_words(figures: str, words: str) -> None:
    for item, text in ((figures, words), (words, figures)):
        assert found(f"So: {text}!", index=index_of(item, ignore_numbers=True)) == [("own", "row 1")]
        assert found(f"So: {text}!", index=index_of(item)) == []


def test_figures_count_where_a_set_does_not_ignore_them() -> None:
    text = "Ravi has 12 goats and every goat gives him 3 jugs of milk a day"
    assert found(f"{text}.", index=index_of(text)) == [("own", "row 1")]
    assert found(text.replace("12", "15"), index=index_of(text)) == []


def test_an_item_is_found_in_rows_of_every_language() -> None:
    assert ("mgsm_fr", "row 2") in found("这是一个例子：" + items("mgsm_fr")[1].texts[0] + "请回答。")


def test_an_item_in_traditional_characters() -> None:
    text = items("mgsm_zh")[0].texts[0]
    traditional = OpenCC("s2t").convert(text)
    assert traditional != text
    assert ("mgsm_zh", "row 1") in found(f"請問：{traditional}")


def test_part_of_a_long_item_is_enough() -> None:
    index = index_of(numbered(0, 60))
    assert found(f"so {numbered(20, 33)} it", index=index) == [("own", "row 1")]
    assert found(f"so {numbered(20, 32)} it", index=index) == []


def test_part_of_a_long_item_without_spaces() -> None:
    letters = "".join(chr(0x4E00 + number) for number in range(60))
    assert found(f"他说{letters[10:35]}吗", index=index_of(letters)) == [("own", "row 1")]
    assert found(f"他说{letters[10:34]}吗", index=index_of(letters)) == []


def test_of_mixed_scripts_the_shares_add_up() -> None:
    letters = "".join(chr(0x4E00 + number) for number in range(60))
    index = index_of(f"{numbered(0, 30)} {letters}")
    assert found(f"so {numbered(23, 30)} {letters[:12]}吗", index=index) == [("own", "row 1")]  # 7/13 + 12/25
    assert found(f"so {numbered(23, 30)} {letters[:11]}吗", index=index) == []  # 7/13 + 11/25 < 1


def test_a_shorter_item_must_be_there_whole() -> None:
    index = index_of(numbered(0, 10), "请问山里的村庄怎样为冬天做准备呢今年")
    assert found(f"so {numbered(0, 10)} it", index=index) == [("own", "row 1")]
    assert found(f"so {numbered(0, 9)} it", index=index) == []
    assert found("你好，请问山里的村庄怎样为冬天做准备呢，今年？", index=index) == [("own", "row 2")]
    assert found("你好，请问山里的村庄怎样为冬天做准备呢？", index=index) == []


@pytest.mark.parametrize("labels", ["A. {}|B. {}|C. {}|D. {}", "1) {}|2) {}|3) {}|4) {}", "- {}|- {}|- {}|- {}"])
def test_choices_with_the_labels_of_tests(labels: str) -> None:
    for item in items("mmlu"):
        text = "\n".join([item.texts[0], *labels.format(*item.texts[1:]).split("|")])
        assert ("mmlu", item.label) in found(f"Choose. {text}")


def test_a_question_without_its_choices() -> None:
    question = items("mmlu")[0].texts[0]
    assert ("mmlu", "row 1") in found(f"Tell me: {question} I forgot.")


def test_code_with_another_name() -> None:
    prompt = items("humaneval")[0].texts[0].replace("longest_climb", "f")
    assert found(f"Complete this:\n```python\n{prompt}```") == [("humaneval", "Sample/0")]


def test_the_item_that_shares_most_is_named() -> None:
    index = index_of(f"{numbered(0, 20)} {numbered(100, 120)}", numbered(0, 60))
    assert found(numbered(0, 60), index=index) == [("own", "row 2")]


def test_one_match_per_set() -> None:
    text = " ".join(item.texts[0] for item in items("mgsm_en"))
    assert [name for name, _ in found(text, text)] == ["mgsm_en"]


def test_an_excerpt_is_short_and_readable() -> None:
    [[match]] = ALL.find([row("So: " + items("mgsm_zh")[0].texts[0])])
    assert match.excerpt.startswith("玛尔塔的面包店每天早上卖出120个")
    [[match]] = ALL.find([row("So: " + items("omgeval_en")[0].texts[0])])
    assert match.excerpt.startswith("explain to somebody who has")
    assert len(match.excerpt) <= EXCERPT


# --- what must not ----------------------------------------------------------------------------------

INNOCENT = [
    "How does a village in the mountains get ready for winter? Its people stack wood and mend the roofs.",
    "Marta's bakery sells rolls in the morning. How many rolls does the bakery sell on Sundays?",
    "Write a short letter in which a gardener invites his neighbours to the harvest.",
    "请解释山里的村庄是怎样过冬的。",
    "玛尔塔的面包店每天早上卖出多少个小面包？",
    "Combien de pièces la boulangerie vend-elle en une semaine ?",
    "¿Cómo se prepara un pueblo de montaña para el invierno?",
    "Как горная деревня готовится к зиме?",
    "from typing import List\n\n\ndef add(numbers: List[int]) -> int:\n    return sum(numbers)",
    "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25",
    "",
]


@pytest.mark.parametrize("text", INNOCENT)
def test_a_topic_or_a_phrase_is_no_item(text: str) -> None:
    assert found(text, text) == []


def test_a_run_does_not_go_beyond_a_message() -> None:
    words = items("omgeval_en")[0].texts[0].split()
    assert found(" ".join(words[:11]), " ".join(words[11:])) == []


@pytest.mark.parametrize("ignore_numbers", [True, False])
@pytest.mark.parametrize("tiny", ["Yes.", "What is 2+2?", "2 + 2 =", "42", "", "!?", "是的。", "Да."])
def test_tiny_items_are_no_evidence_within_a_text(tiny: str, ignore_numbers: bool) -> None:
    index = index_of(tiny, ignore_numbers=ignore_numbers)
    assert found(f"I asked: {tiny} He said {tiny}", f"Well. {tiny} And {tiny}", index=index) == []
    assert found("Is it so?", tiny, index=index) == []  # as an answer


def test_a_tiny_item_is_found_where_it_is_all_that_is_asked() -> None:
    index = index_of("Why is the sky blue?", "天空为什么是蓝色的？")
    assert found("why is the sky blue", "It scatters light.", index=index) == [("own", "row 1")]
    assert found("天空为什么是蓝色的", "因为光。", index=index) == [("own", "row 2")]
    assert found("Tell me, why is the sky blue today?", "It is not.", index=index) == []
    assert found("Guess what I was asked.", "Why is the sky blue?", index=index) == []


@pytest.mark.parametrize("ignore_numbers", [True, False])
def test_series_of_numbers_are_alike_everywhere(ignore_numbers: bool) -> None:
    series = ", ".join(map(str, range(1, 40)))
    index = index_of(f"Add up {series} and say how much it is", ignore_numbers=ignore_numbers)
    assert found(f"Here is a list: {series}", index=index) == []


def test_what_most_items_share_is_their_template() -> None:
    template = "Below is an instruction that describes a task. Write a response that completes the request."
    index = index_of(*(f"{template} {numbered(20 * number, 20 * number + 15)}" for number in range(30)))
    assert found(f"{template} Sing me a song.", index=index) == []
    assert found(f"{template} {numbered(40, 55)}", index=index) == [("own", "row 3")]


def test_what_many_items_of_a_large_set_share_is_boilerplate() -> None:
    licence = "permission is hereby granted free of charge to any person obtaining a copy of this software"
    others = [numbered(20 * number, 20 * number + 15) for number in range(100)]
    few = [f"{licence} {text}" if place < 10 else text for place, text in enumerate(others)]
    many = [f"{licence} {text}" if place < 11 else text for place, text in enumerate(others)]
    assert found(licence, index=index_of(*few)) == [("own", "row 1")]
    assert found(licence, index=index_of(*many)) == []


def test_items_that_are_equal_are_no_template() -> None:
    text = "Ravi has {} goats and every goat gives him {} jugs of milk a day and more"
    index = index_of(*(text.format(number, number + 1) for number in range(20)), ignore_numbers=True)
    assert [name for name, _ in found(text.format(99, 98), index=index)] == ["own"]


# --- anywhere -----------------------------------------------------------------------------------------

NOISE = st.text(st.sampled_from("abcdeé АБвг 12,.-\n 山河水火 !?「」()０９"), max_size=200)


@settings(max_examples=60)
@given(before=NOISE, after=NOISE, name=st.sampled_from(sorted(SETS)), data=st.data())
def test_an_item_is_found_wherever_it_is(before: str, after: str, name: str, data: st.DataObject) -> None:
    item = data.draw(st.sampled_from(items(name)))
    text = f"{before} {item.texts[0]} {after}"
    if name == "mmlu":
        text = f"{before}\n{' '.join(item.texts)}\n{after}"
    assert (name, item.label) in found("Hello.", text)


@settings(max_examples=40)
@given(st.lists(st.lists(NOISE, max_size=4), max_size=6))
def test_rows_are_judged_one_by_one(rows: list[list[str]]) -> None:
    together = ALL.find([row(*texts) for texts in rows])
    assert together == [ALL.find([row(*texts)])[0] for texts in rows]


def brute(item: str, text: str, length: int) -> bool:
    """Whether two texts share a run of words."""

    def runs(words: list[str]) -> set[tuple[str, ...]]:
        return {tuple(words[at : at + length]) for at in range(len(words) - length + 1)}

    return bool(runs(item.split()) & runs(text.split()))


@settings(max_examples=150)
@given(seed=st.integers(0, 1 << 32))
def test_the_index_agrees_with_a_plain_search(seed: int) -> None:
    draw = random.Random(seed)

    def text(least: int) -> str:
        return " ".join(draw.choices("abc", k=draw.randint(least, 60)))

    item, other = text(13), text(0)
    assert (found("x", other, index=index_of(item)) == [("own", "row 1")]) == brute(item, other, 13)


def test_no_set_no_item() -> None:
    def nothing(_: str) -> Iterable[Item]:
        raise AssertionError

    assert ItemIndex(Decontamination(), nothing).find([row("Hello"), []]) == [[], []]
    assert ALL.find([]) == []


def test_matches_are_plain_values() -> None:
    [[match]] = index_of(numbered(0, 20)).find([row(numbered(0, 20))])
    assert match == Match("own", "row 1", match.excerpt)
