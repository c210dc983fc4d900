"""What a finding says, where the thresholds lie, and that hostile text costs no time and breaks nothing."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.gates.cases import ANY_LENGTH, LANGUAGES, cases, of_answer, of_question, recipe

from ultralink.gates import Finding, Gate, answer_findings, question_findings
from ultralink.gates.asking import several_questions
from ultralink.gates.echoes import copied_passage, repeated_turn, repetition
from ultralink.gates.ending import truncated
from ultralink.gates.measure import length
from ultralink.gates.turn import CLIP, Turn
from ultralink.recipe import TokenBounds

HOSTILE = [
    "",
    " ",
    "?",
    "\x00",
    "\ud83d",
    "a" * 20_000,
    "word " * 20_000,
    "为什么，以及" * 10_000,
    "¿por qué y cómo " * 5_000,
    "[(«“„「" * 10_000,
    "<a " * 20_000,
    "как и почему текст, " * 4_000,
    "in this text, and how did " * 4_000,
    "\n" * 20_000,
    "```" * 3_001,
]


def _reasons(findings: list[Finding]) -> list[tuple[Gate, str]]:
    return [(finding.gate, finding.reason) for finding in findings]


def test_a_clean_turn_has_no_finding() -> None:
    assert of_question("en", "Why did storytellers break off at the best moment?") == []


def test_a_finding_quotes_the_words_and_clips_them() -> None:
    (finding,) = of_question("en", "According to the text, why did storytellers break off?")
    assert finding == Finding(Gate.LEAK, "leak", "According to the text")
    (long,) = of_question("en", "Explain " + ", ".join(f"reason number {number}" for number in range(9)) + ".")
    assert long.gate is Gate.NOT_A_QUESTION
    assert len(long.detail) == 50


def test_a_gate_reports_once() -> None:
    text = "According to the text, and as mentioned in the passage, why does the article state it was warm?"
    assert [finding.gate for finding in of_question("en", text)].count(Gate.LEAK) == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Why did guests come? Who paid?", "question_marks"),
        ("Why did guests come, with respect to (a) tea and (b) tales?", "list"),
        ("Why did guests come, and also, what did the tea cost?", "several_questions"),
    ],
)
def test_several_questions_have_their_reasons(text: str, reason: str) -> None:
    assert (Gate.SEVERAL_QUESTIONS, reason) in _reasons(of_question("en", text))


def test_text_after_the_question_is_told_from_no_question() -> None:
    after = of_question("en", "Why did guests come back every evening? Tea was cheap there.")
    assert _reasons(after) == [(Gate.NOT_A_QUESTION, "text_after_question")]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Tea was cheap</document>.", "separator"),
        ("Tea was cheap <\\document>.", "separator"),
        ("Tea was [/INST] cheap.", "role_marker"),
        ("### Answer\nTea was cheap.", "role_marker"),
        ("Tea was <br/>cheap.", "html"),
        ("Tea was cheap &amp; good.", "html"),
        ("Tea was {{cite|cheap}}.", "wikitext"),
        ("Tea was\x07 cheap.", "control_character"),
        ("```\ncheap\x1b\n```", "control_character"),
    ],
)
def test_remnants_have_their_reasons(text: str, reason: str) -> None:
    assert (Gate.REMNANT, reason) in _reasons(of_answer("en", text, ANY_LENGTH))


@pytest.mark.parametrize(
    "text",
    [
        "If a < b and b > c, then a heap of `[[1, 2], [3, 4]]` is smaller.",
        "The list [[1, 2], [3, 4]] has two rows.",
        "Its price fell from $5 to $3 (a loss of 40%).",
        "Run `<document>` through the parser, then escape `&amp;` again.",
        "First line.\r\nSecond line.\tEnd.",
    ],
)
def test_what_only_looks_like_a_remnant_passes(text: str) -> None:
    assert Gate.REMNANT not in {finding.gate for finding in of_answer("en", text, ANY_LENGTH)}


def test_the_finish_reason_counts() -> None:
    text = "Tea was cheap, and the stove kept every guest warm until the storyteller had come to his end."
    assert of_answer("en", text, finish_reason="stop") == []
    assert of_answer("en", text, finish_reason=None) == []
    assert _reasons(of_answer("en", text, finish_reason="length")) == [(Gate.TRUNCATED, "token_limit")]
    for said in ("content_filter", "refusal"):
        assert _reasons(of_answer("en", text, finish_reason=said)) == [(Gate.REFUSAL, said)]


@pytest.mark.parametrize(
    "text",
    [
        "It ended.",
        "It ended…",
        "It ended!)",
        "He said: “It ended.”",
        "Он сказал: «Всё».",
        "Er sagte: „Alles.“",
        "他说：“结束了。”",
        "结束了（真的）。",
        "Il a dit : « C'est fini. »",
        "Ended **here.**",
        "x\n```\ncode\n```",
        "Area:\n$$a^2$$",
        "Steps:\n1. mix\n2. bake",
        "Steps:\n- mix;\n- bake.",
        "| a | b |\n| 1 | 2 |",
        "So «вот» и „так“ it ends.",
        "A smile :) it ends.",
        "a) mix, b) bake.",
    ],
)
def test_an_ending_that_is_whole(text: str) -> None:
    assert truncated(Turn(text), "stop") == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("It ended because", "no_closing_punctuation"),
        ("It ended,", "no_closing_punctuation"),
        ("As follows:", "no_closing_punctuation"),
        ("Steps:\n- mix;\n- bake", "no_closing_punctuation"),
        ("Steps:\n1. mix", "no_closing_punctuation"),
        ("```\ncode.", "open_code"),
        ("He said “it ended.", "open_pair"),
        ("He said «it ended.", "open_pair"),
        ("Er sagte „vorbei.", "open_pair"),
        ("他说：“结束了。", "open_pair"),
        ("See (the end.", "open_pair"),
    ],
)
def test_an_ending_that_is_cut(text: str, reason: str) -> None:
    assert _reasons(truncated(Turn(text), "stop")) == [(Gate.TRUNCATED, reason)]


def test_length_bounds_are_inclusive() -> None:
    turn = Turn("one two three four five")
    assert length(turn, TokenBounds(min=5, max=5)) == []
    assert _reasons(length(turn, TokenBounds(min=6, max=9))) == [(Gate.TOO_SHORT, "too_short")]
    assert _reasons(length(turn, TokenBounds(min=1, max=4))) == [(Gate.TOO_LONG, "too_long")]


def test_repetition_has_its_reasons_and_its_threshold() -> None:
    looped = Turn("the tea was hot and the tea was hot and the tea was hot and more")
    assert _reasons(repetition(looped, 0.3)) == [(Gate.REPETITION, "ngrams")]
    assert repetition(looped, 0.9) == []
    twice = Turn("Guests came back on every evening. It rained. Guests came back on every evening.")
    assert _reasons(repetition(twice, 1)) == [(Gate.REPETITION, "sentence")]
    assert _reasons(repetition(Turn("Why??????"), 1)) == [(Gate.REPETITION, "characters")]
    assert repetition(Turn("It costs 1000000000000 or so. Really. Really."), 0.3) == []


def test_copying_counts_long_runs_only() -> None:
    passage = " ".join(f"word{number}" for number in range(200))
    half = passage.split()[:20] + [f"own{number}" for number in range(20)]
    assert copied_passage(Turn(" ".join(half)), passage, 0.5) == []
    assert _reasons(copied_passage(Turn(" ".join(half)), passage, 0.49)) == [(Gate.COPIED, "copied")]
    scattered = " ".join(f"word{number} own{number}" for number in range(50))
    assert copied_passage(Turn(scattered), passage, 0.0) == []


def test_a_turn_is_compared_with_all_earlier_ones() -> None:
    earlier = ["Why did guests come back?", "How was the tea made in the mountain villages?"]
    assert _reasons(repeated_turn(Turn("how was the tea made, in the mountain villages?"), earlier)) == [
        (Gate.REPEATED_TURN, "repeated_turn")
    ]
    assert repeated_turn(Turn("How was the tea sold in the harbour towns?"), earlier) == []
    assert repeated_turn(Turn("..."), ["!!!"]) == []


def test_an_answer_that_gives_the_question_back_is_found_out() -> None:
    question = cases("en").earlier_question
    assert Gate.REPEATED_TURN in {finding.gate for finding in of_answer("en", question)}


@pytest.mark.parametrize("language", LANGUAGES)
def test_numbers_alone_are_short_but_in_no_wrong_language(language: str) -> None:
    assert {finding.gate for finding in of_answer(language, "1889.")} == {Gate.TOO_SHORT}


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("language", LANGUAGES)
def test_hostile_text_is_survived(language: str, text: str) -> None:
    assert of_question(language, text)
    assert of_answer(language, text)


@pytest.mark.parametrize("text", ["1. ", "1. \n", "(1) x", "①", "第一，", "a\n\n", "1" + "\n" * 1000], ids=range(7))
def test_lists_are_searched_for_in_linear_time(text: str) -> None:
    several_questions(Turn(f"x{text * (1_500_000 // len(text))}x"))  # quadratic time would be hours


@settings(max_examples=150, deadline=None)
@given(text=st.text(max_size=400), passage=st.text(max_size=400), language=st.sampled_from(LANGUAGES))
def test_any_text_gets_the_same_findings_twice(text: str, passage: str, language: str) -> None:
    rules = recipe(language)

    def findings() -> list[Finding]:
        return [
            *question_findings(text, [passage], passage, rules.text, rules.gates),
            *answer_findings(text, None, "?", [passage], passage, rules.text, rules.gates),
        ]

    first = findings()
    assert first == findings()
    assert all(len(finding.detail) <= CLIP for finding in first)
