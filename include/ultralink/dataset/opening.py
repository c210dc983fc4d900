"""Opening a release or a night: its files as one table with the same columns, wherever they lie."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import reduce
from operator import and_
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from pyarrow.fs import FileSystem, FSSpecHandler, LocalFileSystem, PyFileSystem
from pydantic import ValidationError

from ultralink.dataset.rows import Rejects, Samples, Table
from ultralink.errors import PartMissing, ReleaseMissing
from ultralink.release.manifest import MANIFEST, Manifest
from ultralink.release.recipe import SUBSETS
from ultralink.release.shelf import LATEST, RELEASES, Shelf
from ultralink.schemas import EVIDENCE, REJECTS, SAMPLES, Stage
from ultralink.store import Part, Store

Place = str | Path | Store

_DATA_FILE = re.compile(rf"data/(?P<language>[^/]+)_(?P<subset>{'|'.join(SUBSETS)})/(?P<split>train|validation)-[^/]+")
_SAMPLE = ("id", "language", "subset", "split", "messages", "source", "teacher", "scores", "licence", "date", "created",
           "evidence")  # fmt: skip
_REJECT = ("id", "language", "subset", "stage", "gate", "reason", "attempts", "messages", "source", "date", "created",
           "evidence")  # fmt: skip
_NULL_WHERE_MISSING = (pa.field("split", pa.string()), EVIDENCE)  # not every file has them
_CHOSEN_BY = ("language", "subset", "split")
_FORMAT = ds.ParquetFileFormat()


def open_release(place: Place, version: str | None = None) -> Samples:
    """The samples of a release: of the store at a path or URL the newest or ``version``, or the folder of a release.

    Raises ReleaseMissing naming the versions there are.
    """
    store = _store(place)
    if version is None and (text := store.read_text(store.folder(MANIFEST))) is not None:
        return _release(store, _manifest(store, text))
    shelf = Shelf(store)
    manifest = shelf.manifest(version or LATEST)
    return _release(store.below(f"{RELEASES}/{manifest.version}"), manifest)


def open_partition(place: Place, language: str, date: str) -> Samples:
    """The samples of one night of one language, out of the store at a path or URL.

    Raises PartMissing naming the nights or languages there are, and SchemaMismatch for an older store's files.
    """
    part = _published(_store(place), SAMPLES, language, date)
    files = _dataset(part.store, [(part.path, None)])
    found = _distinct(files, ("subset", "scores"))
    scores = {name: pc.map_lookup(pc.field("scores"), pa.scalar(name), "first") for name in found["scores"]}
    columns = {
        **{name: pc.field(name) for name in _SAMPLE},
        "split": pc.scalar(pa.scalar(None, pa.string())),
        "scores": _struct(scores),
        "licence": pc.field("source", "licence"),
        "date": pc.scalar(date),
    }
    known = {"language": (language,), "subset": _in_order(found["subset"]), "split": ()}
    return Samples(Table(title=f"night {language} {date}", files=files, columns=columns, known=known, scores=scores))


def open_rejects(place: Place, language: str, date: str) -> Rejects:
    """What the gates of one night of one language turned away. Raises as `open_partition` does."""
    part = _published(_store(place), REJECTS, language, date)
    files = _dataset(part.store, [(part.path, None)])
    found = _distinct(files, ("subset", "stage", "gate", "reason"))
    columns = {**{name: pc.field(name) for name in _REJECT}, "date": pc.scalar(date)}
    known = {**found, "subset": _in_order(found["subset"])}
    return Rejects(Table(title=f"night {language} {date}", files=files, columns=columns, known=known))


def _manifest(store: Store, text: str) -> Manifest:
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ReleaseMissing(f"{store.folder(MANIFEST)}: is of no release: {where}: {first['msg']}") from None


def _release(store: Store, manifest: Manifest) -> Samples:
    """The data files of the release at the root of ``store``."""
    named = {file.path: found.groupdict() for file in manifest.files if (found := _DATA_FILE.fullmatch(file.path))}
    if not named:
        raise ReleaseMissing(f"{store.root}: release {manifest.version} has no data files")
    files = _dataset(store, [(store.folder(path), _all_are(names)) for path, names in named.items()])
    known = {column: _in_order({names[column] for names in named.values()}) for column in _CHOSEN_BY}
    scores = {one.name: pc.field("scores", one.name) for one in files.schema.field("scores").type.fields}
    columns = {name: pc.field(name) for name in _SAMPLE}
    title = f"release {manifest.version}"
    return Samples(Table(title=title, files=files, columns=columns, known=known, scores=scores))


def _all_are(values: Mapping[str, str]) -> pc.Expression:
    """That all rows of a file have these values: it is not even opened where others are asked for."""
    return reduce(and_, (pc.field(name) == value for name, value in values.items()))


def _store(place: Place) -> Store:
    return place if isinstance(place, Store) else Store.at(str(place))


def _published(store: Store, stage: Stage, language: str, date: str) -> Part:
    part = store.part(stage, language, date)
    if part.stamp() is None:
        raise PartMissing(f"{part.path}: no {stage.name} of such a night; {_nights(store, stage, language)}")
    return part


def _nights(store: Store, stage: Stage, language: str) -> str:
    if dates := store.dates(stage, language):
        return f"{language} has {', '.join(dates)}"
    others = (PurePosixPath(path).name for path in store.folders(stage.name))
    if languages := [name for name in others if store.dates(stage, name)]:
        return f"there is nothing of {language!r}, but of {', '.join(languages)}"
    return "the store has none at all"


def _dataset(store: Store, files: list[tuple[str, pc.Expression | None]]) -> ds.Dataset:
    """The Parquet files at these paths as one, each with what is known of all its rows."""
    fs: FileSystem = LocalFileSystem() if store.is_local else PyFileSystem(FSSpecHandler(store.fs))
    parts = [_FORMAT.make_fragment(path, fs, partition_expression=known) for path, known in files]
    schema = parts[0].physical_schema
    for field in _NULL_WHERE_MISSING:
        schema = schema if field.name in schema.names else schema.append(field)
    return ds.FileSystemDataset(parts, schema, _FORMAT, fs)


def _distinct(files: ds.Dataset, columns: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The values of columns, sorted; of a map its keys."""
    found: dict[str, set[str]] = {name: set() for name in columns}
    for batch in files.to_batches(columns=list(found)):
        for name, values in found.items():
            column = batch.column(name)
            values.update(pc.unique(column.keys if isinstance(column, pa.MapArray) else column).to_pylist())
    return {name: tuple(sorted(values)) for name, values in found.items()}


def _struct(fields: Mapping[str, pc.Expression]) -> pc.Expression:
    if not fields:
        return pc.scalar(pa.scalar({}, pa.struct([])))
    return pc.make_struct(*fields.values(), field_names=list(fields))


def _in_order(subsets: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(subsets, key=lambda name: (SUBSETS.index(name) if name in SUBSETS else len(SUBSETS), name)))
