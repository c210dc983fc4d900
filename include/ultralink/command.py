"""How a command of the command line ends: an error is one clear line, and the exit code tells."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console
from rich.markup import escape

from ultralink.errors import UltraLinkError


def run(command: Callable[[], None], console: Console) -> int:
    """Run ``command``; returns the exit code: 0, 1 after an UltraLinkError, 130 after Ctrl-C."""
    try:
        command()
    except UltraLinkError as error:
        console.print(f"[bold red]{escape(str(error))}[/]", soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("Interrupted.")
        return 130
    return 0
