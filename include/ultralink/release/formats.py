"""The files of a configuration: their names, and a conversation as a line of each of the JSON formats.

A line stays one for every reader, those that split at Unicode's line breaks too: these are escaped, all else is UTF-8.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec

from ultralink.prompts import defuse
from ultralink.release.recipe import Format
from ultralink.release.rows import Conversation
from ultralink.release.splitting import TRAIN

PARQUET = "parquet"
DATASET_INFO = "sharegpt/dataset_info.json"
GROUNDED = "chat_specific"  # the subset whose rows have a document

_ENCODE = msgspec.json.Encoder().encode
_BREAKS = tuple((sign.encode(), f"\\u{ord(sign):04x}".encode()) for sign in "\x85\u2028\u2029")


class Lines(StrEnum):
    """What is written as lines of JSON."""

    MESSAGES = "messages"
    SHAREGPT = "sharegpt"
    ULTRALINK = "ultralink"
    WITH_DOCUMENT = "ultralink_with_document"

    @classmethod
    def of(cls, formats: Iterable[Format], subset: str) -> list[Lines]:
        """All that ``formats`` ask for of ``subset``."""
        asked = [cls(each.value) for each in formats]
        return [*asked, cls.WITH_DOCUMENT] if cls.ULTRALINK in asked and subset == GROUNDED else asked


# --- names ----------------------------------------------------------------------------------------


def configuration(language: str, subset: str) -> str:
    """The name of a configuration: ``zh_chat_specific``."""
    return f"{language}_{subset}"


def parquet_folder(name: str) -> str:
    """The folder of a configuration's Parquet files within a release."""
    return f"data/{name}"


def parquet_path(name: str, split: str, number: int, files: int) -> str:
    """The place of the Parquet file ``number``, from 0, of ``files`` within a release."""
    return f"{parquet_folder(name)}/{split}-{number:05d}-of-{files:05d}.parquet"


def lines_path(lines: Lines, name: str, split: str) -> str:
    """The place of a file of lines within a release. UltraLink's own have its file names, validation is aside."""
    if lines in (Lines.MESSAGES, Lines.SHAREGPT):
        return f"{lines}/{name}.{split}.jsonl"
    return f"{lines}/{name}.jsonl" if split == TRAIN else f"{lines}/{split}/{name}.jsonl"


# --- lines ----------------------------------------------------------------------------------------


class _Message(msgspec.Struct, gc=False):
    role: str
    content: str


class _MessagesLine(msgspec.Struct, gc=False):
    messages: list[_Message]


class _Said(msgspec.Struct, gc=False):
    speaker: str = msgspec.field(name="from")
    value: str


class _ShareGPTLine(msgspec.Struct, gc=False):
    id: str
    conversations: list[_Said]


class _UltraLinkLine(msgspec.Struct, gc=False):
    id: str
    data: list[str]


class LineFormat:
    """Conversations of one configuration as lines. ``document_request`` opens a dialogue that has its document."""

    def __init__(self, lines: Lines, name: str, document_request: str | None = None) -> None:
        self._lines = lines
        self._name = name
        self._request = document_request or ""

    def encode(self, conversations: Iterable[Conversation], first: int) -> bytes:
        """A line for each of ``conversations``, the running number of the first of which is ``first``."""
        said = [_ENCODE(self._line(each, number)) for number, each in enumerate(conversations, first)]
        joined = b"\n".join([*said, b""])
        for sign, escaped in _BREAKS:  # none of JSON's own bytes, so they are within strings
            joined = joined.replace(sign, escaped)
        return joined

    def _line(self, conversation: Conversation, number: int) -> msgspec.Struct:
        match self._lines:
            case Lines.MESSAGES:
                return _MessagesLine([_Message(*said) for said in _spoken(conversation, "user", "assistant")])
            case Lines.SHAREGPT:
                said = [_Said(*each) for each in _spoken(conversation, "human", "gpt")]
                return _ShareGPTLine(conversation.id, said)
            case Lines.ULTRALINK:
                return self._ultralink(conversation, number, "")
            case Lines.WITH_DOCUMENT:
                return self._ultralink(conversation, number, self._document(conversation))

    def _ultralink(self, conversation: Conversation, number: int, document: str) -> _UltraLinkLine:
        """Its format knows no system text: that opens the first question, as a document does."""
        question, *rest = conversation.texts
        system = f"{conversation.system}\n\n" if conversation.system else ""
        return _UltraLinkLine(f"{self._name}_{number}", [f"{system}{document}{question}", *rest])

    def _document(self, conversation: Conversation) -> str:
        """What stands before the first question, in the published form; nothing where a row has no passage."""
        if conversation.passage is None:
            return ""
        title, passage = defuse(conversation.title or ""), defuse(conversation.passage)
        return f"{self._request}<document>{title}\n\n{passage}</document>"


def _spoken(conversation: Conversation, user: str, assistant: str) -> Iterable[tuple[str, str]]:
    """Who says what."""
    if conversation.system is not None:
        yield "system", conversation.system
    for index, text in enumerate(conversation.texts):
        yield (assistant if index % 2 else user), text


# --- LLaMA-Factory --------------------------------------------------------------------------------


def dataset_info(rows: Mapping[tuple[str, str], int]) -> str:
    """LLaMA-Factory's list of data sets; ``rows``: of each configuration's name and split, in the wanted order.

    A system text is the first of a conversation, told by its tag: a column of it would have to be in every line.
    """
    entry = {
        "formatting": "sharegpt",
        "columns": {"messages": "conversations"},
        "tags": {
            "role_tag": "from",
            "content_tag": "value",
            "user_tag": "human",
            "assistant_tag": "gpt",
            "system_tag": "system",
        },
    }
    listed = {
        name if split == TRAIN else f"{name}_{split}": {
            "file_name": f"{name}.{split}.jsonl",
            **entry,
        }
        for (name, split), count in rows.items()
        if count
    }
    return json.dumps(listed, indent=2, ensure_ascii=False) + "\n"
