"""Export: the rows of one language and subset as Parquet and as lines of JSON, all in one pass over their nights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from ultralink.errors import PartitionChanged
from ultralink.prompts import load_prompts
from ultralink.release.formats import LineFormat, Lines, configuration, lines_path, parquet_folder
from ultralink.release.plan import SourcePart
from ultralink.release.rows import conversations, release_schema, release_table
from ultralink.release.splitting import SPLITS, TRAIN
from ultralink.release.writing import ParquetFiles, Sink, Staging
from ultralink.schemas import PLACES, SAMPLES, SCORE_NAMES, STAGED_FILES
from ultralink.stages.assembly import Assembly
from ultralink.stages.partition import Built
from ultralink.store import Part, fingerprint

_FIRST = "run the task 'split' of this run first"
_LEFT_OUT = {"fingerprint", "evidence"}  # the judge's own words stay with the night
_COLUMNS = [name for name in SAMPLES.schema.names if name not in _LEFT_OUT]


def export(assembly: Assembly, number: int) -> Built:
    """Write all files of ``assembly.configurations[number]``, and at last their list.

    A configuration without rows has an empty list. Memory: two row groups, and the places of all rows. Raises
    PartMissing before the rows are split, PartitionChanged, SampleUnfit, StoreFull.
    """
    work = _Work(assembly, *assembly.configurations[number])
    listed = assembly.part(STAGED_FILES, work.language, work.subset)
    staging = Staging(assembly.store, assembly.staging)
    made_by = work.made_by()
    if (done := assembly.up_to_date(listed, made_by, [work.places])) and staging.has(listed):
        return Built((listed.path,), f"Nothing to do: {done.rows} files of {work.name} are up to date")
    staging.clear(parquet_folder(work.name), work.all_line_paths())
    counts = work.write(staging)
    staging.complete(listed, made_by)
    paths = tuple(assembly.staged(file["path"]) for file in staging.files)
    rows = ", ".join(f"{counts[split]} {split}" for split in SPLITS)
    return Built((*paths, listed.path), f"{work.name}: {rows} rows in {len(paths)} files")


@dataclass(frozen=True)
class _Work:
    assembly: Assembly
    language: str
    subset: str

    @property
    def name(self) -> str:
        return configuration(self.language, self.subset)

    @property
    def places(self) -> Part:
        return self.assembly.part(PLACES, self.language, self.subset)

    @property
    def sources(self) -> list[SourcePart]:
        return [source for source in self.assembly.plan.sources if source.language == self.language]

    @property
    def lines(self) -> list[Lines]:
        return Lines.of(self.assembly.plan.formats, self.subset)

    def document_request(self) -> str | None:
        """The language's sentence that asks for an answer from a document; None where it has none or needs none."""
        return load_prompts(self.language).document_request if Lines.WITH_DOCUMENT in self.lines else None

    def all_line_paths(self) -> list[str]:
        return [lines_path(lines, self.name, split) for lines in Lines for split in SPLITS]

    def made_by(self) -> str:
        plan = self.assembly.plan
        return fingerprint(
            STAGED_FILES.version,
            [part.stamp_or_missing(_FIRST).digest for part in (self.places, self.assembly.part(SCORE_NAMES))],
            [[source.date, source.digest] for source in self.sources],
            (self.name, self.lines, plan.recipe.rows_per_file, self.document_request()),
        )

    def write(self, staging: Staging) -> Counter[str]:
        """Write the files; how many rows each split has."""
        places = pa.Table.from_batches(self.places.batches(), PLACES.schema)
        counts = Counter(places["split"].to_pylist())
        schema = release_schema([str(row["name"]) for row in self.assembly.part(SCORE_NAMES).rows()])
        with ExitStack() as writing:
            sides = {
                split: writing.enter_context(self._side(staging, split, counts, schema))
                for split in SPLITS
                if counts[split]
            }
            for source in self.sources:
                part = self.assembly.unchanged_samples(source)
                for batch, splits in _placed(part, places.filter(pc.equal(places["date"], source.date))):
                    for split, side in sides.items():
                        side.add(batch.filter(pc.equal(splits, split)), part.path, source.date)
                self.assembly.unchanged_samples(source)  # nor did it change while it was read
        return counts

    @contextmanager
    def _side(self, staging: Staging, split: str, counts: Counter[str], schema: pa.Schema) -> Iterator[_Side]:
        """The files of ``split``, open to be written."""
        rows_per_file = self.assembly.plan.recipe.rows_per_file
        with ExitStack() as writing:
            parquet = ParquetFiles(staging, self.name, split, schema, rows=counts[split], rows_per_file=rows_per_file)
            lines = [
                (
                    LineFormat(kind, self.name, self.document_request()),
                    writing.enter_context(staging.file(lines_path(kind, self.name, split), kind)),
                )
                for kind in self.lines
            ]
            # UltraLink's numbers run on from one split to the other, so none names two rows.
            first = 0 if split == TRAIN else counts[TRAIN]
            yield _Side(schema, writing.enter_context(parquet), lines, first)


@dataclass
class _Side:
    """One split on its way into all of its files; ``number`` is that of the next row."""

    schema: pa.Schema
    parquet: ParquetFiles
    lines: list[tuple[LineFormat, Sink]]
    number: int

    def add(self, samples: pa.RecordBatch, path: str, date: str) -> None:
        """Take rows of the part at ``path``. Raises SampleUnfit."""
        if not len(samples):
            return
        said = list(conversations(samples, path))
        self.parquet.add(release_table(samples, date, self.schema))
        for form, sink in self.lines:
            sink.write(form.encode(said, self.number))
            sink.rows += len(said)
        self.number += len(said)


def _placed(samples: Part, places: pa.Table) -> Iterator[tuple[pa.RecordBatch, pa.Array]]:
    """The rows that ``places`` names, in batches, with the split of each. Raises PartitionChanged."""
    done = 0
    for batch in samples.selected(places["row"].to_numpy(), _COLUMNS):
        here = places.slice(done, len(batch))
        if not here["id"].combine_chunks().equals(batch.column("id")):
            raise PartitionChanged(f"{samples.path}: not the rows that this release was planned with; start a new run")
        yield batch, here["split"].combine_chunks()
        done += len(batch)
    if done < len(places):
        raise PartitionChanged(f"{samples.path}: fewer rows than this release was planned with; start a new run")
