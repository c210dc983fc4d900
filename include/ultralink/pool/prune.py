"""Pruning: a small choice out of the pool that is spread over topics and types, and stays when the pool grows."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ultralink.errors import PoolEmpty

CLUSTERS = 256
TEXTS_PER_BATCH = 2048
LONGEST_WORD = 40  # letters: what is longer is data

# Words that are in texts of any topic: those of English grammar, of dialogue, of word problems and of code.
_STOP_WORDS = """
about above after again against all almost alone along already also although always among and another any anyone
anything are around aren away back because been before being below best better between both but call can cannot
come could couldn did didn does doesn doing don done down during each either else enough even ever every everyone
everything example few find first for from get gets getting give given gives goes going good got had has have
haven having hello help her here hers herself him himself his how however instead into isn its itself just keep
know last later least less let like little long look lot made make makes making many may maybe might mine more most
much must myself need needs neither never new next nobody none nor not nothing now off often once one ones only
onto other others our ours out over own part people perhaps please possible put quite rather really right same say
says see seem several shall she should show since small some someone something sometimes soon still such sure take
tell than thank thanks that the their theirs them themselves then there these they thing things think this those
though three through thus time to together too toward try turn two under until upon use used using usually very
want wants was wasn way ways well went were weren what when where whether which while who whole whom whose why will
with within without won work works would wouldn write yes yet you your yours yourself
ain answer answers calculate equal equals following number numbers problem question result solution step steps
sum therefore total value variable
args bool class code const def else elif false float function functions implement import include int length list
main method none null object output input param print program public return returns self static str string true
type void
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())


# --- clusters -----------------------------------------------------------------------------------


def clusters(texts: pa.Array) -> NDArray[np.int64]:
    """The cluster of each of ``texts`` (strings), 0 to CLUSTERS - 1: that of the word it uses most.

    Words of any topic, numbers and words of one or two letters have no weight; a plural s does not count; of words
    used as often the longest is taken, then one by its hash. The cluster's number is a hash of the word too, so it
    depends on nothing but the text: it is the same in any pool and on any machine.
    """
    found = np.zeros(len(texts), dtype=np.int64)
    for start in range(0, len(texts), TEXTS_PER_BATCH):
        batch = texts.slice(start, TEXTS_PER_BATCH)
        found[start : start + len(batch)] = _clusters(batch)
    return found


def _clusters(texts: pa.Array) -> NDArray[np.int64]:
    lowered = pc.utf8_lower(pc.fill_null(texts, ""))
    lists = pc.split_pattern_regex(lowered, r"[^\p{L}\p{N}]+")
    words = lists.flatten().dictionary_encode()
    topics = np.array([_topic(word) for word in words.dictionary.to_pylist()], dtype=object)
    vocabulary, topic_of = np.unique(topics.astype(str), return_inverse=True)
    hashed = np.array([_hash(word) for word in vocabulary], dtype=np.uint64)
    weights = np.char.str_len(vocabulary)

    text_of = np.repeat(np.arange(len(texts)), np.diff(lists.offsets.to_numpy()))
    pairs, times = np.unique(text_of * len(vocabulary) + topic_of[words.indices.to_numpy()], return_counts=True)
    text, topic = np.divmod(pairs, len(vocabulary))
    weighty = weights[topic] > 0
    text, topic, times = text[weighty], topic[weighty], times[weighty]
    order = np.lexsort((hashed[topic], weights[topic], times, text))
    last = np.flatnonzero(np.diff(text[order], append=-1))  # of each text, in the ascending order of what counts
    found = np.zeros(len(texts), dtype=np.int64)
    found[text[order][last]] = (hashed[topic[order][last]] % CLUSTERS).astype(np.int64)
    return found


def _topic(word: str) -> str:
    """What ``word`` stands for in the count; "" for a word without weight."""
    singular = word[:-1] if word.endswith("s") and not word.endswith("ss") else word
    if word in STOP_WORDS or singular in STOP_WORDS or word.isnumeric():
        return ""
    return singular if (len(word) > 2 or not word.isascii()) and len(word) <= LONGEST_WORD else ""


