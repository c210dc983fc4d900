"""What became of a row: sample or reject, of which night, and whether a release has it or why not."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import JsonValue

from ultralink.commands.show import language_of, places
from ultralink.commands.traces import POOL_NAME, languages
from ultralink.dataset import Reject, Sample
from ultralink.errors import ReleaseMissing, RowMissing
from ultralink.insight.browse import RowKind
from ultralink.pool.row import Kind
from ultralink.pool.rows import LANGUAGE
from ultralink.release.comparison import INDEX_FILE, REMOVED_FILE
from ultralink.release.manifest import Manifest
from ultralink.release.shelf import LATEST, Shelf
from ultralink.schemas import ARTICLES, CHOICE, POOL_REJECTS, SAMPLES, SELECTION
from ultralink.stages.edition import complete_editions, pool_part
from ultralink.store import Part, Store

_REMOVED_COLUMNS = (
    "language", "date", "id", "stage", "reason", "duplicate_of", "duplicate_of_language", "duplicate_of_date",
    "similarity", "item", "detail",
)  # fmt: skip
_ARTICLE = re.compile(r"(?P<language>.+)-article-(?P<page>\d+)")


@dataclass(frozen=True)
class Story:
    """All that is known of a row. ``rows``: samples and rejects of that id; ``removed``: as the release lists it."""

    id: str
    lines: tuple[str, ...]
    rows: tuple[Sample | Reject, ...]
    release: str | None  # that was looked into
    removed: tuple[dict[str, JsonValue], ...]


def story(store: Store, row_id: str, version: str = LATEST) -> Story:
    """What became of ``row_id``. Raises RowMissing, and ReleaseMissing for a version that is not there."""
    language = language_of(row_id)
    if language is None:
        return _of_pool(store, row_id)
    rows = [found.read(store) for found in places(store, language, row_id, list(RowKind), turns=True)]
    manifest = _manifest(Shelf(store), version)
    removed = list(_removed(store, manifest, row_id)) if manifest else []
    lines = [*map(_of_night, rows), *_of_article(store, row_id)]
    if not lines and not removed:
        raise RowMissing(f"no sample, no reject and no removed row of {language!r} has the id {row_id!r}")
    samples = [row for row in rows if isinstance(row, Sample) and row.id == row_id]
    if manifest is not None and (samples or removed):
        lines += _of_release(store, manifest, row_id, samples, removed)
    elif samples:
        lines.append("There is no release yet.")
    return Story(row_id, tuple(lines), tuple(rows), manifest.version if manifest else None, tuple(removed))


def _of_night(row: Sample | Reject) -> str:
    if isinstance(row, Sample):
        return f"{row.id} is a sample of {row.language} {row.date}."
    tries = "1 attempt" if row.attempts == 1 else f"{row.attempts} attempts"
    turn = " A single turn was dropped; the dialogue may have gone on without it." if "-turn" in row.id else ""
    reason = f", {row.reason}" if row.reason != row.gate else ""
    gate = f"the gate {row.gate!r} of {row.stage}{reason}"
    return f"{row.id} was rejected on {row.language} {row.date} by {gate}, after {tries}.{turn}"


def _of_article(store: Store, row_id: str) -> Iterator[str]:
    """Of an article that was not turned away, which night has it."""
    found = _ARTICLE.fullmatch(row_id)
    if not found:
        return
    language, page = found["language"], int(found["page"])
    for stage, did in ((SELECTION, "chosen"), (ARTICLES, "read and cut into passages")):
        for date in store.dates(stage, language):
            for part in store.parts(stage, language, date):
                if _holds(part, "page_id", pa.scalar(page)):
                    yield f"Page {page} was {did} on {language} {date}."


# --- English rows -----------------------------------------------------------------------------------


def _of_pool(store: Store, row_id: str) -> Story:
    """An English row: turned away from the pool, in the pool, or chosen by which nights."""
    lines: list[str] = []
    rows: list[Reject] = []
    for date in store.dates(POOL_REJECTS, LANGUAGE):
        for batch in store.part(POOL_REJECTS, LANGUAGE, date).batches():
            for row in batch.filter(pc.equal(batch.column("id"), row_id)).to_pylist():
                lines.append(f"{row_id} was turned away from the pool of {date}: {row['gate']}, {row['reason']}.")
                if {message["role"] for message in row["messages"]} <= {"user", "assistant", "system"}:
                    rows.append(Reject.model_validate({**row, "date": date}))
    for date in complete_editions(store):
        for kind in Kind:
            if _holds(pool_part(store, date, kind), "id", pa.scalar(row_id)):
                lines.append(f"{row_id} is a {kind} row of the pool of {date}.")
    for language in (name for name in languages(store) if name != POOL_NAME):
        for date in store.dates(CHOICE, language):
            if _holds(store.part(CHOICE, language, date), "id", pa.scalar(row_id)):
                lines.append(f"{row_id} was chosen on {language} {date}; its row is {language}-…-{row_id}.")
    if not lines:
        raise RowMissing(f"no row of the store has the id {row_id!r}")
    return Story(row_id, tuple(lines), tuple(rows), None, ())


def _holds(part: Part, column: str, value: pa.Scalar) -> bool:
    return any(pc.any(pc.equal(batch.column(column), value)).as_py() for batch in part.batches([column]))


# --- releases ---------------------------------------------------------------------------------------


def _manifest(shelf: Shelf, version: str) -> Manifest | None:
    return shelf.latest() if version == LATEST else shelf.manifest(version)


def _removed(store: Store, manifest: Manifest, row_id: str) -> Iterator[dict[str, JsonValue]]:
    yield from _found(store, f"{Shelf(store).path(manifest.version)}/{REMOVED_FILE}", row_id, _REMOVED_COLUMNS)


def _found(store: Store, path: str, row_id: str, columns: Iterable[str]) -> Iterator[dict[str, JsonValue]]:
    """The rows of a release's file with this id. Raises ReleaseMissing."""
    wanted = list(columns)
    try:
        with store.fs.open(path, "rb") as opened, pq.ParquetFile(opened) as file:
            for batch in file.iter_batches(columns=wanted):
                if len(hits := batch.filter(pc.equal(batch.column("id"), row_id))):
                    yield from hits.to_pylist()
    except (FileNotFoundError, pa.ArrowInvalid) as error:
        raise ReleaseMissing(f"{path}: is missing or damaged; `release verify` says more") from error


