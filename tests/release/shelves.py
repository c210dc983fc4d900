"""Releases for the tests of the shelf: runs whose files are staged, and releases that are published from them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from tests.release.nights_of_samples import DATES, assembly, publish_samples, samples

from ultralink.release.comparison import INDEX_FILE, REMOVED_FILE
from ultralink.release.manifest import Manifest
from ultralink.schemas import REMOVED, STAGED_FILES
from ultralink.stages.assembly import CARD, PROVENANCE, Assembly
from ultralink.stages.release_plan import plan_release
from ultralink.stages.release_publish import publish_release
from ultralink.store import Row, Store

INDEX = pa.schema(
    [(name, pa.string()) for name in ("id", "language", "subset", "split", "date")] + [("text_key", pa.binary(16))]
)


def nights(
    store: Store, dates: Iterable[str] = DATES[:1], languages: Sequence[str] = ("en", "zh"), each: int = 2
) -> None:
    """Published nights with ``each`` samples of every subset; no two nights share a number."""
    for date in dates:
        for language in languages:
            publish_samples(store, language, date, samples(language, date, each, first=100 * int(date[-2:])))


def planned(store: Store, run_id: str = "manual__1", **changes: object) -> Assembly:
    """A run after its plan."""
    run = assembly(store, run_id=run_id, **changes)
    plan_release(run)
    return run


def index_of(run: Assembly) -> list[Row]:
    """Every row of the plan's nights as provenance/index.parquet has it."""
    return [
        {
            "id": row["id"],
            "language": source.language,
            "subset": row["subset"],
            "split": "train",
            "date": source.date,
            "text_key": hashlib.md5(repr(row["messages"]).encode(), usedforsecurity=False).digest(),
        }
        for source in run.plan.sources
        for row in run.samples(source).rows()
    ]


def removal(row: Row, stage: str = "near", reason: str = "similar text", of: str | None = None) -> Row:
    """A row of the index as REMOVED has it."""
    return {
        **dict.fromkeys(REMOVED.schema.names),
        **{name: row[name] for name in ("language", "date", "id", "subset")},
        "row": 0,
        "stage": stage,
        "reason": reason,
        "duplicate_of": of,
    }


def stage(run: Assembly, index: Iterable[Row] | None = None, removed: Iterable[Row] = ()) -> None:
    """Write what the stages before publish leave: staged files with their lists, and REMOVED."""
    rows, gone = list(index_of(run) if index is None else index), list(removed)
    run.part(REMOVED).write(gone, "removed")
    for language, subset in run.configurations:
        mine = [row for row in rows if (row["language"], row["subset"]) == (language, subset)]
        path = f"data/{language}_{subset}/train-00000-of-00001.parquet"
        listed = [_table(run, path, "parquet", mine, INDEX)] if mine else []
        run.part(STAGED_FILES, language, subset).write(listed, "export")
    provenance = [
        _table(run, INDEX_FILE, "provenance", rows, INDEX),
        _table(run, REMOVED_FILE, "provenance", gone, REMOVED.schema),
    ]
    run.part(STAGED_FILES, PROVENANCE).write(provenance, "split")
    run.store.write_text(run.staged("README.md"), f"# Release {run.plan.version} of {run.run_id}\n")
    run.part(STAGED_FILES, CARD).write([_listed(run, "README.md", "card", 0)], "card")


def release(store: Store, run_id: str = "manual__1", **changes: object) -> Manifest:
    """A release of all nights in the store."""
    run = planned(store, run_id, **changes)
    stage(run)
    return publish_release(run).manifest


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below ``folder`` with its content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _table(run: Assembly, path: str, form: str, rows: Sequence[Row], schema: pa.Schema) -> Row:
    with run.store.aside(run.staged(path)) as aside:
        pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), aside)
    return _listed(run, path, form, len(rows))


def _listed(run: Assembly, path: str, form: str, rows: int) -> Row:
    content: bytes = run.store.fs.cat_file(run.staged(path))
    digest = hashlib.sha256(content).hexdigest()
    return {"path": path, "format": form, "rows": rows, "bytes": len(content), "sha256": digest}
