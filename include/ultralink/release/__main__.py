"""``python -m ultralink.release``: list, show, compare, check and prune the releases of a store."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

from pydantic import TypeAdapter
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ultralink.command import run
from ultralink.default_store import default_store
from ultralink.release.comparison import Comparison, compare
from ultralink.release.leftovers import Leftover, prunable, remove
from ultralink.release.manifest import Manifest
from ultralink.release.shelf import LATEST, Shelf
from ultralink.store import Store

PROBLEM, ERROR = 1, 2  # exit codes
WIDEST = 1000  # characters of a line in a pipe

_MANIFESTS = TypeAdapter(list[Manifest])


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and run it; 0: well, 1: a release is damaged, 2: an error, told in one line."""
    options = _parser().parse_args(arguments)
    outcome = 0

    def act() -> None:
        nonlocal outcome
        outcome = options.act(Shelf(options.store), options, _console())

    errors = Console(stderr=True)
    try:
        failed = run(act, errors)
    except OSError as problem:
        errors.print(f"[bold red]{escape(options.store.root)}: {escape(str(problem))}[/]", soft_wrap=True)
        return ERROR
    return {0: outcome, 1: ERROR}.get(failed, failed)


def _console() -> Console:
    """As wide as the terminal; in a pipe as wide as its tables, so that nothing is cut or broken."""
    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = WIDEST
    return console


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ultralink.release", description=__doc__)
    parser.add_argument(
        "--store",
        type=_store,
        default=default_store(),
        help="path or fsspec URL; default: ULTRALINK_STORE, or .store beside include/ (%(default)s)",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, act: Callable[..., int], about: str) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=about, description=about)
        one.set_defaults(act=act)
        return one

    def takes_version(one: argparse.ArgumentParser) -> None:
        one.add_argument("version", nargs="?", default=LATEST, help="default: the newest")

    def tells_json(one: argparse.ArgumentParser) -> None:
        one.add_argument("--json", action="store_true", help="for scripts")

    tells_json(command("list", _list, "all releases, the oldest first"))
    shown = command("show", _show, "what is in a release")
    takes_version(shown)
    tells_json(shown)
    compared = command("compare", _compare, "which rows came, went and changed from one release to another, and why")
    compared.add_argument("before")
    compared.add_argument("after", nargs="?", default=LATEST, help="default: the newest")
    tells_json(compared)
    takes_version(command("verify", _verify, "read all files again and compare their checksums"))
    pruned = command("prune", _prune, "remove old releases, and what dead runs left; without --yes only say what")
    pruned.add_argument("--keep", type=_at_least_one, required=True, metavar="N", help="newest releases that stay")
    pruned.add_argument("--protect", action="append", default=[], metavar="VERSION", help="stays too; may be repeated")
    pruned.add_argument("--yes", action="store_true", help="do it")
    takes_version(command("path", _path, "the folder of a release, or its URL"))
    return parser


def _store(url: str) -> Store:
    try:
        return Store.at(url)
    except (ValueError, ImportError) as error:
        raise argparse.ArgumentTypeError(f"{url}: {error}") from None


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: the newest release always stays, so a number from 1 on")
    return int(text)


# --- looking ----------------------------------------------------------------------------------------


def _list(shelf: Shelf, options: argparse.Namespace, console: Console) -> int:
    manifests = shelf.manifests()
    unreadable = sorted(set(shelf.versions()).difference(each.version for each in manifests))
    if options.json:
        listed = _MANIFESTS.dump_json(manifests, indent=1, exclude={"__all__": {"files", "sources", "recipe"}})
        console.out(listed.decode(), highlight=False)
        return PROBLEM if unreadable else 0
    columns = ("version", "published", "languages", "nights", "rows", "size")
    table = Table(*columns, title=f"Releases in {shelf.store.root}")
    latest = shelf.pointer()
    for each in manifests:
        table.add_row(
            f"{each.version} (latest)" if each.version == latest else each.version,
            f"{each.created:%Y-%m-%d %H:%M}",
            " ".join(each.languages),
            f"{len(each.sources):,}",
            f"{each.rows:,}",
            _size(each.bytes),
        )
    console.print(table)
    for version in unreadable:
        console.print(f"[bold red]{escape(version)}: its manifest cannot be read; `show {escape(version)}` says why[/]")
    return PROBLEM if unreadable else 0