def _of_release(
    store: Store, manifest: Manifest, row_id: str, samples: list[Sample], removed: list[dict[str, JsonValue]]
) -> Iterator[str]:
    name = f"release {manifest.version}"
    index = f"{Shelf(store).path(manifest.version)}/{INDEX_FILE}"
    there = list(_found(store, index, row_id, ("id", "language", "split", "date")))
    for row in there:
        yield f"It is in {name}, split {row['split']}, from the night {row['language']} {row['date']}."
    for row in removed:
        yield f"Not in {name}: of the night {row['language']} {row['date']} it was taken out by {_why(row)}."
    nights = {(night.language, night.date): night for night in manifest.sources}
    told = {str(row["date"]) for row in (*there, *removed)}
    for sample in samples:
        if sample.date in told:
            continue
        night = nights.get((sample.language, sample.date))
        if sample.language not in manifest.languages:
            yield f"Not in {name}: it has no rows of {sample.language!r}."
        elif night is None:
            since, until = manifest.since or "the first", manifest.until or "the last"
            yield f"Not in {name}: the night {sample.date} is not among its nights (from {since} to {until})."
        elif (stamp := store.part(SAMPLES, sample.language, sample.date).stamp()) and stamp.digest != night.digest:
            yield f"Not in {name}: the night {sample.date} was made again after it; the next release takes this row."
        else:
            yield f"Not in {name}, and its list of removed rows does not say why: `release verify` says if it is whole."


def _why(row: dict[str, JsonValue]) -> str:
    said = f"{row['stage']}: {row['reason']}"
    if row["duplicate_of"]:
        said += f", a copy of {row['duplicate_of']} ({row['duplicate_of_language']} {row['duplicate_of_date']})"
    similarity = row["similarity"]
    if isinstance(similarity, float):
        said += f", similarity {similarity:.2f}"
    for name in ("item", "detail"):
        if row[name]:
            said += f", {row[name]}"
    return said
