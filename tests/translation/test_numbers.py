"""Numbers are found again however they are written, and a number that is lost, added or changed is found."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ultralink.translation.numbers import missing_numbers

KEPT = [
    # thousands and decimals of every convention
    ("It cost 1,250.5 in all.", "Всего это стоило 1 250,5."),
    ("It cost 1,250.5 in all.", "Costó 1.250,5 en total."),
    ("It cost 1,250.5 in all.", "Cela a coûté 1\u202f250,5 en tout."),
    ("It cost 1,250.5 in all.", "Cela a coûté 1\u00a0250,5 en tout."),
    ("It cost 1,250.5 in all.", "Es kostete 1’250.5."),
    ("$1,250.00 a month", "每月1250美元"),
    ("1,250 people", "１，２５０人"),
    ("12,000,000 people", "12 000 000 человек"),
    ("3.50 euros", "3,5 euros"),
    (".5 litres", "0,5 litro"),
    ("a mean of 1.250", "une moyenne de 1,250"),
    # scripts
    ("35 books", "٣٥ كتابًا"),
    ("3.5 metres", "٣٫٥ أمتار"),
    ("1,250 metres", "\u200f١٬٢٥٠\u200f מטר"),
    ("42 books", "४२ किताबें"),
    # units, percent, currency, signs
    ("50% of them", "其中百分之50"),
    ("50% of them", "50\u00a0% d'entre eux"),
    ("$20 each", "по 20 долларов"),
    ("it was -5 °C", "было −5 °C"),
    ("it was -5 °C", "气温为-5摄氏度"),
    ("it was -5 °C", "hacía menos 5 °C"),
    ("it was -5 °C", "气温为负5度"),
    ("pages 3-5", "第3–5页"),
    ("10 - 5 = 5", "10 − 5 = 5"),
    ("20 m² of floor", "20平方米的地面"),
    ("x² + 3", "x^2 + 3"),
    ("5 km away", "5千米远"),
    # ordinals, fractions, dates, hours
    ("the 1st of 3 prizes", "le 1er de 3 prix"),
    ("the 1st of 3 prizes", "el 1.º de 3 premios"),
    ("the 19th century", "XIXe siècle"),
    ("the 19th century", "XIX век"),
    ("the 19th century", "19世纪"),
    ("the 1990s", "20世纪90年代"),
    ("the 1990s", "les années 90"),
    ("the 1800s", "19世纪"),
    ("3/4 of a cup", "4分之3杯"),
    ("¾ of a cup", "3/4 de taza"),
    ("1½ cups", "1 ½ tasse"),
    ("on July 4, 1999", "1999年7月4日"),
    ("on 2024-01-15", "15.01.2024"),
    ("at 3:30 pm", "à 15 h 30"),
    ("at 8:00", "早上8点"),
    ("at 3 pm", "в 15:00"),
    # lists or decimals
    ("the point (3,5)", "точка (3; 5)"),
    ("the point (-3,5)", "le point (-3, 5)"),
    ("the values 100,200,300", "los valores 100, 200 y 300"),
    ("in 2024 150 people came", "em 2024 150 pessoas vieram"),
    ("Python 3.10.2", "Python 3.10.2"),
    # Chinese and other scales, by value
    ("1.5 million people", "150万人"),
    ("1.5 million people", "1,5 млн человек"),
    ("1.5 million people", "1,5 million de personnes"),
    ("1.5 million people", "1,5 Millionen Menschen"),
    ("12,500 people", "1.25万人"),
    ("300 million", "3亿"),
    ("2 billion", "20亿"),
    ("2 billion", "2 milliards"),
    ("2 billion", "2.000 millones"),
    ("2 billion", "2 mil millones"),
    ("5k runs", "5 тыс. запусков"),
    ("3 dozen eggs", "36个鸡蛋"),
    # words of the source allow digits
    ("three apples and a dozen eggs", "3个苹果和12个鸡蛋"),
    ("three apples and a dozen eggs", "trois pommes et une douzaine d'œufs"),
    ("twenty-five and two hundred and fifty", "25 и 250"),
    ("three dozen crates", "36 cajas"),
    ("two and a half hours", "2,5 heures"),
    ("half an hour", "30 минут"),
    ("a half and a third", "1/2 и 1/3"),
    ("the first and the twenty-first", "第1个和第21个"),
    ("twice a day, sixty miles per hour", "每天2次，每1小时60英里"),
    ("World War II", "第2次世界大战"),
    ("five million", "500万"),
    ("3 thousand people", "3 mil personas"),
    ("March to May, 5-7 km", "3月-5月，5公里-7公里"),
]

NOT_KEPT = [
    ("5 apples", "6 pommes", ("5",), ("6",)),
    ("3 and 3", "3", ("3",), ()),
    ("5 and 3.5", "3,5", ("5",), ()),
    ("1,250 people", "1,25 personne", ("1,250",), ("1,25",)),
    ("50 people", "50万人", ("50",), ("50",)),
    ("2 billion", "2 millions", ("2",), ("2",)),
    ("1 billion", "1 billón", ("1",), ("1",)),
    ("x = -5 here", "здесь x = 5", ("-5",), ("5",)),
    ("10² steps", "102步", ("10", "2"), ("102",)),
    ("5 friends", "cinq amis", ("5",), ()),
    ("three friends", "4 amis", (), ("4",)),
    ("some friends", "3 amis", (), ("3",)),
    ("the 19th century", "XVIIIe siècle", ("19",), ()),
    ("H2O and x3", "H2O et x", ("3",), ()),
    ("3 pm", "à 16 h", ("3",), ("16",)),
    ("5 million people", "5 человек", ("5",), ("5",)),
    ("rose 5 degrees", "上升-5度", ("5",), ("-5",)),
]


@pytest.mark.parametrize(("source", "translated"), KEPT)
def test_a_number_is_found_again_in_any_notation(source: str, translated: str) -> None:
    missing = missing_numbers(source, translated)
    assert not missing, missing


@pytest.mark.parametrize(("source", "translated", "lost", "added"), NOT_KEPT)
def test_what_is_lost_and_what_is_added_are_named(
    source: str, translated: str, lost: tuple[str, ...], added: tuple[str, ...]
) -> None:
    missing = missing_numbers(source, translated)
    assert (missing.lost, missing.added) == (lost, added)


# --- properties -------------------------------------------------------------------------------

NUMBERS = st.decimals(min_value=0, max_value=10**9, places=2, allow_nan=False) | st.integers(0, 10**12).map(Decimal)
TO_OTHER_DIGITS = {
    "arabic": str.maketrans("0123456789.,", "٠١٢٣٤٥٦٧٨٩٫٬"),
    "full-width": str.maketrans("0123456789.,", "０１２３４５６７８９．，"),
    "devanagari": str.maketrans("0123456789", "०१२३४५६७८९"),
}
STYLES = ["en", "fr", "ru", "es", "ch", "zh", "arabic", "full-width", "devanagari"]


def styled(number: Decimal, style: str) -> str:
    """``number`` as people write it there."""
    english = f"{number:,f}"
    signs = {"fr": ("\u202f", ","), "ru": ("\u00a0", ","), "es": (".", ","), "ch": ("’", "."), "zh": ("", ".")}
    if style in signs:
        thousands, decimal = signs[style]
        return english.replace(",", "T").replace(".", decimal).replace("T", thousands)
    return english.translate(TO_OTHER_DIGITS.get(style, {}))


@given(st.lists(NUMBERS, max_size=8), st.sampled_from(STYLES), st.data())
def test_numbers_in_the_style_of_each_locale_are_found_in_any_order(
    numbers: list[Decimal], style: str, data: st.DataObject
) -> None:
    source = " and ".join(f"about {number:,f} of them" for number in numbers)
    shuffled = data.draw(st.permutations(numbers))
    translated = " ; ".join(f"ça fait {styled(number, style)} choses" for number in shuffled)
    assert not missing_numbers(source, translated)


@given(st.lists(NUMBERS, min_size=1, max_size=8), st.sampled_from(STYLES), st.data())
def test_a_dropped_number_is_always_found(numbers: list[Decimal], style: str, data: st.DataObject) -> None:
    dropped = data.draw(st.integers(0, len(numbers) - 1))
    source = " and ".join(f"about {number:,f} of them" for number in numbers)
    kept = [number for index, number in enumerate(numbers) if index != dropped]
    translated = " ; ".join(f"ça fait {styled(number, style)} choses" for number in kept)
    missing = missing_numbers(source, translated)
    assert len(missing.lost) == 1
    assert not missing.added


@given(st.lists(NUMBERS, min_size=1, max_size=8), st.sampled_from(STYLES), st.data())
def test_a_changed_number_is_always_found(numbers: list[Decimal], style: str, data: st.DataObject) -> None:
    changed = data.draw(st.integers(0, len(numbers) - 1))
    # ten thousand times as much is another value in every reading of either
    other = numbers[changed] * 10_000 + 7
    source = " and ".join(f"about {number:,f} of them" for number in numbers)
    new = [other if index == changed else number for index, number in enumerate(numbers)]
    translated = " ; ".join(f"ça fait {styled(number, style)} choses" for number in new)
    missing = missing_numbers(source, translated)
    assert missing.lost
    assert missing.added


@given(st.text(max_size=300))
def test_any_text_has_the_numbers_of_itself_without_scale_words(text: str) -> None:
    plain = "".join(sign for sign in text if not sign.isalpha())
    assert not missing_numbers(plain, plain).lost


@given(st.text(alphabet="0123456789.,' -–\u00a0½²⁻٣万亿百千VIX/:st\n", max_size=200), st.text(max_size=100))
def test_no_text_is_an_error(source: str, translated: str) -> None:
    missing_numbers(source, translated)
    missing_numbers(translated, source)


@pytest.mark.parametrize(
    "piece", ["1 ", "1,", "1.1,", "9", " 111", "-1 ", "one ", "hundred ", "IV ", "½", "-", "5 million ", "1,1 "]
)
def test_a_long_hostile_text_is_read_in_linear_time(piece: str) -> None:
    text = piece * 20_000  # were the time quadratic, this would take minutes
    assert missing_numbers("nothing", text + " 777").added
    missing_numbers(text, text + " 778")
