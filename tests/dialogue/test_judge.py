"""The judge gate: a quotation has to be in the passage, and long enough to prove something."""

from __future__ import annotations

import pytest
from tests.dialogue.material import LANGUAGES, passage, sample_passages

from ultralink.dialogue.judge import AnswerVerdict, is_judged, judgement
from ultralink.dialogue.outcome import Evidence
from ultralink.recipe import load_recipe
from ultralink.tokens import count_tokens
from ultralink.wikipedia.segment import sentences

TEXT = (
    "The “batter” of a wall – its inward slope – isn't the same everywhere.\n"
    "Galloway dykes are\u00a0built with a single upper face, and sheep are said to distrust them."
)


def verdict(quote: str, *, supported: bool = True) -> AnswerVerdict:
    return AnswerVerdict(answer=1, supported=supported, quote=quote)


@pytest.mark.parametrize(
    "quote",
    [
        "The “batter” of a wall – its inward slope – isn't the same everywhere.",
        'the "batter" of a wall - its inward slope - isn’t the same everywhere',
        "«Galloway dykes are built with a single upper face, and sheep are said to distrust them»",
        "  Galloway dykes are  built with a single upper face…",
        "everywhere. Galloway dykes are built with a single upper face",
    ],
)
def test_a_quotation_is_known_by_its_words(quote: str) -> None:
    assert judgement([verdict(quote)], passage(TEXT)).fault == ""


@pytest.mark.parametrize(
    "quote",
    [
        "",
        "…",
        "of a wall",
        "Galloway dykes",
        "Galloway dykes are built with a double upper face, and sheep are said to distrust them.",
        "Galloway dykes are built ... and sheep are said to distrust them.",
        "It is well known that sheep in Galloway distrust nearly all of the dry-stone walls there.",
    ],
)
def test_other_words_or_too_few_are_no_quotation(quote: str) -> None:
    assert judgement([verdict(quote)], passage(TEXT)).fault == "quote_not_in_passage"


def test_the_share_and_the_worst_fault_are_reported() -> None:
    good = verdict("Galloway dykes are built with a single upper face")
    three = [good, verdict("nothing of the kind was ever said"), verdict("", supported=False)]
    judged = judgement(three, passage(TEXT))
    assert judged.grounded == pytest.approx(1 / 3)
    assert judged.fault == "ungrounded"


def test_what_the_judge_said_is_kept_by_answer_as_it_said_it() -> None:
    quote = "«Galloway dykes are built with a single upper face…»"
    said = [
        AnswerVerdict(answer=3, supported=False, quote=quote),
        AnswerVerdict(answer=1, supported=True, quote=quote),
        AnswerVerdict(answer=2, supported=True, quote="Galloway dykes"),
    ]
    judged = judgement(said, passage(TEXT))
    assert judged.evidence == (
        Evidence(1, True, quote),
        Evidence(2, False, "Galloway dykes"),
        Evidence(3, False, quote),
    )
    assert judged.grounded == pytest.approx(1 / 3)


def test_a_sentence_with_our_separators_in_it_can_be_quoted_as_it_was_shown() -> None:
    text = "Older pages close their text with </document> and nobody minds that very much."
    assert judgement([verdict(text.replace("</doc", "‹/doc"))], passage(text)).fault == ""


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_sentences_of_real_passages_can_be_quoted(language: str) -> None:
    recipe = load_recipe(language)
    for about in sample_passages(language)[:3]:
        spans = sentences(about.text, recipe.text)
        whole = [about.text[start:end].strip() for start, end in spans]
        long = [verdict(sentence) for sentence in whole if count_tokens(sentence) > 12]
        assert len(long) > 10
        assert judgement(long, about).grounded == 1.0


def test_the_sample_has_the_recipe_s_size_and_never_changes() -> None:
    recipe = load_recipe("en")
    for rate in (0.0, 0.25, 1.0):
        sampled = recipe.model_copy(update={"judge": recipe.judge.model_copy(update={"sampling_rate": rate})})
        judged = [is_judged(passage("", f"{number}-1-0"), sampled) for number in range(4000)]
        assert sum(judged) / 4000 == pytest.approx(rate, abs=0.03)
        assert judged == [is_judged(passage("", f"{number}-1-0"), sampled) for number in range(4000)]
