"""The demo: the pool and one night of one language on a real Airflow, followed to their end and shown."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ultralink.local.processes import LocalError
from ultralink.local.rest import AirflowApi
from ultralink.local.settings import LocalSettings
from ultralink.recipe import configured_languages
from ultralink.release.shelf import Shelf
from ultralink.schemas import SAMPLES, SampleRow
from ultralink.stages.edition import PoolStatistics, complete_editions, read_pool_statistics
from ultralink.stages.statistics import Statistics, read_statistics
from ultralink.store import Store

_POLL_S = 1.0
_REGISTER_TIMEOUT_S = 90
_LOG_LINES = 12
_IN_ORDER = (
    "read", "distinct", "screen",
    "select", "extract", "calibrate", "generate", "choose", "chat", "math", "code",
    "plan", "measure", "exact", "near", "decontaminate", "split", "export", "card", "publish", "push",
)  # fmt: skip


_NOT_BEGUN = {"waiting", "scheduled", "queued"}


@dataclass(frozen=True)
class Following:
    """A Dag of a running Airflow, run for one partition date and followed to its end."""

    api: AirflowApi
    settings: LocalSettings
    console: Console
    dag_id: str
    date: str

    def run(self, **params: object) -> str:
        """Trigger the Dag, wait for it with progress, return the run's id. Raises LocalError if it fails."""
        self._wait_for_dag()
        self.api.pause(self.dag_id, paused=False)
        try:
            run_id = self.api.trigger(self.dag_id, self.date, params)
            self.console.print(f"Run [bold]{run_id}[/] of [bold]{self.dag_id}[/], partition {self.date}")
            state = self._follow(run_id)
        finally:
            self.api.pause(self.dag_id, paused=True)  # a later `make up` must not start spending by itself
        if state != "success":
            raise LocalError(self._failure(run_id))
        return run_id

    def _wait_for_dag(self) -> None:
        deadline = time.monotonic() + _REGISTER_TIMEOUT_S
        while not self.api.has_dag(self.dag_id):
            if time.monotonic() > deadline:
                errors = "\n".join(self.api.import_errors()) or "no import error"
                raise LocalError(f"Airflow has no Dag {self.dag_id}. Import errors:\n{errors}")
            time.sleep(_POLL_S)

    def _follow(self, run_id: str) -> str:
        """Print a line whenever a task changes, until the run ends. Returns the run's final state."""
        started = time.monotonic()
        shown: dict[str, str] = {}
        while True:
            state = self.api.run_state(self.dag_id, run_id)
            now = self._progress(run_id)
            if news := [f"{name} {how}" for name, how in now.items() if shown.get(name) != how]:
                self.console.print(f"  {time.monotonic() - started:5.0f} s  {', '.join(news)}", highlight=False)
            shown = now
            if state in {"success", "failed"}:
                return state
            time.sleep(_POLL_S)

    def _progress(self, run_id: str) -> dict[str, str]:
        """How far each task that has begun is."""
        states: dict[str, Counter[str]] = {}
        for task in self.api.tasks(self.dag_id, run_id):
            states.setdefault(task.task_id.rpartition(".")[2], Counter())[task.state] += 1
        begun = (name for name in _IN_ORDER if name in states and set(states[name]) - _NOT_BEGUN)
        return {name: _summary(states[name]) for name in begun}

    def _failure(self, run_id: str) -> str:
        failed = [task for task in self.api.tasks(self.dag_id, run_id) if task.state == "failed"]
        if not failed:
            return f"The run {run_id} failed."
        first = failed[0]
        task = f"dag_id={self.dag_id}/run_id={run_id}/task_id={first.task_id}"
        logs = (self.settings.home / "logs").glob(f"{task}/**/attempt={first.try_number}.log")
        log = next(iter(sorted(logs)), None)
        tail = "" if log is None else f"\nIts log, {log}, ends with:\n{_tail(log)}"
        return f"{len(failed)} tasks failed, first {first.task_id}[{first.map_index}].{tail}"


def show(settings: LocalSettings, console: Console, language: str, date: str, run_id: str) -> None:
    """Print the night's figures, a sample of each subset, and where the Parquet files are."""
    store = Store.at(settings.store)
    pool = complete_editions(store)
    statistics = read_statistics(store, language, date)
    if statistics is None:
        raise LocalError("The run ended well, but published nothing: see the log of its publish task.")
    if edition := read_pool_statistics(store, pool[-1]) if pool else None:
        console.print(_pool_table(edition))
    console.print(_table(statistics, _paid(statistics, run_id)))
    _print_samples(console, store, statistics)
    console.print("\n[bold]Parquet files[/]")
    for stage, path in statistics.outputs.items():
        console.print(f"  {stage:<18}{path}", soft_wrap=True, highlight=False)


