"""``python -m ultralink``: the operator's commands. Exit codes: 0 fine, 1 problem found, 2 it could not be done."""

from __future__ import annotations

import argparse
import io
import os
import sys
import traceback
from collections.abc import Collection, Sequence
from importlib import import_module

from ultralink.command import plain, run
from ultralink.commands.terminal import ERROR, FINE, Terminal
from ultralink.release.__main__ import main as release

COMMANDS = {
    "validate": "read all recipes, prompts and settings; each mistake with file and field",
    "plan": "what a night would cost, or the whole budget of English rows; nobody is called",
    "nights": "what each night gave and cost, and how far it has come",
    "show": "one sample or reject as a conversation",
    "explain": "why a row was rejected or is not in a release; why a part would be made again",
    "verify": "whether every part, statistic, journal and release is as it was written",
    "gc": "remove what nothing refers to any more; without --yes only say what",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what a terminal's encoding lacks is no reason to fail
            stream.reconfigure(errors="backslashreplace")
    try:
        passed_on = _for_releases(given)
        code = _run(given) if passed_on is None else release(passed_on)
        sys.stdout.flush()
    except BrokenPipeError:  # who read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FINE
    except SystemExit as leaving:  # rich ends the program with 1 when its reader is gone; argparse never does
        if leaving.code == 1:
            return FINE
        raise
    return code


def parser(wanted: Collection[str] = tuple(COMMANDS)) -> argparse.ArgumentParser:
    """The command line as it can be written; of commands that are not ``wanted`` only the names."""
    top = argparse.ArgumentParser(prog="python -m ultralink", description=__doc__)
    about_store = "path or fsspec URL; default: ULTRALINK_STORE, or .store beside include/"
    top.add_argument("--store", help=about_store)
    commands = top.add_subparsers(required=True, metavar="COMMAND", dest="command")
    for name, about in COMMANDS.items():
        if name not in wanted:  # loading its module takes a second
            commands.add_parser(name, help=about)
            continue
        module = import_module(f"ultralink.commands.{name}")
        one = commands.add_parser(name, help=about, description=module.__doc__)
        one.add_argument("--store", default=argparse.SUPPRESS, help=about_store)
        module.add_arguments(one)
        one.set_defaults(act=module.run)
    commands.add_parser("release", help="list, show, compare, verify and prune releases", add_help=False)
    return top


def _for_releases(given: list[str]) -> list[str] | None:
    """The arguments without ``release``, where that is the command; it may stand behind ``--store``."""
    at = 2 if given[:1] == ["--store"] else int(given[:1] != [] and given[0].startswith("--store="))
    return [*given[:at], *given[at + 1 :]] if given[at : at + 1] == ["release"] else None


def _run(given: list[str]) -> int:
    options = parser(set(COMMANDS).intersection(given)).parse_args(given)
    outcome = FINE

    def act() -> None:
        nonlocal outcome
        outcome = options.act(options, Terminal())

    try:
        failed = run(act, Terminal(stderr=True))
    except BrokenPipeError:
        raise
    except OSError as error:
        print(plain(str(error)), file=sys.stderr)
        return ERROR
    except Exception:  # 1 means that a problem was found, and none was looked for to the end
        traceback.print_exc()
        return ERROR
    return {0: outcome, 1: ERROR}.get(failed, failed)


if __name__ == "__main__":
    sys.exit(main())
