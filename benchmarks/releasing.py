"""The release benchmark: a made-up store of the paper's size released on two cores, with time, memory and recall.

    python benchmarks/releasing.py                 # 100,000 rows, then 1,032,000; prints Markdown
    python benchmarks/releasing.py --rows 100000   # a smaller one alone
    python benchmarks/releasing.py --work /tmp/made-up --keep   # reuses what an earlier run made

Every task is a process of its own, two at a time, as an orchestrator runs them. Making the store is outside of the
times. Ends with 1 where a bound is broken: 30 minutes, 4 GiB, 95% of the near duplicates at each planted similarity,
all exact ones, and fewer than 0.1% of the rows taken for near duplicates without being any.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.lexicon import LANGUAGES
from benchmarks.measuring import Cost, run_tasks
from benchmarks.nights import VERSION as MADE_BY
from benchmarks.planted import PAPER_ROWS, Kind
from benchmarks.synthetic import World, layout, synthesise

from ultralink.release.recipe import SUBSETS, Decontamination, EvaluationSet, Format, ReleaseRecipe
from ultralink.schemas import LEDGER, REJECTS, SAMPLES
from ultralink.stages.assembly import Assembly
from ultralink.stages.partition import Built
from ultralink.store import Store

PROCESSES, SHARDS = 2, 4
SMALL = 100_000
VERSION = "benchmark"
MADE_UP = {SAMPLES.name, REJECTS.name, LEDGER.name, "statistics"}  # folders of a store that no release has touched
DISK_PER_ROW = 16_000  # bytes: the store, the parts of a release in the making, and the release in all formats

MOST_SECONDS, MOST_BYTES = 30 * 60, 4 << 30
LEAST_RECALL, MOST_FALSE = 0.95, 0.001

Task = Callable[[], object]


@dataclass(frozen=True)
class Step:
    """A stage of the pipeline and its tasks."""

    name: str
    tasks: tuple[Task, ...]


def assembly(store: Path, sets: list[EvaluationSet]) -> Assembly:
    """The run."""
    recipe = ReleaseRecipe(shards=SHARDS, decontamination=Decontamination(sets=sets))
    return Assembly(
        store=Store.at(str(store)),
        run_id=VERSION,
        shards=SHARDS,
        recipe=recipe,
        languages=LANGUAGES,
        formats=tuple(Format),
        version=VERSION,
    )


def steps(world: World) -> list[Step]:
    """The pipeline, in order."""
    # Imported here, so that a task's process, which begins with this module, imports its own stage alone.
    from ultralink.stages.release_card import write_card
    from ultralink.stages.release_decontaminate import decontaminate
    from ultralink.stages.release_exact import drop_exact
    from ultralink.stages.release_export import export
    from ultralink.stages.release_features import measure_samples
    from ultralink.stages.release_near import drop_near
    from ultralink.stages.release_plan import plan_release
    from ultralink.stages.release_publish import publish_release
    from ultralink.stages.release_split import split_rows

    def once(stage: Callable[[Assembly], object]) -> tuple[Task, ...]:
        return (partial(_alone, stage, world.store, world.sets),)

    def mapped(stage: Callable[[Assembly, int], Built], times: int) -> tuple[Task, ...]:
        return tuple(partial(_nth, stage, world.store, world.sets, number) for number in range(times))

    return [
        Step("plan", once(plan_release)),
        Step("measure", mapped(measure_samples, SHARDS)),
        Step("exact", once(drop_exact)),
        Step("near", once(drop_near)),
        Step("decontaminate", mapped(decontaminate, SHARDS)),
        Step("split", once(split_rows)),
        Step("export", mapped(export, len(LANGUAGES) * len(SUBSETS))),
        Step("card", once(write_card)),
        Step("publish", once(publish_release)),
    ]


def _alone(stage: Callable[[Assembly], object], store: Path, sets: list[EvaluationSet]) -> None:
    stage(assembly(store, sets))


def _nth(stage: Callable[[Assembly, int], Built], store: Path, sets: list[EvaluationSet], number: int) -> None:
    stage(assembly(store, sets), number)


# --- what was found -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """Of the planted rows, how many were taken out by the stage that has to; and what else was taken out."""

    planted: Counter[tuple[str, float]]  # by kind and planted similarity
    found: Counter[tuple[str, float]]
    has_to_stay: set[str]  # kinds
    removed: Counter[str]  # by stage
    unplanted: Counter[str]  # by stage, rows that it had no reason to take out


def found_in(release: Path, truth: pa.Table) -> Found:
    """Compare a release's list of removed rows with what was planted."""
    removed = pq.read_table(release / "provenance/removed.parquet", columns=["language", "date", "row", "stage"])
    stage_of = {(row["language"], row["date"], row["row"]): row["stage"] for row in removed.to_pylist()}
    planted: Counter[tuple[str, float]] = Counter()
    found: Counter[tuple[str, float]] = Counter()
    reasons: dict[tuple[str, str, int], str | None] = {}
    for row in truth.to_pylist():
        place, key = (row["language"], row["date"], row["row"]), (row["kind"], row["planted"])
        reasons[place] = row["stage"]
        planted[key] += 1
        found[key] += place in stage_of and row["stage"] in (None, stage_of[place])
    return Found(
        planted,
        found,
        {row["kind"] for row in truth.to_pylist() if row["stage"] is None},
        Counter(stage_of.values()),
        Counter(stage for place, stage in stage_of.items() if reasons.get(place) != stage),
    )


