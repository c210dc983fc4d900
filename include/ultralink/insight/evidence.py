"""A row's texts as a reader should see them: hidden characters shown, quotations and other pieces marked, clipped.

Nothing here makes HTML: a text becomes pieces, and the template that shows them escapes each.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, zip_longest
from typing import Literal
from urllib.parse import urlsplit

from ultralink.dataset import Message, Reject, Sample
from ultralink.prompts import defuse
from ultralink.quotation import Quotable
from ultralink.translation.masks import mask

CLIP = 12_000  # characters of a text that are shown at first
MOST = 1_000_000  # characters that are shown at all
MOST_SIGNS = 5_000  # labels of hidden characters in a text; what is hidden beyond is a plain replacement character
SHARED_WORDS = 4  # fewer in a row are chance
SHARED_CHARACTERS = 12  # that such a run needs as well; of scripts without blanks half
MOST_COMPARED = 200_000  # characters of a text that are compared with another
MOST_QUOTED = 600  # characters of a quotation that are shown below its answer
_CANDIDATES = 8  # places in the passage that a run is tried at: repetitive text would take for ever

PieceKind = Literal["text", "sign", "quoted", "cite", "shared", "kept", "lost"]


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a text.

    kinds: ``text``; ``sign``: the label of a hidden character, whose ``title`` says what it is; ``quoted``: what the
    judge quoted; ``cite``: the number of the answer that the quotation that begins here is for, not part of the text;
    ``shared``: words that another text has too; ``kept``, ``lost``: masked in the English source, and in the
    translation or not. ``number`` joins a marked piece with its counterpart in the other text; 0: it has none.
    """

    kind: PieceKind
    text: str
    number: int = 0
    title: str = ""


@dataclass(frozen=True, slots=True)
class Mark:
    """Characters of a text that are to be marked, from ``start`` to before ``stop``; ``cites``: see Piece."""

    start: int
    stop: int
    kind: PieceKind
    number: int = 0
    cites: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Shown:
    """A text in pieces. ``length`` is that of the whole text, ``clipped`` whether more of it can be shown."""

    pieces: tuple[Piece, ...]
    length: int
    clipped: bool = False
    cut: bool = False  # even all that can be shown is not all

    @property
    def lost(self) -> int:
        """How many masked pieces the other text does not have."""
        return sum(piece.kind == "lost" for piece in self.pieces)

    @property
    def is_marked(self) -> bool:
        """Whether any words are marked."""
        return any(piece.kind not in ("text", "sign") for piece in self.pieces)

    @property
    def cited(self) -> frozenset[int]:
        """The numbers of the answers that a quotation is marked for."""
        return frozenset(piece.number for piece in self.pieces if piece.kind == "cite")


@dataclass(frozen=True, slots=True)
class Found:
    """What the judge found for an answer. ``is_marked``: its quotation is marked in the passage as it is shown."""

    grounded: bool
    quote: Shown
    is_marked: bool


@dataclass(frozen=True, slots=True)
class Said:
    """A message, and of a translation the English one that it stands for. ``answer``: counted from 1; 0: it is none.

    ``found`` is None where nothing is kept of a judge.
    """

    role: str
    answer: int
    text: Shown | None
    english: Shown | None = None
    found: Found | None = None


@dataclass(frozen=True, slots=True)
class Conversation:
    """A row as it is shown: its messages, and of a dialogue its passage.

    In the passage what the judge quoted is marked; where there is no such quotation, words that answers share with it.
    """

    said: tuple[Said, ...]
    passage: Shown | None
    is_translation: bool

    @property
    def is_judged(self) -> bool:
        """Whether it is kept what the judge found."""
        return any(one.found for one in self.said)