def show_release(settings: LocalSettings, console: Console) -> None:
    """Print the newest release's figures, and where its card is."""
    shelf = Shelf(Store.at(settings.store))
    release = shelf.manifest("latest")
    table = Table(title=f"release {release.version}", title_justify="left")
    for name in ("subset", "train", "validation"):
        table.add_column(name, justify="left" if name == "subset" else "right")
    for one in release.configurations:
        table.add_row(f"{one.language}_{one.subset}", f"{one.train:,}", f"{one.validation:,}")
    console.print(table)
    removed = ", ".join(f"{count:,} {stage}" for stage, count in release.removed.items() if count)
    console.print(f"Left out: {removed or 'nothing'}", highlight=False)
    path = shelf.path(release.version)
    console.print(f"\n[bold]Release[/] {path}\n[bold]Card[/]    {path}/README.md", soft_wrap=True, highlight=False)


def released_languages(settings: LocalSettings) -> list[str]:
    """The languages that have a published night."""
    store = Store.at(settings.store)
    return [language for language in configured_languages() if store.dates(SAMPLES, language)]


def _summary(states: Counter[str]) -> str:
    others = [
        f"{states[state]} {state}" for state in sorted(states) if state not in _NOT_BEGUN | {"success", "running"}
    ]
    return f"{states['success']}/{states.total()}" + (f" ({', '.join(others)})" if others else "")


def _tail(log: Path) -> str:
    """The last events of a task log, which Airflow keeps as JSON lines."""
    lines = []
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if event.get("level") in {"error", "critical", "warning"}:
            lines.append(str(event.get("event")))
    return "\n".join(lines[-_LOG_LINES:])


@dataclass(frozen=True)
class Paid:
    """What one run paid for, out of all that the night's answers cost."""

    calls: int
    cost_usd: float


def _paid(statistics: Statistics, run_id: str) -> Paid:
    ledger = pd.read_parquet(statistics.outputs["ledger"])
    mine = ledger[ledger["run"] == run_id]
    return Paid(int(mine["paid"].sum()), float(mine["cost_usd"].sum()))


def _pool_table(edition: PoolStatistics) -> Table:
    table = Table(title=f"English pool · {edition.date}", show_header=False, title_justify="left")
    table.add_column("what", style="bold")
    table.add_column("figure", justify="right")
    for kind, rows in edition.rows.items():
        table.add_row(kind.value, f"{rows:,} rows, {edition.clusters[kind]:,} clusters")
    table.add_section()
    for reason, count in edition.rejects.items():
        table.add_row(f"  reject: {reason}", f"{count:,}", style="dim")
    return table


def _table(statistics: Statistics, paid: Paid) -> Table:
    offline = any("not an LLM" in model for model in statistics.models)
    table = Table(title=f"{statistics.language} · {statistics.date}", show_header=False, title_justify="left")
    table.add_column("what", style="bold")
    table.add_column("figure", justify="right")
    table.add_row("articles", f"{statistics.articles:,}")
    table.add_row("passages", f"{statistics.passages:,}")
    for name, subset in statistics.subsets.items():
        table.add_section()
        table.add_row(name, f"[bold]{subset.samples:,}[/] samples, {subset.turns:,} turns")
        for reason, count in subset.rejects.items():
            table.add_row(f"  reject: {reason}", f"{count:,}", style="dim")
    table.add_section()
    table.add_row("teacher", ", ".join(statistics.models))
    table.add_row("calls", f"{statistics.calls:,}")
    table.add_row("prompt tokens", f"{statistics.prompt_tokens:,}")
    table.add_row("  of them cached", f"{statistics.cached_tokens:,}")
    table.add_row("completion tokens", f"{statistics.completion_tokens:,}")
    cost = "unknown" if statistics.cost_usd is None else f"${statistics.cost_usd:.4f}"
    table.add_row("cost", cost + (" (offline: free)" if offline else ""))
    table.add_row("paid in this run", f"{paid.calls:,} calls, ${paid.cost_usd:.4f}")
    return table


def _print_samples(console: Console, store: Store, statistics: Statistics) -> None:
    """The first sample of each subset."""
    shown: set[str] = set()
    for row in store.part(SAMPLES, statistics.language, statistics.date).rows():
        sample = cast(SampleRow, row)
        if sample["subset"] not in shown:
            shown.add(sample["subset"])
            _print_sample(console, sample)


def _print_sample(console: Console, sample: SampleRow) -> None:
    source, teacher = sample["source"], sample["teacher"]
    origin = (
        f"from «{escape(source['title'] or '')}», revision {source['revision_id']}"
        if source["kind"] == "wikipedia"
        else f"from English row {source['row_id']}"
    )
    console.print(
        f"\n[bold]{sample['id']}[/]  {origin}, {source['licence']}\n[dim]{escape(source['url'])}[/]",
        highlight=False,
        soft_wrap=True,
    )
    answering = teacher["model"] if teacher else "answer"
    for message in sample["messages"]:
        speaker, style = ("question", "bold cyan") if message["role"] == "user" else (answering, "bold green")
        console.print(f"[{style}]{escape(speaker)}[/]", highlight=False)
        console.print(Padding(Text(message["content"], overflow="fold"), (0, 0, 1, 2)))
