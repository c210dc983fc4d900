"""``python -m ultralink.offline_teacher --port 0 --port-file F``: serve until told to stop."""

from __future__ import annotations

import argparse
import logging
import os
import socket
from pathlib import Path

from aiohttp import web

from ultralink.offline_teacher import MODEL, SERVED
from ultralink.offline_teacher.batches import BatchFaults
from ultralink.offline_teacher.faults import Faults
from ultralink.offline_teacher.misdeeds import Misdeed, Misdeeds
from ultralink.offline_teacher.reading import PromptShelf
from ultralink.offline_teacher.server import Server
from ultralink.prompts import PROMPTS

log = logging.getLogger("ultralink.offline_teacher")


def main() -> None:
    """Bind on loopback, tell the port, serve."""
    logging.basicConfig(level=logging.INFO, format=f"%(asctime)s {SERVED}: %(message)s")
    options = _parser().parse_args()
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", options.port))
    port = listener.getsockname()[1]
    shelf = PromptShelf(options.prompts or [PROMPTS])
    faults = Faults(
        seed=options.seed,
        latency=options.latency,
        p429=options.p429,
        p500=options.p500,
        p_truncated=options.p_truncated,
        p_hang=options.hang,
        p_malformed=options.malformed,
    )
    log.info(
        "http://127.0.0.1:%d/v1 with model %r and prompts in %s; templates, no language model",
        port,
        MODEL,
        ", ".join(shelf.languages),
    )
    misdeeds = Misdeeds(dict(options.misdeed), options.seed)
    batch_faults = BatchFaults(
        seconds=options.batch_seconds,
        fail=options.batch_fail,
        expire=options.batch_expire,
        expire_at=options.batch_expire_at,
        half=options.batch_half,
    )
    application = Server(shelf, faults, options.key, misdeeds, batch_faults).application()
    if options.port_file:
        application.on_startup.append(lambda _: _tell(options.port_file, port))
    web.run_app(
        application,
        sock=listener,
        print=lambda *_: None,
        access_log=None,
        shutdown_timeout=1,
        handler_cancellation=True,
        backlog=1024,
    )


async def _tell(file: Path, port: int) -> None:
    """Write the port so that whoever reads the file finds a whole number in it."""
    aside = file.with_name(f".{file.name}.{os.getpid()}")
    aside.write_text(f"{port}\n", encoding="utf-8")
    aside.replace(file)


def _misdeed(text: str) -> tuple[Misdeed, float]:
    name, _, written = text.partition("=")
    share = float(written)
    if not 0 <= share <= 1:
        raise ValueError(share)
    return Misdeed(name), share


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ultralink.offline_teacher", description=f"{SERVED}, on 127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--port-file", type=Path, help="written with the port once it is served")
    parser.add_argument("--prompts", type=Path, action="append", help="folder of prompt books; repeatable")
    parser.add_argument("--key", help="the only key to accept; default: any")
    faults = parser.add_argument_group("faults, for tests; probabilities per call")
    faults.add_argument("--seed", type=int, default=0)
    faults.add_argument("--latency", type=float, default=0.0, help="seconds, plus or minus half")
    faults.add_argument("--p429", type=float, default=0.0)
    faults.add_argument("--p500", type=float, default=0.0)
    faults.add_argument("--p-truncated", type=float, default=0.0, help="half of the body, then the end")
    faults.add_argument("--hang", type=float, default=0.0, help="no answer for an hour")
    faults.add_argument("--malformed", type=float, default=0.0, help="half of the answer behind a brace")
    batches = parser.add_argument_group("batches, for tests; counts are of the first batches")
    batches.add_argument("--batch-seconds", type=float, default=0.0, help="from creation to completion")
    batches.add_argument("--batch-fail", type=int, default=0, metavar="N", help="so many are refused as a whole")
    batches.add_argument("--batch-expire", type=int, default=0, metavar="N", help="so many expire")
    batches.add_argument("--batch-expire-at", type=float, default=0.5, help="share of their requests done by then")
    batches.add_argument("--batch-half", type=int, default=0, metavar="N", help="so many downloads give half a file")
    misdeeds = parser.add_argument_group("misdeeds of the translator, for tests")
    misdeeds.add_argument(
        "--misdeed",
        type=_misdeed,
        action="append",
        default=[],
        metavar="NAME=SHARE",
        help=f"share of the translations that are spoilt so; repeatable; {', '.join(Misdeed)}",
    )
    return parser


if __name__ == "__main__":
    main()
