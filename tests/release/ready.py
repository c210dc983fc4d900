"""Runs whose rows are measured, and from which so much is removed as a test says: ready to be split and exported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.release.nights_of_samples import planned

from ultralink.release.plan import SourcePart
from ultralink.schemas import EXACT_REMOVED, FINDINGS, NEAR_REMOVED, SAMPLES
from ultralink.stages.assembly import Assembly
from ultralink.stages.release_decontaminate import decontaminate
from ultralink.stages.release_export import export
from ultralink.stages.release_features import measure_samples
from ultralink.stages.release_split import split_rows
from ultralink.store import Row, Store

Place = tuple[str, str, int]  # language, date, row


def ready(
    store: Store | Path | str,
    *,
    exact: Iterable[Place] = (),
    near: Iterable[Place] = (),
    findings: Mapping[Place, Iterable[tuple[str, bool]]] | None = None,
    **changes: object,
) -> Assembly:
    """A run on ``store`` before its split.

    ``exact``, ``near`` and ``findings`` stand in the place of what those steps would find;
    ``findings``: of a row, the step and whether it removes.
    """
    run = planned(store, **changes)
    for shard in range(run.shards):
        measure_samples(run, shard)
        decontaminate(run, shard)
    ids = {
        (source.language, source.date): [str(row["id"]) for row in run.samples(source).rows(["id"])]
        for source in run.plan.sources
    }
    run.part(EXACT_REMOVED).write([_removal(run, place, ids, "exact", "same text") for place in exact], "exact")
    run.part(NEAR_REMOVED).write([_removal(run, place, ids, "near", "similar text") for place in near], "near")
    for source in run.plan.sources:
        found = [
            finding
            for (language, date, row), steps in sorted((findings or {}).items())
            if (language, date) == (source.language, source.date)
            for finding in _findings(source, ids, row, steps)
        ]
        part = run.of_source(FINDINGS, source)
        stamp = part.stamp()
        assert stamp is not None
        part.write(found, stamp.fingerprint)
    return run


def released(store: Store | Path | str, **changes: object) -> Assembly:
    """A run that is split and exported."""
    run = ready(store, **changes)  # type: ignore[arg-type]
    split_rows(run)
    export_all(run)
    return run


def export_all(run: Assembly) -> None:
    """Export every configuration."""
    for number in range(len(run.configurations)):
        export(run, number)


def staged(run: Assembly) -> dict[str, bytes]:
    """The files of the release so far, and what is in them."""
    fs = run.store.fs
    if not fs.exists(run.staging):
        return {}
    return {str(path).partition(f"{run.key}/")[2]: fs.cat_file(path) for path in fs.find(run.staging)}


def rows_of(run: Assembly) -> dict[tuple[str, str], list[Row]]:
    """All samples of the plan, by language and date."""
    return {
        (source.language, source.date): list(run.store.part(SAMPLES, source.language, source.date).rows())
        for source in run.plan.sources
    }


def _removal(run: Assembly, place: Place, ids: Mapping[tuple[str, str], list[str]], step: str, reason: str) -> Row:
    language, date, row = place
    row_id = ids[language, date][row]
    return {
        "language": language,
        "date": date,
        "row": row,
        "id": row_id,
        "subset": row_id.split("-")[1],
        "stage": step,
        "reason": reason,
        "duplicate_of": "another",
        "duplicate_of_language": language,
        "duplicate_of_date": date,
        "similarity": 0.9 if step == "near" else None,
        "item": None,
        "detail": None,
    }


def _findings(
    source: SourcePart, ids: Mapping[tuple[str, str], list[str]], row: int, steps: Iterable[tuple[str, bool]]
) -> Iterable[Row]:
    row_id = ids[source.language, source.date][row]
    for step, removes in steps:
        yield {
            "row": row,
            "id": row_id,
            "subset": row_id.split("-")[1],
            "stage": step,
            "reason": f"by {step}",
            "removes": removes,
            "item": "item 7" if step == "decontaminate" else None,
            "detail": f"what {step} saw",
        }
