"""Comments and docstrings of Python code: found, and replaced without changing the program.

Directives (shebang, encoding, ``# type:``, ``# noqa`` ...), commented-out code and doctests are no words and stay.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ultralink.errors import UltraLinkError
from ultralink.translation.masks import fences


class NotIdentical(UltraLinkError):
    """With the new comments and docstrings, the code would be another program, or none at all."""


@dataclass(frozen=True, slots=True)
class Comment:
    """The bare words of a comment or docstring: code[start:end], less its indentation and escapes in ``text``.

    A docstring is one comment; one with doctests is as many as it has stretches of words between them.
    """

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class CodeBlock:
    """The Python code of a fenced block: text[start:end], whose lines all begin with ``margin``, less that margin."""

    start: int
    end: int
    code: str
    margin: str

    def placed(self, code: str) -> str:
        """``code`` with the margin, to stand in the text in place of text[start:end]."""
        return "\n".join(self.margin + line if line.strip() else line for line in code.split("\n"))


def comments(code: str) -> list[Comment]:
    """All comments and docstrings of ``code`` in their order; none where it does not parse."""
    program = _parsed(code)
    return [words.comment for words in _words(code, program)] if program else []


def rewritten(code: str, texts: Sequence[str]) -> str:
    """``code`` with ``texts`` in place of its ``comments``, one for one.

    Raises:
        ValueError: there are not as many texts as comments.
        NotIdentical: the syntax trees without docstrings, the tokens without comments, the directives or the doctests
            of the two would differ.
    """
    program = _parsed(code)
    pieces, end = [], 0
    for words, text in zip(_words(code, program) if program else [], texts, strict=True):
        comment = words.comment
        pieces += [code[end : comment.start], _written(words, text, code)]
        end = comment.end
    new = "".join([*pieces, code[end:]])
    if program and new != code and _essence(_parsed(new)) != _essence(program):
        raise NotIdentical(f"other program after its comments were replaced: {code[:80]!r}")
    return new


def python_blocks(text: str) -> list[CodeBlock]:
    """Fenced blocks marked python, py or python3, and unmarked ones that parse as more than expressions."""
    blocks = (_python_block(text, *fence) for fence in fences(text))
    return [block for block in blocks if block]


# --- programs ---------------------------------------------------------------------------------------------------------


class _Program(NamedTuple):
    tree: ast.Module
    tokens: list[tokenize.TokenInfo]
    docstrings: dict[tuple[int, int], str]  # values, by the line and column (characters) of their only token


class _Essence(NamedTuple):
    """What must not change."""

    tree: str
    tokens: list[tuple[int, str]]
    directives: list[str]
    doctests: list[str]


def _parsed(code: str) -> _Program | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an escape such as \d is not ours to mend
            tree = ast.parse(code)
        tokens = list(tokenize.generate_tokens(io.StringIO(code).readline))
    except (SyntaxError, ValueError, RecursionError, MemoryError, tokenize.TokenError):
        return None
    nodes = {(node.lineno, node.col_offset): node for node in _docstring_nodes(tree)}
    docstrings: dict[tuple[int, int], str] = {}
    for token in tokens:
        if token.type == tokenize.STRING and nodes:
            start, end = _byte_columns(token)
            node = nodes.get((token.start[0], start))
            if node and (node.end_lineno, node.end_col_offset) == (token.end[0], end):
                docstrings[token.start] = str(node.value)
    return _Program(tree, tokens, docstrings)


def _docstring_nodes(tree: ast.Module) -> Iterator[ast.Constant]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                yield first.value


def _byte_columns(token: tokenize.TokenInfo) -> tuple[int, int]:
    """Columns as ``ast`` counts them, in bytes of UTF-8."""
    start = len(token.line[: token.start[1]].encode())
    first, _, last = token.string.rpartition("\n")
    return start, len(last.encode()) + (0 if first else start)


def _essence(program: _Program | None) -> _Essence | None:
    if program is None:
        return None
    tokens, directives, doctests = [], [], []
    for token in program.tokens:
        if token.type == tokenize.COMMENT:
            directives += [match[0] for match in [_directive(token)] if match]
        elif token.type == tokenize.STRING and token.start in program.docstrings:
            tokens.append((token.type, "docstring"))
            doctests += [line for line, is_doctest in _told_apart(token.string.split("\n")) if is_doctest]
        elif token.type != tokenize.NL:
            tokens.append((token.type, token.string))
    for node in _docstring_nodes(program.tree):
        node.value = ""
    return _Essence(ast.dump(program.tree), tokens, directives, doctests)


# --- words ------------------------------------------------------------------------------------------------------------


class _Words(NamedTuple):
    """A comment, and what its new text needs."""

    comment: Comment
    is_docstring: bool = False
    quotes: str = ""
    is_raw: bool = False
    touches_quotes: bool = False  # the closing ones
    indentation: str = ""


_DIRECTIVE = re.compile(
    r"#[#:]*\s*(?:-\*-|type:|(?i:noqa|nosec|nopep8)\b|(?:pragma|pylint|pyright|mypy|ruff|flake8|fmt|isort|yapf|cython|"
    r"language|doctest|vim?|SPDX[\w-]*)\s*[:=]|pragma\b|%%|>>>).*"
)
_ENCODING = re.compile(r"#.*?coding[:=][ \t]*[-\w.]+.*")
_SIGN = re.compile(r"#[#:!]*\s*")
_LITERAL = re.compile(r"([rRuU]?)(\"\"\"|\'\'\'|\"|\')")
_ESCAPE = re.compile(
    r"\\(?:[\\'\"abfnrtv]|[0-7]{1,3}|x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|N\{[^{}\n]+\})", re.ASCII
)
_LINE_END = re.compile(r"\r\n?|\n")


def _words(code: str, program: _Program) -> Iterator[_Words]:
    starts = [0]
    for line in code.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    for token in program.tokens:
        offset = starts[token.start[0] - 1] + token.start[1]
        if not code.startswith(token.string, offset):
            return  # a lone carriage return: the two parsers do not count lines alike
        if token.type == tokenize.COMMENT:
            yield from _comment_words(token, offset)
        elif token.type == tokenize.STRING and token.start in program.docstrings:
            value = program.docstrings[token.start]
            yield from _docstring_words(token.string, offset, value, _indentation(token.line))


def _directive(token: tokenize.TokenInfo) -> re.Match[str] | None:
    if token.start == (1, 0) and token.string.startswith("#!"):
        return re.match(".*", token.string)
    return (_ENCODING.search(token.string) if token.start[0] <= 2 else None) or _DIRECTIVE.search(token.string)


def _comment_words(token: tokenize.TokenInfo, offset: int) -> Iterator[_Words]:
    directive = _directive(token)
    sign = _SIGN.match(token.string)
    start = sign.end() if sign else 0
    text = token.string[start : directive.start() if directive else None].rstrip()
    if any(map(str.isalpha, text)) and not _is_code(text):
        yield _Words(Comment(offset + start, offset + start + len(text), text))


def _is_code(text: str) -> bool:
    """Commented-out code: a call, an assignment and the like, not words that happen to parse."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    statements = (ast.Assign, ast.AugAssign, ast.Import, ast.ImportFrom, ast.Return, ast.Call, ast.Subscript, ast.Raise)
    return any(isinstance(node, statements) for node in ast.walk(tree))


