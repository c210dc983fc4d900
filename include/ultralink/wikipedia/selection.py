"""Selection: which of a wiki's candidates a night takes, the same ones whenever it is asked again."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from hashlib import blake2b

from ultralink.errors import SelectionEmpty
from ultralink.wikipedia.article import Candidate

Chosen = tuple[int, int | None]  # page id and revision id, as another night chose it


class Draw(Iterator[Candidate]):
    """Candidates in a seeded random order, where the first new ones are already a fair choice.

    A wiki with millions of articles is drawn from, not listed: `choose` stops reading a Draw as soon
    as it has enough, because every further candidate would cost requests.
    """

    def __init__(self, candidates: Iterable[Candidate]) -> None:
        self._candidates = iter(candidates)

    def __next__(self) -> Candidate:
        return next(self._candidates)


def place(seed: int, page_id: int) -> int:
    """Where ``page_id`` stands in the seed's shuffled order of all pages: 0 to 2**64 - 1."""
    return int.from_bytes(blake2b(f"{seed}:{page_id}".encode(), digest_size=8).digest(), "big")


def choose(candidates: Iterable[Candidate], earlier: Set[Chosen], amount: int, seed: int) -> list[Candidate]:
    """At most ``amount`` candidates, none of them ``earlier`` at the same revision, in shuffled order.

    The choice depends on the set of candidates, ``earlier`` and ``seed`` only, not on the order in which
    candidates come (but for a `Draw`, which brings its own). Nights that hand each other's choices on
    as ``earlier`` get disjoint slices. A candidate that comes twice counts once. Memory: O(amount + earlier).

    An empty list means that nothing new is left; SelectionEmpty means that there was no candidate at all.
    """
    if amount < 1:
        raise ValueError(f"amount {amount}: must be at least 1")
    news = _News(candidates, earlier)
    chosen = _first(news, amount) if isinstance(candidates, Draw) else _least(news, amount, seed)
    if not news.read:
        raise SelectionEmpty("the source has no article at all; check the recipe's selection, or the dump")
    return chosen


class _News(Iterator[Candidate]):
    """The candidates that no other night has chosen, and how many were read to find them."""

    def __init__(self, candidates: Iterable[Candidate], earlier: Set[Chosen]) -> None:
        self.read = 0
        self._candidates = iter(candidates)
        self._revisions: defaultdict[int, set[int | None]] = defaultdict(set)
        for page_id, revision_id in earlier:
            self._revisions[page_id].add(revision_id)

    def __next__(self) -> Candidate:
        for candidate in self._candidates:
            self.read += 1
            if self._is_new(candidate):
                return candidate
        raise StopIteration

    def _is_new(self, candidate: Candidate) -> bool:
        # Where one of the two revisions is unknown, nothing shows that the page has changed.
        taken = self._revisions.get(candidate.page_id)
        if taken is None:
            return True
        return candidate.revision_id is not None and None not in taken and candidate.revision_id not in taken


def _first(news: Iterator[Candidate], amount: int) -> list[Candidate]:
    chosen: dict[int, Candidate] = {}
    for candidate in news:
        chosen.setdefault(candidate.page_id, candidate)
        if len(chosen) == amount:
            break
    return list(chosen.values())


def _least(news: Iterator[Candidate], amount: int, seed: int) -> list[Candidate]:
    """The ``amount`` candidates with the lowest place, through a heap whose top is the worst of them."""
    kept: dict[int, Candidate] = {}
    heap: list[tuple[int, int]] = []
    for candidate in news:
        page_id = candidate.page_id
        if page_id in kept:
            kept[page_id] = _newer(kept[page_id], candidate)
            continue
        entry = (-place(seed, page_id), page_id)
        if len(heap) < amount:
            heapq.heappush(heap, entry)
        elif entry > heap[0]:
            _, displaced = heapq.heapreplace(heap, entry)
            del kept[displaced]
        else:
            continue
        kept[page_id] = candidate
    return [kept[page_id] for _, page_id in sorted(heap, reverse=True)]


def _newer(one: Candidate, other: Candidate) -> Candidate:
    """Of the same page met twice, while it was edited in between, the later revision."""
    return max(one, other, key=lambda candidate: (candidate.revision_id or 0, candidate.title))


# --- the SELECTION stage ------------------------------------------------------------------------


def selection_rows(chosen: Sequence[Candidate]) -> list[dict[str, int | str | None]]:
    """``chosen`` as rows of the SELECTION stage, in their order."""
    return [
        {"position": position, "page_id": page.page_id, "title": page.title, "revision_id": page.revision_id}
        for position, page in enumerate(chosen)
    ]


def selected(row: Mapping[str, object]) -> Candidate:
    """The candidate of a row of the SELECTION stage."""
    match row:
        case {"page_id": int(page_id), "title": str(title), "revision_id": int() | None as revision_id}:
            return Candidate(page_id, title, revision_id)
    raise ValueError(f"not a row of the selection stage: it has {sorted(row)}")
