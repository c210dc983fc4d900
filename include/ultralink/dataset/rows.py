"""Rows that are read when they are asked for: chosen by column, counted, streamed, or taken as a table."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Generic, Self, TypeVar, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from ultralink.dataset.row import Reject, Sample

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

Names = str | Sequence[str]
RowT = TypeVar("RowT")

_ROWS_PER_BATCH = 256
_SHOWN = 30  # names in an error
_BUFFER = 1 << 20  # bytes of a column that are read at once; else a column of a whole row group is


@dataclass(frozen=True, kw_only=True)
class Table:
    """What rows are read from. ``columns``: how each is made of those of the files, in their order.

    ``known``: the values of the columns that rows are chosen by. ``scores``: how each score is read.
    """

    title: str
    files: ds.Dataset
    columns: Mapping[str, pc.Expression]
    known: Mapping[str, tuple[str, ...]]
    scores: Mapping[str, pc.Expression] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Rows(ABC, Generic[RowT]):
    """Some rows of a table. Nothing is read before it is asked for; choosing gives new rows, these stay as they are."""

    _table: Table
    _filter: pc.Expression | None = None
    _said: tuple[str, ...] = ()

    def count(self) -> int:
        """How many rows there are; reads no more than the columns that they are chosen by."""
        return int(self._table.files.count_rows(filter=self._filter))

    def to_arrow(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows as an Arrow table, held in memory. Raises ValueError for a column that is not there."""
        return self._table.files.to_table(columns=self._projection(columns), filter=self._filter)

    def to_pandas(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """All rows as a pandas data frame, held in memory. Raises ValueError as `to_arrow` does."""
        return self.to_arrow(columns).to_pandas()

    def to_polars(self, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """All rows as a polars data frame, held in memory. Raises ImportError where polars is not installed."""
        try:
            import polars
        except ImportError:
            raise ImportError("to_polars() needs polars, which is not installed: pip install polars") from None
        return cast("pl.DataFrame", polars.from_arrow(self.to_arrow(columns)))

    def batches(self, columns: Sequence[str] | None = None, size: int = _ROWS_PER_BATCH) -> Iterator[pa.RecordBatch]:
        """The rows in order, at most ``size`` at a time, in memory that does not grow with their number."""
        read = ds.ParquetFragmentScanOptions(use_buffered_stream=True, buffer_size=_BUFFER, pre_buffer=False)
        scanned = self._table.files.to_batches(
            columns=self._projection(columns),
            filter=self._filter,
            batch_size=size,
            batch_readahead=2,
            fragment_readahead=1,
            fragment_scan_options=read,
        )
        return (batch for batch in scanned if batch.num_rows)

    def __iter__(self) -> Iterator[RowT]:
        for batch in self.batches():
            yield from map(self._typed, batch.to_pylist())

    def __repr__(self) -> str:
        where = f", where {' and '.join(self._said)}" if self._said else ""
        return f"<{type(self).__name__} of {self._table.title}{where}>"

    @abstractmethod
    def _typed(self, row: dict[str, object]) -> RowT:
        """The row as its type."""

    def _chosen(self, column: str, names: Names | None) -> Self:
        """The rows with one of ``names`` in ``column``. Raises ValueError naming the values there are."""
        if names is None:
            return self
        wanted = [names] if isinstance(names, str) else list(names)
        known = self._table.known[column]
        if unknown := [name for name in wanted if name not in known]:
            raise self._unknown(column, unknown[0], known)
        return self._narrowed(self._table.columns[column].isin(wanted), f"{column} is {' or '.join(wanted)}")

    def _narrowed(self, condition: pc.Expression, said: str) -> Self:
        both = condition if self._filter is None else self._filter & condition
        return replace(self, _filter=both, _said=(*self._said, said))

    def _unknown(self, what: str, name: str, known: Sequence[str]) -> ValueError:
        more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
        there = f"there are {', '.join(known[:_SHOWN])}{more}" if known else "it has none"
        return ValueError(f"{what}: {self._table.title} has no {name!r}; {there}")

    def _projection(self, columns: Sequence[str] | None) -> dict[str, pc.Expression]:
        there = self._table.columns
        if columns is None:
            return dict(there)
        if isinstance(columns, str):
            raise ValueError(f"columns: must be a list, such as [{columns!r}]")
        if unknown := [name for name in columns if name not in there]:
            raise self._unknown("columns", unknown[0], tuple(there))
        return {name: there[name] for name in columns}


class Samples(Rows[Sample]):
    """Samples of a release, or of a night.

    Columns: id, language, subset, split (null in a night), messages (list of {role, content}), source (struct),
    teacher (struct; null: taken as it is), scores (struct of doubles; null: not scored), licence, date, created,
    evidence (list of {answer, grounded, quote}; null: not judged, or not kept).
    """

    def where(
        self,
        *,
        language: Names | None = None,
        subset: Names | None = None,
        split: Names | None = None,
        min_scores: Mapping[str, float] | None = None,
    ) -> Self:
        """The samples with all of these; a list of names means any of them. A missing score is below every minimum.

        Raises ValueError for a name that the data does not have at all, naming those that it has.
        """
        chosen = self._chosen("language", language)._chosen("subset", subset)._chosen("split", split)
        for name, least in (min_scores or {}).items():
            chosen = chosen._scored(name, least)
        return chosen

    @property
    def languages(self) -> tuple[str, ...]:
        """All languages that there are, chosen or not."""
        return self._table.known["language"]

    @property
    def subsets(self) -> tuple[str, ...]:
        """All subsets that there are, chosen or not."""
        return self._table.known["subset"]

    @property
    def score_names(self) -> tuple[str, ...]:
        """All scores that any sample has, chosen or not."""
        return tuple(self._table.scores)

    def _scored(self, name: str, least: float) -> Self:
        if name not in self._table.scores:
            raise self._unknown("min_scores", name, self.score_names)
        return self._narrowed(self._table.scores[name] >= least, f"{name} >= {least}")

    def _typed(self, row: dict[str, object]) -> Sample:
        return Sample.model_validate(row)


class Rejects(Rows[Reject]):
    """What the gates of a night turned away.

    Columns: id, language, subset, stage, gate, reason, attempts, messages, source, date, created, evidence.
    """

    def where(
        self,
        *,
        subset: Names | None = None,
        stage: Names | None = None,
        gate: Names | None = None,
        reason: Names | None = None,
    ) -> Self:
        """The rejects with all of these; a list of names means any of them.

        Raises ValueError for a name that the night does not have, naming those that it has.
        """
        return self._chosen("subset", subset)._chosen("stage", stage)._chosen("gate", gate)._chosen("reason", reason)

    def _typed(self, row: dict[str, object]) -> Reject:
        return Reject.model_validate(row)
