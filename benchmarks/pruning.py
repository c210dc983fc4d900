"""The pruning benchmark: duplicates, clusters and choice over a pool of made-up rows, with time and memory.

    python benchmarks/pruning.py                # 400,000 rows, about three minutes; prints Markdown
    python benchmarks/pruning.py --rows 20000

Rows have 60 to 300 words, most of them of a common vocabulary, the others of one of 400 topics. One in ten is an
earlier row with a few words changed: these are to be found, and no other. Making rows is outside of the times.
"""

from __future__ import annotations

import argparse
import random
import resource
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from ultralink.pool.near import NearDuplicates
from ultralink.pool.prune import Choice, choose, clusters
from ultralink.pool.recipe import NearDuplicateRules
from ultralink.pool.row import EnglishRow, Kind, row_id
from ultralink.teacher.request import Message

BUDGET = 32_000
TOPICS = 400
TYPES = ("GSM_AnsAug", "GSM_Rephrased", "GSM_SV", "GSM_FOBAR", "MATH_AnsAug", "MATH_Rephrased", "MATH_SV", "MATH_FOBAR")
CHANGED = (0.01, 0.02, 0.04)  # shares of words that planted duplicates have changed
PLANTED = 0.1
REMEMBERED = 2000  # rows back from which a duplicate may be planted
BATCH = 2048


@dataclass(frozen=True)
class Made:
    """A row, and what it was made of."""

    row: EnglishRow
    topic: int
    copy_of: str = ""
    changed: float = 0.0


class Maker:
    """Rows of words with the frequencies of a language; the same ones for a seed."""

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed)
        self._vocabulary = [self._word() for _ in range(40_000)]
        weights = np.cumsum(1 / (np.arange(40_000) + 10))
        self._weights = (weights / weights[-1]).tolist()
        self._topics = [self._draw.sample(self._vocabulary, 40) for _ in range(TOPICS)]
        self._recent: deque[Made] = deque(maxlen=REMEMBERED)

    def rows(self, amount: int) -> Iterator[Made]:
        """``amount`` rows, of which PLANTED are copies."""
        for number in range(amount):
            copied = self._draw.random() < PLANTED and len(self._recent) == REMEMBERED
            made = self._copy(number) if copied else self._new(number)
            if not copied:
                self._recent.append(made)
            yield made

    def _word(self) -> str:
        syllables = self._draw.choices(
            ("ba", "che", "di", "fro", "gu", "ka", "lem", "mi", "nor", "pu", "st", "ta"), k=3
        )
        return "".join(syllables) + self._draw.choice("aeiourns")

    def _new(self, number: int) -> Made:
        length, topic = self._draw.randint(60, 300), self._draw.randrange(TOPICS)
        own = round(0.3 * length)
        words = self._draw.choices(self._vocabulary, cum_weights=self._weights, k=length - own)
        words += self._draw.choices(self._topics[topic], k=own)
        self._draw.shuffle(words)
        return Made(_row(words, number, self._draw.choice(TYPES)), topic)

    def _copy(self, number: int) -> Made:
        original, share = self._draw.choice(self._recent), self._draw.choice(CHANGED)
        words = original.row.text.split()
        for place in self._draw.sample(range(len(words)), max(1, round(share * len(words)))):
            words[place] = self._draw.choice(self._vocabulary)
        return Made(_row(words, number, original.row.type), original.topic, original.row.id, share)


def _row(words: list[str], number: int, own_type: str) -> EnglishRow:
    third = len(words) // 3
    messages = (Message("user", " ".join(words[:third])), Message("assistant", " ".join(words[third:])))
    return EnglishRow(row_id("made", messages), Kind.MATH, messages, "made", number + 1, own_type, "", "")


@dataclass
class Tally:
    """What the run found, and what it took."""

    duplicates_s: float = 0.0
    clusters_s: float = 0.0
    choose_s: float = 0.0
    planted: Counter[float] = field(default_factory=Counter)
    found: Counter[float] = field(default_factory=Counter)
    wrong: int = 0
    after_duplicates_mb: int = 0


def run(amount: int) -> tuple[Tally, Choice, list[int]]:
    """All three steps over ``amount`` rows; with the topic of each row that was chosen."""
    tally = Tally()
    kept: list[Made] = []
    numbers: list[np.ndarray[tuple[int], np.dtype[np.int64]]] = []
    ids: list[str] = []
    types: list[str] = []
    topics: list[int] = []
    seen = NearDuplicates(NearDuplicateRules())

    def cluster() -> None:
        started = time.perf_counter()
        numbers.append(clusters(pa.array([made.row.text for made in kept])))
        tally.clusters_s += time.perf_counter() - started
        ids.extend(made.row.id for made in kept)
        types.extend(made.row.type for made in kept)
        topics.extend(made.topic for made in kept)
        kept.clear()

    for made in Maker(seed=1).rows(amount):
        started = time.perf_counter()
        earlier = seen.of(made.row)
        tally.duplicates_s += time.perf_counter() - started
        tally.planted[made.changed] += bool(made.copy_of)
        if earlier is None:
            kept.append(made)
        elif made.copy_of:
            tally.found[made.changed] += 1
        else:
            tally.wrong += 1
        if len(kept) == BATCH:
            cluster()
    cluster()
    tally.after_duplicates_mb = _peak_mb()
    started = time.perf_counter()
    choice = choose(ids, types, np.concatenate(numbers), [], min(BUDGET, len(ids)), seed=0)
    tally.choose_s = time.perf_counter() - started
    return tally, choice, [topics[row] for row in choice.rows]


def _peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _report(amount: int, tally: Tally, choice: Choice, topics: list[int]) -> None:
    total = tally.duplicates_s + tally.clusters_s + tally.choose_s
    print("| step | seconds | rows/s on one core |\n|---|--:|--:|")
    for name, seconds in (
        ("duplicates", tally.duplicates_s),
        ("clusters", tally.clusters_s),
        ("choice", tally.choose_s),
        ("all", total),
    ):
        print(f"| {name} | {seconds:.1f} | {amount / seconds:,.0f} |")
    print(f"\nPeak memory {_peak_mb():,} MiB ({tally.after_duplicates_mb:,} MiB before the choice), {amount:,} rows.\n")
    print("| words changed | planted | found |\n|---|--:|--:|")
    for share in CHANGED:
        found, planted = tally.found[share], tally.planted[share]
        print(f"| {share:.0%} | {planted:,} | {found / max(planted, 1):.2%} |")
    print(f"\nTaken for duplicates without being any: {tally.wrong}.")
    print(f"{choice.said()}; {len(set(topics))} of {TOPICS} topics, the largest with {max(Counter(topics).values())}.")


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=400_000)
    amount: int = parser.parse_args().rows
    _report(amount, *run(amount))


if __name__ == "__main__":
    main()
