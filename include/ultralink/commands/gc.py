"""``gc``: remove what nothing refers to any more; without ``--yes`` it only says what that is."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath

from pydantic import JsonValue
from rich.table import Table

from ultralink.commands.terminal import FINE, Terminal, existing_store, many, print_json, safe, size, store_url
from ultralink.commands.traces import (
    POOL_NAME,
    File,
    State,
    Trace,
    files,
    has_open_batch,
    is_at_work,
    languages,
    open_batches,
    stages_of,
    traces,
)
from ultralink.commands.verify import A_DAY, disagreements, temporary_files
from ultralink.release.leftovers import Leftover, prunable, remove
from ultralink.release.shelf import Shelf
from ultralink.schemas import (
    DIALOGUE_REJECTS,
    DIALOGUES,
    DISTINCT_ROWS,
    DUPLICATES,
    ENGLISH_REJECTS,
    ENGLISH_ROWS,
    PASSAGES,
    SCREEN_REJECTS,
    SCREENED_ROWS,
    TRANSLATION_REJECTS,
    TRANSLATIONS,
)
from ultralink.stages.partition import REHEARSALS
from ultralink.store import Store

# What only publish reads. Choices, articles and their rejects stay: later nights look there for what is taken.
_GATHERED = (
    PASSAGES, DIALOGUES, DIALOGUE_REJECTS, *TRANSLATIONS.values(), *TRANSLATION_REJECTS.values(),
)  # fmt: skip
_GATHERED_BY_POOL = (ENGLISH_ROWS, ENGLISH_REJECTS, DISTINCT_ROWS, DUPLICATES, SCREENED_ROWS, SCREEN_REJECTS)

_PARTS_WARNING = (
    "A night whose parts are gone is made anew, from the wiki and the journal, if its tasks are ever cleared; its "
    "publish task alone cannot run again."
)
_JOURNALS_WARNING = (
    "WARNING: journals hold answers that were paid for. Without one, a night that is cleared or made again after a "
    "change pays for every answer anew, and its ledger and cost are lost if it is published again."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own options."""
    parser.add_argument(
        "--parts", type=_days, metavar="DAYS", help="also the parts between the stages of nights published so long ago"
    )
    parser.add_argument(
        "--journals",
        type=_days,
        metavar="DAYS",
        help="also the journals of nights published so long ago: PAID ANSWERS GO",
    )
    parser.add_argument("--yes", action="store_true", help="do it")
    parser.add_argument("--json", action="store_true", help="for scripts")


