"""What a dry run counted: each task leaves its counts on the store, publish adds them up."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

from ultralink.errors import PartMissing
from ultralink.pool.row import Kind
from ultralink.schemas import CHOICE, SELECTION
from ultralink.stages.night import Night
from ultralink.stages.partition import REHEARSALS, Built
from ultralink.teacher.tally import Counts

CALIBRATION = "calibration"


def rehearsed(night: Night, task: str, about: str, total: Counts) -> Built:
    """Keep what ``task`` would ask and pay: a shard's number, or CALIBRATION."""
    counts = {
        "calls": total.paid, "free": total.replayed, "tokens": total.prompt_tokens + total.completion_tokens,
        "cost_usd": total.cost_usd, "unpriced": total.unpriced,
    }  # fmt: skip
    path = _path(night, task)
    night.store.write_text(path, json.dumps(counts))
    return Built((path,), f"Dry run, {about}: {counts}")


def rehearsed_in_all(night: Night) -> str:
    """The sum of a dry run, as one line. Raises PartMissing where a task has left no counts."""
    total: Counter[str] = Counter()
    for task in _tasks(night):
        path = _path(night, task)
        text = night.store.read_text(path)
        if text is None:
            raise PartMissing(f"{path}: no such file; run all tasks with dry_run first")
        total.update(json.loads(text))
    unpriced = f", and {total['unpriced']} calls of unknown price" if total["unpriced"] else ""
    return (
        f"Dry run of {night.language} {night.date}: {total['calls']} calls to pay for, {total['free']} answers "
        f"already in the journal, {total['tokens']} tokens, ${total['cost_usd']:.4f}{unpriced}. Nobody was called."
    )


def _tasks(night: Night) -> Iterator[str]:
    """Names of the tasks whose counts make the sum: of each half of the night that has something to do."""
    if night.part(SELECTION).stamp() is not None:
        yield CALIBRATION
        yield from (shard_name(shard) for shard in range(night.shards))
    if night.recipe.translation and night.part(CHOICE).stamp() is not None:
        yield from (translation_name(kind, shard) for kind in Kind for shard in range(night.translated_shards))


def shard_name(shard: int) -> str:
    """The name of a shard's task here."""
    return f"{shard:05d}"


def translation_name(kind: Kind, shard: int) -> str:
    """The name of a translation shard's task here."""
    return f"{kind}-{shard:05d}"


def _path(night: Night, task: str) -> str:
    return night.store.folder(REHEARSALS, "counts", night.language, night.date, f"{task}.json")
