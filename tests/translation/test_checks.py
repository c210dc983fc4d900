"""Each check finds what it is for, and sound translations pass all of them."""
# ruff: noqa: E501  # texts are easier to compare on one line

from __future__ import annotations

import re
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.translation.parallel import LANGUAGES, PARALLEL, Parallel, masked_as, prepared

from ultralink.pool.row import Kind
from ultralink.recipe import Recipe, TextRules, Translation, load_recipe
from ultralink.translation.checks import Check, Fault, verify
from ultralink.translation.masks import mask

CHAT, MATH, CODE = Kind.CHAT, Kind.MATH, Kind.CODE
ANSWERED = {
    "zh": "生酮饮食很好。首先请检查您的酵种是否活跃，然后把面团放在更温暖的地方，发酵3个小时，温度保持在21°C以上。",
    "ru": "Проверьте, активна ли ваша закваска, и держите тесто в тепле: 3 часа при 21 °C — это мало.",
    "fr": "Vérifiez que votre levain est actif et gardez la pâte au chaud\u00a0: 3 heures à 21\u00a0°C, c'est peu.",
    "es": "Comprueba que tu masa madre está activa y mantén la masa caliente: 3 horas a 21 °C es poco.",
}
PREFACES = {
    "zh": ["以下是翻译：", "译文：", "好的，以下是中文翻译："],
    "ru": ["Вот перевод текста:", "Перевод:", "Перевод на русский язык:"],
    "fr": ["Voici la traduction\u00a0:", "Traduction :", "Voici la version française du texte\u00a0:"],
    "es": ["Aquí tienes la traducción:", "Traducción:", "Esta es la traducción al español:"],
}
NOTES = {
    "zh": ["注：名字已按惯例翻译。", "（译者注：单位未换算。）", "备注：我保留了数字。"],
    "ru": [
        "Примечание: имена переведены по традиции.",
        "(Прим. перев.: единицы не изменены.)",
        "Примечание переводчика: ок.",
    ],
    "fr": ["Note\u00a0: les noms sont adaptés.", "(NdT : les unités sont gardées.)", "Remarque : rien n'est changé."],
    "es": [
        "Nota: los nombres se han adaptado.",
        "(Nota del traductor: las unidades no cambian.)",
        "N. del T.: sin cambios.",
    ],
}
OPENINGS = {
    "zh": "好的，没问题。",
    "ru": "Конечно, с удовольствием помогу.",
    "fr": "Bien sûr, je vais vous aider.",
    "es": "¡Claro! Con mucho gusto te ayudo.",
}
REFUSALS = {
    "zh": "抱歉，作为一个人工智能语言模型，我无法回答这个问题。您怎么看？",
    "ru": "Извините, но как языковая модель я не могу ответить на этот вопрос. Что ещё?",
    "fr": "Désolé, mais en tant que modèle de langage, je ne peux pas répondre à cette question. Autre chose\u202f?",
    "es": "Lo siento, como modelo de lenguaje no puedo responder a esta pregunta. ¿Algo más?",
}


@cache
def recipe(language: str) -> Recipe:
    return load_recipe(language)


def rules(language: str) -> tuple[Translation, TextRules]:
    found = recipe(language)
    assert found.translation is not None
    return found.translation, found.text


def faults(language: str, kind: Kind, english: str, translated: str) -> list[Fault]:
    """Of a translation in which what was masked stands as it is."""
    source = mask(english)
    return verify(kind, [source], [masked_as(source, translated)], *rules(language))


def found(language: str, kind: Kind, english: str, translated: str) -> set[tuple[Check, str]]:
    """Check and reason of each fault of a masked translation."""
    return {(fault.check, fault.reason) for fault in verify(kind, [mask(english)], [translated], *rules(language))}


