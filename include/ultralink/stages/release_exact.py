"""Exact duplicates: which rows of all nights repeat an earlier one, in text or in what they were made of."""

from __future__ import annotations

from ultralink.release.exact import ExactKeys, exact_copies
from ultralink.release.roll import Roll
from ultralink.schemas import EXACT_REMOVED, FEATURES
from ultralink.stages.assembly import Assembly
from ultralink.stages.partition import Built
from ultralink.stages.release_features import measured_parts
from ultralink.store import fingerprint


def drop_exact(assembly: Assembly) -> Built:
    """Write EXACT_REMOVED. Memory: about 200 bytes a row. Raises PartMissing."""
    sources, features = assembly.plan.sources, measured_parts(assembly)
    removed = assembly.part(EXACT_REMOVED)
    nights = [[source.language, source.date, source.digest] for source in sources]
    made_by = fingerprint(EXACT_REMOVED.version, FEATURES.version, nights)
    if assembly.up_to_date(removed, made_by, features):
        return Built((removed.path,), "Nothing to do: the list of exact duplicates is up to date")
    roll = Roll.of(sources, features)
    copies = exact_copies(ExactKeys.of(sources, features))
    rows = removed.write((roll.removed("exact", copy) for copy in copies), made_by).rows
    return Built((removed.path,), f"{rows} of {len(roll)} rows are exact duplicates")
