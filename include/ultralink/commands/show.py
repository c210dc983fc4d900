"""``show``: one sample or reject as a conversation: by id, by number, or drawn."""

from __future__ import annotations

import argparse
import random
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow.compute as pc

from ultralink.commands.terminal import (
    FINE,
    Terminal,
    chosen_languages,
    existing_store,
    print_json,
    progress,
    store_url,
    words,
)
from ultralink.commands.traces import POOL_NAME, languages
from ultralink.dataset import Reject, Sample
from ultralink.errors import RowMissing
from ultralink.insight.browse import Place, RowKind, nights, read_row
from ultralink.release.recipe import SUBSETS
from ultralink.store import Store

_ID = re.compile(rf"(?P<language>[a-z]{{2,3}}(?:-[a-z0-9]+)*?)-(?P<subset>article|{'|'.join(SUBSETS)})-.+")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own options."""
    parser.add_argument("what", type=words, help="id of a sample or reject, or a language")
    parser.add_argument("--date", help="partition date of the night; default: any, the newest first")
    parser.add_argument("--number", type=int, help="row of that night's part, from 0; default: one is drawn")
    parser.add_argument("--seed", type=int, help="the same seed draws the same row")
    parser.add_argument("--subset", choices=SUBSETS, help="draw one of these")
    parser.add_argument("--rejects", action="store_true", help="of the rows that were turned away")
    parser.add_argument("--json", action="store_true", help="for scripts")


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """Print the row. Raises RowMissing."""
    store = existing_store(store_url(options.store))
    row = _asked_for(store, options)
    if options.json:
        print_json(row.model_dump(mode="json"))
    else:
        row.show()
    return FINE


def _asked_for(store: Store, options: argparse.Namespace) -> Sample | Reject:
    kind = RowKind.REJECTS if options.rejects else RowKind.SAMPLES
    if "-" in options.what and (found := _ID.fullmatch(options.what)):
        kinds = [kind] if options.rejects else list(RowKind)
        for place in places(store, found["language"], options.what, kinds, options.date):
            return place.read(store)
        raise RowMissing(
            f"no {' and no '.join(kinds)} of {found['language']!r} has the id {options.what!r}{_on(options)}"
        )
    there = [language for language in languages(store) if language != POOL_NAME]
    (language,) = chosen_languages([options.what], there)
    dates = [date for date in nights(store, language, kind) if options.date in (None, date)]
    if not dates:
        raise RowMissing(f"no {kind} of {language!r}{_on(options)}")
    if options.number is None:
        return _drawn(store, language, kind, dates, options)
    if not 0 <= options.number < 10**9:
        raise RowMissing(f"--number {options.number}: rows are counted from 0, and no night has so many")
    return read_row(store, language, kind, Place(dates[0], options.number))


def _on(options: argparse.Namespace) -> str:
    return f" on {options.date}" if options.date else ""


def _drawn(
    store: Store, language: str, kind: RowKind, dates: list[str], options: argparse.Namespace
) -> Sample | Reject:
    seed = secrets.randbelow(10**6) if options.seed is None else options.seed
    if options.seed is None:
        progress(f"--seed {seed} shows this row again")
    numbers = [(date, _numbers(store, language, kind, date, options.subset)) for date in sorted(dates)]
    total = sum(len(rows) for _, rows in numbers)
    if not total:
        raise RowMissing(f"no {kind} of {language!r}{f' in {options.subset}' if options.subset else ''}{_on(options)}")
    at = random.Random(seed).randrange(total)
    for date, rows in numbers:
        if at < len(rows):
            return read_row(store, language, kind, Place(date, rows[at]))
        at -= len(rows)
    raise AssertionError("the number lies within the total")


def _numbers(store: Store, language: str, kind: RowKind, date: str, subset: str | None) -> range | list[int]:
    part = store.part(kind.stage, language, date)
    if subset is None:
        stamp = part.stamp()
        return range(stamp.rows if stamp else 0)
    found: list[int] = []
    start = 0
    for batch in part.batches(["subset"]):
        found += [start + at for at, name in enumerate(batch.column("subset").to_pylist()) if name == subset]
        start += len(batch)
    return found


# --- finding by id ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """Where a row is."""

    language: str
    kind: RowKind
    place: Place

    def read(self, store: Store) -> Sample | Reject:
        """The row itself."""
        return read_row(store, self.language, self.kind, self.place)


def language_of(row_id: str) -> str | None:
    """The language in the id of a sample or reject; None: an id of another kind."""
    found = _ID.fullmatch(row_id)
    return found["language"] if found else None


def places(
    store: Store, language: str, row_id: str, kinds: list[RowKind], date: str | None = None, *, turns: bool = False
) -> Iterator[Found]:
    """Where rows have this id, the newest night first; only ids are read.

    ``turns``: also the rejects that are single turns of the dialogue of this id.
    """
    pattern = f"^{re.escape(row_id)}{'(-turn[0-9]+)?' if turns else ''}$"
    for kind in kinds:
        for night in nights(store, language, kind):
            if date in (None, night):
                for number in _with_id(store, language, kind, night, pattern):
                    yield Found(language, kind, Place(night, number))


def _with_id(store: Store, language: str, kind: RowKind, date: str, pattern: str) -> Iterator[int]:
    start = 0
    for batch in store.part(kind.stage, language, date).batches(["id"]):
        hits = pc.indices_nonzero(pc.match_substring_regex(batch.column("id"), pattern))
        yield from (start + int(at) for at in hits.to_pylist())
        start += len(batch)
