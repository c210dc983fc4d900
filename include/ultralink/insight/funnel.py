"""The funnel of a night: how many rows each stage had, and why the others were turned away."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc

from ultralink.insight.damage import Damages
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
    REJECTS,
    SAMPLES,
    SELECTION,
    TRANSLATION_REJECTS,
    TRANSLATIONS,
    Stage,
)
from ultralink.stages.statistics import Statistics
from ultralink.store import Part, Store

NIGHT_STAGES = (
    SELECTION,
    ARTICLES,
    PASSAGES,
    DIALOGUES,
    ARTICLE_REJECTS,
    DIALOGUE_REJECTS,
    CHOICE,
    *TRANSLATIONS.values(),
    *TRANSLATION_REJECTS.values(),
    SAMPLES,
    REJECTS,
)
_MOST = 50_000  # row counts in memory
_MOST_REJECTS = 500  # parts of rejects whose counts are in memory
_REJECTS_AT_ONCE = 65_536

_counts: dict[str, tuple[tuple[object, ...], int]] = {}
_rejects: dict[str, tuple[tuple[object, ...], Counter[tuple[str, str, str, str]]]] = {}


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

    def of_task(self, stage: Stage, map_index: int) -> int | None:
        """Rows of a mapped task's part, or of all parts where the task is not mapped (-1)."""
        return self.total(stage) if map_index < 0 else self.shard(stage, map_index)


def rows_of(store: Store, language: str, date: str, damages: Damages, stages: Sequence[Stage] = NIGHT_STAGES) -> Rows:
    """The row counts of a night, from the footers of its parts; a part that did not change is not read again."""
    with ThreadPoolExecutor(8) as pool:
        counted = pool.map(lambda stage: _rows_of_stage(store, stage, language, date, damages), stages)
        return Rows({stage.name: rows for stage, rows in zip(stages, counted, strict=True)})


def _rows_of_stage(store: Store, stage: Stage, language: str, date: str, damages: Damages) -> dict[int, int]:
    folder = store.part(stage, language, date).path.rpartition("/")[0]
    found = store.fs.find(folder, detail=True)
    rows: dict[int, int] = {}
    for path, info in found.items():
        name = PurePosixPath(str(path))
        if name.suffix == ".parquet" and name.stem.isdecimal():
            with damages.noted(str(path)):
                known = _rows_of_part(store.part(stage, language, date, int(name.stem)), version_of(info))
                if known is not None:
                    rows[int(name.stem)] = known
    return rows


def _rows_of_part(part: Part, version: tuple[object, ...]) -> int | None:
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


def funnels(
    store: Store, language: str, date: str, rows: Rows, statistics: Statistics | None, damages: Damages
) -> list[Funnel]:
    """The funnel of each subset that has rows: of articles, and of the English rows of each kind.

    Reasons come from ``statistics``, or of a night that is not published from columns of its rejects; so do the rows
    of stages whose parts were tidied away after the night was published.
    """
    dialogues = (
        Level("articles chosen", rows.total(SELECTION)),
        Level("articles read", _or(rows.total(ARTICLES), statistics.articles if statistics else None)),
        Level("passages", _or(rows.total(PASSAGES), statistics.passages if statistics else None)),
        Level("dialogues", _or(rows.total(DIALOGUES), _samples(statistics, CHAT_SPECIFIC))),
    )
    reasons = _reasons(store, language, date, statistics, damages)
    found = [Funnel(CHAT_SPECIFIC, dialogues, reasons[CHAT_SPECIFIC])]
    chosen = _chosen(store, language, date, rows, damages)
    for kind in Kind:
        made = _or(rows.total(TRANSLATIONS[kind]), _samples(statistics, kind.subset))
        levels = (Level("English rows chosen", chosen.get(kind)), Level("samples", made))
        found.append(Funnel(kind.subset, levels, reasons[kind.subset]))
    return [funnel for funnel in found if funnel.reasons or any(level.rows is not None for level in funnel.levels)]


def is_tidied(rows: Rows, statistics: Statistics | None) -> bool:
    """Whether a published night has samples, but not the parts that they were gathered from."""
    gathered = (DIALOGUES, *TRANSLATIONS.values())
    return statistics is not None and statistics.samples > 0 and all(rows.total(stage) is None for stage in gathered)


