"""``verify``: whether a store is as its stages wrote it, and what lies in it that belongs to nothing."""

from __future__ import annotations

import argparse
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import accumulate
from pathlib import PurePosixPath

import pyarrow as pa
import zstandard
from pydantic import JsonValue

from ultralink.commands.terminal import (
    FINE,
    PROBLEM,
    Terminal,
    chosen_languages,
    existing_store,
    many,
    print_json,
    progress,
    store_url,
)
from ultralink.commands.traces import (
    File,
    State,
    Trace,
    files,
    has_open_batch,
    is_at_work,
    is_being_published,
    languages,
    stages_of,
    traces,
)
from ultralink.errors import PartMissing, ReleaseMissing, SchemaMismatch, UltraLinkError
from ultralink.release.shelf import Shelf
from ultralink.schemas import ARTICLES, LEDGER, PASSAGES, POOL, POOL_LEDGER, POOL_REJECTS, REJECTS, SAMPLES, Stage
from ultralink.stages.edition import SHARD_OF, PoolStatistics
from ultralink.stages.statistics import Statistics
from ultralink.store import Part, Row, Stamp, Store, row_bytes
from ultralink.teacher.journal import Journal

A_DAY = timedelta(days=1)  # what is younger may be the work of a run


class What(StrEnum):
    """What kind of finding it is."""

    DAMAGE = "damage"  # a part, a release or a journal cannot be read, or is not what was written
    SCHEMA = "schema"  # a part of another version of this software
    STATISTICS = "statistics"  # figures that do not agree with the parts
    ORPHAN = "orphan"  # belongs to nothing that is finished, and nobody works on it