def _hash(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")


# --- choice -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stratum:
    """What the rows of one type in one cluster gave. ``before``: those of ``chosen`` that were chosen before."""

    type: str
    cluster: int
    available: int
    chosen: int
    before: int


@dataclass(frozen=True, slots=True)
class Choice:
    """``rows``: positions in the pool in the order of the choice, so that any beginning of it is spread as well.

    ``amount`` is what was asked for; ``lost`` counts rows that were chosen before and are no longer in the pool.
    """

    rows: list[int]
    strata: list[Stratum]
    amount: int
    lost: int

    @property
    def missing(self) -> int:
        """By how many rows the pool is smaller than the amount."""
        return self.amount - len(self.rows)

    def said(self) -> str:
        """The choice in a sentence, for the log."""
        gave = sum(stratum.chosen > 0 for stratum in self.strata)
        parts = [f"{len(self.rows)} rows chosen from {gave} of {len(self.strata)} strata (type and cluster)"]
        if self.missing:
            parts.append(f"the pool is {self.missing} short of the {self.amount} asked for, so all of it is taken")
        if self.lost:
            parts.append(f"{self.lost} rows chosen before are no longer in the pool")
        return "; ".join(parts)


def choose(
    ids: Sequence[str],
    types: Sequence[str],
    clusters: NDArray[np.integer],
    chosen_before: Collection[str],
    amount: int,
    seed: int,
) -> Choice:
    """At most ``amount`` rows of the pool: those chosen before, then others from the strata that gave least so far.

    Row i is ``ids[i]``, of ``types[i]`` (the source's own; put the source's name before it where a kind has several
    sources) and ``clusters[i]``; type and cluster make its stratum. Among equals a seeded hash of the id decides, so
    the order of the pool does not matter, and a smaller amount chooses a beginning of what a larger one does. More
    chosen before than ``amount``: of these alone ``amount`` are chosen, in the same way.

    Raises PoolEmpty, and ValueError for an amount below 1, for ids that come twice and for lengths that differ.
    """
    _check(ids, types, clusters, amount)
    strata, stratum_of = _strata(types, clusters)
    places = _places(ids, seed)
    known = set(chosen_before)
    before = np.fromiter((each in known for each in ids), dtype=bool, count=len(ids))

    given = np.zeros(len(strata), dtype=np.int64)
    first = _spread(np.flatnonzero(before), stratum_of, places, given)[:amount]
    given = np.bincount(stratum_of[first], minlength=len(strata))
    others = _spread(np.flatnonzero(~before), stratum_of, places, given)[: amount - len(first)]
    chosen = np.concatenate([first, others])
    return Choice(
        rows=chosen.tolist(),
        strata=_report(strata, stratum_of, chosen, first),
        amount=amount,
        lost=len(known) - int(before.sum()),
    )


def _check(ids: Sequence[str], types: Sequence[str], clusters: NDArray[np.integer], amount: int) -> None:
    if amount < 1:
        raise ValueError(f"amount {amount}: must be at least 1")
    if not len(ids) == len(types) == len(clusters):
        raise ValueError(f"{len(ids)} ids, {len(types)} types and {len(clusters)} clusters: must be as many of each")
    if not ids:
        raise PoolEmpty("the pool has no row to choose from: see what its sources gave and what turned rows away")
    if len(set(ids)) < len(ids):
        raise ValueError("an id is in the pool twice: duplicates have to go before")


def _strata(types: Sequence[str], clusters: NDArray[np.integer]) -> tuple[list[tuple[str, int]], NDArray[np.int64]]:
    """All strata, sorted, and the number of each row's."""
    pairs = list(zip(types, clusters.tolist(), strict=True))
    strata = sorted(set(pairs))
    numbers = {stratum: number for number, stratum in enumerate(strata)}
    return strata, np.fromiter((numbers[pair] for pair in pairs), dtype=np.int64, count=len(pairs))


def _places(ids: Sequence[str], seed: int) -> NDArray[np.uint64]:
    """Where each id stands in the seed's shuffled order of all ids."""
    digests = (hashlib.blake2b(f"{seed}:{each}".encode(), digest_size=8).digest() for each in ids)
    return np.frombuffer(b"".join(digests), dtype=">u8").astype(np.uint64)


def _spread(
    rows: NDArray[np.int64],
    stratum_of: NDArray[np.int64],
    places: NDArray[np.uint64],
    given: NDArray[np.int64],
) -> NDArray[np.int64]:
    """``rows`` in the order in which taking from the stratum that has given least takes them.

    The nth row of a stratum is taken when that stratum has given ``given`` + n, so sorting by this sum does it.
    """
    by_stratum = rows[np.lexsort((places[rows], stratum_of[rows]))]
    strata = stratum_of[by_stratum]
    nth = np.arange(len(strata)) - np.searchsorted(strata, strata)
    return by_stratum[np.lexsort((places[by_stratum], given[strata] + nth))]


def _report(
    strata: Sequence[tuple[str, int]],
    stratum_of: NDArray[np.int64],
    chosen: NDArray[np.int64],
    before: NDArray[np.int64],
) -> list[Stratum]:
    counts = [
        np.bincount(stratum_of[rows], minlength=len(strata)).tolist()
        for rows in (np.arange(len(stratum_of)), chosen, before)
    ]
    return [Stratum(kind, cluster, *numbers) for (kind, cluster), *numbers in zip(strata, *counts, strict=True)]