# --- sound translations -----------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("pair", PARALLEL, ids=lambda pair: pair.english[:30])
def test_a_sound_translation_passes(language: str, pair: Parallel) -> None:
    assert faults(language, pair.kind, pair.english, pair.translations[language]) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_conversation_passes_and_its_faults_name_the_text(language: str) -> None:
    pairs = prepared(language, [CHAT])
    sources, translated = [source for _, source, _ in pairs], [text for _, _, text in pairs]
    assert verify(CHAT, sources, translated, *rules(language)) == []
    (fault,) = verify(CHAT, sources, [*translated[:2], " ", translated[3]], *rules(language))
    assert (fault.check, fault.detail) == (Check.EMPTY, "text 3: ")


@pytest.mark.parametrize(
    ("labels", "english", "translated"),
    [
        # right to left, with marks of direction, Arabic digits and question mark
        (["ar"], "How many of the 1,250 books cost 3.5 dollars?", "\u200fكم من الكتب الـ١٬٢٥٠ يكلف ٣٫٥ دولار؟\u200f"),
        (["ar"], "Sure, take 5 of them.", "\u202bبالتأكيد، خذ ٥ منها.\u202c"),
        (["he"], "Which of the 12 doors stays open at night?", "איזו מ-\u200f12\u200f הדלתות נשארת פתוחה בלילה?"),
        (["el"], "Which of the 12 doors stays open at night?", "Ποια από τις 12 πόρτες μένει ανοιχτή τη νύχτα\u037e"),
        # full-width digits and punctuation
        (["zh-cn"], "Is it 3.5% or (12) of 100?", "是３．５％，还是１００中的（１２）？"),
        (["ja"], "Which of the 12 doors stays open at night?", "１２枚のドアのうち、夜に開いているのはどれですか？"),
        # French spacing, guillemets
        (
            ["fr"],
            'Why "no"? Count: 5; then stop!',
            "Pourquoi «\u00a0non\u00a0»\u202f? Comptez\u00a0: 5\u202f; puis stop\u202f!",
        ),
        (["ru"], 'Why "no"? Count: 5; then stop!', "Почему «нет»? Считайте: 5; потом „стоп“!"),
    ],
)
def test_the_typography_of_a_language_is_no_fault(labels: list[str], english: str, translated: str) -> None:
    translation, text = rules("zh" if labels[0] in ("zh-cn", "ja") else "fr")
    text = text.model_copy(update={"detector_labels": labels})
    assert verify(CHAT, [mask(english)], [translated], translation, text) == []


@pytest.mark.parametrize(
    ("language", "english", "translated"),
    [
        # names and quoted terms are no remainder
        ("ru", "The film was shown at the New York City Film Festival in May.", "В мае фильм показали на New York City Film Festival."),
        ("zh", 'It is called "the law of large numbers" there.', "那里称之为“大数定律”（the law of large numbers）。"),
        ("fr", 'Over there, everybody in the office calls it "the law of large numbers" and laughs.', "Là-bas, tout le monde au bureau appelle cela «\u00a0the law of large numbers\u00a0» et en rit."),
        # the source's own chatter
        ("fr", "Of course, it depends on the weather of the day.", "Bien sûr, cela dépend du temps qu'il fait ce jour-là."),
        ("ru", "Sorry, I can't come on Sunday. Is Monday fine for you?", "Извините, я не могу прийти в воскресенье. Понедельник вам подходит?"),
        ("es", "Translation: the process by which a ribosome builds a protein.", "Traducción: el proceso por el que un ribosoma construye una proteína."),
        ("zh", "Note: keep it dry. Note that water spoils it.", "注意：保持干燥。注意，水会损坏它。"),
        # a source that repeats itself
        ("es", "no, no, no, no, no, no, no, no, no, no, no, no, no", "que no, que no, que no, que no, que no, que no, que no, que no"),
        # undecidable language
        ("es", "OK", "OK"),
        ("fr", "12 + 5 = 17", "12 + 5 = 17"),
    ],
)  # fmt: skip
def test_what_the_source_has_itself_is_no_fault(language: str, english: str, translated: str) -> None:
    assert faults(language, CHAT, english, translated) == []


