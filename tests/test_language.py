"""The language score: decided, undecided, and the same in every process and thread."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ultralink.language import language_score

INCLUDE = Path(__file__).parents[1] / "include"
LABELS = {
    "en": ("en",),
    "fr": ("fr",),
    "es": ("es",),
    "de": ("de",),
    "ru": ("ru",),
    "zh": ("zh-cn", "zh-tw"),
    "ja": ("ja",),
    "ko": ("ko",),
}
RIGHT = [
    ("en", "Why did tea houses open beside monasteries?"),
    ("en", "How did Gabriel García Márquez influence Latin American novelists?"),
    ("en", "WHAT EXPLAINS THE DECLINE OF THE GUILD SYSTEM?"),
    ("fr", "En quoi Victor Hugo diffère-t-il d'Alexandre Dumas ?"),
    ("fr", "Pourquoi Rome est-elle tombée ?"),
    ("es", "¿Por qué era importante que cada vecino regara a su hora?"),
    ("es", "¿Cómo influyó la sequía en la vega?"),
    ("de", "Wie entstand das Brauchtum der Weihnachtsmärkte?"),
    ("ru", "Почему пал Рим?"),
    ("ru", "Почему компания Apple выпустила iPhone 15 Pro Max?"),
    ("ru", "Почему роман «The Old Man and the Sea» получил премию?"),
    ("ru", "Что такое machine learning?"),
    ("zh", "我"),
    ("zh", "为什么茶馆在成都如此重要？"),
    ("zh", "為什麼茶館在成都如此重要？"),
    ("zh", "他用 Python 和 TensorFlow 写了一个程序。"),
    ("zh", "《君の名は》为何走红？"),
    ("ja", "明治維新の原因は何か？"),
    ("ko", "한국의 전통 음식은 무엇인가?"),
]
UNDECIDABLE = [
    "",
    " \n\t",
    "12,345.67 %",
    "https://en.wikipedia.org/wiki/Tea",
    "someone@example.org",
    "😀🎉",
    "?!…",
    "```python\nprint('hello world, this is code')\n```",
    "`print(x)`",
    "<br/>",
]


@pytest.mark.parametrize(("language", "text"), RIGHT)
def test_a_text_in_its_own_language(language: str, text: str) -> None:
    score = language_score(text, LABELS[language])
    assert score is not None
    assert score >= 0.8


@pytest.mark.parametrize("text", UNDECIDABLE)
@pytest.mark.parametrize("language", LABELS)
def test_no_letters_no_verdict(language: str, text: str) -> None:
    assert language_score(text, LABELS[language]) is None


@pytest.mark.parametrize("text", ["Hola", "OK", "code", "maths", "Guernica"])
@pytest.mark.parametrize("language", ["en", "es", "fr", "de"])
def test_a_short_latin_text_is_no_evidence(language: str, text: str) -> None:
    assert language_score(text, LABELS[language]) is None


@pytest.mark.parametrize(("language", "text"), RIGHT)
def test_the_wrong_script_is_wrong_however_short(language: str, text: str) -> None:
    scripts = {"ru": "Cyrillic", "zh": "Han", "ja": "Han", "ko": "Hangul"}
    for other, labels in LABELS.items():
        if scripts.get(other) != scripts.get(language) and not any("a" <= letter <= "z" for letter in text):
            assert language_score(text, labels) == 0


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("zh", "明治維新の原因は何か？"),
        ("zh", "한국의 전통 음식은 무엇인가?"),
        ("zh", "Hi"),
        ("zh", "Why is tea so important in Chengdu, and 为什么?"),
        ("ja", "为什么茶馆在成都如此重要？它们对城市生活有什么影响？"),
        ("ru", "Чому впав Рим і що сталося потім?"),
        ("ru", "Защо падна Рим и какво се случи след това?"),
        ("es", "Como surgiram as casas de chá nas cidades do interior?"),
        ("es", "Per què els pagesos construïen sínies de fusta?"),
        ("fr", "How do tea houses shape cities?"),
        ("en", "Comment expliquer le succès du fromage ?"),
        ("de", "Waarom dronken de monniken thee in de ochtend?"),
    ],
)
def test_a_text_in_another_language(language: str, text: str) -> None:
    score = language_score(text, LABELS[language])
    assert score is not None
    assert score < 0.8


def test_a_change_of_language_half_way_is_seen() -> None:
    french = "Les moines possédaient les terres au bord de l'eau, et la mer leur offrait une énergie sûre."
    english = "They built a dam across the creek, closed the gates and waited until the sea had fallen."
    score = language_score(f"{french} {english}", LABELS["fr"])
    assert score is not None
    assert 0.2 < score < 0.8


def test_code_and_addresses_do_not_count() -> None:
    text = "Pourquoi les moines construisaient-ils des moulins ?"
    code = "```\nfor item in the_list_of_items: print(item, 'and then some more English words')\n```"
    assert language_score(f"{text}\n{code}\nhttps://example.org/why-did-the-monks", LABELS["fr"]) == language_score(
        text, LABELS["fr"]
    )


def _in_a_fresh_process(program: str, given: str = "", hash_seed: str = "random") -> str:
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=given,
        env={**os.environ, "PYTHONPATH": str(INCLUDE), "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_another_process_gives_the_same_scores() -> None:
    program = (
        "import json, sys\n"
        "from ultralink.language import language_score\n"
        "print(json.dumps([language_score(text, labels) for text, labels in json.load(sys.stdin)]))\n"
    )
    asked = [(text, labels) for _, text in RIGHT for labels in LABELS.values()]
    here = json.dumps([language_score(text, labels) for text, labels in asked])
    assert {_in_a_fresh_process(program, json.dumps(asked), seed) for seed in ("0", "4711")} == {here}


def test_langdetect_itself_is_seeded_in_a_fresh_process() -> None:
    program = (
        "import ultralink.language, langdetect\n"
        "print({str(langdetect.detect_langs('Warum fiel Rom?')) for _ in range(20)})\n"
    )
    verdicts = {_in_a_fresh_process(program) for _ in range(2)}
    assert len(verdicts) == 1
    assert verdicts.pop().count("[") == 1


def test_the_first_question_may_come_from_many_threads() -> None:
    program = (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from ultralink.language import language_score\n"
        "asked = ['Pourquoi les moines buvaient-ils du thé ?'] * 16\n"
        "with ThreadPoolExecutor(8) as pool:\n"
        "    print(set(pool.map(lambda text: language_score(text, ['fr']), asked)))\n"
    )
    assert _in_a_fresh_process(program) == "{1.0}"


def test_threads_agree() -> None:
    with ThreadPoolExecutor(4) as pool:
        scores = pool.map(lambda case: language_score(case[1], LABELS[case[0]]), RIGHT * 4)
    assert list(scores) == [language_score(text, LABELS[language]) for language, text in RIGHT] * 4


@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=300), language=st.sampled_from(sorted(LABELS)))
def test_a_score_is_a_share_or_none(text: str, language: str) -> None:
    score = language_score(text, LABELS[language])
    assert score is None or 0 <= score <= 1
