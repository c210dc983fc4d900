"""Publish the pool: rows with their clusters, rejects, ledger and statistics; the statistics make it complete."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice

import pyarrow as pa

from ultralink.errors import PoolEmpty
from ultralink.pool.prune import clusters
from ultralink.pool.row import Kind
from ultralink.schemas import (
    DISTINCT_ROWS,
    DUPLICATES,
    ENGLISH_REJECTS,
    POOL,
    POOL_LEDGER,
    POOL_REJECTS,
    SCREEN_REJECTS,
    SCREENED_ROWS,
    Stage,
)
from ultralink.stages.edition import (
    SHARD_OF,
    Edition,
    PoolStatistics,
    complete_editions,
    pool_statistics_path,
    read_pool_statistics,
)
from ultralink.stages.partition import Built
from ultralink.store import Part, Row, fingerprint
from ultralink.teacher.journal import Journal
from ultralink.teacher.ledger import ledger
from ultralink.teacher.models import load_models
from ultralink.teacher.spending import Spending

_BATCH = 2048  # rows that are clustered at once


@dataclass(frozen=True)
class PoolPublished:
    """What was written, its figures, and whether the rows differ from those of the edition before."""

    built: Built
    statistics: PoolStatistics
    changed: bool


def publish_pool(edition: Edition) -> PoolPublished:
    """Write POOL, one part per kind, POOL_REJECTS, POOL_LEDGER, and at last the statistics.

    Raises PartMissing where a shard lacks, and PoolEmpty where no row is left.
    """
    kept, rejected = _kept_parts(edition), _rejected_parts(edition)
    made_by = fingerprint(
        [stage.version for stage in (POOL, POOL_REJECTS, POOL_LEDGER)],
        [_digest(part) for parts in kept.values() for part in parts],
        [_digest(part) for part in rejected],
    )
    known = read_pool_statistics(edition.store, edition.date)
    chats = edition.part(POOL, SHARD_OF[Kind.CHAT])
    upstream = [part for parts in kept.values() for part in parts]
    if known is not None and edition.up_to_date(chats, made_by, upstream):
        line = f"Nothing to do: {sum(known.rows.values())} rows are up to date"
        # A run that was cut short before it could tell the news tells it at its next try.
        changed = known.changed and known.run == edition.run_id
        return PoolPublished(Built(tuple(known.outputs.values()), line), known, changed)
    before = known or _last_edition(edition)
    statistics = _write(edition, made_by, kept, rejected, before)
    counts = ", ".join(f"{statistics.rows[kind]} {kind} in {statistics.clusters[kind]} clusters" for kind in Kind)
    line = f"The pool of {edition.date}: {counts}; {'changed' if statistics.changed else 'the same rows as before'}"
    return PoolPublished(Built(tuple(statistics.outputs.values()), line), statistics, statistics.changed)


def _kept_parts(edition: Edition) -> dict[Kind, list[Part]]:
    return {
        Kind.CHAT: edition.parts(SCREENED_ROWS),
        Kind.MATH: [edition.part(DISTINCT_ROWS, SHARD_OF[Kind.MATH])],
        Kind.CODE: [edition.part(DISTINCT_ROWS, SHARD_OF[Kind.CODE])],
    }


def _rejected_parts(edition: Edition) -> list[Part]:
    return [
        *edition.parts(ENGLISH_REJECTS, len(edition.recipe.sources)),
        edition.part(DUPLICATES),
        *edition.parts(SCREEN_REJECTS),
    ]


def _digest(part: Part) -> str:
    return part.stamp_or_missing(f"run the task that writes {part.stage.name!r} first").digest


def _last_edition(edition: Edition) -> PoolStatistics | None:
    earlier = [date for date in complete_editions(edition.store) if date < edition.date]
    return read_pool_statistics(edition.store, earlier[-1]) if earlier else None


def _write(
    edition: Edition,
    made_by: str,
    kept: dict[Kind, list[Part]],
    rejected: list[Part],
    before: PoolStatistics | None,
) -> PoolStatistics:
    pool = {kind: edition.part(POOL, SHARD_OF[kind]) for kind in Kind}
    rejects, bill = edition.part(POOL_REJECTS), edition.part(POOL_LEDGER)
    reasons: Counter[str] = Counter()
    found: dict[Kind, set[int]] = {kind: set() for kind in Kind}
    with ExitStack() as writing:
        rows = {kind: writing.enter_context(pool[kind].writer(made_by)) for kind in Kind}
        reject_rows = writing.enter_context(rejects.writer(made_by))
        bill_rows = writing.enter_context(bill.writer(made_by))
        for kind in Kind:
            for row, cluster in _clustered(kept[kind]):
                found[kind].add(cluster)
                rows[kind].add({"screen": None, **row, "cluster": cluster})
        if not any(writer.count for writer in rows.values()):
            raise PoolEmpty("no English row is left after cleaning and screen: the rejects say why")
        for part in rejected:
            for row in part.rows():
                reject_rows.add(row)
                reasons[_reason(part.stage, row)] += 1
        journal = Journal.open(edition.store.fs, edition.journal_folder, "publish")
        cards = load_models()
        spending = Spending(cards)
        accounts = ledger(spending.counted(journal.records()), cards).to_pylist()
        for account in accounts:
            bill_rows.add(account)
    costs = [account["cost_usd"] for account in accounts]
    path = pool_statistics_path(edition.store, edition.date)
    outputs = {f"pool {kind}": part.path for kind, part in pool.items()}
    digest = fingerprint([_digest(pool[kind]) for kind in Kind])
    statistics = PoolStatistics(
        date=edition.date,
        run=edition.run_id,
        changed=before is None or before.digest != digest,
        digest=digest,
        rows={kind: writer.count for kind, writer in rows.items()},
        clusters={kind: len(found[kind]) for kind in Kind},
        rejects=dict(sorted(reasons.items())),
        calls=sum(account["paid"] for account in accounts),
        prompt_tokens=sum(account["prompt_tokens"] for account in accounts),
        cached_tokens=sum(account["cached_tokens"] for account in accounts),
        completion_tokens=sum(account["completion_tokens"] for account in accounts),
        cost_usd=None if None in costs else sum(costs),
        paid_usd=spending.by_day,
        outputs={**outputs, "rejects": rejects.path, "ledger": bill.path, "statistics": path},
    )
    edition.store.write_text(path, statistics.model_dump_json(indent=1))
    return statistics


def _clustered(parts: list[Part]) -> Iterator[tuple[Row, int]]:
    """All rows with their cluster, a batch of them in memory."""
    rows = (row for part in parts for row in part.rows())
    while batch := list(islice(rows, _BATCH)):
        texts = pa.array(["\n".join(message["content"] for message in row["messages"]) for row in batch])  # type: ignore[attr-defined]
        yield from zip(batch, (int(number) for number in clusters(texts)), strict=True)


def _reason(stage: Stage, row: Row) -> str:
    if stage is DUPLICATES:
        return "duplicate"
    if row["gate"] == "screen":
        return f"screen: {str(row['reason']).partition(' (')[0]}"
    return f"{row['gate']}: {row['reason']}" if row["gate"] != "malformed" else "malformed"
