"""English rows before and after the store: a conversation to a row of a stage and back, and as a reject."""

from __future__ import annotations

from typing import TypedDict

from ultralink.pool.row import EnglishRow, Kind
from ultralink.schemas import MessageRow
from ultralink.teacher.request import Message

Row = dict[str, object]
LANGUAGE = "en"


class StoredRow(TypedDict):
    """What all stages of English rows have in common."""

    id: str
    kind: str
    messages: list[MessageRow]
    source: str
    row: int
    type: str
    licence: str
    url: str


def stored(row: EnglishRow) -> Row:
    """A row of ENGLISH_ROWS, and the beginning of a row of the stages after it."""
    return {
        "id": row.id,
        "kind": row.kind.value,
        "messages": messages_row(row.messages),
        "source": row.source,
        "row": row.row,
        "type": row.type,
        "licence": row.licence,
        "url": row.url,
    }


def english_row(row: StoredRow) -> EnglishRow:
    """The conversation of a stored row."""
    return EnglishRow(
        id=row["id"],
        kind=Kind(row["kind"]),
        messages=tuple(Message(message["role"], message["content"]) for message in row["messages"]),
        source=row["source"],
        row=row["row"],
        type=row["type"],
        licence=row["licence"],
        url=row["url"],
    )


def messages_row(messages: tuple[Message, ...]) -> list[Row]:
    """Messages as the schemas have them."""
    return [{"role": message.role, "content": message.content} for message in messages]


def source_block(row: EnglishRow) -> Row:
    """The ``source`` of a sample or reject that comes from an English row."""
    return {
        "kind": "english",
        "url": row.url,
        "licence": row.licence,
        "dataset": row.source,
        "row_id": row.id,
        "row": row.row,
        "type": row.type,
        "english": messages_row(row.messages),
    }


def reject(row: EnglishRow, stage: str, gate: str, reason: str, made_by: str, *, attempts: int = 1) -> Row:
    """An English row that was turned away before it was anybody's translation."""
    return {
        "id": row.id,
        "language": LANGUAGE,
        "subset": row.kind.subset,
        "stage": stage,
        "gate": gate,
        "reason": reason,
        "attempts": attempts,
        "messages": messages_row(row.messages),
        "source": source_block(row),
        "created": None,
        "fingerprint": made_by,
    }
