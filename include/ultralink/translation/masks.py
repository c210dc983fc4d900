"""What must survive a translation is replaced by placeholders ⟦1⟧, ⟦2⟧ ... and put back afterwards.

One scanner reads a text from left to right, and the leftmost thing wins: a formula inside a fenced block is a part
of the block. Its patterns can't run past the next place where they themselves could begin (or only a fixed number of
times), so the time is linear in the length of the text, whatever the text.
"""

from __future__ import annotations

import re
import string
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

Reason = Literal["dropped", "doubled", "unknown", "mangled", "order", "moved_line", "marker"]


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of the text as it stands.

    A block is fenced or indented code, a display formula, an environment, or a pipe or delimiter row of a table:
    blocks keep their order. Everything else may move inside its sentence.
    """

    text: str
    is_block: bool


@dataclass(frozen=True, slots=True)
class MaskFault:
    """What is wrong with one placeholder of a translation, or with one kind of list or heading sign ("marker")."""

    reason: Reason
    placeholder: str


@dataclass(frozen=True, slots=True)
class Masked:
    """A text whose placeholder ⟦n⟧ stands for ``spans[n - 1]``."""

    text: str
    spans: tuple[Span, ...]

    def restore(self, translated: str) -> str:
        """``translated`` with its placeholders replaced; those that are unknown or mangled stay as they are.

        Invisible marks that the translator has put beside code go: with them, it would be no block of code.
        """

        def original(match: re.Match[str]) -> str:
            number = int(match[1])
            return self.spans[number - 1].text if number <= len(self.spans) else match[0]

        return _PLACEHOLDER.sub(original, self._without_new_marks(translated))

    def _without_new_marks(self, translated: str) -> str:
        if not _MARK.search(translated):
            return translated
        given = {match[0] for match in _WITH_MARKS.finditer(self.text)}

        def bare(match: re.Match[str]) -> str:
            number = int(match[1])
            is_new = match[0] not in given and number <= len(self.spans) and _is_code(self.spans[number - 1])
            return _placeholder(number) if is_new else match[0]

        return _WITH_MARKS.sub(bare, translated)

    def faults(self, translated: str) -> list[MaskFault]:
        """What keeps ``translated`` from being restored soundly; empty: nothing.

        dropped, doubled, unknown: a placeholder is not there, there more than once, or was never given.
        mangled: its brackets or digits are no longer those that were given.
        order: a block stands before another that it followed, or an inline placeholder has left its paragraph, its
        line (where lines end sentences or are list items), its cell, or its side of a block that stands alone.
        moved_line: a block no longer stands alone on its line, or a table row is broken or joined to the next.
        marker: lists, headings or quotations have more or fewer lines, or a link has lost its bracket.
        """
        if not self.spans and "⟦" not in translated and "⟧" not in translated:
            return list(_lost_markers(self, translated))
        found = [int(match[1]) for match in _PLACEHOLDER.finditer(translated)]
        faults = [*self._miscounted(found), *_mangled_and_dropped(self, translated, set(found))]
        first_seen = dict.fromkeys(number for number in found if number <= len(self.spans))
        out_of_order = _disordered([number for number in first_seen if self.spans[number - 1].is_block])
        if not faults and not out_of_order:
            out_of_order = _strayed(self, translated)
        faults += [_fault("order", number) for number in out_of_order]
        faults += [_fault("moved_line", number) for number in _off_their_line(self, translated)]
        return [*faults, *_lost_markers(self, translated)]

    def _miscounted(self, found: list[int]) -> Iterator[MaskFault]:
        for number, times in Counter(found).items():
            if number > len(self.spans):
                yield _fault("unknown", number)
            elif times > 1:
                yield _fault("doubled", number)


def mask(text: str) -> Masked:
    """``text`` with everything that must survive behind placeholders; restoring it gives ``text`` again."""
    pieces: list[str] = []
    spans: list[Span] = []
    end = 0
    for number, (start, stop, kind) in enumerate(_Scanner(text).spans(), 1):
        spans.append(Span(text[start:stop], kind in _BLOCKS))
        pieces.append(f"{text[end:start]}⟦{number}⟧")
        end = stop
    pieces.append(text[end:])
    return Masked("".join(pieces), tuple(spans))


def prose(masked_text: str) -> str:
    """``masked_text`` without its placeholders: the words that a language check may look at."""
    return _PLACEHOLDER.sub(" ", masked_text)


def fences(text: str) -> list[tuple[int, int]]:
    """Start and end of each fenced block: from the fence's indentation to the end of its closing line."""
    return [(found.start, found.end) for found in _Scanner(text).spans() if found.kind == "fence"]


def _placeholder(number: int) -> str:
    return f"⟦{number}⟧"


def _fault(reason: Reason, number: int) -> MaskFault:
    return MaskFault(reason, _placeholder(number))


# --- what is masked: patterns -----------------------------------------------------------------------------------------

# They order right-to-left text or join and part characters; models put them beside brackets.
_INVISIBLE = "\u200b\u200c\u200d\u200e\u200f\u061c\u2060\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"
_PLACEHOLDER = re.compile(r"⟦([1-9][0-9]{0,8})⟧")
_MARK = re.compile(rf"[{_INVISIBLE}]")
_WITH_MARKS = re.compile(rf"(?:(?<![{_INVISIBLE}])[{_INVISIBLE}]++)?{_PLACEHOLDER.pattern}[{_INVISIBLE}]*+")

