"""Sentences, and passages made of whole ones: every character of the text is in exactly one of each."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from ultralink.recipe import TextRules, TokenBounds
from ultralink.tokens import count_tokens
from ultralink.wikipedia.article import Article, Passage, TurnedAway

Span = tuple[int, int]  # [start, end) in characters

# --- sentences ------------------------------------------------------------------------------------------

_STOP = ".!?…‽"  # end a sentence where white space follows
_FULL_STOP = "。！？｡।॥؟۔"  # end it wherever they stand
_NARROW = "[ \u00a0\u202f]"  # French puts it inside its quotes
_CLOSING = "\"'”’»›)\\]）］」』】》〉"
_LINE_END = "\n\v\f\r\x1c-\x1e\x85\u2028\u2029"
_END = re.compile(
    rf"(?P<stops>[{_STOP}{_FULL_STOP}]+)(?P<closing>(?:[{_CLOSING}]|{_NARROW}[»›])*)(?P<space>\s*)|(?P<line>[{_LINE_END}])\s*"
)
_ANY_LINE_END = re.compile(f"[{_LINE_END}]")
_LAST_WORD = re.compile(r"(?:[^\W\d_]+|\d+)\Z")
_LONGEST_WORD = 40
_PAIRS = dict(zip(")]»”）】》〉」』", "([«“（【《〈「『", strict=True))
_BRACKET = re.compile(rf"[\n{''.join(map(re.escape, {*_PAIRS, *_PAIRS.values()}))}]")
_LONGEST_ASIDE = 300  # characters between brackets or quotes that stay together


def sentences(text: str, rules: TextRules) -> list[Span]:
    """Spans that tile ``text``, a sentence each, with the white space that follows it.

    A line end always ends a sentence. In doubt (abbreviation, initial, ordinal, small letter or dash after
    the stop, inside brackets or quotes) the sentence goes on: two in one span do no harm, half a one does.
    Linear time.
    """
    if not text:
        return []
    words = _abbreviations(rules)
    asides = _asides(text)
    first = len(text) - len(text.lstrip())
    starts = [0]
    for end in _END.finditer(text):
        at = end.end()
        if first < at < len(text) and (
            end["line"]
            or _ANY_LINE_END.search(end["space"])
            or (_ends_sentence(text, end, words) and not asides.around(at))
        ):
            starts.append(at)
    return list(pairwise([*starts, len(text)]))


def _abbreviations(rules: TextRules) -> frozenset[str]:
    """The words of all abbreviations, as written and with a capital, as a sentence may begin with one."""
    words = {word for entry in rules.abbreviations for word in re.findall(r"[^\W\d_]+", entry)}
    return frozenset(words | {word.capitalize() for word in words})


def _ends_sentence(text: str, end: re.Match[str], abbreviations: frozenset[str]) -> bool:
    stops, after = end["stops"], text[end.end() : end.end() + 2]
    if stops[-1] in _FULL_STOP:
        return not end["closing"] or bool(end["space"]) or after[0] in "“「『"
    if not end["space"] or not _opens_sentence(after):
        return False
    if stops != "." or end["closing"]:
        return True
    word = _LAST_WORD.search(text, max(0, end.start() - _LONGEST_WORD), end.start())
    if word is None:
        return True
    if word[0].isdigit():  # an ordinal (19. Jahrhundert) or a list's number, but not the end of 3.14
        return len(word[0]) > 2 or text[word.start() - 1 : word.start()] in (",", ".")
    numbered = after[0].isdigit() and word[0].capitalize() in abbreviations  # no. 1, but: He said no. Then
    return len(word[0]) > 1 and word[0] not in abbreviations and not numbered


def _opens_sentence(after: str) -> bool:
    """Can a sentence begin so? Not with a small letter, a dash or a mark that belongs to what went before."""
    first = after[0]
    if first in "\"'“”‘’«‹„‚([（「『":
        first = after[1:2] or first
    return not first.islower() and first not in "-–—,;:.!?…)]}%"


@dataclass(frozen=True, slots=True)
class _Asides:
    """Stretches between brackets or quotes, in order, none inside another."""

    spans: list[Span]

    def around(self, at: int) -> bool:
        """Does a cut at ``at`` fall inside one?"""
        low, high = 0, len(self.spans)
        while low < high:
            middle = (low + high) // 2
            if self.spans[middle][1] < at:
                low = middle + 1
            else:
                high = middle
        return low < len(self.spans) and self.spans[low][0] < at


def _asides(text: str) -> _Asides:
    spans: list[Span] = []
    stack: list[tuple[str, int]] = []
    for found in _BRACKET.finditer(text):
        mark, at = found[0], found.start()
        if mark == "\n":
            stack.clear()
        elif mark in _PAIRS:
            depth = next((depth for depth in range(1, 9) if _opened(stack, depth) == _PAIRS[mark]), 0)
            if depth:
                start = stack[-depth][1]
                del stack[-depth:]
                if at - start <= _LONGEST_ASIDE:
                    while spans and spans[-1][0] > start:
                        spans.pop()
                    spans.append((start, at))
        else:
            stack.append((mark, at))
    return _Asides(spans)


def _opened(stack: Sequence[tuple[str, int]], depth: int) -> str:
    """The bracket that was opened ``depth`` from the top; quotes without a partner may lie above it."""
    return stack[-depth][0] if depth <= len(stack) else ""


# --- passages -------------------------------------------------------------------------------------------

# What a cut costs, beside the square of the distance from the middle of the bounds (0 to 1 per passage).
_AT_SECTION, _AT_PARAGRAPH, _AT_SENTENCE, _AFTER_HEADING = 0.0, 1.0, 3.0, 10.0
_MARGINS = (4, 64)  # tokens around a bound within which a passage is counted instead of summed up
_FINEST = 64  # units per (max - min): more choice makes no better passages
_MOST_UNITS = 2000  # in one article, before the tiniest sentences are taken together


def passages(article: Article, bounds: TokenBounds, rules: TextRules) -> list[Passage] | TurnedAway:
    """Passages that tile ``article.text``: whole sentences, each within ``bounds`` when counted by itself.

    Of all such tilings the best: cut between sections, else between paragraphs, never behind a heading,
    evenly filled. An article that has none is turned away (gate ``passages``): it is shorter than a
    passage, or a little longer than the longest (two passages need twice ``min`` and a sentence to
    spare), or has a stretch of over ``max - min`` tokens without the end of a sentence, as markup debris
    or unpunctuated text has.
    """
    units = _Units.of(article.text, bounds, rules)
    for margin in _MARGINS:
        cuts = _best_cuts(units, bounds, margin)
        if cuts is None:
            continue
        counts = [units.count(start, end) for start, end in pairwise(cuts)]
        if all(bounds.min <= count <= bounds.max for count in counts):
            spans = [(units.starts[start], units.starts[end]) for start, end in pairwise(cuts)]
            return [
                Passage(
                    id=f"{article.page_id}-{article.revision_id}-{index}",
                    article=article,
                    index=index,
                    start=start,
                    end=end,
                    text=article.text[start:end],
                    tokens=count,
                )
                for index, ((start, end), count) in enumerate(zip(spans, counts, strict=True))
            ]
    reason = (
        f"{units.summed(0, len(units.costs) - 1)} tokens in {len(units.costs) - 1} sentences (the longest"
        f" {units.longest}) cannot be cut into passages of {bounds.min} to {bounds.max}"
    )
    return TurnedAway(article.page_id, article.revision_id, article.title, "passages", reason, article.text[:2000])


@dataclass(frozen=True, slots=True)
class _Units:
    """Sentences (tiny ones together), and the token count of any run of them without counting it.

    Counts don't add up, because a token may reach over the seam of two sentences. But only there:
    a run counts as the sum of its units and of what each inner seam changes.
    """

    text: str
    starts: list[int]  # of each unit, and the end of the text
    costs: list[float]  # of a cut before each unit, and at the end
    inner: list[int]  # running sum of units and the seams before them
    seams: list[int]  # what the seam before each unit changes
    longest: int  # tokens

    @classmethod
    def of(cls, text: str, bounds: TokenBounds, rules: TextRules) -> _Units:
        spans = sentences(text, rules)
        total = count_tokens(text)
        finest = min(total // _MOST_UNITS, (bounds.max - bounds.min) // _FINEST)
        starts = list(_coarser(text, spans, finest))
        ends = [*starts[1:], len(text)] if starts else []
        sizes = [count_tokens(text[start:end]) for start, end in zip(starts, ends, strict=True)]
        seams = [0] * min(1, len(starts)) + [
            count_tokens(text[starts[unit - 1] : ends[unit]]) - sizes[unit - 1] - sizes[unit]
            for unit in range(1, len(starts))
        ]
        inner = [0, *accumulate(size + seam for size, seam in zip(sizes, seams, strict=True))]
        return cls(
            text=text,
            starts=[*starts, len(text)],
            costs=_cut_costs(text, [*starts, len(text)]),
            inner=inner,
            seams=[*seams, 0],
            longest=max(sizes, default=0),
        )

    def summed(self, start: int, end: int) -> int:
        """Tokens of the units [start, end), all but exact."""
        return self.inner[end] - self.inner[start] - self.seams[start]

    def count(self, start: int, end: int) -> int:
        """Tokens of the units [start, end), counted."""
        return count_tokens(self.text[self.starts[start] : self.starts[end]])


def _coarser(text: str, spans: Sequence[Span], finest: int) -> Iterator[int]:
    """Starts of units of at least ``finest`` tokens (0: each sentence is one)."""
    size = finest
    for start, end in spans:
        if size >= finest:
            yield start
            size = 0
        if finest:
            size += count_tokens(text[start:end])


def _cut_costs(text: str, starts: Sequence[int]) -> list[float]:
    """The cost of a cut at each start. In a cleaned text every blank line stands before a heading."""
    costs = []
    after_blank = False
    for start in starts:
        before = text[max(0, start - 2) : start]
        if after_blank and before.endswith("\n"):
            costs.append(_AFTER_HEADING)
        elif before == "\n\n" or start in (0, len(text)):
            costs.append(_AT_SECTION)
        else:
            costs.append(_AT_PARAGRAPH if before.endswith("\n") else _AT_SENTENCE)
        after_blank = before == "\n\n"
    return costs


def _best_cuts(units: _Units, bounds: TokenBounds, margin: int) -> list[int] | None:
    """Units before which to cut, with the first and the end; None where no tiling fits the bounds.

    Dynamic programming over the ends of passages: time is units times units per passage.
    """
    last = len(units.costs) - 1
    middle, half = (bounds.min + bounds.max) / 2, max(1.0, (bounds.max - bounds.min) / 2)
    best = [0.0] + [math.inf] * last
    before = [0] * (last + 1)
    for end in range(1, last + 1):
        for start in range(end - 1, -1, -1):
            size = units.summed(start, end)
            if size > bounds.max + margin:
                break
            if size < bounds.min - margin or best[start] == math.inf:
                continue
            if min(abs(size - bounds.min), abs(size - bounds.max)) <= margin:
                size = units.count(start, end)
            if bounds.min <= size <= bounds.max:
                cost = best[start] + units.costs[end] + ((size - middle) / half) ** 2
                if cost < best[end]:
                    best[end], before[end] = cost, start
    if best[last] == math.inf or last == 0:
        return None
    cuts = [last]
    while cuts[-1]:
        cuts.append(before[cuts[-1]])
    return cuts[::-1]