# --- what must survive ------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("blank", ["", " \n", "⟦1⟧ … 。"])
def test_an_empty_translation_is_found(language: str, blank: str) -> None:
    reasons = found(language, CODE, "Write a function `f` that returns the mean of a list.", blank)
    assert {check for check, _ in reasons} == {Check.EMPTY}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("texts", [0, 1, 3])
def test_a_wrong_number_of_texts_is_found(language: str, texts: int) -> None:
    (fault,) = verify(CHAT, [mask("Hi"), mask("Hello")], ["Ok"] * texts, *rules(language))
    assert fault == Fault(Check.COUNT, "wrong_number_of_texts", f"{texts} texts for 2")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_dropped_or_doubled_placeholder_is_found(language: str) -> None:
    for kind, source, translated in prepared(language):
        for number in range(1, len(source.spans) + 1):
            sign = f"⟦{number}⟧"
            for broken, reason in (
                (translated.replace(sign, ""), "dropped"),
                (translated.replace(sign, sign + sign), "doubled"),
                (translated.replace(sign, f"[{number}]"), "mangled"),
            ):
                faults = verify(kind, [source], [broken], *rules(language))
                assert (Check.PLACEHOLDERS, reason) in {(fault.check, fault.reason) for fault in faults}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_changed_number_is_found(language: str) -> None:
    for kind, source, translated in prepared(language):
        for number in re.finditer(r"(?<![⟦\d.,\u202f\u00a0 −-])\d+(?![⟧\d.,月])", translated):
            for changed in (str(int(number.group()) + 77), ""):
                broken = translated[: number.start()] + changed + translated[number.end() :]
                faults = verify(kind, [source], [broken], *rules(language))
                assert Check.NUMBERS in {fault.check for fault in faults}, broken


@pytest.mark.parametrize("language", LANGUAGES)
def test_in_mathematics_an_added_number_is_found_and_in_a_chat_a_word_of_the_source_allows_it(language: str) -> None:
    pair = next(pair for pair in PARALLEL if "12 notebooks" in pair.english)
    translated = pair.translations[language] + " (3) (3)"  # three pens
    assert [fault.reason for fault in faults(language, MATH, pair.english, translated)] == ["added"]
    assert faults(language, CHAT, pair.english, translated) == []
    for invented in (" (5)", " (55)"):
        translated = pair.translations[language] + invented
        assert [fault.reason for fault in faults(language, CHAT, pair.english, translated)] == ["added"]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("changed", ["12 - 2", "12 = 2"])
def test_a_changed_operator_is_found_in_mathematics_only(language: str, changed: str) -> None:
    pair = next(pair for pair in PARALLEL if "12 notebooks" in pair.english)
    english, translated = f"{pair.english} (12 * 2)", f"{pair.translations[language]} ({changed})"
    assert [fault.check for fault in faults(language, MATH, english, translated)] == [Check.OPERATORS]
    assert faults(language, CHAT, english, translated) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_code_is_byte_identical(language: str) -> None:
    ((kind, source, translated),) = [
        item for item in prepared(language, [CODE]) if any("```" in span.text for span in item[1].spans)
    ]
    assert verify(kind, [source], [translated], *rules(language)) == []
    added = translated + "\n\n```python\nprint(0)\n```"
    assert (Check.CODE, "number_of_blocks") in {
        (fault.check, fault.reason) for fault in verify(kind, [source], [added], *rules(language))
    }
    fence = next(number for number, span in enumerate(source.spans, 1) if "```" in span.text)
    block = source.spans[fence - 1].text
    for changed, reason in (
        (block.replace("values", "valores"), "block_changed"),
        (block.replace("return sum", "devolver sum"), "python_broken"),
    ):
        broken = translated.replace(f"⟦{fence}⟧", changed)
        reasons = {(fault.check, fault.reason) for fault in verify(kind, [source], [broken], *rules(language))}
        assert (Check.CODE, reason) in reasons
        assert (Check.PLACEHOLDERS, "dropped") in reasons


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_final_answer_is_the_same_and_machine_readable(language: str) -> None:
    pair = next(pair for pair in PARALLEL if "The answer is" in pair.english)
    translated, phrase = pair.translations[language], rules(language)[0].answer_phrase.rstrip(":： ")
    head, _, tail = translated.rpartition("3")
    changed = faults(language, MATH, pair.english, f"{head}4{tail}")
    assert (Check.ANSWER, "changed") in {(fault.check, fault.reason) for fault in changed}
    # without the phrase, and without a box to fall back on
    english, unsaid = (text.replace("$\\boxed{3}$", "it") for text in (pair.english, translated))
    lost = faults(language, MATH, english, "".join(unsaid.rsplit(phrase, 1)))
    assert (Check.ANSWER, "missing") in {(fault.check, fault.reason) for fault in lost}


