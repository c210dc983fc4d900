"""How a command of the command line ends: an error is one clear line, and the exit code tells."""

from __future__ import annotations

import re
from collections.abc import Callable

from rich.console import Console
from rich.markup import escape

from ultralink.errors import UltraLinkError

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def plain(text: str) -> str:
    """``text`` on one line that no terminal obeys: names of files and rows may hold anything."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def run(command: Callable[[], None], console: Console) -> int:
    """Run ``command``; returns the exit code: 0, 1 after an UltraLinkError, 130 after Ctrl-C."""
    try:
        command()
    except UltraLinkError as error:
        lines = (escape(plain(line)) for line in str(error).splitlines())
        console.print("[bold red]{}[/]".format("\n".join(lines)), soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("Interrupted.")
        return 130
    return 0
