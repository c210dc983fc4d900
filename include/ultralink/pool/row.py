"""A row of the English pool: a conversation, and where it comes from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from ultralink.teacher.request import Message


class Kind(StrEnum):
    """What a conversation teaches."""

    CHAT = "chat"
    MATH = "math"
    CODE = "code"

    @property
    def subset(self) -> str:
        """The dataset's subset that these rows belong to."""
        return "chat_agnostic" if self is Kind.CHAT else self.value


@dataclass(frozen=True, slots=True)
class EnglishRow:
    """A conversation as its source holds it; `cleaning` tells whether roles alternate and turns are whole.

    ``id`` is made of the source's name and the messages, so it stays when the source's file grows.
    ``row`` is 1-based. ``type`` is the source's own ("GSM_Rephrased", "python"), "" where it has none.
    """

    id: str
    kind: Kind
    messages: tuple[Message, ...]
    source: str
    row: int
    type: str
    licence: str
    url: str

    @property
    def text(self) -> str:
        """All messages, a line break between them."""
        return "\n".join(message.content for message in self.messages)


def row_id(source: str, messages: Sequence[Message]) -> str:
    """``<source>-<16 hex digits>``; equal for equal messages in any run."""
    content = json.dumps([[message.role, message.content] for message in messages])
    return f"{source}-{hashlib.blake2b(content.encode(), digest_size=8).hexdigest()}"
