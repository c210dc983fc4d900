"""Leftovers: batches of a partition that no task asks for any more, closed before it is published.

A run with fewer shards than the one before, or with other prompts, leaves batches behind whose rows nobody has.
"""

from __future__ import annotations

from ultralink.stages.desks import desk_of
from ultralink.stages.partition import Built, Partition
from ultralink.teacher.ask import Style
from ultralink.teacher.batch.elsewhere import open_batches
from ultralink.teacher.budget import NO_BUDGET
from ultralink.teacher.desk import call_off
from ultralink.teacher.endpoint import Endpoint

_TASK, _NUMBER = "publish", 0


def leftovers(partition: Partition) -> int:
    """How many batch files of the partition are open. When its last stage begins, nobody waits for them. Blocks."""
    return len(open_batches(partition.store.fs, partition.journal_folder))


async def close_leftovers(partition: Partition, model: str, endpoint: Endpoint) -> Built:
    """Cancel what still runs, and journal what the provider has finished of it: that is paid for.

    Raises Waiting until the provider has stopped, and what the journal raises. A batch that cannot be closed is logged.
    """
    await call_off(desk_of(partition, _TASK, _NUMBER, Style(model), NO_BUDGET), endpoint)
    return Built((), "No batch of this partition is waited for any more")
