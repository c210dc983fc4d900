"""Measure: the features of a night's samples, made once per night and shared by all releases."""

from __future__ import annotations

from ultralink.errors import PartMissing
from ultralink.release.features import measured
from ultralink.release.plan import SourcePart
from ultralink.schemas import FEATURES
from ultralink.stages.assembly import Assembly
from ultralink.stages.partition import Built
from ultralink.store import Part, fingerprint


def measure_samples(assembly: Assembly, shard: int) -> Built:
    """Write FEATURES of the shard's nights, one part each; a night that was measured before is left alone.

    Memory: one batch of rows. Raises PartMissing, PartitionChanged, SchemaMismatch.
    """
    nights = assembly.plan.shares(assembly.shards)[shard]
    due = assembly.due(nights, FEATURES, {night: _made_by(assembly, night) for night in nights})
    rows = sum(_measure(assembly, night) for night in due)
    paths = tuple(assembly.of_source(FEATURES, night).path for night in nights)
    if not due:
        return Built(paths, f"Nothing to do: all {len(nights)} nights are measured")
    return Built(paths, f"{rows} rows of {len(due)} nights measured, {len(nights) - len(due)} nights are up to date")


def measured_parts(assembly: Assembly) -> list[Part]:
    """The FEATURES of all nights in the plan's order, of the samples that were planned. Raises PartMissing."""
    return [_measured(assembly, night) for night in assembly.plan.sources]


def _measured(assembly: Assembly, night: SourcePart) -> Part:
    part = assembly.of_source(FEATURES, night)
    stamp = part.stamp()
    if stamp is None or stamp.fingerprint != _made_by(assembly, night):
        found = "no such part" if stamp is None else "of other samples or settings than were planned"
        raise PartMissing(f"{part.path}: {found}; run the task 'measure' of this run again")
    return part


def _made_by(assembly: Assembly, night: SourcePart) -> str:
    return fingerprint(FEATURES.version, night.digest, assembly.plan.recipe.near_duplicates.shingle_words)


def _measure(assembly: Assembly, night: SourcePart) -> int:
    samples = assembly.unchanged_samples(night)
    shingle_words = assembly.plan.recipe.near_duplicates.shingle_words
    with assembly.of_source(FEATURES, night).writer(_made_by(assembly, night)) as features:
        for row in measured(samples, night, shingle_words):
            features.add(row)
        assembly.unchanged_samples(night)  # nor while they were read
    return features.count
