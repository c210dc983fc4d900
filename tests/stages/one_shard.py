"""``python -m tests.stages.one_shard STORE URL``: generate the first shard in a process that may be killed."""

from __future__ import annotations

import asyncio
import sys

from tests.stages.nights import night

from ultralink.stages.generate import generate
from ultralink.teacher.endpoint import Endpoint

if __name__ == "__main__":
    store, url = sys.argv[1:]
    endpoint = Endpoint(url, {"Authorization": "Bearer any"})
    print(asyncio.run(generate(night(store, "fr"), 0, endpoint)).line)
