"""The Parquet schema of every stage, each with a version that a part carries and a reader checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypedDict

import pyarrow as pa

from ultralink.pool.row import Kind
from ultralink.teacher import ledger


@dataclass(frozen=True)
class Stage:
    """A stage's name in the store, its schema, and the version that changes when either changes meaning.

    ``added``: nullable columns that came later without a new version: a part that has them not reads as nulls.
    """

    name: str
    version: int
    schema: pa.Schema
    added: tuple[str, ...] = ()


_TIME = pa.timestamp("us", tz="UTC")


def _required(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


MESSAGES = pa.list_(pa.struct([_required("role", pa.string()), _required("content", pa.string())]))

# Of an article (kind "wikipedia") or of an English row (kind "english"): what is not of the kind is null.
SOURCE = pa.struct(
    [
        _required("kind", pa.string()),
        _required("url", pa.string()),
        _required("licence", pa.string()),
        pa.field("dataset", pa.string()),
        pa.field("row_id", pa.string()),
        pa.field("row", pa.int64()),
        pa.field("type", pa.string()),
        pa.field("english", MESSAGES),
        pa.field("page_id", pa.int64()),
        pa.field("revision_id", pa.int64()),
        pa.field("title", pa.string()),
        pa.field("fetched", _TIME),
        pa.field("categories", pa.list_(pa.string())),
        pa.field("passage_id", pa.string()),
        pa.field("passage_start", pa.int64()),
        pa.field("passage_end", pa.int64()),
        pa.field("passage", pa.string()),
    ]
)

TEACHER = pa.struct(
    [
        _required("model", pa.string()),
        _required("requested_model", pa.string()),
        _required("prompts", pa.string()),
        _required("temperature", pa.float64()),
        _required("top_p", pa.float64()),
        _required("asks", pa.int64()),
        _required("prompt_tokens", pa.int64()),
        _required("cached_tokens", pa.int64()),
        _required("completion_tokens", pa.int64()),
        pa.field("cost_usd", pa.float64()),
    ]
)


# What the judge said of each answer, numbered from 1, in order. Grounded: it finds the answer supported, and code has
# found its quotation in the passage. Null: the row was not judged, or was made before this was kept.
EVIDENCE = pa.field(
    "evidence",
    pa.list_(
        pa.struct([_required("answer", pa.int64()), _required("grounded", pa.bool_()), _required("quote", pa.string())])
    ),
)


class MessageRow(TypedDict):
    """One of a row's ``messages``."""

    role: Literal["system", "user", "assistant"]
    content: str


class SourceRow(TypedDict):
    """What a reader needs of ``source``."""

    kind: str
    title: str | None
    revision_id: int | None
    dataset: str | None
    row_id: str | None
    english: list[MessageRow] | None
    url: str
    licence: str


class TeacherRow(TypedDict):
    """What a reader needs of ``teacher``."""

    model: str


class SampleRow(TypedDict):
    """What a reader needs of a SAMPLES or DIALOGUES row."""

    id: str
    subset: str
    messages: list[MessageRow]
    source: SourceRow
    teacher: TeacherRow | None


SELECTION = Stage(
    "selection",
    1,
    pa.schema(
        [
            _required("position", pa.int64()),
            _required("page_id", pa.int64()),
            _required("title", pa.string()),
            pa.field("revision_id", pa.int64()),
        ]
    ),
)

ARTICLES = Stage(
    "articles",
    1,
    pa.schema(
        [
            _required("page_id", pa.int64()),
            _required("revision_id", pa.int64()),
            _required("title", pa.string()),
            _required("url", pa.string()),
            _required("licence", pa.string()),
            _required("fetched", _TIME),
            _required("text", pa.string()),
            _required("tokens", pa.int64()),
            _required("language_score", pa.float64()),
            _required("categories", pa.list_(pa.string())),
        ]
    ),
)

