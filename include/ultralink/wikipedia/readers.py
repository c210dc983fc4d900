"""Who reads the same wiki now: tasks that share a store share the recipe's request rate among them.

Each process that reads a wiki beats in a roster on the store. One that comes to others waits until they have
counted it in before it asks for anything, so that together they never exceed the rate.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from ultralink.store import Store
from ultralink.teacher.roster import Roster
from ultralink.wikipedia.transport import Pace, machine_of, pace_of

log = logging.getLogger(__name__)

BEAT_S = 1.0  # seconds; how long the others need to notice a newcomer

_lock = threading.Lock()
_places: dict[tuple[str, str], _Place] = {}  # of this process, by folder and machine


@contextmanager
def among_readers(store: Store, endpoint: httpx.URL) -> Iterator[None]:
    """Within the block this process is one of those that read the wiki at ``endpoint``, and keeps to its share.

    All sources of a process have one pace, hence one place. Where the roster cannot be read or written, the
    share stays as it was last known.
    """
    key = store.folder("readers"), machine_of(endpoint)
    with _lock:
        if key not in _places:
            _places[key] = _Place(Roster(store.fs, *key, writer="reader", beat_s=BEAT_S), pace_of(endpoint))
        place = _places[key]
        place.sources += 1
    try:
        yield
    finally:
        with _lock:
            place.sources -= 1
            if not place.sources:
                del _places[key]
                place.leave()


class _Place:
    """This process's place in the roster of a wiki, kept by a thread while a source is open."""

    def __init__(self, roster: Roster, pace: Pace) -> None:
        self.sources = 0
        self._well = True
        self._roster, self._pace = roster, pace
        self._left = threading.Event()
        if self._beat() > 1:
            pace.rest(2 * BEAT_S)
        self._beating = threading.Thread(target=self._keep_beating, name="readers", daemon=True)
        self._beating.start()

    def leave(self) -> None:
        self._left.set()
        self._beating.join()
        self._pace.share(1)
        try:
            self._roster.leave()
        except OSError as problem:
            log.warning("Cannot leave the roster of the wiki's readers: %s", problem)

    def _keep_beating(self) -> None:
        while not self._left.wait(self._roster.beat_s):
            self._beat()

    def _beat(self) -> int:
        """Count the readers, oneself included, and take one's share."""
        try:
            readers = self._roster.beat()
        except OSError as problem:
            if self._well:
                log.warning(
                    "Cannot read the roster of the wiki's readers, so %d are assumed: %s", self._pace.readers, problem
                )
            self._well = False
            return self._pace.readers
        self._well = True
        self._pace.share(readers)
        return readers
