"""Rows of a release: batches of SAMPLES as its columns, and as conversations that are fit for fine-tuning."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ultralink.errors import SampleUnfit
from ultralink.schemas import SAMPLES

_ROLES = ("user", "assistant")
# A struct needs a field, so a release of which no row has a score has this one, and no value in it.
_NO_SCORES = ("language",)
_ENTRIES = pa.list_(pa.struct([("key", pa.string()), ("value", pa.float64())]))


@dataclass(frozen=True, slots=True)
class Conversation:
    """What the formats of lines need of a row: a system text if any, then texts of user and assistant by turns."""

    id: str
    system: str | None
    texts: list[str]
    title: str | None
    passage: str | None


# --- columns --------------------------------------------------------------------------------------


def release_schema(score_names: Sequence[str]) -> pa.Schema:
    """The columns of all configurations of a release; ``score_names`` are those of all its nights, sorted.

    Scores are a struct and all fields may be null: of maps and of required fields within lists, readers make this
    and that. So configurations load alike, and one after the other.
    """
    names = score_names or _NO_SCORES
    stored = SAMPLES.schema
    return pa.schema(
        [
            pa.field("id", pa.string()),
            pa.field("language", pa.string()),
            pa.field("subset", pa.string()),
            pa.field("messages", _nullable(stored.field("messages").type)),
            pa.field("source", _nullable(stored.field("source").type)),
            pa.field("teacher", _nullable(stored.field("teacher").type)),
            pa.field("scores", pa.struct([(name, pa.float64()) for name in names])),
            pa.field("licence", pa.string()),
            pa.field("date", pa.string()),
            pa.field("created", stored.field("created").type),
        ]
    )


def release_table(samples: pa.RecordBatch, date: str, schema: pa.Schema) -> pa.Table:
    """A batch of the night ``date`` in the columns of ``release_schema``."""
    made = {
        "scores": _scores(samples.column("scores"), schema.field("scores").type),
        "licence": pc.struct_field(samples.column("source"), "licence"),
        "date": pa.repeat(pa.scalar(date), len(samples)),
    }
    columns = [
        made[field.name] if field.name in made else samples.column(field.name).cast(field.type) for field in schema
    ]
    return pa.table(columns, schema=schema)


def _nullable(kind: pa.DataType) -> pa.DataType:
    """``kind`` without required fields."""
    if pa.types.is_list(kind):
        return pa.list_(_nullable(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(field.name, _nullable(field.type)) for field in kind.fields])
    return kind


def _scores(scores: pa.Array, kind: pa.StructType) -> pa.StructArray:
    """A map of scores as a struct with a field for each name."""
    entries = scores.cast(_ENTRIES)
    rows = pc.list_parent_indices(entries).to_numpy()
    flat = pc.list_flatten(entries)
    keys, values = pc.struct_field(flat, "key"), pc.struct_field(flat, "value")
    fields = []
    for field in kind.fields:
        of_this = pc.and_(pc.equal(keys, field.name), pc.is_valid(values)).to_numpy(zero_copy_only=False)
        column, missing = np.zeros(len(scores)), np.ones(len(scores), dtype=bool)
        column[rows[of_this]] = values.filter(pa.array(of_this)).to_numpy()
        missing[rows[of_this]] = False
        fields.append(pa.array(column, mask=missing))
    return pa.StructArray.from_arrays(fields, fields=kind.fields)


# --- conversations --------------------------------------------------------------------------------


def conversations(samples: pa.RecordBatch, where: str) -> Iterator[Conversation]:
    """The rows of a batch of the part at ``where``. Raises SampleUnfit for one that a trainer would refuse."""
    messages, source = samples.column("messages"), samples.column("source")
    flat = pc.list_flatten(messages)
    roles = pc.struct_field(flat, "role").to_pylist()
    texts = pc.struct_field(flat, "content").to_pylist()
    titles = pc.struct_field(source, "title").to_pylist()
    passages = pc.struct_field(source, "passage").to_pylist()
    end = 0
    for place, (row_id, length) in enumerate(
        zip(samples.column("id").to_pylist(), pc.list_value_length(messages).to_pylist(), strict=True)
    ):
        start, end = end, end + length
        system = texts[start] if length and roles[start] == "system" else None
        first = start if system is None else start + 1
        said = texts[first:end]
        if wrong := _unfit(roles[first:end], said):
            raise SampleUnfit(f"{where}: row {row_id!r}: {wrong}; a release must not hold it: make this night anew")
        yield Conversation(row_id, system, said, titles[place], passages[place])


def _unfit(roles: list[str], texts: list[str]) -> str | None:
    """What a trainer has against a conversation; its system text is not among them."""
    if not texts:
        return "it has no message of a user"
    if tuple(roles) != _ROLES * (len(roles) // 2):
        return f"its roles are {', '.join(roles)[:80]}, not user and assistant by turns up to an answer"
    for number, text in enumerate(texts, 1):
        if not text.strip():
            return f"its message {number} is empty"
    return None
