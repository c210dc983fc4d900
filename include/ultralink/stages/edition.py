"""An edition of the English pool: one run of the pool's pipeline, and which edition is the newest complete one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from pydantic import BaseModel, ConfigDict

from ultralink.pool.recipe import PoolRecipe
from ultralink.pool.row import Kind
from ultralink.pool.rows import LANGUAGE
from ultralink.schemas import POOL
from ultralink.stages.partition import Partition
from ultralink.store import Part, Store

SHARD_OF = {kind: number for number, kind in enumerate(Kind)}  # the pool's part of each kind


@dataclass(frozen=True, kw_only=True)
class Edition(Partition):
    """One run of the pool's pipeline."""

    recipe: PoolRecipe
    model: str

    @property
    def language(self) -> str:
        return LANGUAGE

    @property
    def journal_folder(self) -> str:
        return self.store.folder("journal", "pool", self.date)

    @property
    def earlier_journals(self) -> tuple[str, ...]:
        """Those of all other editions: a chat that one of them had screened needs no new verdict."""
        return tuple(path for path in self.store.folders("journal", "pool") if path != self.journal_folder)


class PoolStatistics(BaseModel):
    """Counts of one edition; written last, so an edition that has them is complete."""

    model_config = ConfigDict(frozen=True)

    date: str
    run: str  # that published it
    changed: bool  # against the edition before
    digest: str  # of all rows: equal for editions with the same rows
    rows: dict[Kind, int]
    clusters: dict[Kind, int]
    rejects: dict[str, int]
    calls: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    cost_usd: float | None
    paid_usd: dict[str, float] = {}  # of the cost, by the day (UTC) on which it was paid
    outputs: dict[str, str]


def pool_part(store: Store, date: str, kind: Kind) -> Part:
    """The rows of one kind of an edition."""
    return store.part(POOL, LANGUAGE, date, SHARD_OF[kind])


def pool_statistics_path(store: Store, date: str) -> str:
    """Where an edition's statistics lie."""
    return store.folder("statistics", "pool", f"{date}.json")


def read_pool_statistics(store: Store, date: str) -> PoolStatistics | None:
    """The statistics of an edition; None where it is not complete."""
    text = store.read_text(pool_statistics_path(store, date))
    return None if text is None else PoolStatistics.model_validate_json(text)


def complete_editions(store: Store) -> list[str]:
    """Dates of all complete editions, oldest first."""
    names = (PurePosixPath(path).name for path in store.folders("statistics", "pool"))
    return sorted(name.removesuffix(".json") for name in names if name.endswith(".json") and not name.startswith("."))