_BLOCKS = {"fence", "indented", "block", "environment", "pipe", "delimiter"}

_NO_BLANK = r"\n(?![ \t\r]*\n)"  # the end of a line, but not of a paragraph
_NO_FENCE = r"\n(?![ \t>]*(?:```|~~~))"
_DOLLARS = rf"[^$\\\n]++|\\[\s\S]|{_NO_BLANK}"


def _nested(opening: str, closing: str, content: str, depth: int) -> str:
    """Brackets in balance, ``depth`` deep: more is not found in texts and would cost time in hostile ones."""
    inner = ""
    for _ in range(depth):
        inner = rf"{opening}(?:{content}{'|' + inner if inner else ''})*+{closing}"
    return inner


_BRACES = _nested(r"\{", r"\}", rf"[^{{}}\\\n]++|\\[\s\S]|{_NO_BLANK}", 8)
_IN_TARGET = _nested(r"\(", r"\)", r"[^\s()<>⟦⟧]++", 4)
_TARGET = rf"(?:[^\s()<>\\⟦⟧]++|\\[^\s⟦⟧]|{_IN_TARGET})*+"
_URL_CHARACTERS = r"[\w\-./?#@!$&'*+,;=%:~]++|\{[\w.-]*\}"
_IN_BRACKETS = "|".join((_URL_CHARACTERS, _nested(r"\(", r"\)", _URL_CHARACTERS, 4)))
_URL = re.compile(rf"(?:{_IN_BRACKETS}|\[(?:{_IN_BRACKETS})*+\])++")

_FILES = (
    "bash|bat|cfg|cmake|conf|cpp|cs|css|csv|cxx|db|docx?|exe|gif|gz|hpp|html?|ini|ipynb|java|jar|jpe?g|js|json|jsonl|"
    "jsx|kt|lock|log|lua|md|mp[34]|parquet|pdf|php|pkl|png|pptx?|proto|py|pyi|rb|rs|rst|scss|sh|so|sql|sqlite|svg|"
    "swift|tar|tex|toml|tsv?|tsx|txt|wav|xlsx?|xml|ya?ml|zip"
)
_RAW_ELEMENTS = "code|pre|script|style|math|svg|kbd|samp|tt"
_SWITCHED_ELEMENTS = "input|button|option|script|video|audio|details|dialog|ol|select|textarea|form|iframe|img"


def _delimited(opening: str, closing: str, line_end: str) -> Iterator[str]:
    r"""Patterns of ``\(...\)`` and of ``\\(...\\)``, as it is written where a backslash must be escaped."""
    ends = rf"\{opening}\{closing}"
    yield rf"\\\{opening}(?:[^\\\n]++|\\(?![{ends}])[\s\S]|{line_end})*+\\\{closing}"
    yield rf"\\\\\{opening}(?:[^\\\n]++|\\(?!\\[{ends}])|{line_end})*+\\\\\{closing}"


_DELIMITER_CELL = r"[ \t]*+:?+-++:?+[ \t]*+"
_DELIMITER_ROW = rf"\n(?=[^|\n]*+\|)[ \t>]*+\|?+{_DELIMITER_CELL}(?:\|{_DELIMITER_CELL})*+\|?+[ \t]*+(?=\r?(?:\n|\Z))"

