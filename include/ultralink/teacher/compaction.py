"""Merging the journal's segments: many become one, compressed, and no answer is lost on the way."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

from ultralink.teacher.segments import Cache, segment, write_merged
from ultralink.teacher.storage import Log, Storage, typed_errors

QUIET_S = 6 * 3600.0  # a segment not written for so long is its writer's last: no call takes that long


@dataclass(frozen=True, slots=True)
class Compaction:
    """What a compaction did: segments merged, and lines kept."""

    segments: int
    lines: int


def merge(store: Storage, spare: Log, quiet_s: float = QUIET_S) -> Compaction:
    """Merge the segments that may be taken; ``spare`` is the caller's own log.

    The merged segment appears whole before the first of its sources goes, so at every moment each line is
    in at least one segment; a line found in two is one line. Killed in the middle, it leaves a state that the
    next one finishes. Two at once: one gives up, or both write the same lines.
    """
    with typed_errors("journal compaction"):
        sources = store.claim(spare, quiet_s)
        if len(sources) < 2 and not any(name.endswith(".taken") for name in sources):
            return Compaction(0, 0)
        sizes = {name: store.size(name) for name in sources}
        kept = _Distinct(store, sources)
        try:
            with store.create(f"merged~{secrets.token_hex(6)}.zst") as file:
                write_merged(kept, file)
        except FileNotFoundError:  # another compaction was faster
            return Compaction(0, 0)
        for name in sources:
            _remove(store, name, sizes[name])
        return Compaction(len(sources), kept.count)


class _Distinct:
    """The lines of ``sources``, each once."""

    def __init__(self, store: Storage, sources: list[str]) -> None:
        self._store, self._sources = store, sources
        self.count = 0

    def __iter__(self) -> Iterator[bytes]:
        seen: set[bytes] = set()
        for name in self._sources:
            for line in segment(self._store, name, Cache()).lines():
                digest = hashlib.blake2b(line.text, digest_size=12).digest()
                if digest not in seen:
                    seen.add(digest)
                    self.count += 1
                    yield line.text


def _remove(store: Storage, name: str, size: int) -> None:
    # A segment that grew after it was read has lines that were not merged: the next compaction takes it.
    try:
        if store.size(name) == size:
            store.remove(name)
    except FileNotFoundError:
        pass