# --- a run --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """A store that was released."""

    rows: int
    costs: dict[str, Cost]  # by stage
    found: Found
    store_bytes: int
    release_bytes: int

    @property
    def seconds(self) -> float:
        """Of all stages."""
        return sum(cost.seconds for cost in self.costs.values())

    @property
    def cpu_s(self) -> float:
        """Of all stages."""
        return sum(cost.cpu_s for cost in self.costs.values())

    @property
    def peak(self) -> int:
        """Bytes, of the stage that needs most."""
        return max(cost.peak for cost in self.costs.values())

    def broken(self) -> Iterator[str]:
        """The bounds that do not hold."""
        if self.seconds > MOST_SECONDS:
            yield f"{self.seconds:,.0f} s are more than {MOST_SECONDS:,}"
        if self.peak > MOST_BYTES:
            yield f"{self.peak / 2**20:,.0f} MiB are more than {MOST_BYTES >> 20:,}"
        for (kind, similarity), planted in sorted(self.found.planted.items()):
            share = self.found.found[kind, similarity] / planted
            if kind in (Kind.NEAR, Kind.FOREIGN) and share < LEAST_RECALL:
                yield f"{kind} at {similarity}: {share:.2%} found, fewer than {LEAST_RECALL:.0%}"
            if kind in (Kind.TEXT, Kind.ROW, Kind.REVISION, Kind.PASSAGE, Kind.ITEM) and share < 1:
                yield f"{kind}: {share:.2%} found, not all"
        wrong = self.found.unplanted["near"] / self.rows
        if wrong >= MOST_FALSE:
            yield f"{wrong:.3%} of the rows were taken for near duplicates, not fewer than {MOST_FALSE:.1%}"


def release(rows: int, folder: Path) -> Run:
    """Make a store of so many rows in ``folder``, unless it is there, and release it."""
    folder.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    world = synthesise(folder, layout(rows), PROCESSES)
    print(f"{rows:,} rows made in {time.perf_counter() - started:,.0f} s.", file=sys.stderr, flush=True)
    for leftover in world.store.iterdir():
        if leftover.name not in MADE_UP:
            shutil.rmtree(leftover)
    store_bytes = _size(world.store)
    costs = {}
    for step in steps(world):
        costs[step.name] = run_tasks(step.tasks, PROCESSES)
        print(f"{step.name}: {costs[step.name].seconds:,.1f} s", file=sys.stderr, flush=True)
    published = world.store / "releases" / VERSION
    return Run(rows, costs, found_in(published, world.truth), store_bytes, _size(published))


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