# Kind of find and its pattern; of those that begin with the same character, the first that fits is taken.
# Every pattern begins with a plain character, and what must stand before it is looked at behind it: so the search
# skips at once whatever no pattern begins with.
_PATTERNS = [
    ("ticks", r"`+"),
    ("tildes", r"~~~+"),
    ("path", r"~(?<![\w~]~)/[\w.@+/-]*+"),
    # formulas
    ("block", rf"\$\$(?<!\$\$\$)(?=[ \t\r]*\n)(?:[^$\\\n]++|\\[\s\S]|\$(?!\$)|{_NO_FENCE})*+\$\$"),
    ("block", rf"\$\$(?<!\$\$\$)(?!\$)(?:{_DOLLARS}|\$(?!\$))*+\$\$"),
    ("formula", rf"\$(?!\$)(?:{_DOLLARS})++\$(?!\{{)"),
    ("inline", r"\$\{[^{}\n]*+\}"),
    ("inline", r"\$(?<!\w\$)[A-Z_][A-Z0-9_]++(?![\w$])"),
    *(("inline", pattern) for pattern in _delimited("(", ")", _NO_BLANK)),
    *(("block", pattern) for pattern in _delimited("[", "]", _NO_FENCE)),
    ("environment", r"\\begin\{[A-Za-z]++\*?\}"),
    ("path", r"\\\\(?<![^\s(\"'`]\\\\)[\w.-]++\\[\w.$-]++(?:\\[\w.$-]++)*+"),
    ("inline", rf"\\[A-Za-z]++\*?(?:\[[^\[\]\n]*+\]|{_BRACES}|[_^](?:{_BRACES}|\\[A-Za-z]++|\w))*+"),
    ("skip", r"\\[!-/:-@\[-`{-~]"),
    # markup
    ("inline", r"<!--[^<-]*+(?:(?:<(?!!--)|-(?!->))[^<-]*+)*+-->"),
    ("inline", r"<<[^<>=\n]++=[^<>\n]*+>>"),
    ("inline", rf"<(?i:(?P<raw>{_RAW_ELEMENTS})\b[^<>]*+>[^<]*+(?:<(?!/?(?P=raw)\b)[^<]*+)*+</(?P=raw)\s*+>)"),
    ("inline", r"<[A-Za-z][\w+.-]*+:[^\s<>]*+>"),
    ("inline", r"<[^\s<>@]++@[^\s<>@]++>"),
    ("inline", r"</?[A-Za-z][\w:.-]*+\s*+/?>"),
    (
        "inline",
        rf"<(?:[A-Za-z][\w:.-]*+(?=[^<>=]*+=)|(?i:{_SWITCHED_ELEMENTS})\b)"
        r"(?:\s++[\w:@.-]++(?:\s*+=\s*+(?:\"[^\"<]*+\"|'[^'<]*+'|[^\s\"'<>=`]++))?)++\s*+/?>",
    ),
    ("inline", r"<[!?][A-Za-z][^<>]*+>"),
    ("inline", r"&(?:[A-Za-z][A-Za-z0-9]{1,31}|#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6});"),
    ("inline", rf"\]\([ \t]*+(?:<[^<>\n]*+>|{_TARGET})(?:[ \t]++(?:\"[^\"\n]*+\"|'[^'\n]*+'))?[ \t]*+\)"),
    ("delimiter", _DELIMITER_ROW),
    ("indented", r"\n(?= {4}| {0,3}\t)"),
    ("pipe", r"\|(?:[ \t]*+\|)*+"),
    # placeholders
    ("inline", r"\{\{\{?[^{}\n]*+\}\}\}?"),
    ("inline", r"\{%[^{}%\n]*+(?:%(?!\})[^{}%\n]*+)*+%\}"),
    ("inline", r"\{(?:[A-Za-z_][\w.\[\]-]*+|[0-9]*+)(?:![rsa])?(?::[^\s{}]*+)?\}"),
    (
        "inline",
        r"%(?<![\d%]%)(?:\(\w++\)|[0-9]++\$)?[-+#0]*+[0-9]*+(?:\.[0-9]++)?(?:hh?|ll?|[Lzjt])?"
        r"[A-Za-z](?![A-Za-z])",
    ),
    ("inline", r"%(?<!\w%)[A-Z_][A-Z0-9_]++%"),
    ("inline", r"⟦++(?:[^⟦⟧\n]{0,40}+⟧++)?+"),
    ("inline", r"⟧++"),
    # addresses and paths
    ("url", r"://(?=[\w\[])"),
    (  # a backslash at its end may not take the place of one that escapes what follows
        "drive",
        r":\\(?<=[A-Za-z]:\\)(?<![A-Za-z0-9][A-Za-z]:\\)\\?+"
        r"(?:[\w.&()-]++(?: [A-Z(][\w.&()-]*+)*+\\{1,2}+)*+[\w.&()-]*+(?:(?<!\\)|(?=[\s\"'),;?!*]|\Z))",
    ),
    ("drive", r":/(?<=[A-Za-z]:/)(?<![A-Za-z0-9][A-Za-z]:/)(?!/)[\w.@+/-]*+"),
    ("www", r"www\.(?<![\w@/.-]www\.)(?=\w)"),
    ("email", r"@(?<=[\w.+%-]@)[A-Za-z0-9][\w-]*+(?:\.[\w-]++)++"),
    ("path", r"/(?<![\w/.:~)\]}>*%$^+<-]/)(?=[A-Za-z_.@])(?:[\w.@+-]++/)*+[\w.@+-]*+"),
    ("relative", r"/(?<=[\w.-]/)[\w.+/-]*+"),
    ("path", r"\.(?<![\w.)\]]\.)\.?/[\w.@+/-]*+"),
    ("file", rf"\.(?<=\w\.)(?:{_FILES})(?![\w-])(?!\.\w)"),
]  # fmt: skip
_ANY = re.compile("|".join(f"{pattern}(?P<_{number}>)" for number, (_, pattern) in enumerate(_PATTERNS)), re.ASCII)
_KINDS = {f"_{number}": kind for number, (kind, _) in enumerate(_PATTERNS)}

_VARIABLE = re.compile(r"\$(?:\{[^{}\n]*+\}|[A-Z_][A-Z0-9_]++(?![\w$]))", re.ASCII)
_TICKS = re.compile(r"`+")
_FENCE_START = re.compile(r"[ \t>]*(?:(?:[-*+]|[0-9]{1,9}[.)])[ \t]+)*")
_FENCE_MARGIN = re.compile(r"[ \t>]*")
_FENCE_END = re.compile(r"^[ \t>]*(```+|~~~+)[ \t\r]*$", re.MULTILINE)
_INFO = re.compile(r"[ \t]*[\w+#.-]*[ \t\r]*(?=\n|\Z)")
# What inline code can't cross: the end of its paragraph, list item or heading.
_BARRIER = re.compile(r"\n(?=[ \t\r]*\n|[ \t>]*(?:```|~~~|[-*+][ \t]|[0-9]{1,9}[.)][ \t]|#{1,6}[ \t]))")
_ENVIRONMENT = re.compile(r"\\(begin|end)\{([A-Za-z]+\*?)\}|^[ \t>]*(?:```|~~~)", re.MULTILINE)
_DELIMITER = re.compile(_DELIMITER_ROW)
_TABLE_ROWS = re.compile(r"(?:\n[^\n|]*+\|[^\n]*+)*+")
_COMMAND = re.compile(r"\\[A-Za-z]")
_SIGN = re.compile(r"[\^_=]")
_BRACED = re.compile(r"\{[^{}]*\}")
_TWO_WORDS = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}\s+[A-Za-z]{2,}")
_WORD = re.compile(r"[A-Za-z]{2,}")
_SHELL_NAME = re.compile(r"[A-Z_]{2}")
_EXTENSION = re.compile(r"[a-z][a-z0-9]{0,9}|[A-Z]{1,4}")
_HOST = re.compile(r"(?:[A-Za-z0-9-]+\.)+(?:com|org|net|edu|gov|io|dev|ai|co|app|me|info|uk|de|fr|es|ru|cn|eu|us)")

