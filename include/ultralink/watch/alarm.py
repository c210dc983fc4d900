"""An alarm: what happened, in words that fit into a mail's subject, a chat or a log."""

from __future__ import annotations

import html
import unicodedata
from dataclasses import dataclass

from ultralink.recipe import AlarmKind

TITLE_LENGTH = 150
TEXT_LENGTH = 4000


@dataclass(frozen=True)
class Alarm:
    """``title`` is one line. ``key`` says what it is about: of alarms with one key only the first is sent.

    ``quiet_s``: after so many seconds the same key may be sent again; None: never.
    """

    kind: AlarmKind
    title: str
    text: str
    key: str
    quiet_s: float | None = None

    def __post_init__(self) -> None:
        # Both may quote an error, and an error may quote a server, a title, a row.
        object.__setattr__(self, "title", _printable(" ".join(self.title.split()), TITLE_LENGTH))
        object.__setattr__(self, "text", _printable(self.text, TEXT_LENGTH))

    @property
    def html(self) -> str:
        """The text for a page or an HTML mail, escaped."""
        return html.escape(self.text).replace("\n", "<br>\n")


def _printable(text: str, length: int) -> str:
    """``text`` without what steers a terminal or turns the reading direction, and not too long."""
    kept = "".join(sign for sign in text if sign == "\n" or unicodedata.category(sign) not in ("Cc", "Cf", "Cs"))
    return kept if len(kept) <= length else f"{kept[: length - 1]}…"
