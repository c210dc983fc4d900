"""Split: every row of the plan is removed for its first reason, or has a place in train or validation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ultralink.errors import PartitionChanged
from ultralink.release.formats import DATASET_INFO, configuration, dataset_info
from ultralink.release.plan import SourcePart
from ultralink.release.recipe import Format
from ultralink.release.splitting import (
    SPLITS,
    VALIDATION,
    first_reasons,
    kept_rows,
    removals_of_findings,
    split_of,
    survivors_named,
)
from ultralink.release.writing import RowGroups, Staging
from ultralink.schemas import (
    EXACT_REMOVED,
    FEATURES,
    FINDINGS,
    NEAR_REMOVED,
    PLACES,
    REMOVED,
    SCORE_NAMES,
    STAGED_FILES,
)
from ultralink.stages.assembly import PROVENANCE, Assembly
from ultralink.stages.partition import Built
from ultralink.stages.release_decontaminate import examined_parts
from ultralink.stages.release_features import measured_parts
from ultralink.store import Part, PartWriter, fingerprint

FOLDER = "provenance"
INDEX = pa.schema(
    [
        ("id", pa.string()),
        ("language", pa.string()),
        ("subset", pa.string()),
        ("split", pa.string()),
        ("date", pa.string()),
        ("text_key", FEATURES.schema.field("text_key").type),
    ]
)
_ROW_GROUP = 50_000  # rows without texts
_FEATURES = ["row", "id", "subset", "origin", "text_key", "scores"]


def split_rows(assembly: Assembly) -> Built:
    """Write REMOVED, PLACES of every configuration, SCORE_NAMES, and what the release says of itself as a whole.

    Memory: the removed rows, and one night without its texts. Raises PartMissing before a step before this one is
    done, PartitionChanged where such a step saw other rows, StoreFull.
    """
    parts = _Parts.of(assembly)
    staging = Staging(assembly.store, assembly.staging)
    listed = assembly.part(STAGED_FILES, PROVENANCE)
    made_by = _made_by(assembly, parts)
    if (
        assembly.up_to_date(listed, made_by, parts.inputs)
        and all((stamp := part.stamp()) and stamp.fingerprint == made_by for part in parts.outputs)
        and staging.has(listed)
    ):
        return Built((listed.path,), f"Nothing to do: all {assembly.plan.rows} rows have their places")
    staging.clear(FOLDER, [DATASET_INFO])
    counts = _write(assembly, parts, staging, made_by)
    staging.complete(listed, made_by)
    outputs = (*(part.path for part in parts.outputs), *(assembly.staged(file["path"]) for file in staging.files))
    removed = ", ".join(f"{count} {reason}" for reason, count in sorted(counts.removed.items())) or "none"
    kept, validation = counts.rows.total(), sum(counts.rows[place] for place in counts.rows if place[1] == VALIDATION)
    line = f"{kept} of {assembly.plan.rows} rows stay, {validation} of them for validation; removed: {removed}"
    return Built((*outputs, listed.path), line)


@dataclass(frozen=True)
class _Parts:
    """What is read, and what is written besides the files of the release."""

    inputs: list[Part]
    places: Mapping[tuple[str, str], Part]
    removed: Part
    score_names: Part

    @classmethod
    def of(cls, assembly: Assembly) -> _Parts:
        removals = [assembly.part(EXACT_REMOVED), assembly.part(NEAR_REMOVED)]
        return cls(
            inputs=[*removals, *measured_parts(assembly), *examined_parts(assembly)],
            places={each: assembly.part(PLACES, *each) for each in assembly.configurations},
            removed=assembly.part(REMOVED),
            score_names=assembly.part(SCORE_NAMES),
        )

    @property
    def outputs(self) -> list[Part]:
        return [self.removed, self.score_names, *self.places.values()]


def _made_by(assembly: Assembly, parts: _Parts) -> str:
    plan = assembly.plan
    digests = []
    for part in parts.inputs:
        task = part.stage.name.removesuffix("_removed")
        digests.append(part.stamp_or_missing(f"run the task {task!r} of this run first").digest)
    return fingerprint(
        [stage.version for stage in (PLACES, REMOVED, SCORE_NAMES, STAGED_FILES)],
        digests,
        [[source.language, source.date, source.digest] for source in plan.sources],
        (plan.languages, plan.formats, plan.recipe.validation_share),
    )


# --- writing --------------------------------------------------------------------------------------


@dataclass
class _Counts:
    """Rows by configuration and split, removed ones by their step, and all names of scores."""

    rows: Counter[tuple[str, str]] = field(default_factory=Counter)
    removed: Counter[str] = field(default_factory=Counter)
    scores: set[str] = field(default_factory=set)


def _write(assembly: Assembly, parts: _Parts, staging: Staging, made_by: str) -> _Counts:
    counts = _Counts()
    with ExitStack() as writing:
        index = writing.enter_context(staging.table(f"{FOLDER}/index.parquet", FOLDER, INDEX, _ROW_GROUP))
        listing = writing.enter_context(staging.table(f"{FOLDER}/removed.parquet", FOLDER, REMOVED.schema, _ROW_GROUP))
        removed = writing.enter_context(parts.removed.writer(made_by))
        places = {each: writing.enter_context(part.writer(made_by)) for each, part in parts.places.items()}
        for source, features, reasons in _nights(assembly):
            listing.add(reasons)
            for row in reasons.to_pylist():
                removed.add(row)
                counts.removed[row["stage"]] += 1
            kept = features.take(pa.array(kept_rows(len(features), reasons["row"].to_numpy())))
            _place(assembly, source, kept, places, index, counts)
            counts.scores |= _score_names(features)
    parts.score_names.write(({"name": name} for name in sorted(counts.scores)), made_by)
    if Format.SHAREGPT in assembly.plan.formats:
        in_order = [(configuration(*each), split) for each in assembly.configurations for split in SPLITS]
        rows = {place: counts.rows[place] for place in in_order}
        staging.text(DATASET_INFO, Format.SHAREGPT, dataset_info(rows))
    return counts


def _place(
    assembly: Assembly,
    source: SourcePart,
    kept: pa.Table,
    places: Mapping[tuple[str, str], PartWriter],
    index: RowGroups,
    counts: _Counts,
) -> None:
    """Give every row that stays its split."""
    share = assembly.plan.recipe.validation_share
    splits = [split_of(origin, share) for origin in kept["origin"].to_pylist()]
    columns = (kept[name].to_pylist() for name in ("row", "id", "subset"))
    for row, row_id, subset, split in zip(*columns, splits, strict=True):
        places[source.language, subset].add({"date": source.date, "row": row, "id": row_id, "split": split})
        counts.rows[configuration(source.language, subset), split] += 1
    made = {
        "language": pa.repeat(pa.scalar(source.language), len(kept)),
        "split": pa.array(splits, pa.string()),
        "date": pa.repeat(pa.scalar(source.date), len(kept)),
    }
    index.add(pa.table([made[name] if name in made else kept[name] for name in INDEX.names], schema=INDEX))


def _score_names(features: pa.Table) -> set[str]:
    return set(pc.unique(features["scores"].combine_chunks().keys).to_pylist())


# --- reading --------------------------------------------------------------------------------------


def _nights(assembly: Assembly) -> Iterator[tuple[SourcePart, pa.Table, pa.Table]]:
    """For each night its FEATURES, and its rows of REMOVED in order, each row number once."""
    near = _table(assembly.part(NEAR_REMOVED))
    removals = [survivors_named(_table(assembly.part(EXACT_REMOVED)), near), near]
    unread = sum(map(len, removals))
    for source in assembly.plan.sources:
        features = _features(assembly, source)
        of_night = [
            removal.filter(
                pc.and_(pc.equal(removal["language"], source.language), pc.equal(removal["date"], source.date))
            )
            for removal in removals
        ]
        unread -= sum(map(len, of_night))
        findings = _table(assembly.of_source(FINDINGS, source))
        reasons = first_reasons([*of_night, removals_of_findings(findings, source.language, source.date)])
        _check_rows(assembly, source, features, reasons)
        yield source, features, reasons
    if unread:
        raise PartitionChanged(
            f"{unread} removed rows are of nights that are not in the plan; clear 'exact' and 'near'"
        )


def _features(assembly: Assembly, source: SourcePart) -> pa.Table:
    """The FEATURES of a night. Raises PartitionChanged where they are not of the rows that were planned."""
    part = assembly.of_source(FEATURES, source)
    features = _table(part, _FEATURES)
    if not np.array_equal(features["row"].to_numpy(), np.arange(source.rows)):
        raise PartitionChanged(
            f"{part.path}: measures {len(features)} rows, {source.rows} were planned; start a new run"
        )
    return features


def _check_rows(assembly: Assembly, source: SourcePart, features: pa.Table, reasons: pa.Table) -> None:
    """Raises PartitionChanged where a row is removed that is not there, or is another."""
    rows = reasons["row"]
    fits = len(rows) == 0 or (pc.min(rows).as_py() >= 0 and pc.max(rows).as_py() < len(features))
    if not fits or features["id"].take(rows).to_pylist() != reasons["id"].to_pylist():
        path = assembly.samples(source).path
        raise PartitionChanged(f"{path}: other rows than those that were removed from it; start a new run")


def _table(part: Part, columns: list[str] | None = None) -> pa.Table:
    names = columns or part.stage.schema.names
    return pa.Table.from_batches(part.batches(names), pa.schema([part.stage.schema.field(name) for name in names]))
