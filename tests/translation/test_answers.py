"""The final answer is cut off and put back without a change, and found again in every language."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ultralink.recipe import load_recipe
from ultralink.translation.answers import (
    ENGLISH_PHRASE,
    Cut,
    cut_answer,
    final_answer,
    same_answer,
    stated_answer,
    with_endings,
)

LANGUAGES = ["zh", "ru", "fr", "es"]

ENDINGS = [  # a solution's last lines, and the answer
    ("#### 42", "42"),
    ("#### 1,250", "1250"),
    ("#### $1,250.50", "1250.5"),
    ("#### 7200\nThe answer is: 7200", "7200"),
    ("The answer is: 42", "42"),
    ("The answer is: 42.", "42"),
    ("The answer is 42", "42"),
    ("**The answer is: 42**", "42"),
    ("The answer is: -4", "-4"),
    ("The answer is: $-1$", "-1"),
    ("The answer is: 3/4", "3/4"),
    ("The answer is: $\\frac{3}{4}$", "3/4"),
    ("The answer is: \\frac{33}{8}", "33/8"),
    ("The answer is: $\\boxed{4}$", "4"),
    ("The answer is: $9\\pi$", "9\\pi"),
    ("The answer is: 50\\%", "50"),
    ("The answer is: (3,5)", "(3,5)"),
    ("The answer is: C", "c"),
    ("The answer is: ٤٢", "42"),
]


@pytest.mark.parametrize(("ending", "answer"), ENDINGS)
def test_an_ending_is_cut_off_and_is_readable_in_english(ending: str, answer: str) -> None:
    text = f"First we add 40 and 2.\n{ending}"
    assert cut_answer(text) == Cut("First we add 40 and 2.", tuple(ending.split("\n")))
    assert final_answer(text, [ENGLISH_PHRASE]) == answer


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("ending", "answer"), ENDINGS)
def test_an_ending_is_put_back_in_the_words_of_the_language(language: str, ending: str, answer: str) -> None:
    rules = load_recipe(language).translation
    assert rules is not None
    cut = cut_answer(f"First we add 40 and 2.\n{ending}")
    translated = with_endings("40 + 2 = 42", cut.endings, rules.answer_phrase)
    assert translated.startswith("40 + 2 = 42\n")
    assert "answer is" not in translated
    assert ("####" in translated) == ("####" in ending)
    assert final_answer(translated, [rules.answer_phrase]) == answer


def test_the_last_sentence_of_a_line_is_an_ending_too() -> None:
    text = "So Ann has 5 + 3 = 8 apples. The answer is: 8"
    assert cut_answer(text) == Cut("So Ann has 5 + 3 = 8 apples.", ("The answer is: 8",))


@pytest.mark.parametrize(
    "text",
    [
        "The answer is: 42 apples",  # must be translated
        "The answer is: Monday.",
        "#### Step 2: add them",
        "So the answer is 42 apples.",
        "If the answer is 8, what is X?",
        "",
        "There is no answer here.",
    ],
)
def test_what_needs_translation_stays(text: str) -> None:
    assert cut_answer(text) == Cut(text, ())
    assert with_endings("тело", cut_answer(text).endings, "Ответ:") == "тело"


@given(st.text(max_size=200), st.sampled_from([ending for ending, _ in ENDINGS]))
def test_nothing_of_the_body_is_lost(body: str, ending: str) -> None:
    cut = cut_answer(f"{body}\n{ending}")
    assert (
        with_endings(cut.body, cut.endings, ENGLISH_PHRASE).split()
        == [
            *body.split(),
            *with_endings("", cut_answer(ending).endings, ENGLISH_PHRASE).split(),
        ]
        or "answer is" in body.lower()
    )


@pytest.mark.parametrize(
    ("text", "phrase", "answer"),
    [
        ("共有42个。\n答案是：42。", "答案是：", "42"),
        ("共有42个。\n答案是:42", "答案是：", "42"),
        ("所以答案很明显。答案是４２个苹果。", "答案是：", "42"),
        ("Всего 42.\nОтвет: 42 яблока.", "Ответ:", "42"),
        ("Ответ на вопрос прост.\nОтвет: 42", "Ответ:", "42"),
        ("Ответ на вопрос прост.", "Ответ:", None),
        ("La réponse est\u00a0: 1\u202f250,5 euros", "La réponse est :", "1250.5"),
        ("La réponse est: 42", "La réponse est :", "42"),
        ("**La respuesta es: 42**", "La respuesta es:", "42"),
        ("Entonces la respuesta es clara.\nLa respuesta es: 42.", "La respuesta es:", "42"),
        ("Por tanto, $\\boxed{\\frac{1}{2}}$.", "La respuesta es:", "1/2"),
        ("Итак, $\\boxed{\\text{(A)}}$.", "Ответ:", "(a)"),
        ("#### 1 250", "Ответ:", "1250"),
        ("Ответ: 41\nПроверка показала ошибку.\nОтвет: 42", "Ответ:", "42"),
    ],
)
def test_the_answer_is_found_in_the_language(text: str, phrase: str, answer: str | None) -> None:
    assert final_answer(text, [phrase]) == answer


@pytest.mark.parametrize(
    ("source", "translated"),
    [
        ("42 apples", "42 яблока"),
        ("$1,250", "1.250 dólares"),
        ("1,250", "1\u202f250"),
        ("\\frac{3}{4}", "3/4"),
        ("(3,5)", "(3; 5)"),
        ("2 hours and 30 minutes", "2 часа 30 минут"),
        ("42", "４２"),
        ("$x=5$", "x = 5"),
        ("50\\%", "50 %"),
        ("Monday", "понедельник"),  # can't be compared
    ],
)
def test_answers_that_mean_the_same(source: str, translated: str) -> None:
    assert same_answer(source, translated)


@pytest.mark.parametrize(
    ("source", "translated"),
    [
        ("42 apples", "43 яблока"),
        ("42", "-42"),
        ("42", "сорок два"),
        ("3/4", "4/3"),
        ("C", "D"),
        ("$9\\pi$", "$8\\pi$"),
        ("x = 5", "y = 5"),
        ("2 hours and 30 minutes", "2 часа 35 минут"),
        ("1,250", "1,25"),
    ],
)
def test_answers_that_differ(source: str, translated: str) -> None:
    assert not same_answer(source, translated)


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_equal_numbers_are_equal_answers_and_others_are_not(first: int, second: int) -> None:
    assert same_answer(f"{first:,}", f"{first:,}".replace(",", "\u202f"))
    assert same_answer(f"{first:,}", f"{second}") == (first == second)


@given(st.text(max_size=300))
def test_no_text_is_an_error(text: str) -> None:
    cut_answer(text)
    stated = stated_answer(text, ["Ответ:"])
    assert (stated is None) == (final_answer(text, ["Ответ:"]) is None)
    if stated is not None:
        same_answer(stated, text)


@pytest.mark.parametrize(
    "piece", ["The answer is: ", "#### 1\n", "\\boxed{", "$", "\\(", "{}", "\\frac{", ". ", "答案是："]
)
def test_a_long_hostile_text_is_read_in_linear_time(piece: str) -> None:
    text = piece * 20_000  # were the time quadratic, this would take minutes
    assert cut_answer(text).body in text
    final_answer(text, [ENGLISH_PHRASE, "答案是："])
    same_answer(text, text + "1")
