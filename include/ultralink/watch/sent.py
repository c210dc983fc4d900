"""Which alarms were sent: a small file per alarm on the store, so that attempts and shards do not repeat each other."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from hashlib import blake2b

from ultralink.store import Store
from ultralink.watch.alarm import Alarm

SENDING_S = 120.0  # after which one who said that he would send, and did not say that he has, is taken for dead


class Sent:
    """The alarms of one store. Of many tasks that want to send one at once, one does."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def claim(self, alarm: Alarm) -> bool:
        """Whether to send it now: nobody has, or is about to. Then ``confirm`` or ``give_up`` follows."""
        path = self._path(alarm)
        text = self._store.read_text(path)
        if text is not None and _holds(text, alarm):
            return False
        noted = _note(alarm, sent=False)
        if text is None:
            try:
                self._store.create_text(path, noted)
            except FileExistsError:
                return False
        else:
            self._store.write_text(path, noted)
        return True

    def confirm(self, alarm: Alarm) -> None:
        """It was sent."""
        self._store.write_text(self._path(alarm), _note(alarm, sent=True))

    def give_up(self, alarm: Alarm) -> None:
        """Nobody could be reached: the next one may try."""
        with suppress(FileNotFoundError):
            self._store.fs.rm_file(self._path(alarm))

    def _path(self, alarm: Alarm) -> str:
        name = blake2b(alarm.key.encode(), digest_size=12).hexdigest()
        return self._store.folder("alarms", alarm.kind, f"{name}.json")


def _note(alarm: Alarm, *, sent: bool) -> str:
    noted = {"time": time.time(), "sent": sent, "kind": alarm.kind, "key": alarm.key, "title": alarm.title}
    return json.dumps(noted, ensure_ascii=False, indent=1)


def _holds(text: str, alarm: Alarm) -> bool:
    """Whether a note still keeps others from sending."""
    try:
        noted = json.loads(text)
        age, sent = time.time() - float(noted["time"]), bool(noted["sent"])
    except (ValueError, KeyError, TypeError):  # somebody is just writing it
        return True
    quiet_s = alarm.quiet_s if sent else SENDING_S
    return quiet_s is None or age < quiet_s