# --- the language -----------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_another_language_is_found(language: str) -> None:
    for kind, source, _ in prepared(language):
        if len(source.text) < 60:
            continue
        for other in {*LANGUAGES} - {language}:
            pair = next(pair for pair in PARALLEL if mask(pair.english) == source)
            broken = masked_as(source, pair.translations[other])
            faults = verify(kind, [source], [broken], *rules(language))
            assert Check.LANGUAGE in {fault.check for fault in faults}, broken


@pytest.mark.parametrize("language", LANGUAGES)
def test_english_that_was_left_is_found(language: str) -> None:
    for kind, source, _ in prepared(language):
        if len(source.text) > 30:
            checks = {fault.check for fault in verify(kind, [source], [source.text], *rules(language))}
            assert {Check.UNTRANSLATED, Check.LANGUAGE} <= checks


@pytest.mark.parametrize("language", LANGUAGES)
def test_one_sentence_that_was_left_in_a_long_text_is_found(language: str) -> None:
    left = "Put the dough into a warm place and do not open the window while it rests."
    texts = [pair for pair in PARALLEL if pair.kind is CHAT and len(pair.english) > 60]
    english = "\n\n".join([left, *(pair.english for pair in texts)])
    translated = "\n\n".join([left, *(pair.translations[language] for pair in texts)])
    assert Check.UNTRANSLATED in {fault.check for fault in faults(language, CHAT, english, translated)}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_translation_that_leaves_half_out_is_found(language: str) -> None:
    texts = [pair for pair in PARALLEL if pair.kind is CHAT and len(pair.english) > 60]
    english = "\n\n".join(pair.english for pair in texts)
    begun = texts[0].translations[language][:40]
    assert Check.LENGTH_RATIO in {fault.check for fault in faults(language, CHAT, english, begun)}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_translation_that_goes_on_and_on_is_an_answer(language: str) -> None:
    english = "Write a story about a lighthouse."
    story = " ".join(text for pair in PARALLEL for text in [pair.translations[language]] if pair.kind is CHAT) * 3
    assert (Check.OBEYED, "far_too_long") in found(language, CHAT, english, story)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_loop_is_found(language: str) -> None:
    for kind, source, translated in prepared(language):
        if len(translated) > 60:
            looped = f"{translated} {translated}"
            checks = {fault.check for fault in verify(kind, [source], [looped], *rules(language))}
            assert Check.REPETITION in checks


# --- obedience and chatter --------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_answer_in_place_of_a_question_is_found(language: str) -> None:
    assert (Check.OBEYED, "question_lost") in found(language, CHAT, PARALLEL[0].english, ANSWERED[language])


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_obeying_opening_is_found(language: str) -> None:
    english = "I need a plan for my vegetable garden in the shade behind our house."
    sound = {
        "zh": "我需要为我们屋后背阴处的菜园制定一个计划。",
        "ru": "Мне нужен план для огорода в тени за нашим домом.",
        "fr": "J'ai besoin d'un plan pour mon potager à l'ombre derrière notre maison.",
        "es": "Necesito un plan para mi huerto a la sombra detrás de nuestra casa.",
    }[language]
    assert found(language, CHAT, english, sound) == set()
    assert (Check.OBEYED, "opening") in found(language, CHAT, english, f"{OPENINGS[language]} {sound}")
    assert (Check.OBEYED, "opening") in found(language, CHAT, english, f"Sure, here you go: {sound}")
    assert found(language, CHAT, f"Sure. {english}", f"{OPENINGS[language]} {sound}") == set()


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_refusal_is_found(language: str) -> None:
    english = PARALLEL[0].english
    assert (Check.OBEYED, "refusal") in found(language, CHAT, english, REFUSALS[language])
    english_refusal = "I'm sorry, but I can't assist with that request. Anything else?"
    assert (Check.OBEYED, "refusal") in found(language, CHAT, english, english_refusal)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("pair", PARALLEL[:1] + PARALLEL[2:], ids=lambda pair: pair.english[:30])
