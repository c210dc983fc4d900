"""Markdown of a card: tables, and text from data made harmless."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

from ultralink.release.fonts import clip, one_line

_MOST_CHARACTERS = 80
# What would format, link or break a table or a line; an address in plain text must not become a link either.
_SPECIAL = re.compile(r"[\\`*_{}\[\]<>#|~$@&!^=\"]|:(?=//)|(?<=www)\.", re.IGNORECASE)


def plain(text: str, most: int = _MOST_CHARACTERS) -> str:
    """``text`` from data, on one line and clipped, so that Markdown and HTML show it as it is."""
    return _SPECIAL.sub(r"\\\g<0>", clip(one_line(text, most), most))


def code(text: str) -> str:
    """``text`` from data between back-ticks, where none of its own can end them."""
    return f"`{clip(one_line(text, _MOST_CHARACTERS), _MOST_CHARACTERS).replace('`', chr(0x2019)).replace('|', '¦')}`"


def link(text: str, url: str) -> str:
    """A link to ``url`` from data; to nothing that is not a page of the web."""
    if not re.fullmatch(r"https?://[^\s<>\"'`|\\]{1,500}", url):
        return plain(text)
    return f"[{plain(text)}](<{url}>)"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: int = 1) -> str:
    """A table whose columns from the one at ``numbers`` on are set to the right. Cells are Markdown."""
    lines = [_line(head), _line(["---"] * numbers + ["---:"] * (len(head) - numbers)), *map(_line, rows)]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def picture(name: str, alt: str, width: int = 800) -> str:
    """A picture that follows the reader's theme; who knows no themes sees the light one."""
    return (
        f'<picture><source media="(prefers-color-scheme: dark)" srcset="plots/{name}-dark.png">'
        f'<img src="plots/{name}-light.png" alt="{html.escape(alt)}" width="{width}"></picture>'
    )
