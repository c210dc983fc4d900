"""``explain``: why a row was rejected or is not in a release; why a part was made again, or would be."""

from __future__ import annotations

import argparse

from pydantic import JsonValue

from ultralink.commands.reasons import PartReason, part_reasons
from ultralink.commands.row_story import Story, story
from ultralink.commands.terminal import (
    FINE,
    Terminal,
    chosen_languages,
    existing_store,
    print_json,
    safe,
    store_url,
    words,
)
from ultralink.commands.traces import POOL_NAME, languages, stages_of
from ultralink.errors import PartMissing, RecipeError
from ultralink.release.shelf import LATEST
from ultralink.stages.partition import is_date


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own options."""
    what = parser.add_subparsers(required=True, metavar="WHAT")
    row = what.add_parser("row", help="what became of a row, up to the release", description="What became of a row.")
    row.add_argument("id", type=words, help="of a sample, a reject, an article or an English row")
    row.add_argument("--release", default=LATEST, metavar="VERSION", help="default: the newest")
    row.set_defaults(explain=_row)
    part = what.add_parser(
        "part",
        help="why parts are up to date or would be made again",
        description="Why parts are up to date, or would be made again.",
    )
    part.add_argument("language", help="code of the language, or pool")
    part.add_argument("date", help="partition date of the night")
    part.add_argument("stage", nargs="?", help="only this one, such as dialogues")
    part.add_argument("--shard", type=int, help="only this one")
    part.add_argument("--model", help="the model of the next run; default: the one that made the part")
    part.set_defaults(explain=_part)
    for one in (row, part):
        one.add_argument("--store", default=argparse.SUPPRESS, help="path or fsspec URL")
        one.add_argument("--json", action="store_true", help="for scripts")


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """Print the explanation; FINE whatever it is."""
    explained: int = options.explain(options, terminal)
    return explained


# --- rows -----------------------------------------------------------------------------------------


def _row(options: argparse.Namespace, terminal: Terminal) -> int:
    told = story(existing_store(store_url(options.store)), options.id, options.release)
    if options.json:
        print_json(_story_for_scripts(told))
        return FINE
    for line in told.lines:
        terminal.say(line)
    for row in told.rows:
        terminal.print()
        row.show()
    return FINE


def _story_for_scripts(told: Story) -> JsonValue:
    return {
        "id": told.id,
        "lines": list(told.lines),
        "rows": [row.model_dump(mode="json") for row in told.rows],
        "release": told.release,
        "removed": list(told.removed),
    }


# --- parts ----------------------------------------------------------------------------------------


def _part(options: argparse.Namespace, terminal: Terminal) -> int:
    store = existing_store(store_url(options.store))
    (language,) = chosen_languages([options.language], languages(store))
    if not is_date(options.date):
        raise RecipeError(f"date {options.date!r}: must be a date such as 2026-11-23")
    known = [stage.name for stage in stages_of(language)[0] if stage.name not in ("features", "findings")]
    if options.stage is not None and options.stage not in known:
        raise RecipeError(f"stage {options.stage!r}: {language} has {', '.join(known)}")
    found = part_reasons(store, language, options.date, model=options.model)
    chosen = [
        one for one in found if options.stage in (None, one.stage, *one.beside) and options.shard in (None, one.shard)
    ]
    if not chosen:
        which = f" {options.stage or 'part'}" + (f" of shard {options.shard}" if options.shard is not None else "")
        raise PartMissing(f"{language} {options.date}: the store has no{which}")
    if options.json:
        print_json([_reason_for_scripts(one) for one in chosen])
        return FINE
    for one in chosen:
        _show_reason(one, terminal)
    if language != POOL_NAME:
        terminal.say("A run with other articles, shards or rows than the night has may make parts again.", "dim")
    return FINE


def _show_reason(one: PartReason, terminal: Terminal) -> None:
    shard = "" if one.shard is None else f" [{one.shard}]"
    terminal.print(f"[bold]{safe(one.stage)}{safe(shard)}[/]: {safe(one.verdict)}", highlight=False, soft_wrap=True)
    for line in one.reasons:
        terminal.say(f"    {line}")


def _reason_for_scripts(one: PartReason) -> JsonValue:
    return {
        "stage": one.stage,
        "shard": one.shard,
        "would_be_made_again": one.would_be_made_again,
        "verdict": one.verdict,
        "reasons": list(one.reasons),
    }
