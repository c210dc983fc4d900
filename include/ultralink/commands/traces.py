"""What a store holds of each night: its parts with their times, its statistics, and what state it is in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import PurePosixPath

from pydantic import ValidationError

from ultralink.pool.rows import LANGUAGE
from ultralink.schemas import (
    ARTICLE_REJECTS,
    ARTICLES,
    CHOICE,
    DIALOGUE_REJECTS,
    DIALOGUES,
    DISTINCT_ROWS,
    DUPLICATES,
    ENGLISH_REJECTS,
    ENGLISH_ROWS,
    FEATURES,
    FINDINGS,
    LEDGER,
    PASSAGES,
    POOL,
    POOL_LEDGER,
    POOL_REJECTS,
    REJECTS,
    SAMPLES,
    SCREEN_REJECTS,
    SCREENED_ROWS,
    SELECTION,
    TRANSLATION_REJECTS,
    TRANSLATIONS,
    Stage,
)
from ultralink.stages.edition import PoolStatistics, pool_statistics_path
from ultralink.stages.partition import is_date
from ultralink.stages.statistics import Statistics, statistics_path
from ultralink.store import Store, time_of_writing

POOL_NAME = "pool"  # stands in the place of a language, for the editions of the English pool

PUBLISHED_STAGES = (REJECTS, LEDGER, SAMPLES)
NIGHT_STAGES = (
    SELECTION,
    ARTICLES,
    ARTICLE_REJECTS,
    PASSAGES,
    DIALOGUES,
    DIALOGUE_REJECTS,
    CHOICE,
    *(stage for kind in TRANSLATIONS for stage in (TRANSLATIONS[kind], TRANSLATION_REJECTS[kind])),
    *PUBLISHED_STAGES,
)
PUBLISHED_POOL_STAGES = (POOL_REJECTS, POOL_LEDGER, POOL)
POOL_STAGES = (
    ENGLISH_ROWS,
    ENGLISH_REJECTS,
    DISTINCT_ROWS,
    DUPLICATES,
    SCREENED_ROWS,
    SCREEN_REJECTS,
    *PUBLISHED_POOL_STAGES,
)


def stages_of(language: str) -> tuple[tuple[Stage, ...], str]:
    """All stages of a language, or of the pool, and the language that their paths name."""
    return (POOL_STAGES, LANGUAGE) if language == POOL_NAME else ((*NIGHT_STAGES, FEATURES, FINDINGS), language)


class State(StrEnum):
    """What became of a night."""

    PUBLISHED = "published"
    CHANGED = "changed since it was published"
    UNFINISHED = "not published"
    DAMAGED = "damaged"


@dataclass(frozen=True)
class File:
    """A file of the store."""

    path: str
    bytes: int
    written: datetime

    @property
    def name(self) -> str:
        """Without its folders."""
        return PurePosixPath(self.path).name

    @property
    def folder(self) -> str:
        """Name of the folder that it lies in."""
        return PurePosixPath(self.path).parent.name


def files(store: Store, *names: str) -> list[File]:
    """All files below a folder of the store, hidden ones too, sorted."""
    store.fs.invalidate_cache()
    found = store.fs.find(store.folder(*names), detail=True)
    there = (info for _, info in sorted(found.items()) if info["type"] == "file")
    return [File(str(info["name"]), int(info["size"] or 0), time_of_writing(store.fs, info)) for info in there]


@dataclass(frozen=True)
class Trace:
    """One night of a language, or one edition of the pool, as the store has it."""

    language: str
    date: str
    parts: Mapping[str, Sequence[File]]  # by name of the stage, in the order of the pipeline
    statistics: Statistics | PoolStatistics | None
    fault: str  # why the statistics cannot be read

    @property
    def last_stages(self) -> tuple[Stage, ...]:
        """The stages that are written when it is published."""
        return PUBLISHED_POOL_STAGES if self.language == POOL_NAME else PUBLISHED_STAGES

    @property
    def written(self) -> datetime:
        """When the last of its parts was written; the beginning of time where it has none."""
        times = (file.written for made in self.parts.values() for file in made)
        return max(times, default=datetime.fromtimestamp(0, UTC))

    @property
    def state(self) -> State:
        """Whether it is published, and since then unchanged."""
        last = [stage.name for stage in self.last_stages]
        there = [name for name in last if self.parts.get(name)]
        if self.fault or (self.statistics is None and "samples" in there):
            return State.DAMAGED
        if self.statistics is None:
            return State.UNFINISHED
        if len(there) < len(last):
            return State.DAMAGED
        published = max(file.written for name in last for file in self.parts[name])
        before = (file for name, made in self.parts.items() if name not in last for file in made)
        return State.CHANGED if any(file.written > published for file in before) else State.PUBLISHED

    @property
    def why(self) -> str:
        """What is wrong with a damaged one."""
        if self.fault:
            return self.fault
        lacking = [stage.name for stage in self.last_stages if not self.parts.get(stage.name)]
        if self.statistics is None:
            return "its statistics are missing; clear its publish task"
        return f"it has statistics, but no part of {', '.join(lacking)}; clear its publish task"


def is_at_work(store: Store, trace: Trace, since: datetime) -> bool:
    """Whether a run is at work on the night, as far as the store tells.

    A task that asks writes to the journal long before it writes a part, and one that waits for a batch writes nothing
    for a day and longer.
    """
    journal = files(store, "journal", trace.language, trace.date)
    return has_open_batch(journal) or any(file.written >= since for file in journal)


def is_being_published(store: Store, trace: Trace, since: datetime) -> bool:
    """Whether the last of its parts is being written. Its statistics are written before it appears.

    Object storage shows no file in the making: there the moment between the two cannot be told from a dead attempt.
    """
    last = trace.last_stages[-1]
    found = files(store, last.name, stages_of(trace.language)[1], trace.date)
    there = min((file.written for file in found if not file.name.startswith(".")), default=since)
    return any(file.name.endswith(".tmp") and file.written >= max(since, there) for file in found)


def has_open_batch(journal: Iterable[File]) -> bool:
    """Whether a batch is on its way: its asks are kept until its answers are in the journal."""
    return bool(open_batches(journal))


def open_batches(journal: Iterable[File]) -> list[File]:
    """The asks of batches that are on their way."""
    return [
        file
        for file in journal
        if file.name.endswith(".asks") and not file.name.startswith(".") and "/batches/" in file.path
    ]


def languages(store: Store) -> list[str]:
    """What the store has anything of, sorted; the pool comes last."""
    found = {
        PurePosixPath(path).name
        for stage in NIGHT_STAGES
        for path in store.folders(stage.name)
        if not PurePosixPath(path).name.startswith(".")
    }
    found |= {PurePosixPath(path).name for path in store.folders("statistics")} - {POOL_NAME}
    has_pool = bool(store.folders("statistics", POOL_NAME)) or any(store.folders(each.name) for each in POOL_STAGES)
    return [*sorted(found), *([POOL_NAME] if has_pool else [])]


def traces(store: Store, language: str) -> list[Trace]:
    """All nights of a language (or editions of the pool) that left anything, the oldest first."""
    is_pool = language == POOL_NAME
    stages, code = (POOL_STAGES, LANGUAGE) if is_pool else (NIGHT_STAGES, language)
    parts = {stage.name: _by_date(files(store, stage.name, code)) for stage in stages}
    told = {file.name.removesuffix(".json") for file in files(store, "statistics", language)}
    dates = sorted({date for made in parts.values() for date in made} | {date for date in told if is_date(date)})
    return [
        _trace(store, language, date, {name: made[date] for name, made in parts.items() if date in made})
        for date in dates
    ]


def _by_date(found: Iterable[File]) -> dict[str, list[File]]:
    dated: dict[str, list[File]] = {}
    for file in found:
        if file.name.endswith(".parquet") and not file.name.startswith("."):
            dated.setdefault(file.folder, []).append(file)
    return dated


def _trace(store: Store, language: str, date: str, parts: Mapping[str, Sequence[File]]) -> Trace:
    kind: type[Statistics | PoolStatistics]
    if language == POOL_NAME:
        kind, path = PoolStatistics, pool_statistics_path(store, date)
    else:
        kind, path = Statistics, statistics_path(store, language, date)
    try:
        text = store.read_text(path)
        statistics = None if text is None else kind.model_validate_json(text)
    except (ValidationError, UnicodeDecodeError) as error:
        return Trace(language, date, parts, None, f"{path}: cannot be read: {_first(error)}; clear its publish task")
    return Trace(language, date, parts, statistics, "")


def _first(error: ValidationError | UnicodeDecodeError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return str(error)
    first = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or '(whole file)'}: {first['msg']}"


def all_traces(store: Store, chosen: Iterable[str]) -> Iterator[Trace]:
    """The nights of several languages."""
    for language in chosen:
        yield from traces(store, language)
