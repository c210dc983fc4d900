"""Work in the making: what all stages of a run share, a partition's date, and when a part is up to date."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import date, datetime

from ultralink.errors import RecipeError
from ultralink.recipe import Mode
from ultralink.schemas import Stage
from ultralink.store import Part, Stamp, Store
from ultralink.teacher.listener import NOBODY, Listener

REHEARSALS = "rehearsals"  # the folder of all that dry runs write


@dataclass(frozen=True, kw_only=True)
class Work:
    """What all stages of a run share. ``attempt`` counts Airflow's tries of the task at hand, from 1.

    ``listener`` is told what the teacher is paid for.
    """

    store: Store
    run_id: str
    shards: int
    rebuild: bool = False
    attempt: int = 1
    listener: Listener = field(default=NOBODY, repr=False, compare=False)

    def up_to_date(self, part: Part, made_by: str, upstream: list[Part]) -> Stamp | None:
        """The part's stamp if there is nothing to do.

        The same fingerprint means nothing to do, with two exceptions: a run with ``rebuild``, and a task that
        a person cleared by itself. The latter is a second attempt that finds its own part in place while
        no part upstream is newer; a task that was cleared as downstream of another relies on fingerprints.
        """
        if self.rebuild:
            return None
        stamp = part.stamp()
        if stamp is None or stamp.fingerprint != made_by:
            return None
        if self.attempt > 1:
            written = part.modified()
            if not any(_is_newer(other, written) for other in upstream):
                return None
        return stamp


@dataclass(frozen=True, kw_only=True)
class Partition(Work, ABC):
    """A run's work on one partition date."""

    date: str
    dry_run: bool = False
    mode: Mode = "live"

    def __post_init__(self) -> None:
        if not is_date(self.date):
            raise RecipeError(f"partition {self.date!r}: must be a date such as 2026-11-23")

    @property
    @abstractmethod
    def language(self) -> str:
        """The language of the rows."""

    @property
    @abstractmethod
    def journal_folder(self) -> str:
        """Where the teacher's answers of this partition are kept, whichever run or shard paid for them."""

    @property
    def earlier_journals(self) -> tuple[str, ...]:
        """Journals of other partitions that ask the same."""
        return ()

    def part(self, stage: Stage, shard: int = 0) -> Part:
        """The part of ``stage`` in this partition; a dry run has a partition of its own, aside."""
        store = self.store.below(REHEARSALS) if self.dry_run else self.store
        return store.part(stage, self.language, self.date, shard)

    def parts(self, stage: Stage, shards: int | None = None) -> list[Part]:
        """The parts of ``stage`` of all shards."""
        return [self.part(stage, shard) for shard in range(self.shards if shards is None else shards)]


def is_date(text: str) -> bool:
    """Whether ``text`` is a date as partitions are named: 2026-11-23."""
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _is_newer(part: Part, written: datetime) -> bool:
    try:
        return part.modified() > written
    except FileNotFoundError:  # of a shard whose turn is yet to come
        return False


@dataclass(frozen=True)
class Built:
    """What a stage did: the paths it wrote or kept, one line for the log, and the rows that were written now."""

    outputs: tuple[str, ...]
    line: str
    rows: int = 0
    rejects: int = 0