def _show(shelf: Shelf, options: argparse.Namespace, console: Console) -> int:
    manifest = shelf.manifest(options.version)
    if options.json:
        console.out(manifest.model_dump_json(indent=1), highlight=False)
        return 0
    table = Table("language", "subset", "train", "validation", title=f"Release {manifest.version}")
    for each in manifest.configurations:
        table.add_row(each.language, each.subset, f"{each.train:,}", f"{each.validation:,}")
    console.print(table)
    dates = sorted({night.date for night in manifest.sources})
    facts = {
        "Published": f"{manifest.created:%Y-%m-%d %H:%M} UTC by run {manifest.run_id}, {manifest.tool}",
        "Made of": f"{len(manifest.sources)} nights from {dates[0]} to {dates[-1]}",
        "Removed": ", ".join(f"{rows:,} {stage}" for stage, rows in manifest.removed.items()) or "nothing",
        "Missing": "; ".join(f"{each}: {', '.join(lacks)}" for each, lacks in manifest.missing.items()) or "nothing",
        "Files": f"{len(manifest.files)}, {_size(manifest.bytes)}",
        "Card": f"{_address(shelf, manifest.version)}/README.md",
    }
    for name, fact in facts.items():
        console.print(f"{name}: {escape(fact)}", highlight=False, soft_wrap=True)
    return 0


def _path(shelf: Shelf, options: argparse.Namespace, console: Console) -> int:
    console.out(_address(shelf, shelf.manifest(options.version).version), highlight=False)
    return 0


def _address(shelf: Shelf, version: str) -> str:
    """The folder of a release as other programs take it: a path, or the URL of a store that is not on a disk."""
    folder = shelf.path(version)
    return folder if shelf.store.is_local else str(shelf.store.fs.unstrip_protocol(folder))


def _size(number: int) -> str:
    size, unit = float(number), "B"
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            break
        size /= 1000
    return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"


# --- comparing and checking -------------------------------------------------------------------------


def _compare(shelf: Shelf, options: argparse.Namespace, console: Console) -> int:
    comparison = compare(shelf, options.before, options.after)
    if options.json:
        console.out(comparison.model_dump_json(indent=1), highlight=False)
    else:
        _show_comparison(comparison, console)
    return 0


def _show_comparison(comparison: Comparison, console: Console) -> None:
    table = Table("", "language", "subset", "rows", "why")
    table.add_column("for example", overflow="fold")
    for change in comparison.changes:
        examples = escape("\n".join(change.examples))
        table.add_row(change.what, change.language, change.subset, f"{change.rows:,}", escape(change.reason), examples)
    table.title = f"{comparison.before} ({comparison.rows_before:,} rows) to {comparison.after} "
    table.title += f"({comparison.rows_after:,} rows)"
    console.print(table)
    nights = comparison.nights
    for what, names in (("New", nights.came), ("Left out", nights.went), ("Made again", nights.made_again)):
        if names:
            console.print(f"{what} nights: {', '.join(names)}", highlight=False, soft_wrap=True)
    console.print(f"The same: {comparison.same:,} rows", highlight=False)


def _verify(shelf: Shelf, options: argparse.Namespace, console: Console) -> int:
    version = shelf.manifest(options.version).version
    damages = list(shelf.verify(version))
    for damage in damages:
        console.print(f"[bold red]{escape(damage.path)} {escape(damage.what)}[/]", soft_wrap=True)
    if not damages:
        console.print(f"Release {version} is as it was published.", highlight=False)
    return PROBLEM if damages else 0


# --- pruning ----------------------------------------------------------------------------------------


def _prune(shelf: Shelf, options: argparse.Namespace, console: Console) -> int:
    found = prunable(shelf, options.keep, options.protect)
    if not found:
        console.print("Nothing to remove.")
        return 0
    console.print(_leftovers(found))
    if not options.yes:
        console.print("Nothing was removed: add --yes to do it.")
        return 0
    for leftover in found:
        remove(shelf, leftover)
    console.print(f"Removed {len(found)}, {_size(sum(leftover.bytes for leftover in found))}.", highlight=False)
    return 0


def _leftovers(found: list[Leftover]) -> Table:
    table = Table("what", "why it may go", "last written", "size", title="To be removed")
    for leftover in found:
        written = f"{leftover.written:%Y-%m-%d %H:%M}"
        table.add_row(escape(leftover.what), leftover.why, written, _size(leftover.bytes))
    return table


if __name__ == "__main__":
    sys.exit(main())
