"""``nights``: what each night gave and cost, and how far one has come that is not published."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace

import zstandard
from pydantic import JsonValue
from rich.table import Table

from ultralink.commands.terminal import (
    FINE,
    PROBLEM,
    Terminal,
    chosen_languages,
    dollars,
    existing_store,
    many,
    print_json,
    safe,
    store_url,
)
from ultralink.commands.traces import POOL_NAME, State, Trace, all_traces, files, languages, open_batches
from ultralink.stages.edition import PoolStatistics
from ultralink.store import Store
from ultralink.teacher.journal import Journal
from ultralink.teacher.ledger import ledger
from ultralink.teacher.models import load_models


@dataclass(frozen=True)
class Line:
    """A night in figures; None: not known before it is published."""

    language: str
    date: str
    state: State
    samples: int | None
    rejects: int | None
    calls: int
    cost_usd: float | None
    parts: dict[str, int]
    why: str
    batches: int = 0  # open at the provider

    def for_scripts(self) -> JsonValue:
        """As ``--json`` tells it."""
        return {
            "language": self.language,
            "date": self.date,
            "state": self.state.value,
            "samples": self.samples,
            "rejects": self.rejects,
            "calls": self.calls,
            "cost_usd": self.cost_usd,
            "parts": dict(self.parts),
            "why": self.why,
            "open_batches": self.batches,
        }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own options."""
    parser.add_argument("language", nargs="*", help="only these; pool: the editions of the English pool")
    parser.add_argument("--json", action="store_true", help="for scripts")


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """Print all nights; PROBLEM where one, or its journal, is damaged."""
    store = existing_store(store_url(options.store))
    chosen = chosen_languages(options.language, languages(store))
    lines = [replace(_line(store, trace), batches=_batches(store, trace)) for trace in all_traces(store, chosen)]
    if options.json:
        print_json([line.for_scripts() for line in lines])
    else:
        _show(lines, store, terminal)
    return PROBLEM if any(line.why for line in lines) else FINE


def _line(store: Store, trace: Trace) -> Line:
    parts = {name: len(made) for name, made in trace.parts.items()}
    state, told = trace.state, trace.statistics
    why = trace.why if state is State.DAMAGED else ""
    if told is None:
        try:
            calls, cost = _so_far(store, trace)
        except (OSError, ValueError, zstandard.ZstdError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            calls, cost, why = 0, None, why or f"its journal cannot be read: {str(error)[:200]}"
        return Line(trace.language, trace.date, state, None, None, calls, cost, parts, why)
    if isinstance(told, PoolStatistics):
        samples, rejects = sum(told.rows.values()), sum(told.rejects.values())
    else:
        samples, rejects = told.samples, told.rejects
    return Line(trace.language, trace.date, state, samples, rejects, told.calls, told.cost_usd, parts, why)


def _batches(store: Store, trace: Trace) -> int:
    """Batches that tasks of the night wait for, or that nobody has closed."""
    return len(open_batches(files(store, "journal", trace.language, trace.date, "batches")))


def _so_far(store: Store, trace: Trace) -> tuple[int, float | None]:
    """Calls that a night has paid for that has no figures yet, and their cost."""
    journal = Journal.open(store.fs, store.folder("journal", trace.language, trace.date), "nights")
    accounts = ledger(journal.records(), load_models()).to_pylist()
    costs = [account["cost_usd"] for account in accounts]
    return sum(account["paid"] for account in accounts), None if None in costs else sum(costs)


def _show(lines: list[Line], store: Store, terminal: Terminal) -> None:
    table = Table(
        "language", "date", "samples", "rejects", "calls", "cost", "state", title="Nights in " + safe(store.root)
    )
    for column in table.columns[2:6]:
        column.justify = "right"
    for line in lines:
        table.add_row(
            "English pool" if line.language == POOL_NAME else safe(line.language),
            safe(line.date),
            "" if line.samples is None else f"{line.samples:,}",
            "" if line.rejects is None else f"{line.rejects:,}",
            f"{line.calls:,}",
            dollars(line.cost_usd),
            _state(line),
        )
    terminal.print(table)
    for line in lines:
        if line.why:
            terminal.say(f"{line.language} {line.date}: {line.why}", "bold red")
    costs = [line.cost_usd for line in lines]
    samples = sum(line.samples or 0 for line in lines if line.language != POOL_NAME)
    known = sum(cost for cost in costs if cost is not None)
    unknown = f", and {costs.count(None)} of unknown cost" if None in costs else ""
    terminal.say(f"{many(len(lines), 'night')}, {many(samples, 'sample')}, {dollars(known)}{unknown}")


def _state(line: Line) -> str:
    told = [line.state.value]
    if line.state is State.UNFINISHED:
        told = [f"{line.state.value}: {', '.join(f'{count} {safe(name)}' for name, count in line.parts.items())}"]
    if line.batches:
        told.append(f"waiting for {line.batches} {'batch' if line.batches == 1 else 'batches'}")
    return "; ".join(told)