# --- report -------------------------------------------------------------------------------------------


def report(run: Run) -> None:
    """Print a run as Markdown."""
    print(f"\n## {run.rows:,} rows\n\n| stage | seconds | CPU seconds | rows/s | peak MiB |\n|---|--:|--:|--:|--:|")
    for name, cost in [*run.costs.items(), ("all", Cost(run.seconds, run.cpu_s, run.peak))]:
        per_second = run.rows / cost.seconds
        print(f"| {name} | {cost.seconds:,.1f} | {cost.cpu_s:,.1f} | {per_second:,.0f} | {cost.peak / 2**20:,.0f} |")
    print(f"\nStore {run.store_bytes / 1e6:,.0f} MB, release {run.release_bytes / 1e6:,.0f} MB in all formats.\n")
    print("| planted | similarity | rows | taken out |\n|---|--:|--:|--:|")
    for (kind, similarity), planted in sorted(run.found.planted.items()):
        must = " (has to stay)" if kind in run.found.has_to_stay else ""
        print(f"| {kind}{must} | {similarity} | {planted:,} | {run.found.found[kind, similarity] / planted:.2%} |")
    print("\n| stage | rows taken out | of them not planted | share of all rows |\n|---|--:|--:|--:|")
    for stage, removed in sorted(run.found.removed.items()):
        wrong = run.found.unplanted[stage]
        print(f"| {stage} | {removed:,} | {wrong:,} | {wrong / run.rows:.3%} |")


def report_growth(small: Run, large: Run) -> None:
    """Print what a row costs in the large run beside what it costs in the small one."""
    print(f"\n## Cost of 1,000 rows, {small.rows:,} and {large.rows:,}\n")
    print("| stage | seconds | seconds | growth | CPU seconds | CPU seconds | growth |\n|---|--:|--:|--:|--:|--:|--:|")
    for name in [*large.costs, "all"]:
        seconds = [1000 / run.rows * _sum_of(run, name).seconds for run in (small, large)]
        cpu = [1000 / run.rows * _sum_of(run, name).cpu_s for run in (small, large)]
        cells = (f"{one:.3f} | {other:.3f} | {other / max(one, 1e-9):.2f}" for one, other in (seconds, cpu))
        print(f"| {name} | {' | '.join(cells)} |")


def _sum_of(run: Run, stage: str) -> Cost:
    return Cost(run.seconds, run.cpu_s, run.peak) if stage == "all" else run.costs[stage]


@contextmanager
def working_folder(asked: Path | None, *, keep: bool, rows: int) -> Iterator[Path]:
    """Where the stores are made, with room for them; gone afterwards unless it is to be kept. Raises SystemExit."""
    if asked is None:
        folder = Path(tempfile.mkdtemp(prefix="ultralink-releasing-"))
    else:
        folder = asked / "ultralink-releasing"  # all that is removed
        folder.mkdir(parents=True, exist_ok=True)
    try:
        free, needed = shutil.disk_usage(folder).free, DISK_PER_ROW * rows
        if free < needed:
            raise SystemExit(f"{folder}: {free / 1e9:.1f} GB are free, {needed / 1e9:.1f} are needed; name a --work")
        yield folder
    finally:
        if not keep:
            shutil.rmtree(folder)


def main() -> None:
    """Release, print, and end with 1 where a bound is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=PAPER_ROWS)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--keep", action="store_true")
    arguments = parser.parse_args()
    sizes = sorted({min(SMALL, arguments.rows), arguments.rows})
    with working_folder(arguments.work, keep=arguments.keep, rows=sum(sizes)) as folder:
        runs = [release(rows, folder / f"{MADE_BY}-{rows}") for rows in sizes]
    for run in runs:
        report(run)
    if len(runs) > 1:
        report_growth(*runs)
    if broken := [f"{run.rows:,} rows: {each}" for run in runs for each in run.broken()]:
        raise SystemExit("\n" + "\n".join(broken))


if __name__ == "__main__":
    main()