def conversation(row: Sample | Reject, *, whole: bool = False) -> Conversation:
    """The row's texts with marks; ``whole``: up to MOST characters of each instead of CLIP."""
    limit = MOST if whole else CLIP
    if row.source.english is not None:
        return Conversation(tuple(_translated(row.messages, row.source.english, limit)), None, is_translation=True)
    passage = row.source.passage
    if passage is None:
        counted = zip(row.messages, _answers(row.messages), strict=True)
        said = (Said(one.role, answer, shown(one.content, (), limit)) for one, answer in counted)
        return Conversation(tuple(said), None, is_translation=False)
    return _quoted(row, passage, limit) or _shared(row, passage, limit)


def _answers(messages: Sequence[Message]) -> list[int]:
    """The number of each message among the assistant's, from 1; 0: it is not the assistant's."""
    counted = accumulate(one.role == "assistant" for one in messages)
    return [number if one.role == "assistant" else 0 for one, number in zip(messages, counted, strict=True)]


def safe_link(url: str) -> str | None:
    """``url`` if it is safe as a link: plain http or https to a host; else None."""
    if any(character.isspace() or not character.isprintable() for character in url) or "\\" in url:
        return None
    try:
        parts = urlsplit(url)
        is_safe = parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        return None
    return url if is_safe else None


def revision_link(row: Sample | Reject) -> str | None:
    """The article at the revision that the row was made of, or the English row's data set; None: no safe address."""
    url, revision = safe_link(row.source.url), row.source.revision_id
    if url is None or row.source.kind != "wikipedia" or not revision or "oldid=" in url:
        return url
    address, separator, fragment = url.partition("#")
    return f"{address}{'&' if '?' in address else '?'}oldid={revision}{separator}{fragment}"


# --- pieces -------------------------------------------------------------------------------------

# Controls but tab and line break; marks of direction; what has no width but the joiners that scripts need; tags.
_HIDDEN = re.compile(
    "([\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f])\\1*+"
)
_SHORT = {
    "\u200e": "LRM", "\u200f": "RLM", "\u061c": "ALM", "\u202a": "LRE", "\u202b": "RLE", "\u202c": "PDF",
    "\u202d": "LRO", "\u202e": "RLO", "\u2066": "LRI", "\u2067": "RLI", "\u2068": "FSI", "\u2069": "PDI",
    "\u200b": "ZWSP", "\u2060": "WJ", "\ufeff": "BOM", "\u00ad": "SHY", "\x7f": "DEL",
}  # fmt: skip
_CONTROLS = [
    "NUL", "SOH", "STX", "ETX", "EOT", "ENQ", "ACK", "BEL", "BS", "TAB", "LF", "VT", "FF", "CR", "SO", "SI",
    "DLE", "DC1", "DC2", "DC3", "DC4", "NAK", "SYN", "ETB", "CAN", "EM", "SUB", "ESC", "FS", "GS", "RS", "US",
]  # fmt: skip


def shown(text: str, marks: Sequence[Mark] = (), limit: int = MOST) -> Shown:
    """``text`` in pieces, up to ``limit`` characters; ``marks`` are in order and do not overlap."""
    allowed = min(limit, MOST)
    pieces: list[Piece] = []
    signs = [0]
    end = 0
    for mark in marks:
        start, stop = min(mark.start, allowed), min(mark.stop, allowed)
        pieces += _visible(text[end:start], "text", 0, signs)
        if start < stop:
            pieces += (Piece("cite", str(number), number) for number in mark.cites)
        pieces += _visible(text[start:stop], mark.kind, mark.number, signs)
        end = stop
    pieces += _visible(text[end:allowed], "text", 0, signs)
    return Shown(tuple(pieces), len(text), allowed < len(text) and limit < MOST, MOST <= limit < len(text))


def _visible(text: str, kind: PieceKind, number: int, signs: list[int]) -> Iterator[Piece]:
    """Pieces of one kind, and a sign for each run of a hidden character; ``signs`` counts them."""
    text = text.replace("\r\n", "\n")
    end = 0
    for found in _HIDDEN.finditer(text):
        if signs[0] == MOST_SIGNS:
            yield Piece(kind, _HIDDEN.sub("\N{REPLACEMENT CHARACTER}", text[end:]), number)
            return
        signs[0] += 1
        if found.start() > end:
            yield Piece(kind, text[end : found.start()], number)
        yield _sign(found[1], len(found[0]))
        end = found.end()
    if end < len(text):
        yield Piece(kind, text[end:], number)


