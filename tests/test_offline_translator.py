"""The offline teacher as translator: human translations by content, and misdeeds that the checks must catch."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.dialogue.material import Judged

from ultralink.dialogue.door import Value
from ultralink.errors import RecipeError
from ultralink.language import language_score
from ultralink.offline_teacher import translating
from ultralink.offline_teacher.misdeeds import Misdeed, Misdeeds, phrases_of, spoilt
from ultralink.offline_teacher.reading import PromptShelf, TranslationTask
from ultralink.offline_teacher.translating import Phrasebook, human_texts, masked_like, phrasebook
from ultralink.pool.row import EnglishRow
from ultralink.prompts import PROMPTS, Pair, TranslationPrompts, TranslationStep, load_prompts
from ultralink.recipe import Recipe, Translation, load_recipe
from ultralink.teacher.request import Message
from ultralink.translation.back import Faithfulness
from ultralink.translation.masks import mask
from ultralink.translation.program import NotTranslated, Translated, translate
from ultralink.translation.texts import Part, Texts

LANGUAGES = ["zh", "ru", "fr", "es"]
FILES = ["chats_sharegpt", "chats_ultrachat", "math_metamath", "code_oss_instruct", "code_evol_instruct"]
GOOD = Misdeeds()
SHELF = PromptShelf([PROMPTS])


@dataclass
class Ask:
    """The offline teacher in this process; it notes which of its answers are not as they should be."""

    misdeeds: Misdeeds
    spoilt: int = 0
    steps: Counter[str] = field(default_factory=Counter)

    async def structured(
        self, step: str, messages: Sequence[Message], schema: type[Value], *, attempt: int = 0
    ) -> Judged[Value]:
        task = SHELF.understand(messages)
        assert isinstance(task, TranslationTask)
        assert task.step == step
        self.steps[step] += 1
        said = translating.translate(task, self.misdeeds).model_dump_json()
        self.spoilt += said != translating.translate(task, GOOD).model_dump_json()
        return Judged(schema.model_validate_json(said))

    async def __call__(self, step: str, messages: Sequence[Message], *, attempt: int = 0) -> Judged[Value]:
        raise AssertionError("a translation is a structured answer")


def rules(recipe: Recipe) -> Translation:
    assert recipe.translation is not None
    return recipe.translation


@cache
def prompts(language: str) -> TranslationPrompts:
    book = load_prompts(language).translation
    assert book is not None
    return book


@cache
def known_rows(language: str) -> list[tuple[EnglishRow, list[str]]]:
    """The bundled rows that a human has translated, with what was written."""
    return [
        (row, texts[row.row])
        for name in FILES
        for texts in [human_texts(language, name)]
        for row in translating.english_rows(name)
        if row.row in texts
    ]


def plain(text: str) -> str:
    """``text`` with all blanks alike: the recipe may put its answer phrase with others than the translator."""
    return re.sub(r"[^\S\n]", " ", text)


def translated(
    row: EnglishRow, language: str, misdeeds: Misdeeds = GOOD, recipe: Recipe | None = None
) -> tuple[Translated | NotTranslated, Ask]:
    ask = Ask(misdeeds)
    program = translate(row, ask, prompts(language), recipe or load_recipe(language))
    return asyncio.run(program), ask


# --- what it knows ----------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_all_rows_of_all_files_that_are_worth_it_are_translated(language: str) -> None:
    counts = {name: len(human_texts(language, name)) for name in FILES}
    assert counts == dict(zip(FILES, (18, 12, 43, 21, 21), strict=True))


@pytest.mark.parametrize("language", LANGUAGES)
def test_human_translations_pass_every_check_and_come_out_as_they_were_written(language: str) -> None:
    failed = []
    for row, texts in known_rows(language):
        outcome, _ = translated(row, language)
        if not isinstance(outcome, Translated):
            failed.append((row.source, row.row, outcome.check, outcome.reason, outcome.detail))
        elif [plain(message.content) for message in outcome.messages] != [plain(text) for text in texts]:
            failed.append((row.source, row.row, "differs", "", ""))
    assert not failed


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_text_that_nobody_translated_stays_english_and_is_turned_down(language: str) -> None:
    numbers = human_texts(language, "chats_sharegpt")
    strangers = [row for row in translating.english_rows("chats_sharegpt") if row.row not in numbers]
    assert len(strangers) == 10
    for row in strangers:
        outcome, ask = translated(row, language)
        assert isinstance(outcome, NotTranslated)
        assert outcome.check in {"language", "untranslated"}
        assert outcome.attempts == 1 + rules(load_recipe(language)).new_attempts == ask.steps["translate.chat"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_back_and_judge_know_the_human_translations(language: str) -> None:
    recipe = load_recipe(language)
    looks = rules(recipe).back_translation.model_copy(update={"sampling_rate": 1.0})
    sampled = rules(recipe).model_copy(update={"back_translation": looks, "judge_rate": 1.0})
    for row, _ in known_rows(language)[::10]:
        outcome, ask = translated(row, language, recipe=recipe.model_copy(update={"translation": sampled}))
        assert isinstance(outcome, Translated)
        assert outcome.scores["faithful"] == 1
        assert outcome.scores["chrf"] == pytest.approx(100)
        assert ask.steps[TranslationStep.BACK] >= 1
        assert ask.steps[TranslationStep.JUDGE] == 1


def test_the_judge_finds_another_translation_unfaithful_and_quotes_it() -> None:
    book = phrasebook("zh")
    source, (translation, *_) = next(iter(book.there.items()))
    pairs = [Pair(source, translation), Pair(source, translation + "完")]
    for shown, faithful in ((pairs[:1], True), (pairs, False)):
        task = SHELF.understand(prompts("zh").judge_messages(shown))
        assert isinstance(task, TranslationTask)
        verdict = translating.translate(task, GOOD)
        assert isinstance(verdict, Faithfulness)
        assert verdict.faithful is faithful
        assert (verdict.quote == "") is faithful
        assert verdict.quote in pairs[-1].translation


def test_a_language_without_a_recipe_has_an_empty_book() -> None:
    assert phrasebook("de") == Phrasebook()


@given(
    st.lists(st.sampled_from(["`a`", "`b`", "$x$", "{name}", "a/b.txt", "слово ", "\n", "词", " word "]), max_size=12)
)
def test_placeholders_are_put_where_the_pieces_stand(pieces: list[str]) -> None:
    part = Part("user", mask("Use `a` and `b` in a/b.txt for $x$, {name} and `a`."), (), ())
    text = "".join(pieces)
    masked = masked_like(part, text)
    assert part.masked.restore(masked) == text
    for piece, most in {"`a`": 2, "`b`": 1, "$x$": 1, "{name}": 1}.items():
        assert masked.count(piece) >= max(0, text.count(piece) - most)


# --- misdeeds ---------------------------------------------------------------------------------

CAUGHT_BY = {
    Misdeed.DROP_PLACEHOLDER: {"placeholders"},
    Misdeed.DOUBLE_PLACEHOLDER: {"placeholders"},
    Misdeed.TOUCH_PLACEHOLDER: {"placeholders"},
    Misdeed.CHANGE_NUMBER: {"numbers"},
    Misdeed.ANSWER_QUESTION: {"obeyed", "numbers", "placeholders", "length_ratio"},
    Misdeed.WRONG_LANGUAGE: {"language"},
    Misdeed.CHATTY_PREFACE: {"note", "obeyed"},
}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("misdeed", Misdeed)
def test_every_misdeed_is_caught_by_its_check_and_nothing_else_is_turned_down(language: str, misdeed: Misdeed) -> None:
    checks: Counter[str] = Counter()
    for row, _ in known_rows(language)[::2]:
        outcome, ask = translated(row, language, Misdeeds({misdeed: 1.0}))
        assert isinstance(outcome, NotTranslated) is bool(ask.spoilt), (row.source, row.row)
        if isinstance(outcome, NotTranslated):
            checks[outcome.check] += 1
    assert checks.keys() <= CAUGHT_BY[misdeed]
    assert checks.total() >= 15


def test_a_misdeed_is_mostly_put_right_when_its_share_is_small() -> None:
    outcomes = [translated(row, "zh", Misdeeds({Misdeed.CHATTY_PREFACE: 0.3})) for row, _ in known_rows("zh")]
    assert sum(ask.spoilt for _, ask in outcomes) > 15
    assert sum(isinstance(outcome, NotTranslated) for outcome, _ in outcomes) < 0.1 * len(outcomes)


def test_misdeeds_are_drawn_by_content_with_their_shares() -> None:
    misdeeds = Misdeeds({Misdeed.CHANGE_NUMBER: 0.1, Misdeed.WRONG_LANGUAGE: 0.3}, seed=3)
    drawn = [misdeeds.draw(str(number)) for number in range(10_000)]
    assert drawn == [misdeeds.draw(str(number)) for number in range(10_000)]
    shares = Counter(drawn)
    assert shares[Misdeed.CHANGE_NUMBER] / 10_000 == pytest.approx(0.1, abs=0.015)
    assert shares[Misdeed.WRONG_LANGUAGE] / 10_000 == pytest.approx(0.3, abs=0.02)
    assert shares[None] / 10_000 == pytest.approx(0.6, abs=0.02)
    assert drawn != [Misdeeds(misdeeds.shares, seed=4).draw(str(number)) for number in range(10_000)]


@pytest.mark.parametrize(
    ("misdeed", "before", "after"),
    [
        (Misdeed.DROP_PLACEHOLDER, "打开⟦1⟧和⟦2⟧。", "打开和⟦2⟧。"),
        (Misdeed.DOUBLE_PLACEHOLDER, "打开⟦1⟧。", "打开⟦1⟧ ⟦1⟧。"),
        (Misdeed.TOUCH_PLACEHOLDER, "打开⟦12⟧。", "打开[12]。"),
        (Misdeed.CHANGE_NUMBER, "⟦1⟧有35页。", "⟦1⟧有42页。"),
        (Misdeed.ANSWER_QUESTION, "为什么？", phrases_of("zh").reply),
        (Misdeed.CHATTY_PREFACE, "好。", f"{phrases_of('zh').preface}\n\n好。"),
        (Misdeed.WRONG_LANGUAGE, "好。", "Хорошо."),
    ],
)
def test_the_first_text_that_can_be_spoilt_is(misdeed: Misdeed, before: str, after: str) -> None:
    assert spoilt(misdeed, [before, before], ["Хорошо."] * 2, "zh") == [after, before]
    if misdeed not in {Misdeed.WRONG_LANGUAGE, Misdeed.CHATTY_PREFACE}:
        assert spoilt(misdeed, ["好。", before], ["", ""], "zh") == ["好。", after]
        assert spoilt(misdeed, ["好。"], [""], "zh") == ["好。"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_phrases_of_misdeeds_are_in_their_language(language: str) -> None:
    score = language_score(phrases_of(language).reply, load_recipe(language).text.detector_labels)
    assert score is not None
    assert score > 0.8
    assert phrases_of("xx") not in [phrases_of(each) for each in LANGUAGES]


def test_texts_come_in_the_order_that_was_asked() -> None:
    row, texts = next(each for each in known_rows("ru") if len(each[1]) >= 4)
    asked = [mask(message.content).text for message in row.messages]
    messages = prompts("ru").messages(row.kind, asked[::-1])
    task = SHELF.understand(messages)
    assert isinstance(task, TranslationTask)
    answer = translating.translate(task, GOOD)
    assert isinstance(answer, Texts)
    restored = [
        mask(message.content).restore(text) for message, text in zip(row.messages, answer.texts[::-1], strict=True)
    ]
    assert restored == texts


@pytest.mark.parametrize("line", ['{"row": 1}', "{", '{"row": "one", "messages": []}'])
def test_a_broken_file_of_translations_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: str) -> None:
    file = tmp_path / "translations" / "zh" / "chats_sharegpt.jsonl"
    file.parent.mkdir(parents=True)
    file.write_text('{"row": 1, "messages": []}\n' + line, encoding="utf-8")
    monkeypatch.setattr(translating, "SAMPLES", tmp_path)
    with pytest.raises(RecipeError) as caught:
        human_texts("zh", "chats_sharegpt")
    assert f"{file}, line 2" in str(caught.value)