def _or(rows: int | None, told: int | None) -> int | None:
    return rows if rows is not None else told or None


def _samples(statistics: Statistics | None, subset: str) -> int | None:
    known = statistics.subsets.get(subset) if statistics else None
    return known.samples if known else None


def _chosen(store: Store, language: str, date: str, rows: Rows, damages: Damages) -> dict[str, int]:
    if rows.total(CHOICE) is None:
        return {}
    kinds: Counter[str] = Counter()
    part = store.part(CHOICE, language, date)
    with damages.noted(part.path):
        for batch in part.batches(["kind"]):
            kinds.update(batch.column("kind").to_pylist())
        return {kind: kinds[kind] for kind in Kind}
    return {}


def _reasons(
    store: Store, language: str, date: str, statistics: Statistics | None, damages: Damages
) -> dict[str, tuple[Reason, ...]]:
    subsets = [CHAT_SPECIFIC, *(kind.subset for kind in Kind)]
    if statistics is not None:
        return {
            name: by_frequency(_told(name, told, rows) for told, rows in subset.rejects.items())
            for name in subsets
            if (subset := statistics.subsets.get(name)) is not None
        } | {name: () for name in subsets if name not in statistics.subsets}
    counted: dict[str, Counter[tuple[str, str, str]]] = {name: Counter() for name in subsets}
    stages = (ARTICLE_REJECTS, DIALOGUE_REJECTS, *TRANSLATION_REJECTS.values())
    parts = [part for stage in stages for part in store.parts(stage, language, date)]
    for (name, stage, gate, reason), amount in rejects_of(parts, damages).items():
        if name in counted:
            counted[name][stage, gate, "" if stage == ARTICLES.name else reason] += amount
    return {
        name: by_frequency(Reason(stage, gate, reason, rows) for (stage, gate, reason), rows in reasons.items())
        for name, reasons in counted.items()
    }


def rejects_of(parts: Iterable[Part], damages: Damages) -> Counter[tuple[str, str, str, str]]:
    """Rejects by subset, stage, gate and reason, counted in Arrow; a part that did not change is not read again."""
    counted: Counter[tuple[str, str, str, str]] = Counter()
    for part in parts:
        with damages.noted(part.path):
            counted.update(_rejects_of_part(part))
    return counted


def _rejects_of_part(part: Part) -> Counter[tuple[str, str, str, str]]:
    version = version_of(part.store.fs.info(part.path))
    known = _rejects.get(part.path)
    if known is not None and known[0] == version:
        return known[1]
    counted: Counter[tuple[str, str, str, str]] = Counter()
    columns = ["subset", "stage", "gate", "reason"]
    with part.reading() as file:
        for batch in file.iter_batches(batch_size=_REJECTS_AT_ONCE, columns=columns):
            table = pa.Table.from_batches([batch])
            # Of which row something is a duplicate, and what exactly met a criterion, is another for each row.
            reason = pc.if_else(pc.equal(table["gate"], "duplicate"), "", table["reason"])
            table = table.set_column(3, "reason", pc.replace_substring_regex(reason, r" \(.*", ""))
            for row in table.group_by(columns).aggregate([([], "count_all")]).to_pylist():
                counted[row["subset"], row["stage"], row["gate"], row["reason"]] += row["count_all"]
    if len(_rejects) >= _MOST_REJECTS:
        _rejects.clear()
    _rejects[part.path] = (version, counted)
    return counted


def by_frequency(reasons: Iterable[Reason]) -> tuple[Reason, ...]:
    """The most frequent first."""
    return tuple(sorted(reasons, key=lambda each: (-each.rows, each.stage, each.gate, each.reason)))


def _told(subset: str, told: str, rows: int) -> Reason:
    """What the statistics call "article · gate" or "gate: reason"."""
    article, found, gate = told.partition("article · ")
    if found and not article:
        return Reason(ARTICLES.name, gate, "", rows)
    gate, _, reason = told.partition(": ")
    return Reason("dialogues" if subset == CHAT_SPECIFIC else "translation", gate, reason, rows)
