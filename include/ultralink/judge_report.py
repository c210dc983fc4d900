"""``python -m ultralink.judge_report --language zh``: the judge's agreement with labelled items, as tables.

It asks the endpoint of OPENAI_API_KEY and OPENAI_BASE_URL, or without a key the offline teacher, which it serves
itself. Nothing is kept: each time the endpoint is asked anew.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

from rich.console import Console
from rich.table import Table

from ultralink.command import run
from ultralink.dialogue.agreement import Agreement, measure, shown
from ultralink.dialogue.labelled import LABELLED, load_labelled
from ultralink.errors import RecipeError
from ultralink.measured import measured_teacher
from ultralink.prompts import load_prompts
from ultralink.recipe import Recipe, configured_languages, load_recipe
from ultralink.stages.casting import judge_style


async def report(language: str, console: Console) -> None:
    """Measure and show. Raises RecipeError where there are no labelled items, and what asking raises."""
    recipe, labelled = load_recipe(language), load_labelled(language)
    if labelled is None:
        raise RecipeError(f"{LABELLED / language}.yaml: no such file; it holds the items to measure the judge with")
    style = judge_style(recipe, recipe.judge.model or recipe.teacher.model)
    async with measured_teacher("Judge", style.model, style.sampling, recipe.teacher.timeout_s, console) as ask:
        agreement = await measure(
            labelled,
            ask,
            load_prompts(language),
            new_attempts=recipe.dialogue.new_attempts,
            concurrency=recipe.teacher.concurrency,
        )
    show(agreement, recipe, console)


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


def main() -> int:
    """Parse the command line and run it; returns the exit code."""
    parser = argparse.ArgumentParser(prog="ultralink.judge_report", description=__doc__)
    parser.add_argument("--language", required=True, metavar="CODE", help=", ".join(configured_languages()))
    language, console = parser.parse_args().language, Console()
    return run(lambda: asyncio.run(report(language, console)), console)


if __name__ == "__main__":
    sys.exit(main())
