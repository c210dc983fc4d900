"""What people say of rows: a thumb and a note, kept on the store, and exported as labelled sets."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import PurePosixPath

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ultralink.dataset import Message, Reject, Sample
from ultralink.dialogue.labelled import Item
from ultralink.insight.browse import Place, Query, RowKind
from ultralink.insight.held import Held
from ultralink.stages.partition import is_date
from ultralink.store import Store, disk_errors

log = logging.getLogger(__name__)

FOLDER = "verdicts"
MOST_NOTE = 2_000  # characters
_MOST_NAME = 300  # characters of a row's name in a list
MOST_ROW = 1 << 20  # bytes of a row that are kept beside its verdict


class Thumb(StrEnum):
    """Up: a row that belongs into the data set. Of a reject, up says that the gate was wrong."""

    UP = "up"
    DOWN = "down"


class Fault(StrEnum):
    """What is wrong with a row, as far as a labelled set can use it."""

    NONE = ""
    UNGROUNDED = "ungrounded"  # an answer says what the passage doesn't
    UNFAITHFUL = "unfaithful"  # a translation says something else than its source
    LANGUAGE = "language"  # wrong or unnatural language
    OTHER = "other"


class Verdict(BaseModel):
    """What one person says of one row.

    ``number`` is the row's in its part at that time, ``digest`` of its messages: a night that is made anew may have
    other rows there. ``row`` is what was judged, so that the label outlives the night; None: it is too large to keep.
    ``answer`` counts the assistant's messages from 1; None: the verdict is of the whole row.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: str
    date: str
    kind: RowKind
    number: int
    row_id: str
    digest: str
    user: str
    time: datetime
    thumb: Thumb
    fault: Fault = Fault.NONE
    answer: int | None = Field(default=None, ge=1)
    note: str = Field(default="", max_length=MOST_NOTE)
    row: Sample | Reject | None = None

    @property
    def place(self) -> Place:
        """Where the row was."""
        return Place(self.date, self.number)

    def is_of(self, row: Sample | Reject) -> bool:
        """Whether ``row`` still says what was judged."""
        return self.row_id == row.id and self.digest == digest(row.messages)


def digest(messages: Iterable[Message]) -> str:
    """A hash of what messages say."""
    said = json.dumps([[message.role, message.content] for message in messages])
    return hashlib.blake2b(said.encode(), digest_size=16).hexdigest()


def seen(row: Sample | Reject) -> str:
    """What a form says of the row that a person saw: a hash of its id and messages."""
    return hashlib.blake2b(f"{digest(row.messages)} {row.id}".encode(), digest_size=16).hexdigest()


def judged(
    row: Sample | Reject,
    place: Place,
    *,
    user: str,
    time: datetime,
    thumb: Thumb,
    fault: Fault = Fault.NONE,
    answer: int | None = None,
    note: str = "",
) -> Verdict:
    """A verdict of ``row``. Raises ValueError for an answer that it does not have; a thumb up names no fault."""
    answers = sum(message.role == "assistant" for message in row.messages)
    if answer is not None and answer > answers:
        raise ValueError(f"answer {answer}: the row has {answers}")
    is_small = len(row.model_dump_json()) <= MOST_ROW
    return Verdict(
        language=row.language,
        date=place.date,
        kind=RowKind.REJECTS if isinstance(row, Reject) else RowKind.SAMPLES,
        number=place.number,
        row_id=row.id,
        digest=digest(row.messages),
        user=user,
        time=time,
        thumb=thumb,
        fault=fault if thumb is Thumb.DOWN else Fault.NONE,
        answer=answer if thumb is Thumb.DOWN else None,
        note=note.strip(),
        row=row if is_small else None,
    )


@dataclass(frozen=True, kw_only=True)
class Sought:
    """Which verdicts. Empty: any. ``date`` is the night's. Raises ValueError for what no verdict could have."""

    date: str = ""
    user: str = ""
    thumb: Thumb | None = None

    def __post_init__(self) -> None:
        if self.date and not is_date(self.date):
            raise ValueError(f"{self.date[:40]!r} is not a date such as 2026-11-23")

    def fits(self, verdict: Verdict) -> bool:
        """Whether it is one of them."""
        return (
            self.date in ("", verdict.date)
            and self.user in ("", verdict.user)
            and self.thumb in (None, verdict.thumb)
        )  # fmt: skip


@dataclass(frozen=True)
class Told:
    """A verdict in a list: without the row that it keeps, but with its subset and what it is called."""

    verdict: Verdict
    subset: str
    name: str


def _told(content: bytes) -> Told:
    verdict = Verdict.model_validate_json(content)
    row = verdict.row
    name = verdict.row_id if row is None else row.source.title or row.source.name
    return Told(verdict.model_copy(update={"row": None}), row.subset if row else "", name[:_MOST_NAME])


_held = Held(_told)