_WORD_CHARACTERS = string.ascii_letters + string.digits + "_"
_SCHEME_CHARACTERS = string.ascii_letters + string.digits + "+.-"
_FULL_STOPS = ".,-+"  # in a sentence, they are not a part of the path that they follow
_LONGEST_NAME = 255
_WIDEST_MARGIN = 200
_SHORTEST_ROOT = 4  # "/etc" is a path, "/or" is not

_INDENTED = 4  # columns: CommonMark 0.31, 4.4
_ITEM = re.compile(r"[ \t]*(?:[-*+•]|[0-9]{1,9}[.)])[ \t]+")
# Lines that begin a quotation, list, table or display formula; what begins so is looked for as such.
_NOT_CODE = re.compile(rf"{_ITEM.pattern}|>(?!>> )|[>\s]*(?:[|:`~-]|$)|\$\$|\\\\?\[|\\begin\b")
_ASIDE = re.compile(
    r"`[^`\n]*+`|\$[^$\n]*+\$|\\\((?:[^\\\n]++|\\(?![()]))*+\\\)|\[[^\[\]\n]*+\]\([^()\s]*+\)|</?[A-Za-z]\w*+>"
)
_CODE_SIGN = re.compile(r"[\[\]{}<>=]|\w\((?!s\))|;\s*$|\w_\w")
_KEYWORD = re.compile(r"(?:[A-Z]{3,}|class|def|else|for|from|function|if|import|let|return|try|var|while)\b")
_PLAIN_WORD = re.compile(r"[^\W\d_\u3040-\u9fff]+|[\u3040-\u9fff]")
_FEWEST_WORDS = 3  # a line, in prose
_MANY_WORDS = 5  # a line, in prose that has signs of code in it


# --- what is masked: the scanner --------------------------------------------------------------------------------------


class _Found(NamedTuple):
    start: int
    end: int
    kind: str


