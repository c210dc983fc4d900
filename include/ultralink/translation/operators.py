"""The arithmetic of a text and of its translation: which operator stands before which operand, and what is a percent.

``5 * 4 = 20`` has two steps: 5 * 4, and 4 = 20. A step is found again with the same operator and the same operand
after it; the operand before it must agree where both texts have it right there (5 euros * 4 hides it). A lone
``3/4``, ``5-7`` or ``4 x 4`` may become words, but may not be turned round or get another operator.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

from ultralink.translation.numerals import Numeral, plain, source_numerals, translated_numerals

Operand = tuple[str, ...]  # all ways to read it
Read = Callable[[str], list[Numeral]]

_BLANKS = " \t\u00a0\u2007\u2009\u202f"
_CURRENCY = "$€£¥₽"
_BEFORE_OPERAND = frozenset(_BLANKS + _CURRENCY + "([{\\")
_AFTER_OPERAND = frozenset(_BLANKS + _CURRENCY + ")]}%°\\")
_LETTERS = "A-Za-zÀ-ÖØ-öø-ɏЀ-ӿ"
_NUMBER = r"[0-9]+(?:[.,'][0-9]+|[ \u00a0\u2007\u2009\u202f][0-9]{3}(?![0-9]))*"
_SHORT = (
    r"(?<![0-9])[0-9]{1,30}(?:[.,'][0-9]{1,30}|[ \u00a0\u2007\u2009\u202f][0-9]{3}(?![0-9])){0,8}"  # in linear time
)
_WIDE = str.maketrans("＝＋＜＞／＊＾（）", "=+<>/*^()")
_TOKEN = re.compile(
    rf"(?P<number>{_NUMBER})(?P<coefficient>[A-Za-z](?![{_LETTERS}0-9']))?"
    rf"|(?P<variable>(?<![{_LETTERS}'])[A-Za-z](?![{_LETTERS}']))"
    r"|[-=]+>|<-+|--+"  # arrows and rules
    r"|(?P<operator><=|>=|==|!=|[-–+*×·∙⋅/÷=<>≤≥≠≈^])"
)
_SIGNS = {"–": "-", "×": "*", "·": "*", "∙": "*", "⋅": "*", "÷": "/", "==": "=", "<=": "≤", ">=": "≥", "!=": "≠"}
_OPERATORS = re.compile(r"[-–+*×·∙⋅/÷=<>≤≥≠≈^]|[0-9)] ?[xXхХ] ?[($€£0-9]")
_BOLD = re.compile(r"(?<![0-9A-Za-z)])\*\*|\*\*(?![0-9A-Za-z(])")
_TIMES = re.compile(r"(?<=[0-9)%])([ \u00a0]?)[xXхХ][ \u00a0]?(?=[($€£]{0,2}[0-9])")
_UNITS = "gmhslL"  # 5m is 5 м in Russian
_SCALE_LENGTH = 20  # a number's scale word is looked for this far behind it

_PERCENT = re.compile(
    rf"百分之[ ]?(?P<after>{_SHORT})"
    rf"|(?P<before>{_SHORT}(?:[{_BLANKS}]?(?:[-–~～至到和或、]|(?:to|and|or|y|o|a|et|ou|à|и|или|до)\b)[{_BLANKS}]?{_SHORT})"
    rf"{{0,3}})[-{_BLANKS}]?(?:[%٪]|per ?cent|процент|проц\.|por ?c[ie]+nto|pour ?cent|per cento|pro[zc]ent|个?百分点)",
    re.IGNORECASE,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Step:
    """An operator with the operands beside it. ``left`` is None where something else stands between.

    ``demanded``: it can't be anything but arithmetic. ``computed``: an equation with another operator in it.
    """

    surface: str
    left: Operand | None
    operator: str
    right: Operand
    demanded: bool
    computed: bool


@dataclass(frozen=True, slots=True)
class _Token:
    start: int
    end: int
    operator: str
    operand: Operand


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a step's operator stands among the tokens, and its operands if they are there."""

    operator: _Token
    left: _Token | None
    right: _Token
    sign: str
    spaced: bool