def _docstring_words(literal: str, offset: int, value: str, margin: str) -> Iterator[_Words]:
    match = _LITERAL.match(literal)
    if not match:
        return
    prefix, quotes = match.groups()
    body = literal[match.end() : -len(quotes)]
    lines = body.split("\n")
    if len(lines) != value.count("\n") + 1:
        return  # an escaped line end: where its lines begin is not to be seen in the code
    margin = _common_start([margin, *(_indentation(line) for line in lines[1:] if line.strip())])
    is_raw = prefix in {"r", "R"}
    for start, end in _stretches(body, lines):
        text = "\n".join(line.removeprefix(margin).rstrip() for line in body[start:end].split("\n"))
        if not is_raw:
            text = _ESCAPE.sub(lambda escape: str(ast.literal_eval(f'"{escape[0]}"')), text)
        if any(map(str.isalpha, text)):
            at = offset + match.end()
            yield _Words(Comment(at + start, at + end, text), True, quotes, is_raw, end == len(body), margin)


def _common_start(texts: Sequence[str]) -> str:
    first, last = min(texts, default=""), max(texts, default="")  # what these two share, all share
    return next((first[:at] for at in range(len(first)) if first[at] != last[at]), first)


def _indentation(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _stretches(body: str, lines: list[str]) -> Iterator[tuple[int, int]]:
    """Start and end of each run of lines without doctests, less the white space around it."""
    start = at = 0
    for line, is_doctest in [*_told_apart(lines), ("", True)]:
        if is_doctest:
            run = body[start:at].rstrip()
            first = start + len(run) - len(run.lstrip())
            if run.strip():
                yield first, start + len(run)
            start = at + len(line) + 1
        at += len(line) + 1


def _told_apart(lines: list[str]) -> Iterator[tuple[str, bool]]:
    """Each line of a docstring, and whether it belongs to a doctest: its prompt, or output up to a blank line."""
    is_doctest = False
    for line in lines:
        is_doctest = bool(line.strip()) and (is_doctest or line.lstrip(" \t\"'rRuU").startswith(">>>"))
        yield line, is_doctest


def _written(words: _Words, text: str, code: str) -> str:
    """``text`` as it must stand in the code."""
    comment = words.comment
    if text == comment.text:
        return code[comment.start : comment.end]
    lines = [line.rstrip() for line in _LINE_END.split(text.strip())]
    if not words.is_docstring:
        return " ".join(line.strip() for line in lines)
    if not words.is_raw:
        lines = [line.replace("\\", "\\\\") for line in lines]
    if len(words.quotes) == 1:
        joined = " ".join(line.strip() for line in lines)
        return joined if words.is_raw else joined.replace(words.quotes, "\\" + words.quotes)
    line_end = "\r\n" if "\r\n" in code else "\n"
    written = line_end.join([lines[0], *(words.indentation + line if line else "" for line in lines[1:])])
    if words.is_raw:
        return written  # nothing can be escaped: whether it holds is seen by comparing the programs
    closing = rf"{words.quotes}|{words.quotes[0]}\Z" if words.touches_quotes else words.quotes
    return re.sub(closing, lambda match: f"\\{words.quotes[0]}" * len(match[0]), written)


# --- fenced blocks ----------------------------------------------------------------------------------------------------

_OPENING = re.compile(r"[ \t>]*(```+|~~~+)([^\n]*)\n")
_CLOSING = re.compile(r"[ \t>]*(```+|~~~+)[ \t\r]*\Z")


def _python_block(text: str, start: int, end: int) -> CodeBlock | None:
    opening = _OPENING.match(text, start, end)
    if not opening:
        return None
    closing = _CLOSING.search(text, max(opening.end(), text.rfind("\n", start, end) + 1), end)
    stop = closing.start() if closing and closing[1].startswith(opening[1]) else end
    lines = text[opening.end() : stop].split("\n")
    margin = _common_start([line[: len(line) - len(line.lstrip(" \t>"))] for line in lines if line.strip()])
    code = "\n".join(line.removeprefix(margin) if line.strip() else line for line in lines)
    language = opening[2].split()[:1]
    is_python = language[0].lower() in {"python", "py", "python3"} if language else _is_program(code)
    block = CodeBlock(opening.end(), stop, code, margin)
    # A quoted block with bare "> " lines could not be put back as it was: it is left alone.
    return block if is_python and block.placed(code) == text[block.start : stop] else None


def _is_program(code: str) -> bool:
    program = _parsed(code)
    return program is not None and any(not isinstance(node, ast.Expr) for node in program.tree.body)
