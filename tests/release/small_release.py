"""A small release on a shelf, written by hand in the layout of a real one: what reads a release is tested with it."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
from tests.release.nights_of_samples import samples

from ultralink.release.formats import parquet_path
from ultralink.release.manifest import MANIFEST, Manifest, ReleasedFile, configurations
from ultralink.release.rows import release_schema, release_table
from ultralink.schemas import SAMPLES
from ultralink.store import Row, Store

NIGHT = "2026-11-01"
LANGUAGES = ("fr", "zh")
SCORES = ("grounded", "language")


def small_release(
    store: Store,
    version: str = "2026.11.01",
    rows: Sequence[Row] | None = None,
    *,
    files: Mapping[str, bytes] | None = None,
    rows_per_file: int = 100,
) -> Manifest:
    """Put a release of ``rows`` on the shelf (default: five of each subset in two languages); the last validates.

    ``files``: further files, by their path; default: a card, a picture and lines.
    """
    if rows is None:
        rows = [row for language in LANGUAGES for row in samples(language, NIGHT, 5)]
    contents = {**_parquet(rows, rows_per_file), **(files if files is not None else _others(version))}
    released = [_put(store, version, path, content) for path, content in contents.items()]
    manifest = Manifest(
        version=version,
        created=datetime(2026, 11, 2, 3, int(version[-2:]) if version[-2:].isdecimal() else 0, tzinfo=UTC),
        run_id="manual__1",
        tool="ultralink test",
        fingerprint="f" * 32,
        languages=LANGUAGES,
        since=None,
        until=None,
        formats=(),
        missing={},
        sources=(),
        configurations=configurations(released),
        removed={},
        files=tuple(sorted(released, key=lambda file: file.path)),
        recipe={},
    )
    _put(store, version, MANIFEST, manifest.model_dump_json(indent=1).encode())
    return manifest


def _parquet(rows: Sequence[Row], rows_per_file: int) -> dict[str, bytes]:
    found = {}
    schema = release_schema(SCORES)
    for language, subset in dict.fromkeys((str(row["language"]), str(row["subset"])) for row in rows):
        mine = [row for row in rows if (row["language"], row["subset"]) == (language, subset)]
        for split, held in (("train", mine[:-1]), ("validation", mine[-1:])):
            slices = [held[start : start + rows_per_file] for start in range(0, len(held), rows_per_file)]
            for number, piece in enumerate(slices):
                batch = pa.RecordBatch.from_pylist(list(piece), schema=SAMPLES.schema)
                file = io.BytesIO()
                pq.write_table(release_table(batch, NIGHT, schema), file, compression="zstd")
                found[parquet_path(f"{language}_{subset}", split, number, len(slices))] = file.getvalue()
    return found


def _others(version: str) -> dict[str, bytes]:
    return {
        "README.md": f"---\nlicense: cc-by-sa-4.0\n---\n# UltraLink {version}\n".encode(),
        "statistics.json": json.dumps({"version": version}).encode(),
        "plots/turns.png": b"\x89PNG\r\n\x1a\n" + version.encode() * 100,
        "plots/turns.svg": b"<svg/>",
        "messages/zh_math.train.jsonl": b'{"messages": []}\n',
    }


def _put(store: Store, version: str, path: str, content: bytes) -> ReleasedFile:
    where = store.folder("releases", version, path)
    store.fs.makedirs(where.rpartition("/")[0], exist_ok=True)
    store.fs.pipe_file(where, content)
    digest = hashlib.sha256(content).hexdigest()
    rows = pq.read_metadata(io.BytesIO(content)).num_rows if path.endswith(".parquet") else 0
    format_ = path.rpartition(".")[2]
    return ReleasedFile(path=path, format=format_, rows=rows, bytes=len(content), sha256=digest)
