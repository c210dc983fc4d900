"""A dialogue as text, in colour, and as HTML: whatever its messages hold, it is shown and never obeyed."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

# A terminal obeys escape sequences, and a page may choke on others; tab and line break stay.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# Signs that force a direction: of a title in a line of ours, they would turn the rest of the line around.
_FORCED_DIRECTION = re.compile("[\u202a-\u202e\u2066-\u2069]")
_STYLES = {"user": "bold cyan", "assistant": "bold green", "system": "bold magenta"}

Turns = Sequence[tuple[str, str]]


def as_text(heading: Sequence[str], turns: Turns) -> str:
    """``heading`` and (role, content) ``turns``, without control characters."""
    said = [f"{role}:\n{_visible(content)}" for role, content in turns]
    return "\n\n".join(["\n".join(map(_line, heading)), *said])


def print_it(heading: Sequence[str], turns: Turns) -> None:
    """Print the dialogue. Nothing in it is taken for markup."""
    # soft_wrap: the terminal breaks lines, so that what is copied is the text itself.
    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    console.print(Text("\n".join(map(_line, heading)), style="dim"))
    for role, content in turns:
        console.print(Text(f"\n{role}", style=_STYLES.get(role, "bold")))
        console.print(Text(_visible(content)))


def as_html(heading: Sequence[str], turns: Turns, language: str, url: str) -> str:
    """The dialogue as one ``<div>`` that needs no script or style sheet; paragraphs run the way their letters do."""
    lang = html.escape(language, quote=True)
    head = "".join(f'<div dir="auto">{html.escape(_line(line))}</div>' for line in heading)
    said = "".join(
        f'<div style="margin-top:.7em"><strong>{html.escape(role)}</strong>'
        f'<div dir="auto" lang="{lang}" style="white-space:pre-wrap;unicode-bidi:plaintext;overflow-wrap:anywhere">'
        f"{html.escape(_visible(content))}</div></div>"
        for role, content in turns
    )
    return (
        '<div style="border-left:3px solid;padding-left:1em;max-width:50em;text-align:start">'
        f'<div style="opacity:.7;font-size:smaller">{head}{_link(url)}</div>{said}</div>'
    )


def _link(url: str) -> str:
    shown = html.escape(_line(url), quote=True)
    if not url.startswith(("https://", "http://")):
        return f"<div>{shown}</div>"
    return f'<div><a href="{shown}" target="_blank" rel="noopener noreferrer">{shown}</a></div>'


def _visible(text: str) -> str:
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n"))


def _line(text: str) -> str:
    return " ".join(_FORCED_DIRECTION.sub("", _visible(text)).split())