def _sign(character: str, times: int) -> Piece:
    code = ord(character)
    label = _SHORT.get(character) or (_CONTROLS[code] if code < 0x20 else f"U+{code:04X}")
    name = unicodedata.name(character, "control character" if code < 0xA0 else "hidden character").lower()
    more = f" ×{times}" if times > 1 else ""
    return Piece("sign", label + more, title=f"U+{code:04X} {name}{more}")


# --- what the judge quoted ----------------------------------------------------------------------


def _quoted(row: Sample | Reject, passage: str, limit: int) -> Conversation | None:
    """The conversation with what the judge quoted marked in the passage; None where there is no such thing."""
    shown_to_judge = defuse(passage[:MOST_COMPARED])  # character for character as long as the passage
    quotable = Quotable(shown_to_judge) if row.evidence else None
    places = {
        each.answer: place
        for each in row.evidence or ()
        if quotable and each.grounded and (place := quotable.find(each.quote))
    }
    if not places:
        return None
    marked = shown(passage, quotation_marks(places), limit)
    judged = _found(row, marked.cited)
    said = (
        Said(one.role, answer, shown(one.content, (), limit), found=judged.get(answer))
        for one, answer in zip(row.messages, _answers(row.messages), strict=True)
    )
    return Conversation(tuple(said), marked, is_translation=False)


def quotation_marks(places: Mapping[int, tuple[int, int]]) -> list[Mark]:
    """Marks of quotations, by answer, at their places: one that begins within another divides its mark."""
    cites: defaultdict[int, list[int]] = defaultdict(list)
    for answer, (start, _) in sorted(places.items()):
        cites[start].append(answer)
    begins = sorted(cites)
    marks = []
    for start, stop in _joined(list(places.values())):
        within = [at for at in begins if start <= at < stop]
        for at, end in zip(within, [*within[1:], stop], strict=True):
            marks.append(Mark(at, end, "quoted", cites=tuple(cites[at])))
    return marks


def _found(row: Sample | Reject, marked: frozenset[int]) -> dict[int, Found]:
    """What the judge found, by answer."""
    return {
        each.answer: Found(each.grounded, shown(each.quote, (), MOST_QUOTED), each.answer in marked)
        for each in row.evidence or ()
    }


# --- words shared with the passage --------------------------------------------------------------

# A word; in scripts without blanks between words each character counts as one.
_TOKEN = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\u0e00-\u0eff\U00020000-\U0003ffff]|[^\W_]+")
_WITHOUT_BLANKS = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\u0e00-\u0eff\U00020000-\U0003ffff]")


@dataclass(frozen=True, slots=True)
class Run:
    """Words of a text that another has too: where they are in both, in characters."""

    start: int
    stop: int
    other_start: int
    other_stop: int


class Passage:
    """A passage, ready to be compared with many texts."""

    def __init__(self, text: str) -> None:
        self._words, self._spans = _tokens(text)
        self._places: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
        for place in range(len(self._words) - SHARED_WORDS + 1):
            known = self._places[tuple(self._words[place : place + SHARED_WORDS])]
            if len(known) < _CANDIDATES:
                known.append(place)

    def runs(self, text: str) -> list[Run]:
        """The longest runs of words in ``text`` that stand so in the passage too, in order, not overlapping."""
        words, spans = _tokens(text)
        found: list[Run] = []
        at = 0
        while at + SHARED_WORDS <= len(words):
            places = self._at(words, at)
            length, place = max(((self._length(words, at, place), place) for place in places), default=(0, 0))
            if length:
                first, last, end = spans[at], spans[at + length - 1], place + length - 1
                run = Run(first[0], last[1], self._spans[place][0], self._spans[end][1])
                if _is_telling(text[run.start : run.stop]):
                    found.append(run)
                    at += length
                    continue
            at += 1
        return found

    def _at(self, words: list[str], at: int) -> list[int]:
        return self._places.get(tuple(words[at : at + SHARED_WORDS]), [])

    def _length(self, words: list[str], at: int, place: int) -> int:
        most = min(len(words) - at, len(self._words) - place)
        return next((n for n in range(SHARED_WORDS, most) if words[at + n] != self._words[place + n]), most)


