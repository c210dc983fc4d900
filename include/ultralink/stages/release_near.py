"""Near duplicates: which of the rows that are no exact duplicates are similar to an earlier one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ultralink.release.near import Sketches, near_copies
from ultralink.release.roll import Roll
from ultralink.schemas import EXACT_REMOVED, FEATURES, NEAR_REMOVED
from ultralink.stages.assembly import Assembly
from ultralink.stages.partition import Built
from ultralink.stages.release_features import measured_parts
from ultralink.store import Part, fingerprint


def drop_near(assembly: Assembly) -> Built:
    """Write NEAR_REMOVED. Memory: about 600 bytes a row. Raises PartMissing."""
    sources, features = assembly.plan.sources, measured_parts(assembly)
    exact, removed = assembly.part(EXACT_REMOVED), assembly.part(NEAR_REMOVED)
    stamp = exact.stamp_or_missing("run the task 'exact' of this run first")
    rules = assembly.plan.recipe.near_duplicates
    made_by = fingerprint(NEAR_REMOVED.version, FEATURES.version, stamp.fingerprint, rules.model_dump(mode="json"))
    if assembly.up_to_date(removed, made_by, [exact, *features]):
        return Built((removed.path,), "Nothing to do: the list of near duplicates is up to date")
    roll = Roll.of(sources, features)
    sketches = Sketches.of(sources, features, _out(roll, exact))
    copies = near_copies(sketches, rules.threshold)
    rows = removed.write((roll.removed("near", copy) for copy in copies), made_by).rows
    return Built((removed.path,), f"{rows} of {len(roll) - stamp.rows} rows are near duplicates")


def _out(roll: Roll, exact: Part) -> NDArray[np.int64]:
    """The rows of the roll that are in a list of removed rows."""
    nights = {(source.language, source.date): start for source, start in zip(roll.sources, roll.starts, strict=True)}
    return np.array(
        [
            nights[language, date] + row
            for batch in exact.batches(["language", "date", "row"])
            for language, date, row in zip(*(column.to_pylist() for column in batch.columns), strict=True)
        ],
        dtype=np.int64,
    )
