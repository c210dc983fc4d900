"""`python -m ultralink.local demo|up|down|airflow`: what `make demo`, `make up`, `make down` and `make airflow` run."""

from __future__ import annotations

import argparse
import signal
import sys
from types import FrameType

from rich.console import Console

from ultralink.command import run
from ultralink.local.demo import Following, released_languages, show, show_release
from ultralink.local.processes import airflow, refuse_if_running, start, stop
from ultralink.local.rest import AirflowApi
from ultralink.local.settings import LocalSettings, Secrets, free_port
from ultralink.recipe import configured_languages, load_recipe

_OFFLINE = (
    "[yellow]No OPENAI_API_KEY is set: the teacher is the offline teacher. It is not an LLM; it composes "
    "questions and answers from the passage by templates.[/]"
)


def demo(language: str, date: str | None, console: Console) -> None:
    """Start Airflow, make the English pool, run one night, release it, show all, stop what was started."""
    recipe = load_recipe(language)
    settings = LocalSettings.from_environment(port=free_port(), scheduled=False)
    refuse_if_running(settings.home)
    with Stopping(settings, console):
        api = _started(settings, console)
        date = date or str(recipe.start_date)
        Following(api, settings, console, "ultralink_english_pool", date).run()
        run_id = Following(api, settings, console, f"ultralink_{language}", date).run()
        release = Following(api, settings, console, "ultralink_release", date)
        release.run(languages=released_languages(settings), allow_missing=True)
        show(settings, console, language, date, run_id)
        show_release(settings, console)


def up(console: Console) -> None:
    """Start Airflow for a person and leave it running."""
    settings = LocalSettings.from_environment(port=free_port(8080), scheduled=True)
    refuse_if_running(settings.home)
    try:
        _started(settings, console)
    except BaseException:
        stop(settings.home)
        raise
    password = Secrets.of(settings.home).password
    console.print(f"\nAirflow:  [bold]{settings.url}[/]\nLogin:    admin / {password}", highlight=False)
    console.print("The Dags are paused; unpausing one also runs its latest night. Stop with: make down")


def down(console: Console) -> None:
    """Stop the Airflow that `up` left running."""
    settings = LocalSettings.from_environment(port=0, scheduled=False)
    console.print(f"Stopped {stop(settings.home)} processes of {settings.home}")


class Stopping:
    """Stops the local Airflow at the end of a block, however it ends; TERM and HUP end it like Ctrl-C."""

    def __init__(self, settings: LocalSettings, console: Console) -> None:
        self._home = settings.home
        self._console = console

    def __enter__(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # SIGINT too: a shell may have it ignored
            signal.signal(number, _interrupt)

    def __exit__(self, *error: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not leave half of it behind
        self._console.print("Stopping Airflow …")
        stop(self._home)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _started(settings: LocalSettings, console: Console) -> AirflowApi:
    if settings.offline:
        console.print(_OFFLINE)
    where = f"{settings.home}, store {settings.store}"
    console.print(f"Starting Airflow from {where} …", highlight=False, soft_wrap=True)
    start(settings)
    return AirflowApi(settings.url, "admin", Secrets.of(settings.home).password)


def main() -> int:
    """Parse the command line and run it; returns the exit code."""
    parser = argparse.ArgumentParser(prog="ultralink.local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    demo_command = commands.add_parser("demo")
    demo_command.add_argument("--language", required=True, metavar="CODE", help=", ".join(configured_languages()))
    demo_command.add_argument("--date", help="partition date, default: the recipe's start_date")
    commands.add_parser("up")
    commands.add_parser("down")
    airflow_command = commands.add_parser("airflow", add_help=False)
    airflow_command.add_argument("rest", nargs=argparse.REMAINDER, help="as `airflow` takes it: backfill create ...")
    arguments = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 110)
    match arguments.command:
        case "demo":
            return run(lambda: demo(arguments.language, arguments.date, console), console)
        case "up":
            return run(lambda: up(console), console)
        case "airflow":
            settings = LocalSettings.from_environment(port=free_port(), scheduled=True)
            return run(lambda: airflow(settings, arguments.rest), console)
        case _:
            return run(lambda: down(console), console)


if __name__ == "__main__":
    sys.exit(main())