def changed_operators(source: str, translated: str) -> tuple[str, ...]:
    """Steps and percents of an English text that its translation lacks, then equations that only the latter has."""
    english, other = plain(source).translate(_WIDE), plain(translated).translate(_WIDE)
    return (*_changed_steps(english, other), *_lost_percents(english, other))


def steps(text: str, read: Read) -> list[Step]:
    """The steps of ``text`` (as ``plain`` gives it) in its order; ``read`` reads its numbers."""
    if not _OPERATORS.search(text):
        return []
    text = _TIMES.sub(r"\1×\1", _BOLD.sub("", text)).replace("**", "^")
    return [step for chain in _chains(_places(text, _tokens(text, read))) for step in _steps_of(text, chain)]


def _changed_steps(english: str, other: str) -> Iterator[str]:
    wanted = steps(english, source_numerals)
    found = steps(other, translated_numerals)
    lost, added = _pair(wanted, found, _whole, _whole)
    lost, added = _pair(lost, added, _without_left, lambda step: [] if step.left else _without_left(step))
    lost, added = _pair(lost, added, lambda step: [] if step.left else _without_left(step), _without_left)
    turned = {key for step in added for key in _unordered(step)}
    yield from (step.surface for step in lost if step.demanded or not turned.isdisjoint(_unordered(step)))
    yield from (step.surface for step in added if step.computed)


def _whole(step: Step) -> list[Hashable]:
    return [(left, step.operator, right) for left, right in product(step.left or (), step.right)]


def _without_left(step: Step) -> list[Hashable]:
    return [(step.operator, right) for right in step.right]


def _unordered(step: Step) -> list[Hashable]:
    return [frozenset(pair) for pair in product(step.left or (), step.right)]


def _pair(
    wanted: Sequence[Step],
    found: Sequence[Step],
    wanted_keys: Callable[[Step], list[Hashable]],
    found_keys: Callable[[Step], list[Hashable]],
) -> tuple[list[Step], list[Step]]:
    """What is left of both when steps with a common key are paired, one with one."""
    free: dict[Hashable, list[int]] = defaultdict(list)
    for index in range(len(found) - 1, -1, -1):
        for key in found_keys(found[index]):
            free[key].append(index)
    used: set[int] = set()
    lost: list[Step] = []
    for step in wanted:
        for key in wanted_keys(step):
            indexes = free.get(key, [])
            while indexes and indexes[-1] in used:
                indexes.pop()
            if indexes:
                used.add(indexes.pop())
                break
        else:
            lost.append(step)
    return lost, [step for index, step in enumerate(found) if index not in used]


# --- reading ----------------------------------------------------------------------------------


def _tokens(text: str, read: Read) -> list[_Token]:
    """Operators and operands; operands that are numbers are read only beside an operator."""
    found = [match for match in _TOKEN.finditer(text) if match.lastgroup]
    tokens: list[_Token] = []
    for index, match in enumerate(found):
        beside = [near.lastgroup == "operator" for near in found[max(0, index - 1) : index + 2]]
        if match["operator"]:
            tokens.append(_Token(match.start(), match.end(), match["operator"], ()))
        elif any(beside):
            tokens.append(_Token(match.start(), match.end(), "", _operand(match, read)))
        else:
            tokens.append(_Token(match.start(), match.end(), "", ("",)))
    return tokens


def _operand(match: re.Match[str], read: Read) -> Operand:
    if match["variable"]:
        return (match["variable"],)
    coefficient = match["coefficient"] or ""
    letter = "" if coefficient in _UNITS else coefficient
    behind = "" if coefficient else match.string[match.end() : match.end() + _SCALE_LENGTH]
    # The same few numbers come again and again in a calculation, mostly with nothing behind them that scales.
    readings = _readings(read, match["number"] + behind if behind.lstrip(_BLANKS)[:1].isalpha() else match["number"])
    return tuple(reading + letter for reading in readings)


