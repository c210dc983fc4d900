"""Publish: gather a night's shards into samples, rejects, ledger and statistics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast

from ultralink.errors import NothingNew
from ultralink.pool.row import Kind
from ultralink.pool.rows import LANGUAGE
from ultralink.schemas import (
    ARTICLE_REJECTS,
    ARTICLES,
    CHOICE,
    DIALOGUE_REJECTS,
    DIALOGUES,
    LEDGER,
    PASSAGES,
    REJECTS,
    SAMPLES,
    SELECTION,
    TRANSLATION_REJECTS,
    TRANSLATIONS,
    SampleRow,
)
from ultralink.stages.night import Night
from ultralink.stages.partition import Built
from ultralink.stages.statistics import Statistics, Subset, sound_statistics, statistics_path
from ultralink.store import Part, Row, Stamp, fingerprint
from ultralink.teacher.compaction import merge
from ultralink.teacher.journal import Journal
from ultralink.teacher.ledger import ledger
from ultralink.teacher.models import load_models
from ultralink.teacher.record import Record
from ultralink.teacher.spending import Spending
from ultralink.teacher.storage import storage

_CHAT_SPECIFIC = "chat_specific"


@dataclass(frozen=True)
class Published:
    """What was written, and its figures."""

    built: Built
    statistics: Statistics


def publish(night: Night) -> Published:
    """Write the partition's SAMPLES, REJECTS and LEDGER parts and its statistics; samples come last.

    Each half of a night may have had nothing to do: then it has no selection, or no choice, and is left out.
    Raises PartMissing where a shard lacks, NothingNew where neither half did anything.
    """
    gathered = _Gathered.of(night)
    made_by = fingerprint(
        [stage.version for stage in (SAMPLES, REJECTS, LEDGER)],
        [[stamp.digest for stamp in stamps] for stamps in gathered.stamps()],
    )
    samples = night.part(SAMPLES)
    known = sound_statistics(night.store, night.language, night.date)
    if known is not None and night.up_to_date(samples, made_by, gathered.parts()):
        line = f"Nothing to do: {known.samples} samples are up to date"
        return Published(Built(tuple(known.outputs.values()), line), known)
    statistics = _write(night, made_by, gathered)
    _compact(night)
    counts = ", ".join(f"{subset.samples} {name}" for name, subset in statistics.subsets.items())
    line = f"{counts}; {statistics.rejects} rejects, {statistics.calls} calls, cost {statistics.cost_usd}"
    return Published(Built(tuple(statistics.outputs.values()), line), statistics)


@dataclass(frozen=True)
class _Gathered:
    """The parts of all shards that a night is published from."""

    articles: list[Part]
    passages: list[Part]
    samples: list[Part]
    rejects: list[Part]

    @classmethod
    def of(cls, night: Night) -> _Gathered:
        selected = night.part(SELECTION).stamp() is not None
        chosen = night.part(CHOICE).stamp() is not None
        if not selected and not chosen:
            raise NothingNew(f"Nothing was selected or chosen for {night.language} {night.date}.")
        samples = night.parts(DIALOGUES) if selected else []
        rejects = [*night.parts(ARTICLE_REJECTS), *night.parts(DIALOGUE_REJECTS)] if selected else []
        if chosen and (night.recipe.translation or night.language == LANGUAGE):
            for kind in Kind:
                samples += night.parts(TRANSLATIONS[kind], night.translated_shards)
                rejects += night.parts(TRANSLATION_REJECTS[kind], night.translated_shards)
        return cls(
            articles=night.parts(ARTICLES) if selected else [],
            passages=night.parts(PASSAGES) if selected else [],
            samples=samples,
            rejects=rejects,
        )

    def parts(self) -> list[Part]:
        return [*self.samples, *self.rejects, *self.articles, *self.passages]

    def stamps(self) -> list[list[Stamp]]:
        """Raises PartMissing."""
        gathered = (self.samples, self.rejects, self.articles, self.passages)
        return [[_stamp(part) for part in parts] for parts in gathered]


def _stamp(part: Part) -> Stamp:
    return part.stamp_or_missing(f"run the task that writes {part.stage.name!r} first")


def _rows_of(parts: list[Part]) -> int:
    return sum(_stamp(part).rows for part in parts)


@dataclass
class _Count:
    """Counts of one subset on the way."""

    samples: int = 0
    turns: int = 0
    rejects: Counter[str] = field(default_factory=Counter)


def _write(night: Night, made_by: str, gathered: _Gathered) -> Statistics:
    samples, rejects, bill = (night.part(stage) for stage in (SAMPLES, REJECTS, LEDGER))
    subsets = {name: _Count() for name in (_CHAT_SPECIFIC, *(kind.subset for kind in Kind))}
    models: set[str] = set()
    with (
        samples.writer(made_by) as sample_rows,
        rejects.writer(made_by) as reject_rows,
        bill.writer(made_by) as bill_rows,
    ):
        for row in _rows(gathered.samples):
            sample_rows.add(row)
            sample = cast(SampleRow, row)
            subsets[sample["subset"]].samples += 1
            subsets[sample["subset"]].turns += len(sample["messages"]) // 2
            if sample["teacher"] is not None:
                models.add(sample["teacher"]["model"])
        for row in _rows(gathered.rejects):
            reject_rows.add(row)
            subsets[str(row["subset"])].rejects[_reason(row)] += 1
        by_batch: Counter[bool] = Counter()
        cards = load_models()
        spending = Spending(cards)
        accounts = ledger(spending.counted(_counted(_journal(night), by_batch)), cards).to_pylist()
        for account in accounts:
            bill_rows.add(account)
        costs = [account["cost_usd"] for account in accounts]
        path = statistics_path(night.store, night.language, night.date)
        statistics = Statistics(
            language=night.language,
            date=night.date,
            articles=_rows_of(gathered.articles),
            passages=_rows_of(gathered.passages),
            subsets={
                name: Subset(samples=count.samples, turns=count.turns, rejects=dict(sorted(count.rejects.items())))
                for name, count in subsets.items()
            },
            pool=_edition(night),
            calls=sum(account["paid"] for account in accounts),
            batch_calls=by_batch[True],
            prompt_tokens=sum(account["prompt_tokens"] for account in accounts),
            cached_tokens=sum(account["cached_tokens"] for account in accounts),
            completion_tokens=sum(account["completion_tokens"] for account in accounts),
            cost_usd=None if None in costs else sum(costs),
            paid_usd=spending.by_day,
            models=sorted(models),
            outputs={"samples": samples.path, "rejects": rejects.path, "ledger": bill.path, "statistics": path},
        )
        night.store.write_text(path, statistics.model_dump_json(indent=1))
    return statistics


def _journal(night: Night) -> Iterator[Record]:
    return Journal.open(night.store.fs, night.journal_folder, "publish").records()


def _counted(records: Iterator[Record], by_batch: Counter[bool]) -> Iterator[Record]:
    """``records``, counted on the way: those that came by the Batch API, and the others."""
    for record in records:
        by_batch[record.batch] += 1
        yield record


def _edition(night: Night) -> str | None:
    choice = night.part(CHOICE)
    if choice.stamp() is None:
        return None
    return next((str(row["edition"]) for row in choice.rows(["edition"])), None)


def _compact(night: Night) -> None:
    """Merge the journals of all nights of the language: this night's own segments are still too young."""
    for folder in night.store.folders("journal", night.language):
        place = storage(night.store.fs, folder)
        merge(place, place.log("publish"))


def _rows(parts: list[Part]) -> Iterator[Row]:
    for part in parts:
        yield from part.rows()


def _reason(row: Row) -> str:
    if row["stage"] == "articles":
        return f"article · {row['gate']}"
    return f"{row['gate']}: {row['reason']}"
