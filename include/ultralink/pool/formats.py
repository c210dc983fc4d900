"""Conversations out of rows: one reader per source format, each checking the fields that it takes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Literal

from ultralink.errors import SourceError
from ultralink.pool.files import Malformed as Malformed
from ultralink.pool.files import Record, Wrong, malformed, records
from ultralink.pool.recipe import Format, MalformedLimit, Source
from ultralink.pool.row import EnglishRow, row_id
from ultralink.teacher.request import Message

HOPELESS_FROM = 1000  # rows: when most of so many are malformed, the rest need not be read

Fields = Mapping[str, object]
Conversation = tuple[list[Message], str]  # the messages, and the source's own type


def read(source: Source, limit: MalformedLimit | None = None) -> Iterator[EnglishRow | Malformed]:
    """Every row of ``source`` in the order of its file, as a conversation or as Malformed; none is left out.

    Roles are as they stand: whether they alternate is for `cleaning` to say. A row that has a system prompt is
    malformed, because its answers obey a text that a pool row cannot hold; an empty one is as none.
    Raises SourceError and SourceUnreachable as `files.records` does and, with a ``limit``, as `within` does.
    """
    return _conversations(source) if limit is None else within(limit, source, _conversations(source))


def _conversations(source: Source) -> Iterator[EnglishRow | Malformed]:
    converse = _READERS[source.format]
    for record in records(source):
        if isinstance(record, Malformed):
            yield record
            continue
        try:
            messages, own_type = converse(record.fields)
        except Wrong as wrong:
            yield malformed(source, record.row, wrong, _excerpt(record))
        else:
            yield EnglishRow(
                id=row_id(source.name, messages),
                kind=source.kind,
                messages=tuple(messages),
                source=source.name,
                row=record.row,
                type=own_type,
                licence=source.licence,
                url=source.url,
            )


def within(
    limit: MalformedLimit, source: Source, rows: Iterable[EnglishRow | Malformed]
) -> Iterator[EnglishRow | Malformed]:
    """``rows`` of ``source`` passed on; SourceError at their end if too many were malformed, or if there was none.

    A file of another format does not have to be read to its end: from the 1,000th row on, SourceError is also raised
    when most rows are malformed (more than ``limit.share`` of them, where that is above a half).
    """
    total, bad, first = 0, 0, None
    for row in rows:
        total += 1
        if isinstance(row, Malformed):
            bad, first = bad + 1, first or row
        yield row
        if total >= HOPELESS_FROM:
            _judge(limit.count, max(limit.share, 0.5), source, total, bad, first)
    if not total:
        raise SourceError(f"source {source.name} ({source.path}): the file has no row")
    _judge(limit.count if bad < total else 0, limit.share if bad < total else 0.0, source, total, bad, first)


def _judge(count: int, share: float, source: Source, total: int, bad: int, first: Malformed | None) -> None:
    if first is None or bad <= count or bad <= share * total:
        return
    raise SourceError(
        f"source {source.name} ({source.path}): {bad} of {total} rows are malformed, more than {count} "
        f"and more than {share:.1%}; the first is row {first.row}, field {first.field or '(row)'}: "
        f"{first.reason}. Is {source.format.value!r} its format?"
    )


def _excerpt(record: Record) -> str:
    return json.dumps(dict(record.fields), ensure_ascii=False, default=str)


# --- fields ---------------------------------------------------------------------------------------


def _checked(field: str, value: object) -> str:
    if not isinstance(value, str):
        raise Wrong(field, f"must be a text, is {type(value).__name__}" if value is not None else "is missing")
    try:
        value.encode()
    except UnicodeEncodeError as problem:
        raise Wrong(field, f"character {problem.start + 1} is half of a surrogate pair") from None
    return value


def _text(fields: Fields, name: str) -> str:
    return _checked(name, fields.get(name))


def _list(fields: Fields, *names: str) -> tuple[str, list[object]]:
    """The one of ``names`` that the row has, and its items."""
    given = [name for name in names if fields.get(name) is not None]
    if len(given) != 1:
        raise Wrong(names[0], f"is missing (or {', '.join(names[1:])})" if not given else f"beside {given[1]}")
    value = fields[given[0]]
    if not isinstance(value, list):
        raise Wrong(given[0], f"must be a list, is {type(value).__name__}")
    if not value:
        raise Wrong(given[0], "is an empty list")
    return given[0], value


_Role = Literal["user", "assistant", "system"]
_ROLES: dict[str, _Role] = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "assistant": "assistant",
    "system": "system",
}


def _turns(name: str, items: list[object], role_key: str, text_key: str) -> list[Message]:
    messages = []
    for index, item in enumerate(items):
        place = f"{name}.{index}"
        if not isinstance(item, dict):
            raise Wrong(place, f"must be an object, is {type(item).__name__}")
        said = _checked(f"{place}.{role_key}", item.get(role_key))
        text = _checked(f"{place}.{text_key}", item.get(text_key))
        role = _ROLES.get(said)
        if role is None:
            raise Wrong(f"{place}.{role_key}", f"unknown role {said[:40]!r}; known: {', '.join(_ROLES)}")
        if role != "system":
            messages.append(Message(role, text))
        elif text.strip():
            raise Wrong(f"{place}.{role_key}", "a system prompt, which the answers obey")
    return messages


# --- formats --------------------------------------------------------------------------------------


def _sharegpt(fields: Fields) -> Conversation:
    """``conversations`` (``items`` in OpenChat's files): a list of ``from`` and ``value``."""
    name, items = _list(fields, "conversations", "items")
    return _turns(name, items, "from", "value"), ""


def _ultrachat(fields: Fields) -> Conversation:
    """``data``: texts of user and assistant by turns; or ``messages``: a list of ``role`` and ``content``."""
    name, items = _list(fields, "data", "messages")
    if name == "messages":
        return _turns(name, items, "role", "content"), ""
    roles: tuple[_Role, _Role] = ("user", "assistant")
    return [Message(roles[index % 2], _checked(f"{name}.{index}", item)) for index, item in enumerate(items)], ""


def _pair(fields: Fields, asked: str, answered: str) -> list[Message]:
    return [Message("user", _text(fields, asked)), Message("assistant", _text(fields, answered))]


def _metamath(fields: Fields) -> Conversation:
    return _pair(fields, "query", "response"), _text(fields, "type")


def _oss_instruct(fields: Fields) -> Conversation:
    return _pair(fields, "problem", "solution"), _text(fields, "lang")


def _evol_instruct(fields: Fields) -> Conversation:
    return _pair(fields, "instruction", "response"), ""


def _humaneval(fields: Fields) -> Conversation:
    return _pair(fields, "prompt", "canonical_solution"), _text(fields, "task_id")


def _mgsm(fields: Fields) -> Conversation:
    """``question`` and ``answer``; where no answer is written out, as in the test set, its ``answer_number``."""
    question, number = _text(fields, "question"), fields.get("answer_number")
    if fields.get("answer") is not None:
        answer = _text(fields, "answer")
    elif isinstance(number, int) and not isinstance(number, bool):
        answer = str(number)
    else:
        answer = _text(fields, "answer_number")
    identifier = fields.get("id")
    own = "" if identifier is None else str(identifier) if isinstance(identifier, int) else _text(fields, "id")
    return [Message("user", question), Message("assistant", answer)], own


_READERS: dict[Format, Callable[[Fields], Conversation]] = {
    Format.SHAREGPT: _sharegpt,
    Format.ULTRACHAT: _ultrachat,
    Format.METAMATH: _metamath,
    Format.OSS_INSTRUCT: _oss_instruct,
    Format.EVOL_INSTRUCT: _evol_instruct,
    Format.HUMANEVAL: _humaneval,
    Format.MGSM: _mgsm,
}
