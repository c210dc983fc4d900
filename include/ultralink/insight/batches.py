"""What tasks in batch mode wait for: their batch files at the provider, read from the tickets beside the journal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from ultralink.insight.damage import Damages
from ultralink.store import Store
from ultralink.teacher.batch.tickets import Look, Stage, Ticket


@dataclass(frozen=True)
class Batches:
    """The batch files of one task, all its waves. ``looks``: by ticket's name, how far the open ones were."""

    tickets: Sequence[Ticket]
    looks: Mapping[str, Look] = field(default_factory=dict)

    @property
    def open(self) -> list[Ticket]:
        """Those that the provider has not answered, by wave and file."""
        waiting = (ticket for ticket in self.tickets if ticket.stage is not Stage.DONE)
        return sorted(waiting, key=lambda ticket: (ticket.wave, ticket.file))

    @property
    def answered(self) -> int:
        """Requests that came back, answered or refused; of open batches as many as at the last look."""
        back = sum(ticket.answered + ticket.refused for ticket in self.tickets)
        return back + sum(self.looks[ticket.name].finished for ticket in self.open if ticket.name in self.looks)

    @property
    def looked(self) -> str | None:
        """When the task last looked at an open batch; None where it has not yet."""
        return max((self.looks[ticket.name].at for ticket in self.open if ticket.name in self.looks), default=None)

    @property
    def requests(self) -> int:
        """Requests of all files so far; later waves may bring more."""
        return sum(ticket.requests for ticket in self.tickets)


def batches_of(store: Store, journal_folder: str, damages: Damages) -> dict[str, Batches]:
    """By the name that the task has among tickets; a ticket that cannot be read is left out and noted."""
    folder = f"{journal_folder}/batches"
    found: dict[str, list[Ticket]] = defaultdict(list)
    looks: dict[str, dict[str, Look]] = defaultdict(dict)
    for path in map(PurePosixPath, map(str, store.fs.find(folder))):
        if path.suffix not in (".json", ".look") or path.name == "notes.json" or path.name.startswith("."):
            continue
        with damages.noted(str(path)):
            text = store.read_text(str(path))
            if text is not None and path.suffix == ".json":
                found[path.parent.name].append(Ticket.model_validate_json(text))
            elif text is not None:
                looks[path.parent.name][path.stem] = Look.model_validate_json(text)
    return {task: Batches(tickets, looks[task]) for task, tickets in found.items()}