PASSAGES = Stage(
    "passages",
    1,
    pa.schema(
        [
            _required("id", pa.string()),
            _required("page_id", pa.int64()),
            _required("revision_id", pa.int64()),
            _required("title", pa.string()),
            _required("url", pa.string()),
            _required("licence", pa.string()),
            _required("fetched", _TIME),
            _required("categories", pa.list_(pa.string())),
            _required("language_score", pa.float64()),
            _required("index", pa.int64()),
            _required("start", pa.int64()),
            _required("end", pa.int64()),
            _required("text", pa.string()),
            _required("tokens", pa.int64()),
        ]
    ),
)

_SAMPLE = pa.schema(
    [
        _required("id", pa.string()),
        _required("language", pa.string()),
        _required("subset", pa.string()),
        _required("messages", MESSAGES),
        _required("source", SOURCE),
        pa.field("teacher", TEACHER),  # null: English rows are taken as they are
        _required("scores", pa.map_(pa.string(), pa.float64())),
        _required("created", _TIME),
        _required("fingerprint", pa.string()),
    ]
)

_REJECT = pa.schema(
    [
        _required("id", pa.string()),
        _required("language", pa.string()),
        _required("subset", pa.string()),
        _required("stage", pa.string()),
        _required("gate", pa.string()),
        _required("reason", pa.string()),
        _required("attempts", pa.int64()),
        _required("messages", MESSAGES),
        _required("source", SOURCE),
        pa.field("created", _TIME),
        _required("fingerprint", pa.string()),
    ]
)

# --- English rows -------------------------------------------------------------------------------

_ENGLISH = [
    _required("id", pa.string()),
    _required("kind", pa.string()),
    _required("messages", MESSAGES),
    _required("source", pa.string()),
    _required("row", pa.int64()),
    _required("type", pa.string()),
    _required("licence", pa.string()),
    _required("url", pa.string()),
]
_FINDING = pa.struct(
    [_required("criterion", pa.string()), _required("score", pa.int8()), _required("quote", pa.string())]
)

ENGLISH_ROWS = Stage("english_rows", 1, pa.schema(_ENGLISH))
DISTINCT_ROWS = Stage("distinct_rows", 1, pa.schema(_ENGLISH))
SCREENED_ROWS = Stage("screened_rows", 1, pa.schema([*_ENGLISH, _required("screen", pa.list_(_FINDING))]))
POOL = Stage(
    "pool",
    1,
    pa.schema([*_ENGLISH, _required("cluster", pa.int64()), pa.field("screen", pa.list_(_FINDING))]),
)
CHOICE = Stage(
    "choice",
    1,
    pa.schema([_required("position", pa.int64()), _required("edition", pa.string()), *_ENGLISH]),
)

# --- samples and rejects ------------------------------------------------------------------------

DIALOGUES = Stage("dialogues", 2, _SAMPLE.append(EVIDENCE), (EVIDENCE.name,))
TRANSLATIONS = {kind: Stage(f"{kind}_rows", 1, _SAMPLE) for kind in Kind}
SAMPLES = Stage("samples", 2, _SAMPLE.append(EVIDENCE), (EVIDENCE.name,))

ARTICLE_REJECTS = Stage("article_rejects", 2, _REJECT)
DIALOGUE_REJECTS = Stage("dialogue_rejects", 2, _REJECT.append(EVIDENCE), (EVIDENCE.name,))
TRANSLATION_REJECTS = {kind: Stage(f"{kind}_rejects", 1, _REJECT) for kind in Kind}
ENGLISH_REJECTS = Stage("english_rejects", 1, _REJECT)
DUPLICATES = Stage("duplicates", 1, _REJECT)
SCREEN_REJECTS = Stage("screen_rejects", 1, _REJECT)
POOL_REJECTS = Stage("pool_rejects", 1, _REJECT)
REJECTS = Stage("rejects", 2, _REJECT.append(EVIDENCE), (EVIDENCE.name,))
LEDGER = Stage("ledger", 2, ledger.LEDGER)
POOL_LEDGER = Stage("pool_ledger", 1, ledger.LEDGER)  # apart from that of the English night of the same date

