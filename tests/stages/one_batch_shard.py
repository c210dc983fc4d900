"""``python -m tests.stages.one_batch_shard STORE URL POINT``: generate by batch in a process that kills itself.

POINT is the place, before or after a step, at which it does so (SIGKILL); -1: it goes on to the end.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time

from tests.stages.nights import night
from tests.teacher.batching import ending_at

from ultralink.stages.generate import generate
from ultralink.teacher.endpoint import Endpoint, Limits
from ultralink.teacher.waiting import Waiting


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    store, url, point = sys.argv[1:]
    endpoint = Endpoint(url, {"Authorization": "Bearer any"}, limits=Limits(batch_poll_s=0.05))
    with ending_at(int(point), die):
        while True:
            try:
                print(asyncio.run(generate(night(store, "fr", mode="batch"), 0, endpoint)).line)
                break
            except Waiting:
                time.sleep(0.05)