def test_a_preface_and_a_note_are_found(language: str, pair: Parallel) -> None:
    translated = pair.translations[language]
    for preface in (*PREFACES[language], "Here is the translation:", "Translation:", "**Translated text:**"):
        for joint in ("\n\n", " "):
            reasons = {
                (fault.check, fault.reason)
                for fault in faults(language, pair.kind, pair.english, preface + joint + translated)
            }
            assert (Check.NOTE, "preface") in reasons, preface
    for note in (*NOTES[language], "Note: I kept the names.", "(Translator's note: units were kept.)"):
        reasons = {
            (fault.check, fault.reason)
            for fault in faults(language, pair.kind, pair.english, f"{translated}\n\n{note}")
        }
        assert (Check.NOTE, "note") in reasons, note


@pytest.mark.parametrize("tag", ["<text 1>", "</text 1>", "<text>", "<\\text>"])
def test_the_delimiters_of_the_request_are_found(tag: str) -> None:
    pair = PARALLEL[0]
    for language in LANGUAGES:
        source = mask(pair.english)
        reasons = {
            (fault.check, fault.reason)
            for fault in verify(CHAT, [source], [f"{tag}\n{pair.translations[language]}"], *rules(language))
        }
        assert (Check.NOTE, "delimiter") in reasons


def test_questions_are_counted() -> None:
    english = "Why is it flat? Is it the flour? Is it the heat? Or is it the water that I use?"
    sound = "Pourquoi est-il plat\u202f? Est-ce la farine\u202f? Est-ce la chaleur\u202f? Ou bien l'eau que j'utilise\u202f?"
    assert found("fr", CHAT, english, sound) == set()
    fewer = "Pourquoi est-il plat\u202f? C'est la farine. C'est la chaleur. Ou bien l'eau que j'utilise."
    assert found("fr", CHAT, english, fewer) == {(Check.QUESTIONS, "lost")}
    more = "C'est plat. La farine, peut-être\u202f? La chaleur\u202f? L'eau\u202f? Et puis quoi encore\u202f?"
    assert found("fr", CHAT, "It is flat. Maybe the flour, the heat, the water, and more.", more) == {
        (Check.QUESTIONS, "added")
    }


# --- anything may come back -------------------------------------------------------------------


@given(st.text(max_size=200), st.text(max_size=200), st.sampled_from(LANGUAGES), st.sampled_from(list(Kind)))
def test_no_text_is_an_error_and_details_stay_short(english: str, translated: str, language: str, kind: Kind) -> None:
    for fault in verify(kind, [mask(english)], [translated], *rules(language)):
        assert len(fault.detail) <= 80
        assert "\n" not in fault.detail


@pytest.mark.parametrize(
    "piece",
    [
        "a ",
        "Note: ",
        "(",
        "«",
        '"',
        "*",
        "⟦1⟧",
        "[1]",
        "?",
        "1,1 ",
        "the answer is ",
        "```\n",
        "- \n",
        "\n\n",
        "Ответ: ",
        "好",
    ],
)
def test_a_long_hostile_text_is_checked_in_linear_time(piece: str) -> None:
    text = piece * (100_000 // len(piece))  # were the time quadratic, this would take minutes
    source = mask("Write `f`, please. What is 3 + 4?\nThe answer is: 7 apples")
    for language in LANGUAGES:
        assert verify(MATH, [source], [text], *rules(language))
    verify(MATH, [mask(text)], [text], *rules("zh"))
