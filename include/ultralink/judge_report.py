"""``python -m ultralink.judge_report --language zh``: the judge's agreement with labelled items, as tables.

It asks the endpoint of OPENAI_API_KEY and OPENAI_BASE_URL, or without a key the offline teacher, which it serves
itself. Nothing is kept: each time the endpoint is asked anew.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import fsspec
from aiohttp import web
from rich.console import Console
from rich.table import Table

from ultralink.command import run
from ultralink.dialogue.agreement import Agreement, measure, shown
from ultralink.dialogue.labelled import LABELLED, LabelledSet, load_labelled
from ultralink.errors import RecipeError
from ultralink.offline_teacher import MODEL, SERVED
from ultralink.offline_teacher.faults import Faults
from ultralink.offline_teacher.reading import PromptShelf
from ultralink.offline_teacher.server import Server
from ultralink.prompts import PROMPTS, load_prompts
from ultralink.recipe import Recipe, configured_languages, load_recipe
from ultralink.stages.casting import judge_style
from ultralink.teacher.desk import Desk, teacher
from ultralink.teacher.endpoint import Endpoint
from ultralink.teacher.live import Origin
from ultralink.teacher.models import load_models


async def report(language: str, console: Console) -> None:
    """Measure and show. Raises RecipeError where there are no labelled items, and what asking raises."""
    recipe, labelled = load_recipe(language), load_labelled(language)
    if labelled is None:
        raise RecipeError(f"{LABELLED / language}.yaml: no such file; it holds the items to measure the judge with")
    if os.environ.get("OPENAI_API_KEY"):
        endpoint = _configured(recipe)
        model = recipe.judge.model or recipe.teacher.model
        console.print(f"Judge: {model} at {endpoint.shown_url}", highlight=False)
        show(await _measured(recipe, labelled, endpoint, model), recipe, console)
    else:
        console.print(f"No OPENAI_API_KEY is set. Judge: {SERVED}", highlight=False)
        async with offline_endpoint() as endpoint:
            show(await _measured(recipe, labelled, endpoint, MODEL), recipe, console)


def show(agreement: Agreement, recipe: Recipe, console: Console) -> None:
    """Print the figures, and the items that the judge got wrong."""
    figures = Table(
        "language", "items", "agreement", "precision", "recall", "may reject", title="'Ungrounded' verdicts"
    )
    least = recipe.judge.min_agreement
    figures.add_row(
        recipe.language,
        str(len(agreement.rulings)),
        f"{agreement.share:.2f} (at least {least:g})",
        shown(agreement.precision),
        shown(agreement.recall),
        "yes" if agreement.share >= least else "no",
    )
    console.print(figures)
    if not agreement.wrong:
        return
    wrong = Table("item", "title", "label", "judge", title=f"Got wrong (include/judge/{recipe.language}.yaml)")
    for ruling in agreement.wrong:
        judged = "grounded" if ruling.judged else ruling.reason
        wrong.add_row(str(ruling.number), ruling.title, "grounded" if ruling.grounded else "ungrounded", judged)
    console.print(wrong)


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


async def _measured(recipe: Recipe, labelled: LabelledSet, endpoint: Endpoint, model: str) -> Agreement:
    with tempfile.TemporaryDirectory(prefix="ultralink-judge-") as folder:
        desk = Desk(
            fs=fsspec.filesystem("file"),
            journal_folder=folder,
            writer="report",
            origin=Origin("report", 0),
            cards=load_models(),
            style=judge_style(recipe, model),
        )
        async with teacher(desk, endpoint) as ask:
            return await measure(
                labelled,
                ask,
                load_prompts(recipe.language),
                new_attempts=recipe.dialogue.new_attempts,
                concurrency=recipe.teacher.concurrency,
            )


def _configured(recipe: Recipe) -> Endpoint:
    from openai import OpenAI

    # An empty variable means that none is set; the client would take it for the address.
    client = OpenAI(base_url=os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1")
    return Endpoint.from_client(client, {}, recipe.teacher.timeout_s)


def main() -> int:
    """Parse the command line and run it; returns the exit code."""
    parser = argparse.ArgumentParser(prog="ultralink.judge_report", description=__doc__)
    parser.add_argument("--language", required=True, metavar="CODE", help=", ".join(configured_languages()))
    language, console = parser.parse_args().language, Console()
    return run(lambda: asyncio.run(report(language, console)), console)


if __name__ == "__main__":
    sys.exit(main())
