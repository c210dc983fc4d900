"""Publish: gather a night's shards into samples, rejects, ledger and statistics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from ultralink.errors import PartMissing
from ultralink.schemas import (
    ARTICLE_REJECTS,
    ARTICLES,
    DIALOGUE_REJECTS,
    DIALOGUES,
    LEDGER,
    PASSAGES,
    REJECTS,
    SAMPLES,
    SampleRow,
    Stage,
)
from ultralink.stages.night import Built, Night
from ultralink.stages.statistics import Statistics, read_statistics, statistics_path
from ultralink.store import Row, Stamp, fingerprint
from ultralink.teacher.compaction import merge
from ultralink.teacher.journal import Journal
from ultralink.teacher.ledger import ledger
from ultralink.teacher.models import load_models
from ultralink.teacher.storage import storage

_GATHERED = (DIALOGUES, DIALOGUE_REJECTS, ARTICLE_REJECTS, ARTICLES, PASSAGES)


@dataclass(frozen=True)
class Published:
    """What was written, and its figures."""

    built: Built
    statistics: Statistics


def publish(night: Night) -> Published:
    """Write the partition's SAMPLES, REJECTS and LEDGER parts and its statistics; samples come last.

    Then the journal's segments of dead writers are merged. Raises PartMissing where a shard is not there.
    """
    stamps = {stage: [_stamp(night, stage, shard) for shard in range(night.shards)] for stage in _GATHERED}
    made_by = fingerprint(
        [stage.version for stage in (SAMPLES, REJECTS, LEDGER)],
        [[stamp.digest for stamp in stamps[stage]] for stage in _GATHERED],
    )
    samples = night.part(SAMPLES)
    known = read_statistics(night.store, night.language, night.date)
    upstream = [part for stage in _GATHERED for part in night.parts(stage)]
    if known is not None and night.up_to_date(samples, made_by, upstream):
        line = f"Nothing to do: {known.dialogues} samples are up to date"
        return Published(Built(tuple(known.outputs.values()), line), known)
    statistics = _write(night, made_by, {stage: sum(stamp.rows for stamp in stamps[stage]) for stage in _GATHERED})
    _compact(night)
    line = (
        f"{statistics.dialogues} samples with {statistics.turns} turns, {sum(statistics.rejects.values())} rejects, "
        f"{statistics.calls} calls, cost {statistics.cost_usd}"
    )
    return Published(Built(tuple(statistics.outputs.values()), line), statistics)


def _stamp(night: Night, stage: Stage, shard: int) -> Stamp:
    part = night.part(stage, shard)
    stamp = part.stamp()
    if stamp is None:
        raise PartMissing(f"{part.path}: no such part; run the {stage.name!r} stage of shard {shard} first")
    return stamp


def _write(night: Night, made_by: str, rows: dict[Stage, int]) -> Statistics:
    samples, rejects, bill = (night.part(stage) for stage in (SAMPLES, REJECTS, LEDGER))
    reasons: Counter[str] = Counter()
    models: Counter[str] = Counter()
    turns = 0
    with (
        samples.writer(made_by) as sample_rows,
        rejects.writer(made_by) as reject_rows,
        bill.writer(made_by) as bill_rows,
    ):
        for row in _rows(night, DIALOGUES):
            sample_rows.add(row)
            sample = cast(SampleRow, row)
            turns += len(sample["messages"]) // 2
            models[sample["teacher"]["model"]] += 1
        for stage in (ARTICLE_REJECTS, DIALOGUE_REJECTS):
            for row in _rows(night, stage):
                reject_rows.add(row)
                reasons[_reason(row)] += 1
        journal = Journal.open(night.store.fs, night.journal_folder, "publish")
        accounts = ledger(journal.records(), load_models()).to_pylist()
        for account in accounts:
            bill_rows.add(account)
        costs = [account["cost_usd"] for account in accounts]
        path = statistics_path(night.store, night.language, night.date)
        statistics = Statistics(
            language=night.language,
            date=night.date,
            articles=rows[ARTICLES],
            passages=rows[PASSAGES],
            dialogues=rows[DIALOGUES],
            turns=turns,
            rejects=dict(sorted(reasons.items())),
            calls=sum(account["paid"] for account in accounts),
            prompt_tokens=sum(account["prompt_tokens"] for account in accounts),
            cached_tokens=sum(account["cached_tokens"] for account in accounts),
            completion_tokens=sum(account["completion_tokens"] for account in accounts),
            cost_usd=None if None in costs else sum(costs),
            models=sorted(models),
            outputs={"samples": samples.path, "rejects": rejects.path, "ledger": bill.path, "statistics": path},
        )
        night.store.write_text(path, statistics.model_dump_json(indent=1))
    return statistics


def _compact(night: Night) -> None:
    """Merge the journals of all nights of the language: this night's own segments are still too young."""
    for folder in night.store.folders("journal", night.language):
        place = storage(night.store.fs, folder)
        merge(place, place.log("publish"))


def _rows(night: Night, stage: Stage) -> Iterator[Row]:
    for part in night.parts(stage):
        yield from part.rows()


def _reason(row: Row) -> str:
    if row["stage"] == "articles":
        return f"article · {row['gate']}"
    return f"dialogue · {row['gate']}: {row['reason']}"
