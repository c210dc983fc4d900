"""Made-up published nights in the paper's proportions, with planted duplicates, test items and secrets.

    python benchmarks/synthetic.py --rows 100000 --work /tmp/made-up

Every night has what a published one has: samples, rejects, ledger and statistics. Beside the store lie
``truth.parquet``, which tells of every planted row what has to become of it, and the evaluation sets. All is made of
the seed: the same one makes the same rows. Nights are written in blocks of rows: memory does not grow with them.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.conversations import evaluation_items
from benchmarks.lexicon import LANGUAGES
from benchmarks.nights import MODEL, VERSION, Night
from benchmarks.planted import PAPER_ROWS, ROWS_PER_NIGHT, SUBSETS, Layout

from ultralink.release.recipe import EvaluationSet
from ultralink.schemas import LEDGER, REJECTS, SAMPLES
from ultralink.stages.statistics import Statistics, Subset, statistics_path
from ultralink.store import Part, Store, fingerprint

TRUTH = pa.schema(
    [
        pa.field("kind", pa.string(), nullable=False),
        pa.field("stage", pa.string()),  # that has to take the row out; null: it has to stay
        pa.field("language", pa.string(), nullable=False),
        pa.field("date", pa.string(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        pa.field("subset", pa.string(), nullable=False),
        pa.field("planted", pa.float64(), nullable=False),  # the similarity that was asked for
        pa.field("similarity", pa.float64(), nullable=False),  # that it has: Jaccard's, of sets of three words
        pa.field("of_language", pa.string()),
        pa.field("of_date", pa.string()),
        pa.field("of_row", pa.int64()),
    ]
)


def publish_night(store_url: str, layout: Layout, language: str, number: int) -> list[dict[str, object]]:
    """Write what a published night has. Returns its part of the truth."""
    store, night = Store.at(store_url), Night(layout, language, number)
    made_by = fingerprint("synthetic", VERSION, layout.seed, layout.rows, layout.nights, language, number)
    samples, rejects, bill = (store.part(stage, language, night.date) for stage in (SAMPLES, REJECTS, LEDGER))
    truth: list[dict[str, object]] = []
    samples_of, turns_of, rejects_of = Counter[str](), Counter[str](), {name: Counter[str]() for name in SUBSETS}

    def counted() -> Iterator[pa.RecordBatch]:
        for batch in night.blocks(truth):
            subset = batch.column("subset")[0].as_py()
            samples_of[subset] += len(batch)
            turns_of[subset] += len(batch.column("messages").flatten()) // 2
            yield batch

    def turned_away() -> Iterator[pa.RecordBatch]:
        for batch in night.rejects():
            subset = batch.column("subset")[0].as_py()
            gates, reasons = batch.column("gate").to_pylist(), batch.column("reason").to_pylist()
            rejects_of[subset].update(f"{gate}: {reason}" for gate, reason in zip(gates, reasons, strict=True))
            yield batch

    _write(rejects, turned_away(), made_by)
    _write(samples, counted(), made_by)
    accounts = [_account(subset, samples_of[subset], turns_of[subset]) for subset in SUBSETS if language != "en"]
    bill.write(accounts, made_by)
    path = statistics_path(store, language, night.date)
    statistics = Statistics(
        language=language,
        date=night.date,
        articles=samples_of["chat_specific"] // 2 if language != "en" else 0,
        passages=samples_of["chat_specific"] if language != "en" else 0,
        subsets={
            name: Subset(samples=samples_of[name], turns=turns_of[name], rejects=dict(rejects_of[name]))
            for name in SUBSETS
        },
        pool=night.date,
        calls=sum(account["paid"] for account in accounts),
        prompt_tokens=sum(account["prompt_tokens"] for account in accounts),
        cached_tokens=sum(account["cached_tokens"] for account in accounts),
        completion_tokens=sum(account["completion_tokens"] for account in accounts),
        cost_usd=sum(account["cost_usd"] for account in accounts),
        models=[MODEL] if accounts else [],
        outputs={"samples": samples.path, "rejects": rejects.path, "ledger": bill.path, "statistics": path},
    )
    store.write_text(path, statistics.model_dump_json(indent=1))
    return truth


class _Account(TypedDict):
    run: str
    shard: int
    step: str
    model: str
    paid: int
    lost: int
    tries: int
    limited: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    cost_usd: float
    latency_mean_s: float
    latency_p50_s: float
    latency_p95_s: float


def _account(subset: str, rows: int, turns: int) -> _Account:
    return {
        "run": "scheduled__made-up",
        "shard": SUBSETS.index(subset),
        "step": subset,
        "model": MODEL,
        "paid": 2 * turns,
        "lost": 0,
        "tries": 2 * turns + rows // 50,
        "limited": rows // 50,
        "prompt_tokens": 900 * turns,
        "cached_tokens": 300 * turns,
        "completion_tokens": 450 * turns,
        "cost_usd": 0.001 * turns,
        "latency_mean_s": 0.8,
        "latency_p50_s": 0.7,
        "latency_p95_s": 1.9,
    }


def _write(part: Part, batches: Iterator[pa.RecordBatch], made_by: str) -> None:
    """A part as its own writer leaves it, of whole batches: rows in Python would take ten times as long."""
    with (
        part.store.aside(part.path) as aside,
        Path(aside).open("wb") as sink,
        pq.ParquetWriter(sink, part.stage.schema, compression="zstd") as parquet,
    ):
        for batch in batches:
            parquet.write_batch(batch)
        parquet.add_key_value_metadata(
            {
                "ultralink.stage": part.stage.name,
                "ultralink.schema_version": str(part.stage.version),
                "ultralink.fingerprint": made_by,
                "ultralink.digest": made_by,
            }
        )


def evaluation_sets(folder: Path) -> list[EvaluationSet]:
    """Write the evaluation sets, one per language and subset."""
    folder.mkdir(parents=True, exist_ok=True)
    sets = []
    for language in LANGUAGES:
        for subset in SUBSETS[1:]:
            path, texts = folder / f"{subset}_{language}.jsonl", evaluation_items(language, subset)
            items = ({"task_id": f"{subset}/{number}", "prompt": text} for number, text in enumerate(texts))
            path.write_text("".join(json.dumps(item) + "\n" for item in items), encoding="utf-8")
            name = f"{subset}_{language}"
            ignore = subset == "math"
            sets.append(EvaluationSet(name=name, path=str(path), fields=["prompt"], ignore_numbers=ignore))
    return sets


def layout(rows: int, seed: int = 1) -> Layout:
    """So many rows in nights of ROWS_PER_NIGHT, two of them at least."""
    return Layout(rows, max(2, round(rows / ROWS_PER_NIGHT)), seed)


@dataclass(frozen=True)
class World:
    """A made-up store, what is planted in it, and the evaluation sets."""

    store: Path
    truth: pa.Table
    sets: list[EvaluationSet]


def synthesise(folder: Path, made: Layout, processes: int = 2) -> World:
    """Write a store's nights, the truth and the evaluation sets into ``folder``, unless they are there."""
    store, path = folder / "store", folder / "truth.parquet"
    sets = evaluation_sets(folder / "evaluation")
    if not path.exists():
        nights = [(str(store), made, language, night) for night in range(made.nights) for language in LANGUAGES]
        store.mkdir(parents=True, exist_ok=True)
        with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
            truths = list(pool.map(publish_night, *zip(*nights, strict=True)))
        truth = pa.Table.from_pylist([row for rows in truths for row in rows], TRUTH)
        sorted_truth = truth.sort_by([("date", "ascending"), ("language", "ascending"), ("row", "ascending")])
        pq.write_table(sorted_truth, path, compression="zstd")
    return World(store, pq.read_table(path), sets)


def main() -> None:
    """Write a store, its truth and the evaluation sets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=PAPER_ROWS)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    synthesise(arguments.work, layout(arguments.rows, arguments.seed))


if __name__ == "__main__":
    main()
