"""``plan``: what a night would cost, or all English rows that the recipe asks for. Nobody is called."""

from __future__ import annotations

import argparse
import math
from dataclasses import asdict, replace
from datetime import UTC, datetime

from pydantic import JsonValue
from rich.table import Table

from ultralink.commands.pricing import Line, Priced, price
from ultralink.commands.terminal import (
    FINE,
    PROBLEM,
    Terminal,
    dollars,
    open_store,
    print_json,
    progress,
    safe,
    store_url,
)
from ultralink.configured import load_language
from ultralink.errors import RecipeError
from ultralink.pool.row import Kind
from ultralink.recipe import LANGUAGES, Amount, Recipe, read_yaml
from ultralink.schemas import CHOICE
from ultralink.stages.night import Night
from ultralink.store import Store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own options."""
    parser.add_argument("language", help="code of the language")
    parser.add_argument("--date", help="partition date of the night; default: today")
    parser.add_argument("--articles", type=_amount, help="default: the recipe's")
    for kind in Kind:
        parser.add_argument(f"--{kind}", type=_amount, help=f"English {kind} rows; default: the recipe's")
    parser.add_argument("--model", help="default: the recipe's; an Airflow connection may name another")
    parser.add_argument("--mode", choices=["live", "batch"], help="default: the recipe's")
    parser.add_argument("--source", choices=["dump", "api"], help="where articles come from; default: the recipe's")
    parser.add_argument(
        "--whole", action="store_true", help="also: all English rows until the recipe's budgets are full"
    )
    parser.add_argument(
        "--estimate", action="store_true", help="read no wiki and no pool: price made-up passages and rows"
    )
    parser.add_argument("--json", action="store_true", help="for scripts")


def _amount(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("must not be negative")
    return number


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """Print the price; PROBLEM where it is above the recipe's budget of a run."""
    night = _night(options)
    priced = price(night, progress, made_up=options.estimate)
    whole = _whole(night, priced) if options.whole else []
    complaints = _complaints(night.recipe, priced)
    if options.json:
        print_json(_for_scripts(night, priced, whole, complaints))
    else:
        _show(night, priced, whole, complaints, terminal)
    return PROBLEM if complaints else FINE


def _night(options: argparse.Namespace) -> Night:
    recipe, book = load_language(options.language)
    if options.source:
        overlay: dict[str, object] = {"wikipedia.source": options.source}
        recipe = read_yaml(LANGUAGES / f"{options.language}.yaml", Recipe, RecipeError, overlay)
    articles = recipe.wikipedia.articles_per_night if options.articles is None else options.articles
    given = {kind: getattr(options, kind.value) for kind in Kind}
    return Night(
        recipe=recipe,
        book=book,
        store=open_store(store_url(options.store)),
        date=options.date or f"{datetime.now(UTC):%Y-%m-%d}",
        run_id="plan",
        articles=articles,
        rows={kind: _of(recipe, kind).per_night if amount is None else amount for kind, amount in given.items()},
        shards=recipe.shards,
        model=options.model or recipe.teacher.model,
        mode=options.mode or recipe.teacher.mode,
        dry_run=True,
    )


def _of(recipe: Recipe, kind: Kind) -> Amount:
    amount: Amount = getattr(recipe.agnostic, kind.value)
    return amount


# --- the whole budget -----------------------------------------------------------------------------


def _whole(night: Night, priced: Priced) -> list[Line]:
    """Each kind of English rows until its budget is full, at the price per row of the night that was priced."""
    taken = _taken(night.store, night.language)
    lines = []
    english = priced.english
    if any(line.free for line in english):  # what is paid already would make all the others look cheap
        english = price(replace(night, articles=0), progress, made_up=True).english
    for line in english:
        amount = _of(night.recipe, Kind(line.what))
        left = max(0, amount.budget - taken[Kind(line.what)])
        if not line.rows:
            continue
        nights = math.ceil(left / amount.per_night) if amount.per_night else None
        many = "no end: per_night is 0" if nights is None else f"{nights:,} nights"
        about = f"{amount.budget:,} in all, {amount.budget - left:,} chosen so far; {many}"
        lines.append(replace(line.times(left / line.rows), rows=left, about=about))
    return lines


def _taken(store: Store, language: str) -> dict[Kind, int]:
    taken = dict.fromkeys(Kind, 0)
    for day in store.dates(CHOICE, language):
        for row in store.part(CHOICE, language, day).rows(["kind"]):
            taken[Kind(str(row["kind"]))] += 1
    return taken


def _complaints(recipe: Recipe, priced: Priced) -> list[str]:
    """Where a half of the night costs more than its part of the budget."""
    english = recipe.budget.english if recipe.translation else 0.0
    cap, found = recipe.budget, []
    for name, lines, share in (
        ("dialogues", priced.dialogues, 1 - english),
        ("English rows", priced.english, english),
    ):
        usd, tokens = sum(line.cost_usd for line in lines), sum(line.tokens for line in lines)
        if cap.usd is not None and usd > cap.usd * share:
            found.append(f"{name}: {dollars(usd)} is above their part of budget.usd, {dollars(cap.usd * share)}")
        if cap.tokens is not None and tokens > cap.tokens * share:
            found.append(f"{name}: {tokens:,} tokens are above their part of budget.tokens, {cap.tokens * share:,.0f}")
    return found


# --- showing --------------------------------------------------------------------------------------


def _for_scripts(night: Night, priced: Priced, whole: list[Line], complaints: list[str]) -> JsonValue:
    total = priced.total
    return {
        "language": night.language,
        "date": night.date,
        "model": night.model,
        "mode": night.mode,
        "night": [asdict(line) for line in priced.lines],
        "total": {
            "calls": total.calls,
            "free": total.free,
            "tokens": total.tokens,
            "cost_usd": total.cost_usd,
            "unpriced": total.unpriced,
        },
        "whole": [asdict(line) for line in whole],
        "notes": list(priced.notes),
        "over_budget": list(complaints),
    }


def _show(night: Night, priced: Priced, whole: list[Line], complaints: list[str], terminal: Terminal) -> None:
    by_batch = ", by the Batch API" if night.mode == "batch" else ""
    title = f"A night of {night.language} ({night.date}) with {safe(night.model)}{by_batch}"
    terminal.print(_table(title, [*priced.lines, priced.total]))
    if whole:
        total = Line("all of these", sum(line.rows for line in whole), "")
        for line in whole:
            total = total.plus(line)
        terminal.print(_table("All English rows of the recipe that are yet to come", [*whole, total]))
    for note in priced.notes:
        terminal.say(f"Note: {note}", "yellow")
    if priced.total.unpriced:
        terminal.say(f"Note: {priced.total.unpriced:,} calls are of a model without a price in models.yaml.", "yellow")
    for complaint in complaints:
        terminal.say(complaint, "bold red")
    terminal.say("Nobody was called.")


def _table(title: str, lines: list[Line]) -> Table:
    table = Table("what", "rows", "calls", "free", "tokens", "cost", "", title=title)
    for column in table.columns[1:6]:
        column.justify = "right"
    for line in lines:
        cost = dollars(line.cost_usd if line.calls > line.unpriced or not line.calls else None)
        table.add_row(
            safe(line.what),
            f"{line.rows:,}",
            f"{line.calls:,}",
            f"{line.free:,}",
            f"{line.tokens:,}",
            cost,
            safe(line.about),
        )
    return table
