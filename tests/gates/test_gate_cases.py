"""Every gate in every language: what it must find, and what no gate may object to."""

from collections.abc import Iterator

import pytest
from tests.gates.cases import ANY_LENGTH, LANGUAGES, Cases, cases, of_answer, of_question

from ultralink.gates import Gate

QUESTION_GATES = set(Gate) - {Gate.REFUSAL, Gate.TRUNCATED}
ANSWER_GATES = set(Gate) - {Gate.SEVERAL_QUESTIONS, Gate.NOT_A_QUESTION, Gate.DANGLING, Gate.TOO_LONG}


def _bad(part: str) -> Iterator[object]:
    for language in LANGUAGES:
        for gate, texts in _faulty(cases(language), part).items():
            for text in texts:
                yield pytest.param(language, gate, text, id=f"{language}-{gate}-{text[:40]}")


def _faulty(known: Cases, part: str) -> dict[Gate, list[str]]:
    return known.questions if part == "questions" else known.answers


def _fine(part: str) -> Iterator[object]:
    for language in LANGUAGES:
        for text in cases(language).fine_questions if part == "questions" else cases(language).fine_answers:
            yield pytest.param(language, text, id=f"{language}-{text[:40]}")


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_cases_cover_every_gate(language: str) -> None:
    assert set(cases(language).questions) == QUESTION_GATES
    assert set(cases(language).answers) == ANSWER_GATES


@pytest.mark.parametrize(("language", "gate", "text"), _bad("questions"))
def test_a_faulty_question_is_found_out(language: str, gate: Gate, text: str) -> None:
    assert gate in {finding.gate for finding in of_question(language, text)}


@pytest.mark.parametrize(("language", "gate", "text"), _bad("answers"))
def test_a_faulty_answer_is_found_out(language: str, gate: Gate, text: str) -> None:
    assert gate in {finding.gate for finding in of_answer(language, text)}


@pytest.mark.parametrize(("language", "text"), _fine("questions"))
def test_a_tricky_but_fine_question_passes(language: str, text: str) -> None:
    assert of_question(language, text, ANY_LENGTH) == []


@pytest.mark.parametrize(("language", "text"), _fine("answers"))
def test_a_tricky_but_fine_answer_passes(language: str, text: str) -> None:
    assert of_answer(language, text, ANY_LENGTH) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_clean_exchanges_pass_under_the_recipe(language: str) -> None:
    pairs = cases(language).pairs
    assert len(pairs) >= 15
    assert {pair.q: of_question(language, pair.q) for pair in pairs if of_question(language, pair.q)} == {}
    assert {pair.a: of_answer(language, pair.a) for pair in pairs if of_answer(language, pair.a)} == {}
