"""What all commands share: exit codes, the store they work on, and how they print."""

from __future__ import annotations

import json
import math
import sys
from typing import NoReturn

from pydantic import JsonValue
from rich.console import Console
from rich.markup import escape

from ultralink.command import plain
from ultralink.default_store import default_store
from ultralink.errors import PartMissing, StoreMissing
from ultralink.store import Store

FINE, PROBLEM, ERROR = 0, 1, 2  # exit codes


class Terminal(Console):
    """Prints for a person. Who stops reading (``| head``) is no error: `__main__` ends quietly then."""

    def on_broken_pipe(self) -> NoReturn:
        raise BrokenPipeError

    def say(self, text: str, style: str = "") -> None:
        """Print a line as it is: nothing in it is markup, and no terminal obeys it."""
        self.print(safe(text), style=style, highlight=False, soft_wrap=True)


def safe(text: str) -> str:
    """``text`` for a line or a cell: without control characters and without meaning as markup."""
    return escape(plain(text))


def progress(text: str) -> None:
    """Say on stderr what is being done."""
    print(plain(text), file=sys.stderr, flush=True)


def print_json(value: JsonValue) -> None:
    """Print for a script, on stdout. What JSON has no number for (a score that is NaN) is null."""
    finite = _finite(value)
    text = json.dumps(finite, indent=1, ensure_ascii=False, allow_nan=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # another encoding, or a name of a file that is no text
        text = json.dumps(finite, indent=1, allow_nan=False)
    print(text)


def _finite(value: JsonValue) -> JsonValue:
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def words(given: str) -> str:
    """An argument that is text, and not bytes that are none. Raises ValueError."""
    given.encode()
    return given


def store_url(given: str | None) -> str:
    """The store's path or URL: the one given, ``ULTRALINK_STORE``, or .store beside include/."""
    return given or default_store()


def open_store(url: str) -> Store:
    """The store at ``url``. Raises StoreMissing."""
    try:
        return Store.at(url)
    except (ValueError, ImportError) as error:
        known = url.rpartition("@")[2]  # what stands before may be a password
        raise StoreMissing(f"{known}: {str(error).replace(url, known)}") from None


def existing_store(url: str) -> Store:
    """The store at ``url``, where there is one. Raises StoreMissing."""
    store = open_store(url)
    if not store.fs.exists(store.root):
        raise StoreMissing(f"{store.root}: no such store; name it with --store or ULTRALINK_STORE")
    return store


def chosen_languages(given: list[str], there: list[str]) -> list[str]:
    """The languages that were asked for, or all that the store has. Raises PartMissing naming them."""
    if unknown := [language for language in given if language not in there]:
        raise PartMissing(f"the store has nothing of {unknown[0]!r}; it has {', '.join(there) or 'nothing at all'}")
    return given or there


def size(number: int) -> str:
    """Bytes as a person reads them."""
    amount = float(number)
    for unit in ("B", "KB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:,.0f} {unit}" if unit == "B" else f"{amount:,.1f} {unit}"
        amount /= 1000
    return f"{amount:,.1f} TB"


def many(number: int, name: str) -> str:
    """A count of things."""
    return f"{number:,} {name}{'s' if number > 1 else ''}" if number else f"no {name}s"


def dollars(usd: float | None) -> str:
    """USD, with more digits where it is little; None: no price is known."""
    if usd is None:
        return "unknown"
    return f"${usd:,.2f}" if usd >= 1 or not usd else f"${usd:.4f}"
