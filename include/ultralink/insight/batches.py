"""What tasks in batch mode wait for: their batch files at the provider, read from the tickets beside the journal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from ultralink.insight.damage import Damages
from ultralink.store import Store
from ultralink.teacher.batch.tickets import Stage, Ticket


@dataclass(frozen=True)
class Batches:
    """The batch files of one task, all its waves."""

    tickets: Sequence[Ticket]

    @property
    def open(self) -> list[Ticket]:
        """Those that the provider has not answered, by wave and file."""
        waiting = (ticket for ticket in self.tickets if ticket.stage is not Stage.DONE)
        return sorted(waiting, key=lambda ticket: (ticket.wave, ticket.file))

    @property
    def answered(self) -> int:
        """Requests that came back, answered or refused."""
        return sum(ticket.answered + ticket.refused for ticket in self.tickets)

    @property
    def requests(self) -> int:
        """Requests of all files so far; later waves may bring more."""
        return sum(ticket.requests for ticket in self.tickets)


def batches_of(store: Store, journal_folder: str, damages: Damages) -> dict[str, Batches]:
    """By the name that the task has among tickets; a ticket that cannot be read is left out and noted."""
    folder = f"{journal_folder}/batches"
    found: dict[str, list[Ticket]] = defaultdict(list)
    for path in map(PurePosixPath, map(str, store.fs.find(folder))):
        if path.suffix == ".json" and path.name != "notes.json" and not path.name.startswith("."):
            with damages.noted(str(path)):
                text = store.read_text(str(path))
                if text is not None:
                    found[path.parent.name].append(Ticket.model_validate_json(text))
    return {task: Batches(tickets) for task, tickets in found.items()}