class _Scanner:
    """One pass over one text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.floor = 0  # end of what was found last: nothing may begin before it
        self.table_end = 0
        self.delimiter = -1  # where the line before the delimiter row of the table ends
        self.no_table_before = 0
        self.barrier = -1

    def spans(self) -> Iterator[_Found]:
        """Everything that must survive, in order, without overlaps and never empty."""
        search, handlers, kinds = _ANY.search, _HANDLERS, _KINDS
        if self.text[:1] in {" ", "\t"} and 0 in self._indented_code:
            self.floor = self._indented_code[0]
            yield _Found(0, self.floor, "indented")
        match = search(self.text, self.floor)
        while match:
            kind = kinds[match.lastgroup]  # type: ignore[index]  # every pattern ends with a group
            handler = handlers.get(kind)
            found = handler(self, match) if handler else _Found(match.start(), match.end(), kind)
            if found and found.kind != "skip":
                yield found
                self.floor = found.end
            match = search(self.text, found.end if found else match.start() + 1)

    # Each handler looks at a match and says what was found and where; "skip": nothing up to that end; None: nothing.

    def ticks(self, match: re.Match[str]) -> _Found | None:
        start, end = match.span()
        stop = self._code_end(end, end - start)
        if end - start >= 3:
            line_end = self._line_end(end)
            if stop is None or stop > line_end:
                fence = self._fence(match, line_end)
                if fence:
                    return fence
        return _Found(start, stop or end, "inline" if stop else "skip")

    def tildes(self, match: re.Match[str]) -> _Found | None:
        return self._fence(match, self._line_end(match.end())) or _Found(match.start(), match.end(), "skip")

    def formula(self, match: re.Match[str]) -> _Found | None:
        start, end = match.span()
        if self._is_formula(start, end):
            return _Found(start, end, "inline")
        variable = _VARIABLE.match(self.text, start)
        return _Found(start, variable.end(), "inline") if variable else None

    def environment(self, match: re.Match[str]) -> _Found | None:
        end = self._environments.get(match.start())
        return _Found(match.start(), end, "environment") if end else _Found(match.start(), match.end(), "inline")

    def pipe(self, match: re.Match[str]) -> _Found | None:
        start = match.start()
        if start >= max(self.table_end, self.no_table_before):
            self._look_for_table(start)
        return _Found(start, match.end(), "pipe" if start < self.table_end else "skip")

    def delimiter_row(self, match: re.Match[str]) -> _Found | None:
        if match.start() != self.delimiter:
            return None
        return _Found(match.start() + 1, match.end(), "delimiter")

    def indented(self, match: re.Match[str]) -> _Found | None:
        end = self._indented_code.get(match.end())
        return _Found(match.end(), end, "indented") if end else None

    def url(self, match: re.Match[str]) -> _Found | None:
        start = self._back(match.start(), _SCHEME_CHARACTERS, 32)
        while start < match.start() and not self.text[start].isalpha():
            start += 1
        return self._address(start, match.end()) if start < match.start() else None

    def www(self, match: re.Match[str]) -> _Found | None:
        return self._address(match.start(), match.end())

    def email(self, match: re.Match[str]) -> _Found | None:
        start = self._back(match.start(), _WORD_CHARACTERS + ".+%-", 64)
        local = self.text[start : match.start()]
        start += len(local) - len(local.lstrip(".+%-"))
        return _Found(start, match.end(), "inline") if start < match.start() else None

    def drive(self, match: re.Match[str]) -> _Found | None:
        start = match.start() - 1
        if start < self.floor:
            return None
        path = self.text[start : match.end()].rstrip(_FULL_STOPS + "(")
        if "(" not in path:
            path = path.rstrip(_FULL_STOPS + ")")
        return _Found(start, start + len(path), "inline")

    def path(self, match: re.Match[str]) -> _Found | None:
        path = match[0].rstrip(_FULL_STOPS)
        is_word = path.startswith("/") and path.find("/", 1) < 0 and len(path) < _SHORTEST_ROOT
        if is_word or len(path) < 2:
            return None
        return _Found(match.start(), match.start() + len(path), "inline")

    def relative(self, match: re.Match[str]) -> _Found | None:
        start = self._back(match.start(), _WORD_CHARACTERS + "@.+-", _LONGEST_NAME)
        first = self.text[start : match.start()]
        if _HOST.fullmatch(first):
            return self._address(start, match.start())
        path = self.text[start : match.end()].rstrip(_FULL_STOPS)
        if first and _is_relative_path(path):
            return _Found(start, start + len(path), "inline")
        return _Found(match.start(), match.end(), "skip")

    def file(self, match: re.Match[str]) -> _Found | None:
        start = self._back(match.start(), _WORD_CHARACTERS + ".-", _LONGEST_NAME)
        name = self.text[start : match.start()]
        start += len(name) - len(name.lstrip("-"))
        is_product = match[0] == ".js" and name[:1].isupper()  # Node.js
        return _Found(start, match.end(), "inline") if start < match.start() and not is_product else None

    # What the handlers need to know about the text.

    def _back(self, at: int, characters: str, limit: int) -> int:
        """Where the run of ``characters`` that ends at ``at`` begins; ``limit`` is the longest that is followed."""
        low = max(self.floor, at - limit)
        return low + len(self.text[low:at].rstrip(characters))

    def _line_end(self, at: int) -> int:
        end = self.text.find("\n", at)
        return len(self.text) if end < 0 else end

    def _address(self, start: int, body: int) -> _Found | None:
        match = _URL.match(self.text, body)
        if not match:
            return None
        address = self.text[start : match.end()].rstrip(".,;:!?'*_~")
        return _Found(start, start + len(address), "inline")

    def _is_formula(self, start: int, end: int) -> bool:
        """Is text[start:end], from dollar to dollar, a formula rather than two prices or two variables?"""
        text, content = self.text, self.text[start + 1 : end - 1]
        has_command, has_sign = bool(_COMMAND.search(content)), bool(_SIGN.search(content))
        has_words = bool(_TWO_WORDS.search(_BRACED.sub("", content)))
        padding = content[0].isspace() + content[-1].isspace()
        if text[end : end + 1].isdigit() or padding == 1:
            return has_command and not has_words
        if padding == 2:
            return (has_command or has_sign) and not has_words
        if content[0] in ",.;:!?)/" and text[start - 1 : start].isdigit():
            return False
        if _SHELL_NAME.match(content) and text[end : end + 1].isalpha():
            return False
        if content[0].isdigit():
            return has_command or has_sign or not _WORD.search(content)
        return has_command or has_sign or not has_words

    @cached_property
    def _tick_runs(self) -> dict[int, list[int]]:
        """Starts of the runs of backticks, by the length of the run."""
        runs: dict[int, list[int]] = defaultdict(list)
        for match in _TICKS.finditer(self.text):
            runs[match.end() - match.start()].append(match.start())
        return runs

    def _code_end(self, at: int, length: int) -> int | None:
        """End of the inline code whose first run of ``length`` backticks ends at ``at``."""
        starts = self._tick_runs[length]
        index = bisect_left(starts, at)
        if index == len(starts):
            return None
        if self.barrier < at:
            barrier = _BARRIER.search(self.text, at)
            self.barrier = barrier.start() if barrier else len(self.text)
        return starts[index] + length if starts[index] < self.barrier else None

    @cached_property
    def _fence_ends(self) -> list[tuple[int, int, str]]:
        """Start and end of every line that may close a fence, and its fence."""
        return [(match.start(), match.end(), match[1]) for match in _FENCE_END.finditer(self.text)]

    def _fence(self, match: re.Match[str], line_end: int) -> _Found | None:
        """The fenced block that opens with ``match``; without a closing line, it goes to the end of the text."""
        start, end = match.span()
        if match[0][0] == "`" and self.text.find("`", end, line_end) >= 0:
            return None
        lowest = max(0, start - _WIDEST_MARGIN)
        line_start = self.text.rfind("\n", lowest, start) + 1 or lowest
        opens_line = bool(_FENCE_START.fullmatch(self.text, line_start, start))
        if not opens_line and match[0][0] == "~":
            return None
        stop = self._fence_stop(match[0], line_end)
        if not opens_line and stop is None and not _INFO.match(self.text, end):
            return None
        if opens_line and _FENCE_MARGIN.fullmatch(self.text, line_start, start):
            start = max(line_start, self.floor)
        return _Found(start, len(self.text) if stop is None else stop, "fence")

    def _fence_stop(self, fence: str, line_end: int) -> int | None:
        ends = self._fence_ends
        for index in range(bisect_left(ends, (line_end,)), len(ends)):
            _, end, closing = ends[index]
            if closing.startswith(fence):
                return end - (self.text[end - 1] == "\r")
        return None

    @cached_property
    def _indented_code(self) -> dict[int, int]:
        """Start and end of each run of indented lines that is code, wherever it is: also within a fence."""
        return {
            run[0].start: run[-1].end
            for run in _indented_runs(self.text)
            if not _is_prose([line.text for line in run]) and not any(map(_is_delimiter_row, run))
        }

    @cached_property
    def _environments(self) -> dict[int, int]:
        r"""Start and end of each ``\begin{x}...\end{x}``; what is inside another pair of its name is nested."""
        pairs: dict[int, int] = {}
        open_now: list[tuple[str, int]] = []
        names: Counter[str] = Counter()
        for match in _ENVIRONMENT.finditer(self.text):
            if match[1] == "begin":
                open_now.append((match[2], match.start()))
                names[match[2]] += 1
            elif match[1] is None:
                open_now.clear()
                names.clear()
            elif names[match[2]]:
                name = ""
                while name != match[2]:
                    name, start = open_now.pop()
                    names[name] -= 1
                pairs[start] = match.end()
        return pairs

    def _look_for_table(self, at: int) -> None:
        """Is the line at ``at`` the head of a table?"""
        line_end = self._line_end(at)
        delimiter = _DELIMITER.match(self.text, line_end)
        if delimiter:
            rows = _TABLE_ROWS.match(self.text, delimiter.end())
            self.delimiter = line_end
            self.table_end = rows.end() if rows else delimiter.end()
        else:
            self.no_table_before = line_end


_HANDLERS: dict[str, Callable[[_Scanner, re.Match[str]], _Found | None]] = {
    "ticks": _Scanner.ticks,
    "tildes": _Scanner.tildes,
    "formula": _Scanner.formula,
    "environment": _Scanner.environment,
    "pipe": _Scanner.pipe,
    "delimiter": _Scanner.delimiter_row,
    "indented": _Scanner.indented,
    "url": _Scanner.url,
    "www": _Scanner.www,
    "email": _Scanner.email,
    "drive": _Scanner.drive,
    "path": _Scanner.path,
    "relative": _Scanner.relative,
    "file": _Scanner.file,
}


class _Row(NamedTuple):
    """A line that is not blank: its place, without its line break, and its text without its margins."""

    start: int
    end: int
    text: str
    indentation: int  # columns

    @property
    def has_fence(self) -> bool:
        return "```" in self.text or "~~~" in self.text


def _indented_runs(text: str) -> Iterator[list[_Row]]:
    """Lines that markdown takes for indented code, blank lines left out.

    They follow a blank line, and within a list item they are indented from the item's words.
    """
    run: list[_Row] = []
    outer = inner = 0  # columns where the words of the outermost and of the last list item begin; 0: no list
    after_blank = True
    for row in _rows(text):
        if row is None:
            after_blank = True
            continue
        is_deep = row.indentation >= inner + _INDENTED and not row.has_fence
        if run and not is_deep:
            yield run
            run = []
        if run or (is_deep and after_blank and not _NOT_CODE.match(row.text)):
            run.append(row)
        else:
            if row.indentation < outer and (after_blank or row.text[0] in "#`~"):
                outer = inner = 0
            item = _ITEM.match(row.text)
            if item:
                inner = row.indentation + item.end()
                outer = outer or inner
        after_blank = False
    if run:
        yield run


def _rows(text: str) -> Iterator[_Row | None]:
    """The lines of ``text``; None for a blank one."""
    start = 0
    for line in text.split("\n"):
        bare = line.strip(" \t\r")
        margin = line[: len(line) - len(line.lstrip(" \t"))].expandtabs(_INDENTED)
        yield _Row(start, start + len(line.rstrip(" \t\r")), bare, len(margin)) if bare else None
        start += len(line) + 1


def _is_delimiter_row(row: _Row) -> bool:
    return bool(_DELIMITER.match("\n" + row.text))


def _is_prose(lines: list[str]) -> bool:
    """Are these lines an indented paragraph: many plain words, no signs of code, or a whole sentence around them?"""
    bare = [_ASIDE.sub("", line) for line in lines]
    words = sum(len(_PLAIN_WORD.findall(line)) for line in bare) / len(lines)
    opening = lines[0].lstrip("\"'“‘(*_")[:1]
    is_opened = opening.isupper() or not opening.isascii()
    if any(_CODE_SIGN.search(line) or _KEYWORD.match(line) for line in bare):
        return words >= _MANY_WORDS and is_opened and lines[-1].endswith((".", "!", "?"))
    return words >= _FEWEST_WORDS and (is_opened or bool(_SENTENCE_END.search(lines[-1][-20:])))


def _is_relative_path(path: str) -> bool:
    """src/main.rs and src/lib/, but not and/or, 3/4, 12/05/2024 or km/h."""
    folder, _, name = path.rpartition("/")
    if not any(character.isalpha() for character in folder):
        return False
    if not name:
        return "/" in folder
    stem, _, extension = name.rpartition(".")
    return bool(stem) and bool(_EXTENSION.fullmatch(extension))


# --- what may go wrong in a translation -------------------------------------------------------------------------------

_BLANKS = string.whitespace + "\u00a0\u3000" + _INVISIBLE
_NUMBER = re.compile(r"\d{1,9}")
_STRAY = re.compile(r"⟦[^⟦⟧\n]{0,20}⟧|⟦\s{0,3}\d{1,9}|\d{1,9}\s{0,3}⟧|[⟦⟧]")
_OTHER_BRACKETS = re.compile(
    r"[\[［【〖〚〘〔{｛(（<＜〈《⟨⟪「『‹«]\s{0,3}(\d{1,9})\s{0,3}[\]］】〗〛〙〕}｝)）>＞〉》⟩⟫」』›»]"
)
_SIGNS = {
    "quotation": r">",
    "heading": r"#{1,6}[ \t]",
    "bullet": r"[-*+•][ \t]",
    "number": r"\d{1,9}[.)、．）](?=\s|[^\x00-\x7f])",
}
_MARKER = re.compile("|".join(f"(?P<{kind}>{sign})" for kind, sign in _SIGNS.items()))
_MARKERS = re.compile(rf"[{_BLANKS}]*+(?:(?:{'|'.join(_SIGNS.values())})[{_BLANKS}]*+)*+")
_SENTENCE_END = re.compile(r"[.!?:;…。！？：；؟؛।][\"'”’»」』）)*_\s]*\Z")
_BLANK_LINE = re.compile(r"\n\s*\n")


def _mangled_and_dropped(masked: Masked, translated: str, found: set[int]) -> Iterator[MaskFault]:
    missing = dict.fromkeys(number for number in range(1, len(masked.spans) + 1) if number not in found)
    rest = _PLACEHOLDER.sub("\n", translated)
    mangled: set[int] = set()
    for stray in _STRAY.findall(rest):
        digits = _NUMBER.search(stray)
        number = int(digits[0]) if digits else 0
        if number in missing and number not in mangled:
            mangled.add(number)
            yield _fault("mangled", number)
        else:
            yield MaskFault("mangled", stray)
    gone = [number for number in missing if number not in mangled]
    lookalikes = _lookalikes(rest) if gone else Counter[int]()
    if lookalikes:
        lookalikes.subtract(_lookalikes(masked.text))
    for number in gone:
        yield _fault("mangled" if lookalikes[number] > 0 else "dropped", number)


def _lookalikes(text: str) -> Counter[int]:
    """Numbers in other brackets: [1], 【1】, (1)."""
    return Counter(int(number) for number in _OTHER_BRACKETS.findall(text))


def _disordered(blocks: list[int]) -> list[int]:
    return [number for number, expected in zip(blocks, sorted(blocks), strict=True) if number != expected]


def _is_table_part(span: Span) -> bool:
    return span.is_block and span.text.lstrip(" \t>")[:1] in {"|", "-", ":"}


def _is_code(span: Span) -> bool:
    """Is it fenced or indented code? Of the blocks, only those and parts of tables can begin with blanks."""
    if not span.is_block or _is_table_part(span):
        return False
    return span.text[0] in " \t" or span.text.lstrip(" \t>")[:1] in {"`", "~"}


class _Place(NamedTuple):
    """Where an inline placeholder stands: after which block, and in which paragraph and line from there."""

    region: int
    paragraph: int
    line: int


class _Layout(NamedTuple):
    places: dict[int, _Place]
    ends: dict[int, _Place]  # last paragraph and line of each region


def _strayed(masked: Masked, translated: str) -> list[int]:
    """Inline placeholders that have left their sentence's neighbourhood.

    Lines are compared where both texts have as many of them, else paragraphs, where both have as many.
    """
    alone = {number for number, line in _lines(masked.text, masked.spans).items() if line.is_alone}
    borders = {number for number in alone if masked.spans[number - 1].is_block}
    borders |= {number for number, span in enumerate(masked.spans, 1) if _is_table_part(span)}
    before, after = _layout(masked.text, borders), _layout(translated, borders)
    return [number for number, place in before.places.items() if _has_left(place, after.places[number], before, after)]


def _has_left(old: _Place, new: _Place, before: _Layout, after: _Layout) -> bool:
    if old.region != new.region:
        return True
    old_end, new_end = before.ends[old.region], after.ends[old.region]
    if old_end.line == new_end.line:
        return old.line != new.line
    return old_end.paragraph == new_end.paragraph and old.paragraph != new.paragraph


def _layout(masked_text: str, borders: set[int]) -> _Layout:
    layout = _Layout({}, {})
    region = paragraph = line = 0
    is_fresh, after_blank, after_sentence = True, False, False  # fresh: the region holds nothing yet
    for row in masked_text.split("\n"):
        bare = row.strip(_BLANKS)
        if not bare:
            after_blank = True
            continue
        if not is_fresh:
            paragraph += after_blank
            line += bool(after_blank or after_sentence or _MARKER.match(bare))
        is_fresh, after_blank, after_sentence = False, False, bool(_SENTENCE_END.search(bare[-20:]))
        end = 0
        for match in _PLACEHOLDER.finditer(row):
            number, end = int(match[1]), match.end()
            if number in borders:
                layout.ends[region] = _Place(region, paragraph, line)
                region, paragraph, line, is_fresh = number, 0, 0, True
            else:
                layout.places[number] = _Place(region, paragraph, line)
                is_fresh = False
        is_fresh = is_fresh and not row[end:].strip(_BLANKS)
        layout.ends[region] = _Place(region, paragraph, line)
    return layout


class _Line(NamedTuple):
    """What stands before and after a placeholder, up to its neighbours or the ends of its line."""

    before: str
    after: str
    is_first: bool
    is_last: bool

    @property
    def is_alone(self) -> bool:
        """Signs of a list or quotation may stand before it, and punctuation behind it."""
        return self.opens and self.is_last and not any(map(str.isalnum, self.after))

    @property
    def opens(self) -> bool:
        return self.is_first and bool(_MARKERS.fullmatch(self.before))


def _lines(masked_text: str, spans: Sequence[Span]) -> dict[int, _Line]:
    """The line of each block, at its first place."""
    lines: dict[int, _Line] = {}
    for row in masked_text.split("\n"):
        parts = _PLACEHOLDER.split(row)  # text, number, text, number, ... text
        for index in range(1, len(parts), 2):
            number = int(parts[index])
            if number <= len(spans) and spans[number - 1].is_block and number not in lines:
                around = parts[index - 1], parts[index + 1]
                lines[number] = _Line(*around, is_first=index == 1, is_last=index == len(parts) - 2)
    return lines


def _off_their_line(masked: Masked, translated: str) -> Iterator[int]:
    old_lines, new_lines = _lines(masked.text, masked.spans), _lines(translated, masked.spans)
    for number, new in new_lines.items():
        span, old = masked.spans[number - 1], old_lines[number]
        if not _is_table_part(span) and not _keeps_line(span, old, new):
            yield number
    yield from _broken_rows(masked, translated)


def _keeps_line(span: Span, old: _Line, new: _Line) -> bool:
    if not _is_code(span):
        return new.is_alone or not old.is_alone
    if old.is_last and not old.after.strip(_BLANKS) and (not new.is_last or new.after.strip(_BLANKS)):
        return False
    if old.is_first and not old.before.strip(_BLANKS):  # indented otherwise, it would be other code
        return new.is_first and new.before.strip(_INVISIBLE) == old.before.strip(_INVISIBLE)
    return new.opens or not old.opens


def _broken_rows(masked: Masked, translated: str) -> Iterator[int]:
    """Parts of a table between which a line's end has come or gone."""
    parts = {number for number, span in enumerate(masked.spans, 1) if _is_table_part(span)}
    old_gaps, new_gaps = _gaps(masked.text, parts), _gaps(translated, parts)
    for pair, gap in new_gaps.items():
        old = old_gaps.get(pair)
        if old is not None and (("\n" in gap) != ("\n" in old) or _is_split(gap) != _is_split(old)):
            yield pair[1]