def _tokens(text: str) -> tuple[list[str], list[tuple[int, int]]]:
    found = list(_TOKEN.finditer(text, 0, MOST_COMPARED))
    return [match[0].casefold() for match in found], [match.span() for match in found]


def _is_telling(text: str) -> bool:
    dense = len(_WITHOUT_BLANKS.findall(text))
    return len(text) + dense >= SHARED_CHARACTERS


def _shared(row: Sample | Reject, passage: str, limit: int) -> Conversation:
    messages, judged = row.messages, _found(row, frozenset())
    compared = Passage(passage)
    runs = [compared.runs(one.content) if one.role == "assistant" else [] for one in messages]
    ranges = _joined([(run.other_start, run.other_stop) for found in runs for run in found])
    starts = [start for start, _ in ranges]
    said = []
    for one, answer, found in zip(messages, _answers(messages), runs, strict=True):
        marks = [Mark(run.start, run.stop, "shared", bisect_right(starts, run.other_start)) for run in found]
        said.append(Said(one.role, answer, shown(one.content, marks, limit), found=judged.get(answer)))
    marked = [Mark(start, stop, "shared", number) for number, (start, stop) in enumerate(ranges, 1)]
    return Conversation(tuple(said), shown(passage, marked, limit), is_translation=False)


def _joined(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges in order, those that touch as one."""
    joined: list[tuple[int, int]] = []
    for start, stop in sorted(ranges):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], stop))
        else:
            joined.append((start, stop))
    return joined


# --- masks of a translation ---------------------------------------------------------------------


def _translated(messages: Sequence[Message], english: Sequence[Message], limit: int) -> Iterator[Said]:
    answers = _answers(max(messages, english, key=len))
    for answer, told, source in zip_longest(answers, messages, english):
        marks: list[Mark] = []
        others: list[Mark] = []
        if told is not None and source is not None:
            marks, others = masked_in_both(source.content, told.content)
        yield Said(
            (told or source).role,
            answer,
            shown(told.content, others, limit) if told else None,
            shown(source.content, marks, limit) if source else None,
        )


def masked_in_both(english: str, translation: str) -> tuple[list[Mark], list[Mark]]:
    """What is masked in the English text, and where the translation has it again, by the same numbers.

    What the translation does not have as it stood is ``lost``: also code whose comments are translated.
    """
    sources, targets = spans(english), spans(translation)
    free: defaultdict[str, list[int]] = defaultdict(list)
    for index, (start, stop) in reversed(list(enumerate(targets))):
        free[translation[start:stop].strip()].append(index)
    is_whole = max(len(english), len(translation)) <= MOST_COMPARED  # else what is not found may still be there
    marks, others = [], []
    for number, (start, stop) in enumerate(sources, 1):
        places = free[english[start:stop].strip()]
        if not places:
            marks.append(Mark(start, stop, "lost" if is_whole else "text", 0))
            continue
        marks.append(Mark(start, stop, "kept", number))
        others.append(Mark(*targets[places.pop()], "kept", number))
    return marks, sorted(others, key=lambda mark: mark.start)


def spans(text: str) -> list[tuple[int, int]]:
    """Where the pieces are that a translation of ``text`` masks; of a very long text only its beginning is read."""
    masked = mask(text[:MOST_COMPARED])
    found, read, at = [], 0, 0
    for number, span in enumerate(masked.spans, 1):
        placeholder = f"⟦{number}⟧"
        place = masked.text.index(placeholder, read)
        at += place - read
        found.append((at, at + len(span.text)))
        at += len(span.text)
        read = place + len(placeholder)
    return found
