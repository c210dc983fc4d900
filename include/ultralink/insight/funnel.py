"""The funnel of a night: how many rows each stage had, and why the others were turned away."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from ultralink.insight.held import version_of
from ultralink.insight.targets import CHAT_SPECIFIC
from ultralink.pool.row import Kind
from ultralink.schemas import (
    ARTICLE_REJECTS,
    ARTICLES,
    CHOICE,
    DIALOGUE_REJECTS,
    DIALOGUES,
    PASSAGES,
    SELECTION,
    TRANSLATION_REJECTS,
    TRANSLATIONS,
    Stage,
)
from ultralink.stages.statistics import Statistics
from ultralink.store import Store

_STAGES = (
    SELECTION,
    ARTICLES,
    PASSAGES,
    DIALOGUES,
    ARTICLE_REJECTS,
    DIALOGUE_REJECTS,
    CHOICE,
    *TRANSLATIONS.values(),
    *TRANSLATION_REJECTS.values(),
)
_MOST = 50_000  # row counts in memory

_counts: dict[str, tuple[tuple[object, ...], int]] = {}


@dataclass(frozen=True)
class Level:
    """One stage of a funnel. ``rows`` is None where the stage has not written anything."""

    name: str
    rows: int | None


@dataclass(frozen=True)
class Reason:
    """Why so many rows were turned away."""

    stage: str
    gate: str
    reason: str
    rows: int


@dataclass(frozen=True)
class Funnel:
    """The way of one subset's rows."""

    subset: str
    levels: tuple[Level, ...]
    reasons: tuple[Reason, ...]  # the most frequent first

    @property
    def rejected(self) -> int:
        """Rows that were turned away, at any stage."""
        return sum(reason.rows for reason in self.reasons)

    @property
    def widest(self) -> int:
        """Rows of the fullest level, at least 1."""
        return max(1, *(level.rows or 0 for level in self.levels))


@dataclass(frozen=True)
class Rows:
    """Rows of every part of a night, by stage and shard."""

    of: Mapping[str, Mapping[int, int]] = field(default_factory=dict)

    def total(self, stage: Stage) -> int | None:
        """Rows of all shards; None where there is no part."""
        shards = self.of.get(stage.name)
        return sum(shards.values()) if shards else None

    def shard(self, stage: Stage, shard: int) -> int | None:
        """Rows of one shard's part; None where there is none."""
        return self.of.get(stage.name, {}).get(shard)


def rows_of(store: Store, language: str, date: str) -> Rows:
    """The row counts of a night, from the footers of its parts; a part that did not change is not read again.

    Raises SchemaMismatch.
    """
    store.fs.invalidate_cache()
    with ThreadPoolExecutor(8) as pool:
        counted = pool.map(lambda stage: _rows_of_stage(store, stage, language, date), _STAGES)
        return Rows({stage.name: rows for stage, rows in zip(_STAGES, counted, strict=True)})


def _rows_of_stage(store: Store, stage: Stage, language: str, date: str) -> dict[int, int]:
    folder = store.part(stage, language, date).path.rpartition("/")[0]
    found = store.fs.find(folder, detail=True)
    rows: dict[int, int] = {}
    for path, info in found.items():
        name = PurePosixPath(str(path))
        if name.suffix == ".parquet" and name.stem.isdecimal():
            known = _rows_of_part(store, stage, (language, date, int(name.stem)), version_of(info))
            if known is not None:
                rows[int(name.stem)] = known
    return rows


def _rows_of_part(store: Store, stage: Stage, place: tuple[str, str, int], version: tuple[object, ...]) -> int | None:
    part = store.part(stage, *place)
    known = _counts.get(part.path)
    if known is not None and known[0] == version:
        return known[1]
    stamp = part.stamp()
    if stamp is None:
        return None
    if len(_counts) >= _MOST:
        _counts.clear()
    _counts[part.path] = (version, stamp.rows)
    return stamp.rows


def funnels(store: Store, language: str, date: str, rows: Rows, statistics: Statistics | None) -> list[Funnel]:
    """The funnel of each subset that has rows: of articles, and of the English rows of each kind.

    Reasons come from ``statistics``, or of a night that is not published from two columns of its rejects.
    Raises SchemaMismatch.
    """
    dialogues = (
        Level("articles chosen", rows.total(SELECTION)),
        Level("articles read", rows.total(ARTICLES)),
        Level("passages", rows.total(PASSAGES)),
        Level("dialogues", rows.total(DIALOGUES)),
    )
    reasons = _reasons(store, language, date, statistics)
    found = [Funnel(CHAT_SPECIFIC, dialogues, reasons[CHAT_SPECIFIC])]
    chosen = _chosen(store, language, date, rows)
    for kind in Kind:
        levels = (Level("English rows chosen", chosen.get(kind)), Level("samples", rows.total(TRANSLATIONS[kind])))
        found.append(Funnel(kind.subset, levels, reasons[kind.subset]))
    return [funnel for funnel in found if any(level.rows is not None for level in funnel.levels)]


def _chosen(store: Store, language: str, date: str, rows: Rows) -> dict[str, int]:
    if rows.total(CHOICE) is None:
        return {}
    kinds: Counter[str] = Counter()
    for batch in store.part(CHOICE, language, date).batches(["kind"]):
        kinds.update(batch.column("kind").to_pylist())
    return {kind: kinds[kind] for kind in Kind}


def _reasons(store: Store, language: str, date: str, statistics: Statistics | None) -> dict[str, tuple[Reason, ...]]:
    subsets = [CHAT_SPECIFIC, *(kind.subset for kind in Kind)]
    if statistics is not None:
        return {
            name: _sorted(_told(name, told, rows) for told, rows in subset.rejects.items())
            for name in subsets
            if (subset := statistics.subsets.get(name)) is not None
        } | {name: () for name in subsets if name not in statistics.subsets}
    counted: dict[str, Counter[tuple[str, str, str]]] = {name: Counter() for name in subsets}
    for stage in (ARTICLE_REJECTS, DIALOGUE_REJECTS, *TRANSLATION_REJECTS.values()):
        for part in store.parts(stage, language, date):
            for row in part.rows(["subset", "stage", "gate", "reason"]):
                reason = "" if row["stage"] == ARTICLES.name else str(row["reason"])
                counted[str(row["subset"])][str(row["stage"]), str(row["gate"]), reason] += 1
    return {
        name: _sorted(Reason(stage, gate, reason, rows) for (stage, gate, reason), rows in reasons.items())
        for name, reasons in counted.items()
    }


def _sorted(reasons: Iterable[Reason]) -> tuple[Reason, ...]:
    return tuple(sorted(reasons, key=lambda each: (-each.rows, each.stage, each.gate, each.reason)))


def _told(subset: str, told: str, rows: int) -> Reason:
    """What the statistics call "article · gate" or "gate: reason"."""
    article, found, gate = told.partition("article · ")
    if found and not article:
        return Reason(ARTICLES.name, gate, "", rows)
    gate, _, reason = told.partition(": ")
    return Reason("dialogues" if subset == CHAT_SPECIFIC else "translation", gate, reason, rows)
