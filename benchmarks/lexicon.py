"""The texts of made-up rows: words of a language with their frequencies, topics, stock phrases, formulas and code.

A text is a row of units, and a unit carries what follows it ("word ", "word, ", "word. "), so that whole blocks of
texts are drawn as numbers and put together at once. Words are built of the tokens of the encoding that counts them:
they cost about as many tokens as those of the language do.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from rs_bpe.bpe import openai as bpe

from ultralink.tokens import count_tokens

Ints = NDArray[np.int64]
Units = NDArray[np.int32]

LANGUAGES = ("en", "es", "fr", "ru", "zh")
WORDS = 20_000
PLAIN, COMMA, STOP, END, CAPITAL = (WORDS * form for form in range(5))
STOCK, STOCK_UNITS = 5 * WORDS, 200
FORMULA, FORMULAS = STOCK + STOCK_UNITS, 30_000
CODE, CODE_LINES = FORMULA + FORMULAS, 30_000
CODE_HEAD, CODE_TAIL = CODE + CODE_LINES, CODE + CODE_LINES + 1
ANSWER, ANSWERS = CODE_TAIL + 1, 2000
TOPICS, TOPIC_WORDS = 400, 64

_TOPICAL = 77  # of 256 words: 30%
_COMMA, _STOP = 18, 36  # of 256 words: 7% are followed by a comma, 7% by a full stop
_STOCK_SHARE = 0.3  # of messages that begin with a stock phrase
_NUMBERED = 50  # every so many ranks a word is a number
_FUNCTION = {
    "es": "de la que el en y a los se del las un por con no una su para es al lo como más o pero sus le ya este",
    "fr": "de la le et les des en un du une que est pour qui dans par plus pas au sur ne se ce il sont avec son",
    "ru": "в и не на что с он как это по но к из у за от так для же вы бы мы все до или его о их только если",
}
_ENDINGS = {
    "es": "o a os as ción ciones mente idad ado ada ando ar er ir ía ías ó ará able ismo ista oso era",
    "fr": "e es ent tion tions ment ité é ée er ir ait eur euse able isme iste ique eux al elle age ère",
    "ru": "",
}
_IDENTIFIERS = (
    *("items", "total", "index", "value", "result", "node", "count", "left", "right"),
    *("size", "name", "key", "data", "row", "path", "state", "score"),
)
_LINES = (
    "    {a} = {b} + {n}\n",
    "    for {a} in {b}s:\n",
    "        {a}.append({b}[{n}])\n",
    "    if {a} > {b} and {a} % {n} == 0:\n",
    "        return {a} - {b}\n",
    "def {a}_{b}({a}: int, {b}: int = {n}) -> int:\n",
    "    {a}_{b} = max({a}, {b} * {n})\n",
    "    while {a} < len({b}s) - {n}:\n",
    "        {a} += {b} // {n}\n",
    "    print(f'{a}: {{{b}}} of {n}')\n",
)


@dataclass(frozen=True)
class Lexicon:
    """A language's units. Fragments (formulas, code, answers) have the same numbers in all languages."""

    language: str
    units: pa.StringArray
    frequent: Units  # 65,536 words in proportion to their frequencies
    topics: Units  # topic, word

    def prose(self, draw: np.random.Generator, lengths: Ints, topics: Ints) -> Units:
        """Sentences: ``lengths[i]`` units about ``topics[i]`` for each message i, one message after the other."""
        total, ends = int(lengths.sum()), np.cumsum(lengths) - 1
        words = self.frequent[draw.integers(0, 65_536, total, dtype=np.uint16)]
        topical = draw.integers(0, 256, total, dtype=np.uint8) < _TOPICAL
        which = draw.integers(0, TOPIC_WORDS, int(topical.sum()), dtype=np.uint8)
        words[topical] = self.topics[np.repeat(topics, lengths)[topical], which]
        stops = draw.integers(0, 256, total, dtype=np.uint8)
        form = np.where(stops < _COMMA, COMMA, np.where(stops < _STOP, STOP, PLAIN)).astype(np.int32)
        form[ends] = END
        begins = np.concatenate(([True], form[:-1] >= STOP))
        form[begins & (form == PLAIN)] = CAPITAL
        said = words + form
        stock = (draw.random(len(lengths)) < _STOCK_SHARE) & (lengths > 1)
        said[(ends - lengths + 1)[stock]] = STOCK + draw.integers(0, STOCK_UNITS, int(stock.sum()))
        return said

    def texts(self, units: Units, lengths: Ints) -> pa.StringArray:
        """One text for each of ``lengths``, of so many units."""
        flat = self.units.take(pa.array(units))
        begins = np.frombuffer(flat.buffers()[1], np.int32, len(flat) + 1)
        places = np.concatenate(([0], np.cumsum(lengths)))
        return pa.StringArray.from_buffers(len(lengths), pa.py_buffer(begins[places]), flat.buffers()[2])

    def text(self, units: Units) -> str:
        """One text."""
        return "".join(self.units.take(pa.array(units)).to_pylist())