def _days(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1 day: what is younger may be in use")
    return min(number, 100 * 365)  # before that there is no date to compare with


@dataclass(frozen=True)
class Limits:
    """How many days ago a night must have been published for its parts, or its journal, to go; None: they stay."""

    parts: int | None = None
    journals: int | None = None


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """Print what may go or what went."""
    store = existing_store(store_url(options.store))
    limits = Limits(options.parts, options.journals)
    found = garbage(store, limits)
    gone = [one for one in found if sweep(store, one)] if options.yes else []
    if options.json:
        print_json(_for_scripts(found, gone))
        return FINE
    for told in _open_batches(store):
        terminal.say(told, "yellow")
    if not found:
        terminal.say("Nothing to remove.")
        return FINE
    terminal.print(_table(gone if options.yes else found, "Removed" if options.yes else "To be removed"))
    if limits.parts is not None:
        terminal.say(_PARTS_WARNING, "yellow")
    if limits.journals is not None:
        terminal.say(_JOURNALS_WARNING, "bold red")
    total = size(sum(one.bytes for one in (gone if options.yes else found)))
    if not options.yes:
        terminal.say(f"Nothing was removed: add --yes to remove these {len(found)}, {total}.")
        return FINE
    terminal.say(f"Removed {len(gone)}, {total}.")
    if len(gone) < len(found):
        terminal.say(f"{len(found) - len(gone)} stayed: they were written to meanwhile.", "yellow")
    return FINE


# --- finding --------------------------------------------------------------------------------------


def garbage(store: Store, limits: Limits, now: datetime | None = None) -> list[Leftover]:
    """All that may go; nothing that was written during the last day."""
    moment = now or datetime.now(UTC)
    return [
        *_temporary(store, moment - A_DAY),
        *_rehearsals(store, moment - A_DAY),
        *_dead_runs(store, moment - A_DAY),
        *_of_nights(store, limits, moment),
        *_stray_journals(store, limits, moment),
    ]


def _temporary(store: Store, before: datetime) -> Iterator[Leftover]:
    for file in temporary_files(store):
        if file.written < before:
            yield Leftover(_below(store, file.path), "left by a dead attempt", (file.path,), file.bytes, file.written)


def _rehearsals(store: Store, before: datetime) -> Iterator[Leftover]:
    found = [file for file in files(store, REHEARSALS) if not file.name.endswith(".tmp")]
    done = _leftover(REHEARSALS, "dry runs are over", (store.folder(REHEARSALS),), found)
    if done is not None and done.written < before:
        yield done


def _dead_runs(store: Store, before: datetime) -> Iterator[Leftover]:
    shelf = Shelf(store)
    keep_all = max(1, len(shelf.manifests()))
    yield from (one for one in prunable(shelf, keep_all) if one.written < before)


def _of_nights(store: Store, limits: Limits, now: datetime) -> Iterator[Leftover]:
    if limits.parts is None and limits.journals is None:
        return
    for language in languages(store):
        for trace in traces(store, language):
            if trace.state is State.PUBLISHED and not is_at_work(store, trace, now - A_DAY) and _is_sound(store, trace):
                if limits.parts is not None:
                    yield from _old(_parts(store, trace), trace, now - timedelta(days=limits.parts))
                if limits.journals is not None and language != POOL_NAME:  # later editions read a pool's journal
                    yield from _old(_journal(store, trace), trace, now - timedelta(days=limits.journals))


def _stray_journals(store: Store, limits: Limits, now: datetime) -> Iterator[Leftover]:
    """Journals of nights that have no part at all."""
    if limits.journals is None:
        return
    for folder in store.folders("journal"):
        name = PurePosixPath(folder).name
        if name == POOL_NAME:
            continue
        known = {trace.date for trace in traces(store, name)}
        for path in store.folders("journal", name):
            date = PurePosixPath(path).name
            found = [] if date in known else files(store, "journal", name, date)
            if has_open_batch(found):
                continue
            leftover = _leftover(f"journal of {name} {date}", "PAID ANSWERS of a night without parts", (path,), found)
            if leftover is not None and leftover.written < now - timedelta(days=limits.journals):
                yield leftover


def _open_batches(store: Store) -> Iterator[str]:
    """Of each night with batches at the provider, what becomes of them. Their journals are never removed."""
    counts = Counter(
        tuple(PurePosixPath(_below(store, file.path)).parts[1:3]) for file in open_batches(files(store, "journal"))
    )
    for (language, date), count in sorted(counts.items()):
        yield (
            f"{safe(language)} {safe(date)}: {many(count, 'batch file')} open at the provider. Tasks that wait "
            "for them take them in; what none waits for, the night's publish task closes: clear it if it has run."
        )


def _is_sound(store: Store, trace: Trace) -> bool:
    """What a night was made of is all that it could be made of again, should the published parts be damaged."""
    try:
        return not list(disagreements(store, trace))
    except Exception:  # whatever is wrong with it, it keeps what it was made of
        return False


def _old(leftover: Leftover | None, trace: Trace, before: datetime) -> Iterator[Leftover]:
    if leftover is not None and max(leftover.written, trace.written) < before:
        yield leftover


def _parts(store: Store, trace: Trace) -> Leftover | None:
    _, code = stages_of(trace.language)
    stages = _GATHERED_BY_POOL if trace.language == POOL_NAME else _GATHERED
    there = [stage for stage in stages if trace.parts.get(stage.name)]
    folders = tuple(store.folder(stage.name, code, trace.date) for stage in there)
    found = [file for stage in there for file in files(store, stage.name, code, trace.date)]
    return _leftover(f"parts of {trace.language} {trace.date}", "their rows are published", folders, found)


def _journal(store: Store, trace: Trace) -> Leftover | None:
    folder = store.folder("journal", trace.language, trace.date)
    found = files(store, "journal", trace.language, trace.date)
    return _leftover(f"journal of {trace.language} {trace.date}", "PAID ANSWERS of a published night", (folder,), found)


def _leftover(what: str, why: str, paths: tuple[str, ...], found: Iterable[File]) -> Leftover | None:
    there = list(found)
    if not there:
        return None
    written = max(file.written for file in there)
    return Leftover(what, why, paths, sum(file.bytes for file in there), written)


def _below(store: Store, path: str) -> str:
    return path.removeprefix(f"{store.root}/")


# --- removing and showing ---------------------------------------------------------------------------


def sweep(store: Store, leftover: Leftover) -> bool:
    """Remove it, unless it was written to since it was found. Raises StoreReadOnly."""
    for path in leftover.paths:
        if any(file.written > leftover.written for file in files(store, _below(store, path))):
            return False
    remove(Shelf(store), leftover)
    return True


def _for_scripts(found: list[Leftover], gone: list[Leftover]) -> JsonValue:
    return [
        {
            "what": one.what,
            "why": one.why,
            "paths": list(one.paths),
            "bytes": one.bytes,
            "written": one.written.isoformat(),
            "removed": one in gone,
        }
        for one in found
    ]


def _table(found: list[Leftover], title: str) -> Table:
    table = Table("what", "why it may go", "last written", "size", title=title)
    for one in found:
        table.add_row(safe(one.what), one.why, f"{one.written:%Y-%m-%d %H:%M}", size(one.bytes))
    return table