@dataclass(frozen=True)
class Problem:
    """One finding."""

    what: What
    where: str
    why: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own options."""
    parser.add_argument("language", nargs="*", help="only the nights of these; default: all, journals and releases too")
    parser.add_argument("--quick", action="store_true", help="read no content: schemas, stamps and statistics alone")
    parser.add_argument("--json", action="store_true", help="for scripts")


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """Print all problems; PROBLEM where there is one."""
    store = existing_store(store_url(options.store))
    check = Verification(store, is_quick=options.quick)
    found = list(check.problems(options.language))
    if options.json:
        listed: list[JsonValue] = [asdict(each) for each in found]
        print_json({"parts": check.parts, "rows": check.rows, "releases": check.releases, "problems": listed})
        return PROBLEM if found else FINE
    for each in found:
        terminal.say(f"{each.what.upper()}  {each.where}: {each.why}", "bold red")
    read = f"{many(check.parts, 'part')} with {many(check.rows, 'row')}, {many(check.releases, 'release')}"
    terminal.say(f"{read}: {many(len(found), 'problem')}")
    return PROBLEM if found else FINE


class Verification:
    """Looks through a store and counts what it has seen."""

    def __init__(self, store: Store, *, is_quick: bool = False, now: datetime | None = None) -> None:
        self._store, self._is_quick = store, is_quick
        self._before = (now or datetime.now(UTC)) - A_DAY
        self.parts = self.rows = self.releases = 0

    def problems(self, chosen: list[str]) -> Iterator[Problem]:
        """All that is wrong, of some languages or of the whole store. Raises PartMissing for an unknown language."""
        there = languages(self._store)
        for language in chosen_languages(chosen, there):
            progress(f"Looking at {language} ...")
            yield from self._parts(language)
            for trace in traces(self._store, language):
                yield from self._night(trace)
            yield from self._journals(language)
        if not chosen:
            yield from self._leftovers()
            yield from self._releases()

    # --- parts ------------------------------------------------------------------------------------

    def _parts(self, language: str) -> Iterator[Problem]:
        """Every part of the language, or of the pool."""
        stages, code = stages_of(language)
        for stage in stages:
            for file in files(self._store, stage.name, code):
                if file.name.endswith(".parquet") and not file.name.startswith("."):
                    yield from self._part(Part(self._store, stage, file.path))

    def _part(self, part: Part) -> Iterator[Problem]:
        self.parts += 1
        try:
            stamp = part.stamp()
            with part.reading() as file:
                if not file.schema_arrow.equals(_expected(part.stage, file.schema_arrow)):
                    yield Problem(What.SCHEMA, part.path, f"its columns are not those of {part.stage.name!r}")
                    return
            while stamp and not self._is_quick and not content_is(part, stamp):
                if stamp == (again := part.stamp()):
                    why = "its rows are not those that were written: the digest differs"
                    yield Problem(What.DAMAGE, part.path, why)
                    break
                stamp = again  # a run has made it anew meanwhile
            self.rows += stamp.rows if stamp else 0
        except PartMissing:  # gone since it was listed
            return
        except SchemaMismatch as error:
            is_parquet = "not a complete Parquet" not in str(error)
            yield Problem(What.SCHEMA if is_parquet else What.DAMAGE, part.path, _without(part.path, error))
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            yield Problem(What.DAMAGE, part.path, _unreadable(error))

    # --- nights -----------------------------------------------------------------------------------

    def _night(self, trace: Trace) -> Iterator[Problem]:
        """What is wrong with a night, and stays so: a run may publish it at this moment."""
        found = list(self._found(trace))
        while found and not is_being_published(self._store, trace, self._before):
            again = next((one for one in traces(self._store, trace.language) if one.date == trace.date), trace)
            if again == trace:
                yield from found
                return
            trace = again
            found = list(self._found(trace))

    def _found(self, trace: Trace) -> Iterator[Problem]:
        where = f"{trace.language} {trace.date}"
        if trace.state is State.DAMAGED:
            yield Problem(What.STATISTICS, where, trace.why)
        elif trace.state is State.UNFINISHED:
            if trace.written >= self._before or is_at_work(self._store, trace, self._before):
                return
            made = ", ".join(trace.parts)
            why = f"parts of a night that was never published, the last of {trace.written:%Y-%m-%d %H:%M}: {made}"
            yield Problem(What.ORPHAN, where, why)
        elif trace.statistics is not None:
            try:
                for why in disagreements(self._store, trace):
                    yield Problem(What.STATISTICS, where, why)
            except (SchemaMismatch, PartMissing, pa.ArrowException, OSError, ValueError) as error:
                if isinstance(error, OSError) and error.errno is not None:
                    raise
                yield Problem(What.STATISTICS, where, f"cannot be compared: {str(error)[:200]}")

    def _journals(self, language: str) -> Iterator[Problem]:
        for folder in self._store.folders("journal", language):
            try:
                if not self._is_quick:
                    for _ in Journal.open(self._store.fs, folder, "verify").records():
                        pass
            except (OSError, ValueError, zstandard.ZstdError) as error:
                if isinstance(error, OSError) and error.errno is not None:
                    raise
                yield Problem(What.DAMAGE, folder, f"cannot be read: {str(error)[:200]}")

    # --- all else ---------------------------------------------------------------------------------

    def _leftovers(self) -> Iterator[Problem]:
        for file in temporary_files(self._store):
            if file.written < self._before:
                yield Problem(What.ORPHAN, file.path, f"left by a dead attempt on {file.written:%Y-%m-%d %H:%M}")
        for folder in self._store.folders("journal"):
            name = PurePosixPath(folder).name
            known = {trace.date for trace in traces(self._store, name)}
            for journal in self._store.folders("journal", name):
                date = PurePosixPath(journal).name
                answers = files(self._store, "journal", name, date)
                young = has_open_batch(answers) or any(file.written >= self._before for file in answers)
                if date not in known and not young:
                    yield Problem(What.ORPHAN, journal, "paid answers of a night that has no part")

    def _releases(self) -> Iterator[Problem]:
        shelf = Shelf(self._store)
        for version in shelf.versions():
            progress(f"Looking at release {version} ...")
            self.releases += 1
            try:
                if self._is_quick:
                    shelf.manifest(version)
                    continue
                for damage in shelf.verify(version):
                    yield Problem(What.DAMAGE, f"{shelf.path(version)}/{damage.path}", damage.what)
            except ReleaseMissing as error:
                yield Problem(What.DAMAGE, shelf.path(version), str(error))


def _expected(stage: Stage, found: pa.Schema) -> pa.Schema:
    """The stage's schema without the columns that were added after a part of the schema ``found`` was written."""
    return pa.schema([field for field in stage.schema if field.name in found.names or field.name not in stage.added])


def _unreadable(error: Exception) -> str:
    return f"cannot be read: {str(error)[:200]}; run its task again with rebuild"


def _without(path: str, error: UltraLinkError) -> str:
    return str(error).removeprefix(f"{path}: ")


def temporary_files(store: Store) -> list[File]:
    """What attempts have written aside, of live ones too."""
    return [file for file in files(store) if file.name.startswith(".") and file.name.endswith(".tmp")]


# --- content ----------------------------------------------------------------------------------------

# A digest is of the rows as a stage gave them. A file tells no longer whether a null was given or left out, or whether
# a map was given as one, so a part is sound if its rows have the digest in any of the forms that stages give.
_ARTICLE = frozenset({"page_id", "revision_id", "title", "fetched", "categories", "passage_id", "passage_start",
                      "passage_end", "passage"})  # fmt: skip
_ROW = frozenset({"dataset", "row_id", "row", "type", "english"})
_LEFT_OUT = {"wikipedia": _ROW, "english": _ARTICLE}


def _as_read(row: Row) -> Row:
    return row