# --- releases -----------------------------------------------------------------------------------

# What a release needs to know of each row of SAMPLES, in the same order, without its texts.
FEATURES = Stage(
    "features",
    2,
    pa.schema(
        [
            _required("row", pa.int64()),
            _required("id", pa.string()),
            _required("subset", pa.string()),
            _required("turns", pa.int64()),
            _required("question_tokens", pa.int64()),
            _required("answer_tokens", pa.int64()),
            _required("text_key", pa.binary(16)),  # equal for equal normalised texts
            _required("signature", pa.binary()),  # MinHash, see release.near
            pa.field("figures", pa.string()),  # of a sum: those in its questions, sorted
            _required("origin", pa.string()),  # "article:<language>:<page id>" or "row:<data set>:<row id>"
            _required("licence", pa.string()),
            _required("scores", pa.map_(pa.string(), pa.float64())),
            pa.field("revision_id", pa.int64()),
            pa.field("passage_start", pa.int64()),
            pa.field("passage_end", pa.int64()),
            pa.field("title", pa.string()),
            pa.field("url", pa.string()),
            pa.field("categories", pa.list_(pa.string())),
            pa.field("model", pa.string()),
        ]
    ),
)

# Why a row of SAMPLES is not fit for a release: it is in an evaluation set, private, or blocked.
FINDINGS = Stage(
    "findings",
    2,
    pa.schema(
        [
            _required("row", pa.int64()),
            _required("id", pa.string()),
            _required("subset", pa.string()),
            _required("stage", pa.string()),  # decontaminate, privacy, blocklist
            _required("reason", pa.string()),  # name of the evaluation set; email, phone, credential; name of the list
            _required("removes", pa.bool_()),  # false: counted only
            pa.field("item", pa.string()),  # of the evaluation set
            pa.field("detail", pa.string()),  # what matched, clipped; what is private is masked
        ]
    ),
)

# A row that a release leaves out, and what it was left out for.
REMOVED = Stage(
    "removed",
    1,
    pa.schema(
        [
            _required("language", pa.string()),
            _required("date", pa.string()),
            _required("row", pa.int64()),
            _required("id", pa.string()),
            _required("subset", pa.string()),
            _required("stage", pa.string()),  # exact, near, decontaminate, privacy, blocklist
            _required("reason", pa.string()),
            pa.field("duplicate_of", pa.string()),  # id of the row that stays
            pa.field("duplicate_of_language", pa.string()),
            pa.field("duplicate_of_date", pa.string()),
            pa.field("similarity", pa.float64()),
            pa.field("item", pa.string()),
            pa.field("detail", pa.string()),
        ]
    ),
)
EXACT_REMOVED = Stage("exact_removed", 1, REMOVED.schema)
NEAR_REMOVED = Stage("near_removed", 1, REMOVED.schema)

# Where a row of the release goes: one part per language and subset, in the order of dates and rows.
PLACES = Stage(
    "places",
    1,
    pa.schema(
        [
            _required("date", pa.string()),
            _required("row", pa.int64()),
            _required("id", pa.string()),
            _required("split", pa.string()),  # train, validation
        ]
    ),
)

# The names of all scores that rows of the release have, sorted.
SCORE_NAMES = Stage("score_names", 1, pa.schema([_required("name", pa.string())]))

# The files that a stage of a release wrote aside.
STAGED_FILES = Stage(
    "staged_files",
    1,
    pa.schema(
        [
            _required("path", pa.string()),  # within the release
            _required("format", pa.string()),  # parquet, messages, ..., card
            _required("rows", pa.int64()),  # 0: not a table
            _required("bytes", pa.int64()),
            _required("sha256", pa.string()),
        ]
    ),
)
