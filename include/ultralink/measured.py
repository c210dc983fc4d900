"""A teacher to be measured with labelled items: the one that the environment names, else the offline teacher."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import fsspec
from aiohttp import web
from rich.console import Console

from ultralink.offline_teacher import MODEL, SERVED
from ultralink.offline_teacher.faults import Faults
from ultralink.offline_teacher.reading import PromptShelf
from ultralink.offline_teacher.server import Server
from ultralink.prompts import PROMPTS
from ultralink.teacher.ask import Ask, Style
from ultralink.teacher.desk import Desk, teacher
from ultralink.teacher.endpoint import Endpoint
from ultralink.teacher.live import Origin
from ultralink.teacher.models import load_models
from ultralink.teacher.request import Sampling


@asynccontextmanager
async def measured_teacher(
    role: str, model: str, sampling: Sampling, timeout_s: float, console: Console
) -> AsyncIterator[Ask]:
    """The door to ``model`` at OPENAI_API_KEY and OPENAI_BASE_URL, or without a key to the offline teacher.

    ``console`` is told who it is. Nothing is kept: each time the endpoint is asked anew.
    """
    if os.environ.get("OPENAI_API_KEY"):
        endpoint = _configured(timeout_s)
        console.print(f"{role}: {model} at {endpoint.shown_url}", highlight=False)
        async with _asked(endpoint, Style(model, sampling)) as ask:
            yield ask
    else:
        console.print(f"No OPENAI_API_KEY is set. {role}: {SERVED}", highlight=False)
        async with offline_endpoint() as endpoint, _asked(endpoint, Style(MODEL, sampling)) as ask:
            yield ask


@asynccontextmanager
async def offline_endpoint() -> AsyncIterator[Endpoint]:
    """The offline teacher on a free loopback port, served by this event loop for as long as the block lasts."""
    runner = web.AppRunner(Server(PromptShelf([PROMPTS]), Faults(), key=None).application(), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield Endpoint(f"http://{host}:{port}/v1", headers={"Authorization": "Bearer offline"})
    finally:
        await runner.cleanup()


@asynccontextmanager
async def _asked(endpoint: Endpoint, style: Style) -> AsyncIterator[Ask]:
    with tempfile.TemporaryDirectory(prefix="ultralink-measured-") as folder:
        desk = Desk(
            fs=fsspec.filesystem("file"),
            journal_folder=folder,
            writer="report",
            origin=Origin("report", 0),
            cards=load_models(),
            style=style,
        )
        async with teacher(desk, endpoint) as ask:
            yield ask


def _configured(timeout_s: float) -> Endpoint:
    from openai import OpenAI

    # An empty variable means that none is set; the client would take it for the address.
    client = OpenAI(base_url=os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1")
    return Endpoint.from_client(client, {}, timeout_s)