@cache
def lexicon(language: str) -> Lexicon:
    """The units of ``language``: the same in every run."""
    words = _words(language)
    gap, comma, stop = ("", "，", "。") if language == "zh" else (" ", ", ", ". ")
    draw = random.Random(f"{language} stock")
    stock = [gap.join(draw.choices(words[:3000], k=draw.randint(3, 7))).capitalize() for _ in range(STOCK_UNITS)]
    formulas, lines = list(_formulas()), list(_code_lines())
    units = [
        *(word + gap for word in words),
        *(word + comma for word in words),
        *(word + stop for word in words),
        *(word + stop.rstrip() for word in words),
        *(word.capitalize() + gap for word in words),
        *(phrase + comma for phrase in stock),
        *formulas,
        *lines,
        "\n\n```python\n",
        "```",
        *(f"\n#### {number}" for number in range(ANSWERS)),
    ]
    rng = np.random.default_rng(LANGUAGES.index(language))
    weights = 1 / (np.arange(WORDS) + 2.7)
    frequent = rng.choice(WORDS, 65_536, p=weights / weights.sum()).astype(np.int32)
    return Lexicon(
        language,
        pa.array(units, pa.string()),
        frequent,
        rng.integers(200, WORDS, (TOPICS, TOPIC_WORDS), dtype=np.int32),
    )


@cache
def tokens_per_unit(language: str) -> float:
    """Mean tokens of a unit of prose."""
    words, lengths = lexicon(language), np.full(200, 50)
    texts = words.texts(words.prose(np.random.default_rng(0), lengths, np.arange(200)), lengths)
    return sum(map(count_tokens, texts.to_pylist())) / int(lengths.sum())


@cache
def tokens_per_fragment() -> dict[str, float]:
    """Mean tokens of a formula and of a line of code, by subset."""
    units = lexicon("en").units
    first = {"math": FORMULA, "code": CODE}
    return {name: sum(map(count_tokens, units[at : at + 500].to_pylist())) / 500 for name, at in first.items()}


def _words(language: str) -> list[str]:
    """WORDS different words, the frequent ones first; here and there one is a number."""
    draw = random.Random(f"{language} words")
    made = _distinct({"en": _english, "zh": _chinese}.get(language, _spelled)(language, draw))
    return [
        str(draw.randrange(2, 1000)) + ("" if rank < WORDS // 2 else "0") if rank % _NUMBERED == 49 else next(made)
        for rank in range(WORDS)
    ]


def _distinct(words: Iterable[str]) -> Iterator[str]:
    return iter(dict.fromkeys(words))


def _english(_: str, draw: random.Random) -> Iterator[str]:
    whole = [token[1:] for token in _vocabulary(r" [a-z]{2,}")]
    yield from whole[:6000]
    for _number in range(2 * WORDS):
        yield draw.choice(whole[:3000]) + draw.choice(whole[:3000])


def _spelled(language: str, draw: random.Random) -> Iterator[str]:
    """Words of one to three pieces, the last of the long ones one of the language's endings."""
    pieces = _vocabulary(" ?[а-яё]{2,}") if language == "ru" else _vocabulary(" [a-z]{4,7}")[:2500]
    stems = [piece.strip() for piece in pieces]
    endings = _ENDINGS[language].split() or stems
    yield from _FUNCTION[language].split()
    yield from stems[:400]
    for number in range(4 * WORDS):
        yield "".join((*draw.choices(stems, k=1 + (number > WORDS // 4)), draw.choice(endings)))


def _chinese(_: str, draw: random.Random) -> Iterator[str]:
    codes = (bytes((row, cell)) for row in range(0xB0, 0xD8) for cell in range(0xA1, 0xFF))
    common = [code.decode("gb2312", errors="ignore") for code in codes]
    signs = list(dict.fromkeys([*_vocabulary("[\u4e00-\u9fff]"), *filter(None, common)]))
    yield from signs[:150]
    for number in range(4 * WORDS):
        yield "".join(signs[int(len(signs) * draw.random() ** 3)] for _ in range(2 + (number > WORDS // 2)))


@cache
def _tokens() -> tuple[str, ...]:
    encoding = bpe.cl100k_base()
    decoded = (encoding.decode([number]) for number in range(100_000))
    return tuple(token for token in decoded if token)


def _vocabulary(pattern: str) -> list[str]:
    """The encoding's tokens that match, the frequent ones first."""
    fits = re.compile(pattern)
    return [token for token in _tokens() if fits.fullmatch(token)]


def _formulas() -> Iterator[str]:
    draw = random.Random("formulas")
    for _ in range(FORMULAS):
        first, second = draw.randint(2, 99), draw.randint(2, 99)
        yield draw.choice(
            (
                f"\n$x = {first} \\times {second} = {first * second}$",
                f"\n{first} + {second} = {first + second}",
                f"\n\\[\\frac{{{first * second}}}{{{second}}} = {first}\\]",
                f"\n{first} * {second} - {first} = {first * second - first}",
            )
        )


def _code_lines() -> Iterator[str]:
    draw = random.Random("code")
    for _ in range(CODE_LINES):
        first, second = draw.sample(_IDENTIFIERS, 2)
        yield draw.choice(_LINES).format(a=first, b=second, n=draw.randint(1, 60))
