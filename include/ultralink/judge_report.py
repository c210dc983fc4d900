"""``python -m ultralink.judge_report --language zh``: the judge's agreement with labelled items, as tables.

The items are those of include/judge/, or with ``--labelled FILE`` those that people labelled in the page and exported.
It asks the endpoint of OPENAI_API_KEY and OPENAI_BASE_URL, or without a key the offline teacher, which it serves
itself. Nothing is kept: each time the endpoint is asked anew.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ultralink.command import run
from ultralink.dialogue.agreement import Agreement, measure, shown
from ultralink.dialogue.labelled import LABELLED, load_exported, load_labelled
from ultralink.errors import RecipeError
from ultralink.measured import measured_teacher
from ultralink.prompts import load_prompts
from ultralink.recipe import Recipe, configured_languages, load_recipe
from ultralink.stages.casting import judge_style


async def report(language: str, console: Console, exported: Path | None = None) -> None:
    """Measure and show; ``exported``: a file of items in the place of the language's own.

    Raises RecipeError where there are no labelled items, and what asking raises.
    """
    recipe = load_recipe(language)
    labelled = load_labelled(language) if exported is None else load_exported(exported)
    source = exported or LABELLED / f"{language}.yaml"
    if labelled is None:
        raise RecipeError(f"{source}: no such file; it holds the items to measure the judge with")
    style = judge_style(recipe, recipe.judge.model or recipe.teacher.model)
    async with measured_teacher("Judge", style.model, style.sampling, recipe.teacher.timeout_s, console) as ask:
        agreement = await measure(
            labelled,
            ask,
            load_prompts(language),
            new_attempts=recipe.dialogue.new_attempts,
            concurrency=recipe.teacher.concurrency,
        )
    show(agreement, recipe, source, console)


def show(agreement: Agreement, recipe: Recipe, source: Path, console: Console) -> None:
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
    wrong = Table("item", "title", "label", "judge", title=f"Got wrong ({escape(str(source))})")
    for ruling in agreement.wrong:
        judged = "grounded" if ruling.judged else ruling.reason
        wrong.add_row(str(ruling.number), ruling.title, "grounded" if ruling.grounded else "ungrounded", judged)
    console.print(wrong)


def main() -> int:
    """Parse the command line and run it; returns the exit code."""
    parser = argparse.ArgumentParser(prog="ultralink.judge_report", description=__doc__)
    parser.add_argument("--language", required=True, metavar="CODE", help=", ".join(configured_languages()))
    parser.add_argument(
        "--labelled", type=Path, metavar="FILE", help='items that the page exported ("items for the judge", JSONL)'
    )
    options, console = parser.parse_args(), Console()
    return run(lambda: asyncio.run(report(options.language, console, options.labelled)), console)


if __name__ == "__main__":
    sys.exit(main())