class VerdictBook:
    """All verdicts of a store: one small file for each person and row, so that nobody overwrites another's."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def put(self, verdict: Verdict) -> None:
        """Keep a verdict; an earlier one of the same person and row is replaced. Raises StoreFull, StoreReadOnly."""
        path = self._path(verdict.language, verdict.date, verdict.kind, verdict.row_id, verdict.user)
        self._store.write_text(path, verdict.model_dump_json(indent=1))

    def take_back(self, language: str, date: str, kind: RowKind, row_id: str, user: str) -> None:
        """Forget a person's verdict, if there is one. Raises StoreReadOnly."""
        path = self._path(language, date, kind, row_id, user)
        with disk_errors(path), suppress(FileNotFoundError):
            self._store.fs.rm_file(path)

    def of(self, language: str, date: str, kind: RowKind, row_id: str, user: str) -> Verdict | None:
        """A person's verdict of a row."""
        return self._read(self._path(language, date, kind, row_id, user))

    def marks(self, language: str, kind: RowKind, rows: Iterable[tuple[str, str]], user: str) -> dict[str, Verdict]:
        """A person's verdicts of some rows, each given by its night and id; by id. One listing a night."""
        names: dict[str, set[str]] = {}
        found: dict[str, Verdict] = {}
        for date, row_id in rows:
            if date not in names:
                names[date] = {
                    PurePosixPath(path).name for path in self._files(self._store.folder(FOLDER, language, date))
                }
            path = self._path(language, date, kind, row_id, user)
            verdict = self._read(path) if PurePosixPath(path).name in names[date] else None
            if verdict is not None:
                found[row_id] = verdict
        return found

    def all(self, language: str, date: str = "") -> Iterator[Verdict]:
        """The verdicts of a language, or of one of its nights, by date; a file that is none is left out and logged.

        Raises ValueError for what is no language or date.
        """
        query = Query(language=language, date=date)
        files = self._files(self._store.folder(FOLDER, query.language, *([date] if date else [])))
        return (verdict for verdict in map(self._read, files) if verdict is not None)

    def told(self, language: str) -> list[Told]:
        """The verdicts of a language for a list, the newest first; only what is new since the last time is read."""
        query = Query(language=language)
        found = _held.below(self._store, FOLDER, query.language).values()
        return sorted(filter(None, found), key=lambda one: (one.verdict.time, one.verdict.row_id), reverse=True)

    def _files(self, folder: str) -> list[str]:
        found = map(str, self._store.fs.find(folder))
        return sorted(path for path in found if path.endswith(".json"))

    def _read(self, path: str) -> Verdict | None:
        try:
            text = self._store.read_text(path)
            return None if text is None else Verdict.model_validate_json(text)
        except ValidationError as error:
            log.warning("%s: is not a verdict: %s", path, error.errors(include_input=False, include_url=False)[0])
        except UnicodeDecodeError as error:
            log.warning("%s: is not a verdict: %s", path, error)
        return None

    def _path(self, language: str, date: str, kind: RowKind, row_id: str, user: str) -> str:
        if not date:
            raise ValueError("a verdict is of a row of a night")
        query = Query(language=language, kind=kind, date=date)  # checks what becomes a folder
        key = hashlib.blake2b(json.dumps([kind, row_id, user]).encode(), digest_size=16).hexdigest()
        return self._store.folder(FOLDER, query.language, query.date, f"{key}.json")


# --- labelled sets ------------------------------------------------------------------------------


def judge_items(verdicts: Iterable[Verdict]) -> list[Item]:
    """The verdicts of dialogues as items of ``include/judge/<code>.yaml``: each line can be pasted there as it is.

    A thumb up says that all answers are grounded. A thumb down counts only as "ungrounded", and of several answers
    only the one that it names. What people disagree about is left out.
    """
    found: dict[tuple[str, str, str], Item] = {}
    said: defaultdict[tuple[str, str, str], set[bool]] = defaultdict(set)
    for verdict in verdicts:
        for item in _items(verdict):
            key = (item.passage, item.question, item.answer)
            found.setdefault(key, item)
            said[key].add(item.grounded)
    return [item for key, item in found.items() if len(said[key]) == 1]


def _items(verdict: Verdict) -> Iterator[Item]:
    row = verdict.row
    if row is None or not row.source.passage or not row.source.title:
        return
    turns = [
        (question.content, answer.content)
        for question, answer in zip(row.messages, row.messages[1:], strict=False)
        if (question.role, answer.role) == ("user", "assistant") and question.content and answer.content
    ]
    if verdict.thumb is Thumb.DOWN:
        only = 1 if len(turns) == 1 else None
        named = verdict.answer or only
        if verdict.fault is not Fault.UNGROUNDED or named is None:
            return
        turns = turns[named - 1 : named]
    for question, answer in turns:
        yield Item(
            title=row.source.title,
            passage=row.source.passage,
            question=question,
            answer=answer,
            grounded=verdict.thumb is Thumb.UP,
        )