@lru_cache(maxsize=4096)
def _readings(read: Read, number: str) -> tuple[str, ...]:
    return tuple(",".join(reading) for reading in read(number)[0].readings)


def _places(text: str, tokens: Sequence[_Token]) -> Iterator[_Place]:
    """The operators that have an operand behind them, and something before them on their line."""
    for index, token in enumerate(tokens):
        if not token.operator or index + 1 == len(tokens):
            continue
        right, sign = tokens[index + 1], ""
        if right.operator in ("-", "+") and index + 2 < len(tokens):
            sign = right.operator.replace("+", "")
            if tokens[index + 2].start - right.end > 1 or text[token.end : right.start].strip(_BLANKS + "("):
                continue
            right = tokens[index + 2]
        if right.operator or not _BEFORE_OPERAND.issuperset(text[token.end : right.start].replace("-", "", len(sign))):
            continue
        before, after = text[max(0, token.start - 2) : token.start], text[token.end : token.end + 1]
        if not before.strip() or before[-1] == "\n":
            continue
        spaced = before[-1] in _BLANKS
        if token.operator in "-–+*" and spaced != (after in _BLANKS):  # a sign, or emphasis
            continue
        left = tokens[index - 1] if index and not tokens[index - 1].operator else None
        if left and not _AFTER_OPERAND.issuperset(text[left.end : token.start]):
            left = None
        yield _Place(token, left, right, sign, spaced)


def _chains(places: Iterator[_Place]) -> Iterator[list[_Place]]:
    """Steps that share an operand, together."""
    chain: list[_Place] = []
    for place in places:
        if chain and place.left is not chain[-1].right:
            yield chain
            chain = []
        chain.append(place)
    if chain:
        yield chain


def _steps_of(text: str, chain: Sequence[_Place]) -> Iterator[Step]:
    signs = {place.operator.operator for place in chain}
    operators = {_SIGNS.get(sign, sign) for sign in signs}
    if len(chain) > 1 and (operators == {"/"} or (operators == {"-"} and not chain[0].spaced)):
        return  # a date
    for place in chain:
        operator = _SIGNS.get(place.operator.operator, place.operator.operator)
        words = operators == {"/"} or signs == {"×"} or (operators == {"-"} and _may_be_a_range(chain))
        surface = text[(place.left or place.operator).start : place.right.end]
        yield Step(
            surface,
            place.left.operand if place.left else None,
            operator,
            tuple(place.sign + reading for reading in place.right.operand),
            demanded=not words and not (operator == "-" and not place.left),
            computed="=" in operators and len(operators) > 1 and place.left is not None,
        )


def _may_be_a_range(chain: Sequence[_Place]) -> bool:
    """Whether a lone minus may as well be the dash of "10 - 15 minutes" or of "x-y"."""
    (first, *others) = chain
    if others:
        return False
    if not first.spaced or not first.left:
        return True
    return _size(first.left.operand[0]) < _size(first.right.operand[0])


def _size(reading: str) -> tuple[int, str]:
    """Orders whole numbers and decimals without a sign."""
    return len(reading.partition(".")[0]), reading


# --- percents ---------------------------------------------------------------------------------


def _lost_percents(english: str, other: str) -> Iterator[str]:
    wanted = [numeral for found in _PERCENT.finditer(english) for numeral in _percents(found, source_numerals)]
    if not wanted:
        return
    free = Counter(
        reading
        for found in _PERCENT.finditer(other)
        for numeral in _percents(found, translated_numerals)
        for reading in numeral.readings
    )
    for numeral in wanted:
        reading = next((reading for reading in numeral.readings if free[reading]), None)
        if reading is None:
            yield f"{numeral.surface}%"
        else:
            free[reading] -= 1


def _percents(found: re.Match[str], read: Read) -> list[Numeral]:
    return [numeral for number in re.findall(_NUMBER, found["after"] or found["before"]) for numeral in read(number)]
