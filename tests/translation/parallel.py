"""English texts with sound translations of our own into the four languages, for the tests of the checks."""
# ruff: noqa: E501  # Chinese counts double

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ultralink.pool.row import Kind
from ultralink.translation.masks import Masked, mask

LANGUAGES = ("zh", "ru", "fr", "es")


@dataclass(frozen=True)
class Parallel:
    """A text and its translations, code and formulas as they stand."""

    kind: Kind
    english: str
    translations: dict[str, str]


def masked_as(source: Masked, translated: str) -> str:
    """``translated`` as a translator that saw the masked source would have written it."""
    for number, span in enumerate(source.spans, 1):
        assert span.text in translated, f"{span.text!r} is not in {translated!r}"
        translated = translated.replace(span.text, f"⟦{number}⟧", 1)
    return translated


def prepared(language: str, kinds: Sequence[Kind] = tuple(Kind)) -> list[tuple[Kind, Masked, str]]:
    """Kind, masked source and masked translation of every text."""
    pairs = [(pair.kind, mask(pair.english), pair.translations[language]) for pair in PARALLEL if pair.kind in kinds]
    return [(kind, source, masked_as(source, translated)) for kind, source, translated in pairs]


PARALLEL = [
    Parallel(
        Kind.CHAT,
        "My sourdough bread stays flat although I let it rise for 3 hours at 21 degrees. What am I doing wrong?",
        {
            "zh": "我的酸面包在21度下发酵了3个小时，却还是扁扁的。我哪里做错了？",
            "ru": "Мой хлеб на закваске остаётся плоским, хотя я даю ему подниматься 3 часа при 21 градусе. Что я делаю не так?",
            "fr": "Mon pain au levain reste plat alors que je le laisse lever 3 heures à 21 degrés. Qu'est-ce que je fais "
            "de travers\u202f?",
            "es": "Mi pan de masa madre se queda plano aunque lo dejo fermentar 3 horas a 21 grados. ¿Qué estoy haciendo mal?",
        },
    ),
    Parallel(
        Kind.CHAT,
        "Sure! Here is a short plan:\n\n1. Weigh the flour: 500 g are enough for two loaves.\n2. Mix it with 1,250 ml of "
        'water; a "shaggy dough" is fine.\n3. Let it rest for half an hour.\n\nNote: in summer, halve the resting time.',
        {
            "zh": "好的！以下是一个简短的计划：\n\n1. 称好面粉：500克足够做两个面包。\n2. 加入1250毫升水搅拌；面团粗糙一点（“shaggy dough”）"
            "也没关系。\n3. 静置半小时。\n\n注意：夏天请把静置时间减半。",
            "ru": "Конечно! Вот короткий план:\n\n1. Взвесьте муку: 500 г хватит на две буханки.\n2. Смешайте её с 1 250 мл "
            "воды; «лохматое тесто» — это нормально.\n3. Дайте постоять полчаса.\n\nПримечание: летом сократите время "
            "отдыха вдвое.",
            "fr": "Bien sûr\u202f! Voici un petit plan\u00a0:\n\n1. Pesez la farine\u00a0: 500\u00a0g suffisent pour deux "
            "pains.\n2. Mélangez-la à 1\u202f250\u00a0ml d'eau\u00a0; une «\u00a0pâte hirsute\u00a0» convient.\n3. Laissez "
            "reposer une demi-heure.\n\nRemarque\u00a0: en été, réduisez de moitié le temps de repos.",
            "es": "¡Claro! Aquí tienes un plan breve:\n\n1. Pesa la harina: 500 g bastan para dos panes.\n2. Mézclala con "
            "1.250 ml de agua; una «masa desgreñada» está bien.\n3. Deja reposar media hora.\n\nNota: en verano, reduce a "
            "la mitad el tiempo de reposo.",
        },
    ),
    Parallel(
        Kind.CHAT,
        "Thanks, that helped!",
        {
            "zh": "谢谢，很有帮助！",
            "ru": "Спасибо, помогло!",
            "fr": "Merci, ça m'a aidé\u202f!",
            "es": "¡Gracias, me ayudó!",
        },
    ),
    Parallel(
        Kind.CHAT,
        "I'm sorry to hear that your tomatoes died in the 1st week of June. Frost below -2 degrees kills them; peppers survive "
        "no longer. Next year, wait until the middle of the month, and cover them at night with a fleece.",
        {
            "zh": "很遗憾听说您的番茄在6月第1周就死了。低于-2度的霜冻会冻死它们，辣椒也撑不了更久。明年请等到月中再种，并在夜里盖上无纺布。",
            "ru": "Мне жаль, что ваши помидоры погибли в 1-ю неделю июня. Заморозки ниже −2 градусов их губят; перцы живут не "
            "дольше. В следующем году подождите до середины месяца и укрывайте их на ночь нетканым полотном.",
            "fr": "Je suis désolé d'apprendre que vos tomates sont mortes la 1re semaine de juin. Un gel sous −2 degrés les "
            "tue\u00a0; les poivrons ne survivent pas plus longtemps. L'an prochain, attendez le milieu du mois et "
            "couvrez-les la nuit d'un voile.",
            "es": "Lamento que sus tomates murieran la 1.ª semana de junio. Una helada por debajo de −2 grados los mata; los "
            "pimientos no aguantan más. El próximo año, espere hasta mediados de mes y cúbralos de noche con una manta.",
        },
    ),
    Parallel(
        Kind.MATH,
        "Laura buys 12 notebooks for $2.40 each and three pens. She pays $37.80 in total. How much does one pen cost?",
        {
            "zh": "小兰买了12本笔记本，每本2.40美元，还买了三支钢笔。她一共付了37.80美元。一支钢笔多少钱？",
            "ru": "Лена купила 12 тетрадей по 2,40 доллара и три ручки. Всего она заплатила 37,80 доллара. Сколько стоит "
            "одна ручка?",
            "fr": "Laure achète 12 cahiers à 2,40\u00a0$ pièce et trois stylos. Elle paie 37,80\u00a0$ en tout. Combien coûte "
            "un stylo\u202f?",
            "es": "Laura compra 12 cuadernos a 2,40 dólares cada uno y tres bolígrafos. Paga 37,80 dólares en total. "
            "¿Cuánto cuesta un bolígrafo?",
        },
    ),
    Parallel(
        Kind.MATH,
        "The notebooks cost 12 * $2.40 = $28.80 together.\nThat leaves $37.80 - $28.80 = $9.00 for three pens.\nSo one pen "
        "costs 9 / 3 = 3 dollars, and $\\boxed{3}$ is what we wanted.\nThe answer is: 3 dollars",
        {
            "zh": "笔记本一共要12 * 2.40 = 28.80美元。\n剩下37.80 - 28.80 = 9.00美元买三支钢笔。\n所以一支钢笔要9 / 3 = 3美元，"
            "$\\boxed{3}$就是所求。\n答案是：3美元",
            "ru": "Тетради вместе стоят 12 * 2,40 = 28,80 доллара.\nНа три ручки остаётся 37,80 - 28,80 = 9,00 долларов.\n"
            "Значит, одна ручка стоит 9 / 3 = 3 доллара, и $\\boxed{3}$ — то, что мы искали.\nОтвет: 3 доллара",
            "fr": "Les cahiers coûtent ensemble 12 * 2,40\u00a0$ = 28,80\u00a0$.\nIl reste 37,80 - 28,80 = 9,00 dollars pour "
            "trois stylos.\nUn stylo coûte donc 9 / 3 = 3 dollars, et $\\boxed{3}$ est ce que nous cherchions.\n"
            "La réponse est\u00a0: 3 dollars",
            "es": "Los cuadernos cuestan juntos 12 * 2,40 = 28,80 dólares.\nQuedan 37,80 - 28,80 = 9,00 dólares para tres "
            "bolígrafos.\nAsí que un bolígrafo cuesta 9 / 3 = 3 dólares, y $\\boxed{3}$ es lo que buscábamos.\n"
            "La respuesta es: 3 dólares",
        },
    ),
    Parallel(
        Kind.CODE,
        "Write a function `mean(values)` that returns the mean of a list. What should happen for an empty list?",
        {
            "zh": "编写一个函数`mean(values)`，返回列表的平均值。列表为空时应该怎么办？",
            "ru": "Напишите функцию `mean(values)`, которая возвращает среднее значение списка. Что должно произойти с "
            "пустым списком?",
            "fr": "Écrivez une fonction `mean(values)` qui renvoie la moyenne d'une liste. Que doit-il se passer pour une "
            "liste vide\u202f?",
            "es": "Escribe una función `mean(values)` que devuelva la media de una lista. ¿Qué debe ocurrir con una lista "
            "vacía?",
        },
    ),
    Parallel(
        Kind.CODE,
        "For an empty list we raise an error, since 0 would be misleading:\n\n```python\ndef mean(values):\n    if not "
        'values:\n        raise ValueError("empty")\n    return sum(values) / len(values)\n```\n\nIt needs one pass over '
        "the list, so it takes linear time.",
        {
            "zh": "对于空列表，我们抛出一个错误，因为返回0会产生误导：\n\n```python\ndef mean(values):\n    if not values:\n"
            '        raise ValueError("empty")\n    return sum(values) / len(values)\n```\n\n它只需遍历列表一次，所以耗时是线性的。',
            "ru": "Для пустого списка мы вызываем ошибку, поскольку 0 вводил бы в заблуждение:\n\n```python\ndef "
            'mean(values):\n    if not values:\n        raise ValueError("empty")\n    return sum(values) / len(values)\n'
            "```\n\nНужен один проход по списку, поэтому время линейное.",
            "fr": "Pour une liste vide, nous levons une erreur, car 0 serait trompeur\u00a0:\n\n```python\ndef mean(values):\n"
            '    if not values:\n        raise ValueError("empty")\n    return sum(values) / len(values)\n```\n\nIl faut un '
            "seul parcours de la liste, donc un temps linéaire.",
            "es": "Para una lista vacía lanzamos un error, porque 0 sería engañoso:\n\n```python\ndef mean(values):\n    if "
            'not values:\n        raise ValueError("empty")\n    return sum(values) / len(values)\n```\n\nRequiere un solo '
            "recorrido de la lista, así que tarda un tiempo lineal.",
        },
    ),
]