def _without_nulls(row: Row) -> Row:
    """Nulls within a column's value left out, the columns themselves not."""
    return {name: _pruned(value) for name, value in row.items()}


def _pruned(value: object) -> object:
    if isinstance(value, dict):
        return {name: _pruned(each) for name, each in value.items() if each is not None}
    if isinstance(value, list):
        return [_pruned(each) for each in value]
    return value


def _by_kind(row: Row) -> Row:
    """Of the source, what belongs to another kind left out."""
    source = row.get("source")
    if not isinstance(source, dict):
        return row
    left_out = _LEFT_OUT.get(str(source.get("kind")), frozenset())
    return {**row, "source": {name: value for name, value in source.items() if name not in left_out}}


_FORMS: tuple[Callable[[Row], Row], ...] = (_as_read, _without_nulls, _by_kind)


def content_is(part: Part, stamp: Stamp) -> bool:
    """Whether the part's rows have the digest of ``stamp``. Memory: a batch of rows."""
    maps = [field.name for field in part.stage.schema if pa.types.is_map(field.type)]
    for has_maps in (False, True) if maps else (False,):
        for form in _FORMS:
            digest = hashlib.blake2b(digest_size=16)
            for row in part.rows():
                shaped = {**row, **{name: dict(row[name] or ()) for name in maps}} if has_maps else row  # type: ignore[call-overload]
                digest.update(row_bytes(form(shaped), part.stage))
            if digest.hexdigest() == stamp.digest:
                return True
    return False


# --- statistics -------------------------------------------------------------------------------------


def disagreements(store: Store, trace: Trace) -> Iterator[str]:
    """Where the statistics say something else than the parts."""
    if isinstance(trace.statistics, PoolStatistics):
        yield from _of_pool(store, trace.statistics)
    elif trace.statistics is not None:
        yield from _of_night(store, trace, trace.statistics)


def _of_night(store: Store, trace: Trace, told: Statistics) -> Iterator[str]:
    if (told.language, told.date) != (trace.language, trace.date):
        yield f"they are those of {told.language} {told.date}"
        return
    samples, turns = Counter[str](), Counter[str]()
    part = store.part(SAMPLES, told.language, told.date)
    for batch in part.batches(["subset", "messages"]):
        lengths = batch.column("messages").value_lengths().to_pylist()
        for subset, length in zip(batch.column("subset").to_pylist(), lengths, strict=True):
            samples[subset] += 1
            turns[subset] += length // 2
    rejects = Counter(str(row["subset"]) for row in store.part(REJECTS, told.language, told.date).rows(["subset"]))
    for name in dict.fromkeys((*told.subsets, *sorted(samples), *sorted(rejects))):
        subset = told.subsets.get(name)
        said = (subset.samples, subset.turns, sum(subset.rejects.values())) if subset else (0, 0, 0)
        for what, number, found in zip(
            ("samples", "turns", "rejects"), said, (samples[name], turns[name], rejects[name]), strict=True
        ):
            yield from _differs(f"{what} of {name}", number, found)
    for what, stage, number in (("articles", ARTICLES, told.articles), ("passages", PASSAGES, told.passages)):
        if trace.state is State.PUBLISHED and trace.parts.get(stage.name):
            sums = accumulate(_count(each) for each in store.parts(stage, told.language, told.date))
            # A run with fewer shards than an earlier one leaves the parts of the others behind.
            so_far = list(sums)
            yield from _differs(what, number, number if number in so_far else so_far[-1])
    yield from _of_ledger(store.part(LEDGER, told.language, told.date), told)


def _of_pool(store: Store, told: PoolStatistics) -> Iterator[str]:
    for kind, number in told.rows.items():
        yield from _differs(f"{kind} rows", number, _count(store.part(POOL, "en", told.date, SHARD_OF[kind])))
    yield from _differs("rejects", sum(told.rejects.values()), _count(store.part(POOL_REJECTS, "en", told.date)))
    yield from _of_ledger(store.part(POOL_LEDGER, "en", told.date), told)


def _of_ledger(bill: Part, told: Statistics | PoolStatistics) -> Iterator[str]:
    sums: Counter[str] = Counter()
    columns = {"paid": told.calls, "prompt_tokens": told.prompt_tokens, "cached_tokens": told.cached_tokens,
               "completion_tokens": told.completion_tokens}  # fmt: skip
    for row in bill.rows(list(columns)):
        sums.update({name: int(str(value)) for name, value in row.items()})
    for name, number in columns.items():
        yield from _differs(f"{name} of the ledger", number, sums[name])


def _count(part: Part) -> int:
    stamp = part.stamp()
    return stamp.rows if stamp else 0


def _differs(what: str, told: int, found: int) -> Iterator[str]:
    if told != found:
        yield f"{what}: the statistics say {told:,}, the parts have {found:,}"