def _is_split(gap: str) -> bool:
    return bool(_BLANK_LINE.search(gap))


def _gaps(masked_text: str, numbers: set[int]) -> dict[tuple[int, int], str]:
    """What stands between two neighbours of ``numbers``, inline placeholders left out."""
    if not numbers:
        return {}
    gaps: dict[tuple[int, int], str] = {}
    previous, gap = 0, ""
    parts = _PLACEHOLDER.split(masked_text)
    for index in range(1, len(parts), 2):
        gap += parts[index - 1]
        number = int(parts[index])
        if number in numbers:
            gaps[previous, number] = gap
            previous, gap = number, ""
    return gaps


def _lost_markers(masked: Masked, translated: str) -> Iterator[MaskFault]:
    """Kinds of list, heading and quotation signs that the source has, but not as many; links without "["."""
    had, has = _markers(masked.text), _markers(translated)
    for kind, times in had.items():
        if has[kind] != times:
            yield MaskFault("marker", kind)
    closings = {number for number, span in enumerate(masked.spans, 1) if span.text.startswith("](")}
    old_gaps, new_gaps = _gaps(masked.text, closings), _gaps(translated, closings)
    opened = {number for (_, number), gap in old_gaps.items() if "[" in gap}
    for (_, number), gap in new_gaps.items():
        if number in opened and "[" not in gap:
            yield _fault("marker", number)


def _markers(masked_text: str) -> Counter[str]:
    kinds: Counter[str] = Counter()
    for row in masked_text.split("\n"):
        match = _MARKER.match(row.lstrip(_BLANKS))
        if match:
            kinds[str(match.lastgroup)] += 1
    return kinds
