"""Wikitext to the plain form of API extracts: paragraphs on lines of their own, headings as ``== H ==``.

mwparserfromhell reads the markup. It is exact, but it backtracks where brackets or tags do not pair up
(minutes for 300 KB of ``<b>``), fails on many tables, and keeps what is no prose: references, image
captions, categories. So linear scans go first: they cut what is no prose, take the tags away and repair
the brackets; the parser then reads one block at a time. No input needs more than linear time.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import mwparserfromhell
from mwparserfromhell import nodes
from mwparserfromhell.wikicode import Wikicode

from ultralink.recipe import Cleaning
from ultralink.wikipedia.debris import CUT, mended

DEEPEST = 30  # brackets inside brackets; real pages stay under 10, the parser gives up at 100

_OPEN, _CLOSE = "\ue000", "\ue001"  # around the number of a shelved piece; private use, in no prose
_OWN = re.compile(f"[{_OPEN}{_CLOSE}{CUT}]")
_SHELVED = re.compile(f"{_OPEN}([0-9]+){_CLOSE}")


def plain(wikitext: str, cleaning: Cleaning) -> str:
    """The prose of a page. Never raises: broken markup costs at most the paragraph that it stands in."""
    shelf = _Shelf()
    text = _OWN.sub("", wikitext.replace("\r\n", "\n"))
    text = _without_tags(_without_comments(text), shelf)
    text = _SWITCH.sub("", _without_tables(text))
    text = _EXTERNAL.sub(lambda link: link[1] or CUT, _variants(text))
    names = _Names.of(cleaning)
    lines = [line for block in _blocks(_repaired(text)) for line in _lines(block, names)]
    shown = _REMAINS.sub("", _variants("\n".join(lines)))
    return shelf.restore("\n".join(map(mended, shown.split("\n"))))


def template_names(wikitext: str) -> set[str]:
    """Names of all templates that the page calls, casefolded, with spaces for underscores."""
    return {_name(found) for found in re.findall(r"\{\{([^{}|<>\[\]\n]{1,255})", wikitext)}


def categories(wikitext: str, namespaces: Iterable[str]) -> tuple[str, ...]:
    """Categories that the page names itself, in its order, each once."""
    spaces = {_name(space) for space in namespaces}
    links = re.findall(r"\[\[([^\[\]|:\n]{1,80}):([^\[\]|\n]{1,255})", wikitext)
    return tuple(dict.fromkeys(title.strip() for space, title in links if _name(space) in spaces))


def _name(text: str) -> str:
    return " ".join(text.replace("_", " ").replace(CUT, "").split()).casefold()


# --- what the parser does not need to see -----------------------------------------------------------


@dataclass(slots=True)
class _Shelf:
    """Pieces that the parser must not touch (formulas, ``<nowiki>``), put back at the end."""

    pieces: list[str] = field(default_factory=list)

    def put(self, piece: str) -> str:
        if not piece:
            return CUT
        self.pieces.append(piece)
        return f"{_OPEN}{len(self.pieces) - 1}{_CLOSE}"

    def restore(self, text: str) -> str:
        return _SHELVED.sub(lambda found: self.pieces[int(found[1])], text)


def _without_comments(text: str) -> str:
    """A comment alone on its line takes the line with it; one that never ends takes the rest of the page."""
    kept, at = [], 0
    while (start := text.find("<!--", at)) >= 0:
        end = text.find("-->", start + 4)
        kept.append(text[at:start])
        at = len(text) if end < 0 else end + 3
        if text[start - 1 : start] in ("", "\n") and text[at : at + 1] == "\n":
            at += 1
    return "".join([*kept, text[at:]])


_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]*)([^<>]*)>")
_WORDS = re.compile(r"\w+")
_NO_PROSE = frozenset(
    _WORDS.findall(
        "ref references gallery imagemap timeline score graph mapframe maplink templatestyles "
        "syntaxhighlight source pre hiero includeonly table style script del indicator inputbox "
        "categorytree rp rt chart"
    )
)
_SHELVES: dict[str, Callable[[str], str]] = {
    "nowiki": html.unescape,
    "math": lambda source: f"${' '.join(source.split())}$" if source.strip() else "",
    "chem": lambda source: " ".join(source.split()),
    "ce": lambda source: " ".join(source.split()),
}
_BREAKS = frozenset(_WORDS.findall("br hr p div li ul ol dl dt dd blockquote center tr h1 h2 h3 h4 h5 h6"))
_UNWRAPPED = _NO_PROSE | frozenset(
    _WORDS.findall(
        "b i u s small big sub sup span font tt code kbd samp var cite q abbr em strong ins mark bdi bdo wbr "
        "nobr poem noinclude onlyinclude section ruby rb rbc rtc time data dfn strike caption td th tbody "
        "thead a img translate tvar nowiki math chem ce langconvert noreferences"
    )
)


def _without_tags(text: str, shelf: _Shelf) -> str:
    """No ``<`` is left: elements that are no prose are gone, formulas shelved, other tags unwrapped."""
    tags = list(_TAG.finditer(text))
    ends = _element_ends(text, tags)
    kept, at = [], 0
    for tag, end in zip(tags, ends, strict=True):
        if tag.start() < at:
            continue
        kept.append(text[at : tag.start()].replace("<", "&lt;"))
        name = tag[2].lower()
        at = tag.end()
        if end is not None:
            at = end
            if name in _SHELVES:
                inner = text[tag.end() : end]
                kept.append(shelf.put(_SHELVES[name](inner[: max(inner.rfind("<"), 0)])))
            else:
                kept.append(CUT)
        elif name in _BREAKS:
            kept.append("\n")
        elif name == "sup" and not tag[1] and _POWER.match(text, tag.start() - 1):
            kept.append("^")
        elif name in _NO_PROSE and not tag[1]:  # <ref name=x />
            kept.append(CUT)
        elif name not in _UNWRAPPED:
            kept.append("&lt;" + tag[0][1:])
    return "".join([*kept, text[at:].replace("<", "&lt;")])


_POWER = re.compile(r"[0-9]<sup>[-+−]?[0-9]+</sup>")  # 10<sup>6</sup> is not 106


def _element_ends(text: str, tags: list[re.Match[str]]) -> list[int | None]:
    """For each tag that opens an element to be cut or shelved, where that element ends.

    One that is not closed before the next of its name opens on a later line, or not at all, ends with
    its line, so a forgotten ``</ref>`` costs a line and not the page.
    """
    ends: list[int | None] = [None] * len(tags)
    closing: dict[str, int] = {}  # name -> end of the nearest closing tag to the right
    opening: dict[str, int] = {}  # name -> start of the nearest opening tag to the right
    for number in range(len(tags) - 1, -1, -1):
        tag = tags[number]
        name = tag[2].lower()
        if name not in _NO_PROSE and name not in _SHELVES:
            continue
        if tag[1]:
            closing[name] = tag.end()
            opening.pop(name, None)
        elif not tag[3].endswith("/"):
            line_end = text.find("\n", tag.end(), opening.get(name, len(text)))
            if name in closing and (name not in opening or line_end < 0):
                ends[number] = closing[name]
            elif name not in _SHELVES:
                ends[number] = line_end if line_end >= 0 else opening.get(name, len(text))
            opening[name] = tag.start()
    return ends


_TABLE = re.compile(rf"^[ \t{CUT}:*#;]*\{{\||^[ \t{CUT}]*\|\}}(?!\}})|^=", re.MULTILINE)


def _without_tables(text: str) -> str:
    """Tables are cut, nested ones too; one that is not closed ends at the next heading."""
    kept, at, depth = [], 0, 0
    for mark in _TABLE.finditer(text):
        if mark[0].endswith("{|"):
            if depth == 0:
                kept.append(text[at : mark.start()])
            depth += 1
        elif depth and (mark[0] == "=" or depth == 1):
            at, depth = (mark.start() if mark[0] == "=" else mark.end()), 0
        elif depth:
            depth -= 1
    return "".join(kept) if depth else "".join([*kept, text[at:]])


_SWITCH = re.compile(r"__(?=[^\W\d_a-z])[^\Wa-z]{2,40}?__")  # __NOTOC__, in any script
_REMAINS = re.compile(r"'{2,}|\{\{|\}\}|\[\[|\]\]")  # what the parser takes for text
_EXTERNAL = re.compile(r"\[(?:[a-z]{3,6}:(?://)?|//)[^\s\[\]|{}]*[ \t]*([^\[\]\n]*)\](?!\])", re.IGNORECASE)
_VARIANT = re.compile(r"-\{(?!\{)([^{}]*)\}-(?!\})")
_FLAGS = re.compile(r"[A-Z-]|zh(-[a-z]+)?")
_RULE = re.compile(r"(?:[^;|]*=>)?\s*([a-z]{2,3}(?:-[a-z0-9]+)*)\s*:(.*)", re.DOTALL)
_SIMPLIFIED = ("zh-hans", "zh-cn", "zh-sg", "zh-my", "zh")


def _variants(text: str) -> str:
    """``-{zh-hans:A; zh-hant:B}-`` becomes A; nested ones from the inside out."""
    for _ in range(4):
        text, found = _VARIANT.subn(lambda markup: _variant(markup[1]), text)
        if not found:
            break
    return text


def _variant(content: str) -> str:
    flags, bar, rest = content.partition("|")
    given = [flag.strip() for flag in flags.split(";")]
    if bar and all(_FLAGS.fullmatch(flag) or not flag for flag in given):
        if {"H", "T", "-", "N", "D"} & set(given):  # rules and names: they show nothing
            return CUT
        content = rest
    rules = [_RULE.fullmatch(rule) for rule in content.split(";") if rule.strip()]
    said = {rule[1]: rule[2].strip() for rule in rules if rule}
    if not said or None in rules:
        return content
    return next((said[code] for code in _SIMPLIFIED if code in said), next(iter(said.values())))


# --- brackets -------------------------------------------------------------------------------------------

_BRACKET = re.compile(rf"\{{\{{|\}}\}}|\[\[|\]\]|\n[ \t{CUT}]*\n")


def _repaired(text: str) -> str:
    """The text with brackets that all pair up, and nest at most DEEPEST deep.

    A template without its end is cut up to the end of its paragraph; of a link without its end only
    the brackets go.
    """
    for _ in range(3):
        cuts = _faults(text)
        if not cuts:
            return text
        kept, at = [], 0
        for start, end in sorted(cuts):
            kept.append(text[at : max(start, at)] + CUT * (end - start > len("{{")))
            at = max(at, end)
        text = "".join([*kept, text[at:]])
    return re.sub(r"\{\{|\}\}|\[\[|\]\]", "", text)


def _faults(text: str) -> list[tuple[int, int]]:
    cuts: list[tuple[int, int]] = []
    stack: list[tuple[str, int]] = []
    templates = 0
    for found in _BRACKET.finditer(text):
        bracket, at = found[0], found.start()
        if bracket in ("{{", "[["):
            stack.append((bracket, at))
            templates += bracket == "{{"
        elif bracket == "}}" and templates:
            while stack[-1][0] == "[[":
                cuts.append(_token(stack.pop()[1]))
            start = stack.pop()[1]
            templates -= 1
            if len(stack) >= DEEPEST:
                cuts.append((start, at + 2))
        elif bracket == "]]" and stack and stack[-1][0] == "[[":
            start = stack.pop()[1]
            if len(stack) >= DEEPEST:
                cuts.append((start, at + 2))
        elif bracket in ("}}", "]]"):
            cuts.append(_token(at))
        else:  # a blank line ends links, and with them the trouble that an unclosed one makes
            while stack and stack[-1][0] == "[[":
                cuts.append(_token(stack.pop()[1]))
    unended = [at for bracket, at in stack if bracket == "{{"]
    cuts += [_token(at) for bracket, at in stack if bracket == "[["]
    cut_to = -1
    for at in unended:
        if at >= cut_to:
            cut_to = _paragraph_end(text, at)
            cuts.append((at, cut_to))
    return cuts


def _token(at: int) -> tuple[int, int]:
    return at, at + 2


def _paragraph_end(text: str, at: int) -> int:
    end = text.find("\n\n", at)
    return len(text) if end < 0 else end


_BLOCK = re.compile(r"\{\{|\}\}|\[\[|\]\]|\n")


def _blocks(text: str) -> Iterator[str]:
    """Lines; several of them together where a bracket spans them."""
    at = depth = 0
    for found in _BLOCK.finditer(text):
        if found[0] == "\n":
            if depth <= 0:
                yield text[at : found.start()]
                at = found.end()
        else:
            depth += 1 if found[0] in ("{{", "[[") else -1
    yield text[at:]


# --- from markup to text --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Names:
    """Names of this wiki, casefolded."""

    hidden: frozenset[str]  # namespaces whose links show no text: files, categories
    inline: dict[str, str]  # template -> the text that it leaves

    @classmethod
    def of(cls, cleaning: Cleaning) -> _Names:
        hidden = {_name(space) for space in (*cleaning.file_namespaces, *cleaning.category_namespaces)}
        return cls(
            frozenset(hidden | {"file", "image", "media", "category"}),
            {_name(name): pattern for name, pattern in cleaning.inline_templates.items()},
        )


_HEADING = re.compile(r"(={1,6})([^=\n](?:[^\n]{0,298}[^=\n])?)(={1,6})[ \t]*")
_LIST_MARK = re.compile(r"[*#:;]+[ \t]*")
_LEFTOVER = re.compile(rf"[ \t{CUT}]*(?:\||\{{\||!\s|![^\n]*!!|-{{4,}})")  # rows of tables that templates open
_MARKUP = re.compile(r"\{\{|\[\[|''|&")


def _lines(block: str, names: _Names) -> Iterator[str]:
    """The lines of text that a block shows: none where it was all markup."""
    block = block.strip(CUT)
    if heading := _HEADING.fullmatch(block.rstrip(f" \t{CUT}")):
        marks = "=" * min(len(heading[1]), len(heading[3]))
        title = " ".join(_text(heading[2], names).split())
        yield f"{marks} {title} {marks}"
        return
    shown = _text(_LIST_MARK.sub("", block, count=1) if block[:1] in "*#:;" else block, names)
    if not block.strip():
        yield ""
    for line in shown.split("\n"):
        if line.replace(CUT, "").strip() and not _LEFTOVER.match(line) and not _broken_link(line, names):
            yield line


def _broken_link(line: str, names: _Names) -> bool:
    """Is it a link to a file or category that lost its brackets?"""
    space, colon, rest = line[:400].partition(":")
    return bool(colon) and _name(space) in names.hidden and (rest[:1] != " " or "|" in rest)


def _text(source: str, names: _Names) -> str:
    if not _MARKUP.search(source):
        return source
    return "".join(_shown(mwparserfromhell.parse(piece), names) for piece in _pieces(source))


PIECE = 20_000  # characters; the parser's memory is a hundred times that
_SEAM = re.compile(r"\{\{|\}\}|\[\[|\]\]|[\s。，、]")


def _pieces(source: str) -> Iterator[str]:
    """The source in pieces that can be read apart; a bracket of over ten times PIECE is left out."""
    at = depth = 0
    for found in _SEAM.finditer(source) if len(source) > PIECE else ():
        if found[0] in ("{{", "[["):
            depth += 1
        elif found[0] in ("}}", "]]"):
            depth -= 1
        if depth == 0 and found.end() - at > PIECE:
            piece, at = source[at : found.end()], found.end()
            if len(piece) < 10 * PIECE or not found[0].endswith(("}}", "]]")):
                yield piece
    yield source[at:]


def _unescaped(text: str) -> str:
    """Characters for their names, but none that is half of one or that marks a place in this module."""
    return _UNFIT.sub("", html.unescape(text))


_UNFIT = re.compile(f"[\ud800-\udfff{_OPEN}{_CLOSE}{CUT}]")


def _shown(code: Wikicode, names: _Names) -> str:
    return "".join(_node(node, names) for node in code.nodes)


def _node(node: nodes.Node, names: _Names) -> str:
    match node:
        case nodes.Text():
            return str(node.value)
        case nodes.HTMLEntity():
            return _unescaped(str(node))
        case nodes.Wikilink():
            return _link(node, names)
        case nodes.Template():
            return _template(node, names)
        case nodes.ExternalLink():
            return str(node.url) if node.title is None else _shown(node.title, names)
        case nodes.Tag():
            return _shown(node.contents, names) if node.contents else ""
        case nodes.Heading():
            return _shown(node.title, names)
        case _:
            return CUT


_INTERLANGUAGE = re.compile(r"[a-z]{2,3}(-[a-z]+)*|simple")


def _link(link: nodes.Wikilink, names: _Names) -> str:
    """What a link shows: CUT for files, categories and the same page in other languages."""
    target = _unescaped(str(link.title)).strip()
    space, colon, _ = target.partition(":")
    if colon and space and (_name(space) in names.hidden):
        return CUT
    if colon and link.text is None and _INTERLANGUAGE.fullmatch(space):
        return CUT
    shown = target.lstrip(":") if link.text is None else _shown(link.text, names)
    return shown.replace("\n", " ")


def _template(template: nodes.Template, names: _Names) -> str:
    """CUT, but for those that the recipe keeps, which leave the text written there.

    In it ``{2}`` stands for an argument, ``{2|1}`` for the first of those that is given, ``{0}`` for what
    follows the colon of a parser function (``formatnum:``), ``[ {2}]`` for all between the brackets where such
    an argument is given, else for nothing. Numbers around a range word are one argument, so that 5 km and
    5 to 7 km can be written in the same way.
    """
    function, colon, rest = str(template.name).partition(":")
    pattern = names.inline.get(_name(function) + ":" if colon else _name(function))
    if pattern is None:
        return CUT
    given = {str(said.name).strip(): _bare(_shown(said.value, names)) for said in template.params}
    values = [given.pop(str(place), "") for place in range(1, len(given) + 1)]
    while values[1:2] and values[1] in _RANGES and _NUMBER.fullmatch("".join(values[2:3])):
        between = values[1] if values[1] in "-–−" else f" {values[1]} "
        values[:3] = [values[0] + between + values[2]]
    given |= {str(place): value for place, value in enumerate(values, 1)}
    given["0"] = rest.strip()
    return _filled(pattern, given) or CUT


def _filled(pattern: str, given: Mapping[str, str]) -> str:
    def said(place: re.Match[str]) -> str:
        return next(filter(None, map(given.get, place["names"].split("|"))), "")

    def part(found: re.Match[str]) -> str:
        if found["names"]:
            return said(found)
        inner = found[0][1:-1]
        return _PLACE.sub(said, inner) if any(map(said, _PLACE.finditer(inner))) else ""

    return _PART.sub(part, pattern)


def _bare(text: str) -> str:
    return text.strip().strip(CUT).strip()


_RANGES = {"-", "–", "−", "to", "and", "or", "by", "x", "×", "à", "et", "y", "a", "до", "и"}
_NUMBER = re.compile(r"[-−]?[\d.,  ]+")
_PLACE = re.compile(r"\{(?P<names>\w+(?:\|\w+)*)\}")
_PART = re.compile(rf"\[[^\[\]]*?\{{\w[^\[\]]*\]|{_PLACE.pattern}")
