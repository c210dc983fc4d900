"""A new language and its past nights, as docs/backfill.md tells it: two files, a backfill from the dialog and one from
the command line, a pause, a new prompt, an outage. On a real Airflow, a real MediaWiki, a real Chromium.

The guide's pictures are taken here: after a run, `cp build/screenshots/backfill/*.png docs/backfill/`.
"""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
import yaml
from playwright.sync_api import Page
from tests.e2e.system import Live, Teacher, end, offline_teacher
from tests.real.chromium import chromium
from tests.real.mediawiki import Farm
from tests.real.mediawiki import running as wikis
from tests.waiting import wait_for

from ultralink.local.processes import LocalError
from ultralink.local.rest import AirflowApi, Json
from ultralink.local.settings import ROOT, LocalSettings, Secrets
from ultralink.schemas import ARTICLES, CHOICE, DIALOGUES, PASSAGES, SAMPLES, SELECTION, TRANSLATIONS, Stage
from ultralink.store import Store

PICTURES = ROOT / "build" / "screenshots" / "backfill"
DATA = ROOT / "tests" / "data"
TODAY = datetime.now(UTC).date()
NIGHTS = [(TODAY - timedelta(days=back)).isoformat() for back in range(12, 7, -1)]  # of the dialog
FRENCH = [(TODAY - timedelta(days=back)).isoformat() for back in range(12, 8, -1)]  # of the command line
OUTAGE = (TODAY - timedelta(days=5)).isoformat()
PLACES = ("Bremen", "Celle", "Dresden", "Erfurt", "Fulda", "Goslar", "Halle", "Jena", "Kiel", "Lemgo", "Mainz", "Soest")
ARTICLES_A_NIGHT = 2
ONE = json.dumps({"articles": 1})  # of the nights from the command line
CALLS = 4  # in flight at once, as the connection allows
SLOTS = 2  # of the teacher's pool
LONG = 400  # seconds that anything may take on a busy machine
_PAGE = re.compile(r"<title>(.*?)</title>.*?<text[^>]*>(.*?)</text>", re.DOTALL)


# --- the system -------------------------------------------------------------------------------------


def german_pages() -> dict[str, str]:
    """Three articles at each of twelve places: title to wikitext, all in one category."""
    articles = {}
    for title, text in _PAGE.findall((DATA / "dewiki.xml").read_text(encoding="utf-8")):
        for place in PLACES if len(text) > 1000 else ():
            told = html.unescape(text).replace("\n\n== ", f" In {place} ist das bis heute nicht anders.\n\n== ")
            articles[f"{title} in {place}"] = f"{told}\n[[Kategorie:Kultur (Deutschland)]]"
    return articles


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    with wikis(["de"], {"de": german_pages()}) as farm:
        yield farm


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout of the project as a user has it, before the new language."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("dags", "plugins", "include"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    few = {kind: {"budget": 100, "per_night": 2} for kind in ("chat", "math", "code")}
    edit(folder / "include/languages/fr.yaml", "shards", 1)
    edit(folder / "include/languages/fr.yaml", "wikipedia", {"articles_per_night": ARTICLES_A_NIGHT})
    edit(folder / "include/languages/fr.yaml", "agnostic", {"shards": 1, **few})
    return folder


def edit(file: Path, field: str, value: object) -> None:
    """Change a field of a YAML file; of a section, those fields that ``value`` has."""
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    content[field] = {**content[field], **value} if isinstance(value, dict) else value
    file.write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False), encoding="utf-8")


@pytest.fixture(scope="module")
def teacher(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Teacher]:
    """An offline teacher that knows the prompts of the checkout."""
    with offline_teacher(
        tmp_path_factory.mktemp("teacher"), "--latency", "0.1", include=project / "include"
    ) as running:
        yield running


@dataclass(frozen=True)
class System(Live):
    """The checkout's Airflow as `make up` leaves it, its wiki, and a browser that is logged in."""

    project: Path
    farm: Farm
    environment: dict[str, str]
    page: Page

    def local(self, *arguments: str) -> str:
        """What `python -m ultralink.local ...` prints; it must end well."""
        return self.command("ultralink.local", *arguments)

    def command(self, module: str, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            env=self.environment, cwd=self.project, capture_output=True, text=True, check=False, timeout=LONG,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return done.stdout

    def open(self, path: str) -> Page:
        self.page.goto(self.settings.url + path)
        self.page.wait_for_load_state("networkidle")
        return self.page

    def picture(self, name: str, shows: str, *, inside: bool = False) -> None:
        """Keep what the browser shows, once it (or the page ``inside`` of Airflow's) shows this text, for the guide."""
        where = self.page.frame_locator("iframe") if inside else self.page
        where.get_by_text(shows).filter(visible=True).first.wait_for()
        self.page.wait_for_load_state("networkidle")
        self.page.wait_for_timeout(700)  # Airflow's menus and tables fade in
        self.page.screenshot(path=PICTURES / f"{name}.png")

    def press(self, name: str, done: Callable[[], object]) -> None:
        """Press a button, again where it did not take: with SQLite, Airflow says now and then that it is locked."""
        for _ in range(5):
            button = self.page.get_by_role("button", name=name, exact=True)
            if button.is_visible() and button.is_enabled():
                button.click()
            with suppress(TimeoutError):
                return wait_for(done, LONG / 5)
        raise AssertionError(f"{name!r} does not take")

    def is_paused(self, language: str) -> bool:
        """Whether the newest backfill is."""
        return bool(self.backfills(language)[0]["is_paused"])

    def ask(self, path: str, method: str = "GET") -> Json:
        """Airflow's answer, asked again where it came too late: its SQLite may be locked for a while."""
        for _ in range(4):
            with suppress(LocalError):
                return self.api.call(method, f"/api/v2/{path}")
        return self.api.call(method, f"/api/v2/{path}")

    def runs(self, language: str) -> list[Json]:
        found: list[Json] = self.ask(f"dags/ultralink_{language}/dagRuns?limit=100")["dag_runs"]
        return found

    def backfill_runs(self, language: str) -> list[Json]:
        """The runs of all backfills, oldest first."""
        runs = [run for run in self.runs(language) if run["run_type"] == "backfill"]
        return sorted(runs, key=lambda run: str(run["queued_at"]))

    def states(self, language: str, dates: list[str]) -> dict[str, str]:
        """The state of each date's newest backfill run."""
        runs = [run for run in self.backfill_runs(language) if run["partition_key"] in dates]
        return {run["partition_key"]: run["state"] for run in runs}

    def tasks(self, language: str, run_id: str) -> list[Json]:
        path = f"dags/ultralink_{language}/dagRuns/{quote(run_id)}/taskInstances?limit=100"
        found: list[Json] = self.ask(path)["task_instances"]
        return found

    def backfills(self, language: str) -> list[Json]:
        found: list[Json] = self.ask(f"backfills?dag_id=ultralink_{language}&order_by=-id")["backfills"]
        return found

    def completed(self, language: str) -> bool:
        """Whether Airflow lets another backfill of this Dag start."""
        return all(backfill["completed_at"] for backfill in self.backfills(language))

    def ids(self, stage: Stage, language: str, night: str, column: str = "id") -> list[str]:
        """One column of all parts of a night."""
        return [str(row[column]) for part in self.store.parts(stage, language, night) for row in part.rows([column])]

    def written(self, stage: Stage, language: str, nights: list[str]) -> dict[str, tuple[str, datetime]]:
        """Fingerprint and time of writing of each part."""
        found = {}
        for part in (part for night in nights for part in self.store.parts(stage, language, night)):
            stamp = part.stamp()
            assert stamp is not None
            found[part.path] = (stamp.fingerprint, part.modified())
        return found


@pytest.fixture(scope="module")
def system(
    project: Path, teacher: Teacher, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[System]:
    """Airflow with its schedule on, and the German wiki."""
    home = tmp_path_factory.mktemp("airflow")
    connection = {"model": "offline-teacher", "concurrency": CALLS}
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
        "PYTHONPATH": os.pathsep.join(str(project / folder) for folder in ("include", "plugins")),
        "ULTRALINK_HOME": str(home),
        "ULTRALINK_STORE": str(home / "store"),
        "OPENAI_API_KEY": "any-key",
        "OPENAI_BASE_URL": teacher.url,
        "OPENAI_EXTRA": json.dumps(connection),
    }
    command = [sys.executable, "-m", "ultralink.local", "up"]
    up = None
    try:
        with (home / "up.log").open("w") as log:
            up = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
            farm: Farm = request.getfixturevalue("farm")  # is built while Airflow starts
            code = up.wait(LONG)
        told = (home / "up.log").read_text()
        assert code == 0, told
        port = re.search(r"Airflow: +http://127\.0\.0\.1:(\d+)", told)
        assert port is not None
        store = str(home / "store")
        settings = LocalSettings(home, store, f"sqlite:///{home}/airflow.db?timeout=60", int(port[1]), scheduled=True)
        api = AirflowApi(settings.url, "admin", Secrets.of(home).password)
        with logged_in(settings, api) as page:
            yield System(api, settings, Store.at(store), teacher, project, farm, environment, page)
    finally:
        if up is not None:
            up.kill()
            up.wait()
        end(home)


@contextmanager
def logged_in(settings: LocalSettings, api: AirflowApi) -> Iterator[Page]:
    PICTURES.mkdir(parents=True, exist_ok=True)
    login = {"username": "admin", "password": Secrets.of(settings.home).password}
    token = api.call("POST", "/auth/token", login)["access_token"]
    with chromium() as browser:
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        context.set_default_timeout(60_000)
        context.add_cookies([{"name": "_token", "value": token, "url": settings.url}])
        yield context.new_page()
        context.close()


# --- a new language ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def german(system: System) -> str:
    """Two files are copied, and the Dag is there: no restart, no Python."""
    wait_for(lambda: system.api.has_dag("ultralink_fr"), LONG)
    assert not system.api.has_dag("ultralink_de")
    system.api.pause("ultralink_english_pool", paused=False)
    recipe = system.project / "include/languages/de.yaml"
    shutil.copy(DATA / "de.yaml", recipe)
    shutil.copy(DATA / "de_prompts.yaml", system.project / "include/prompts/de.yaml")
    content = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    edit(recipe, "shards", 1)
    address = {"base_url": system.farm.api("de"), "requests_per_second": 20}
    api = {**content["wikipedia"]["api"], **address}
    edit(recipe, "wikipedia", {"source": "api", "articles_per_night": ARTICLES_A_NIGHT, "api": api})
    wait_for(lambda: system.api.has_dag("ultralink_de"), LONG)
    return "de"


def test_two_files_are_a_dag(system: System, german: str) -> None:
    assert system.api.import_errors() == []
    page = system.open("/dags")
    page.get_by_role("link", name="UltraLink · Deutsch").wait_for()
    system.picture("dags", "UltraLink · Deutsch")
    dag = system.api.call("GET", "/api/v2/dags/ultralink_de/details")
    assert {tag["name"] for tag in dag["tags"]} == {"ultralink", "samples", "de"}
    assert f"**{ARTICLES_A_NIGHT} Wikipedia articles** in Deutsch" in dag["doc_md"]
    assert dag["is_paused"] is True


def test_the_language_is_checked_and_priced_before_it_runs(system: System, german: str) -> None:
    assert "no mistakes" in system.command("ultralink", "validate", "de")
    priced = json.loads(system.command("ultralink", "plan", "de", "--date", NIGHTS[0], "--json"))
    assert priced["date"] == NIGHTS[0]
    asked = len(system.farm.requests())
    assert json.loads(system.command("ultralink", "plan", "de", "--estimate", "--json"))["language"] == "de"
    assert len(system.farm.requests()) == asked, "the estimate reads no wiki"
    assert not any(step.startswith("de ") for step in system.teacher.steps())
    assert not list(system.store.dates(SELECTION, "de"))


# --- five nights from the dialog --------------------------------------------------------------------


def fill_dialog(system: System, nights: list[str], runs: int, behaviour: str) -> None:
    """Open the dialog on the Dag's page and fill it in."""
    page = system.open("/dags/ultralink_de")
    page.get_by_role("button", name="Trigger").first.click()
    dialog = page.get_by_role("dialog").first
    dialog.get_by_text("Run this Dag for a range of dates").click()
    for place, day in ((0, nights[0]), (1, nights[-1])):
        dialog.get_by_test_id("datetime-input").nth(place).click()
        field = page.get_by_placeholder("YYYY/MM/DD")
        field.fill(day.replace("-", "/"))
        field.press("Enter")
        page.keyboard.press("Escape")
        field.wait_for(state="hidden")
    dialog.get_by_text(behaviour, exact=True).click()
    page.locator("input[name=max_active_runs]").fill(str(runs))
    page.get_by_text(f"{len(nights)} runs will be triggered").wait_for()


@dataclass(frozen=True)
class Paused:
    """The German nights when they were paused, and later, when the scheduler had started others."""

    before: dict[str, str]
    after: dict[str, str]


@pytest.fixture(scope="module")
def paused(system: System, german: str) -> Paused:
    """Start five nights, two at once; pause while the first two run; go on when they are done and French ones begun."""
    wait_for(lambda: {run["state"] for run in system.runs("english_pool")} == {"success"}, LONG)
    system.local("airflow", "pools", "set", "ultralink_teacher", str(SLOTS), "for the time of the backfill")
    fill_dialog(system, NIGHTS, 2, "Missing Runs")
    system.picture("dialog", "5 runs will be triggered.")
    system.press("Run Backfill", lambda: system.backfills("de"))
    wait_for(lambda: "running" in system.states("de", NIGHTS).values(), LONG)
    system.press("Pause backfill", lambda: system.is_paused("de"))
    before = system.states("de", NIGHTS)

    system.local("airflow", "dags", "unpause", "ultralink_fr")
    create(system, "fr", FRENCH, "--dag-run-conf", ONE)
    wait_for(lambda: "running" in system.states("fr", FRENCH).values(), LONG)
    system.ask(f"backfills/{system.backfills('fr')[0]['id']}/cancel", "PUT")
    wait_for(lambda: "running" not in system.states("de", NIGHTS).values(), LONG)
    after = system.states("de", NIGHTS)

    system.open("/dags/ultralink_de/runs")
    system.picture("paused", "Queued")
    system.press("Unpause backfill", lambda: not system.is_paused("de"))
    return Paused(before, after)


def create(system: System, language: str, nights: list[str], *more: str) -> str:
    """The guide's command. The end is the day after the last night, for a night begins after midnight."""
    until = date.fromisoformat(nights[-1]) + timedelta(days=1)
    return system.local(
        "airflow", "backfill", "create", "--dag-id", f"ultralink_{language}",
        "--from-date", nights[0], "--to-date", until.isoformat(), "--max-active-runs", "2", *more,
    )  # fmt: skip


def test_a_paused_backfill_starts_no_run_and_ends_those_that_run(paused: Paused) -> None:
    assert Counter(paused.before.values()) == {"running": 2, "queued": 3}
    assert paused.after == {night: "success" if night in NIGHTS[:2] else "queued" for night in NIGHTS}


@pytest.fixture(scope="module")
def backfilled(system: System, paused: Paused) -> list[str]:
    """All five nights are done."""
    wait_for(lambda: "running" in system.states("de", NIGHTS).values(), LONG)
    system.open("/dags/ultralink_de/backfills")
    system.picture("running", "Missing Runs")
    wait_for(lambda: set(system.states("de", NIGHTS).values()) == {"success"}, LONG)
    return NIGHTS


def test_five_nights_have_nothing_in_common(system: System, backfilled: list[str]) -> None:
    nights = sorted(system.store.dates(SAMPLES, "de"))
    assert set(backfilled) < set(nights)  # and the scheduled one
    chosen = {night: system.ids(SELECTION, "de", night, "page_id") for night in nights}
    assert {len(pages) for pages in chosen.values()} == {ARTICLES_A_NIGHT}
    for stage, column in ((SELECTION, "page_id"), (ARTICLES, "title"), (PASSAGES, "id"), (SAMPLES, "id")):
        found = [value for night in nights for value in system.ids(stage, "de", night, column)]
        assert len(found) == len(set(found)) > 0, stage
    assert all(system.ids(SAMPLES, "de", night) for night in backfilled)
    system.open("/plugin/ultralink")
    system.picture("nights", "Totals against", inside=True)


def test_the_night_that_was_due_went_first(system: System, backfilled: list[str]) -> None:
    due = next(run for run in system.runs("de") if run["run_type"] == "scheduled")
    assert due["state"] == "success"
    first, second = system.backfill_runs("de")[:2]
    asked = [start(system, run, "dialogue.generate") for run in (due, first, second)]
    assert asked[0] < max(asked[1:])
    weights, due_weights = (
        {task["priority_weight"] for task in system.tasks("de", run["dag_run_id"])} for run in (first, due)
    )
    assert min(due_weights) > max(weights)


def start(system: System, run: Json, task_id: str) -> str:
    return min(str(task["start_date"]) for task in system.tasks("de", run["dag_run_id"]) if task["task_id"] == task_id)


def test_pool_and_connection_set_the_limits(system: System, backfilled: list[str]) -> None:
    intervals = [
        (task["start_date"], task["end_date"])
        for run in system.runs("de")
        for task in system.tasks("de", run["dag_run_id"])
        if task["pool"] == "ultralink_teacher" and task["state"] == "success" and task["try_number"]
    ]
    together = [sum(begun <= at < ended for begun, ended in intervals) for at, _ in intervals]
    assert 1 <= max(together) <= SLOTS
    # The pool's four shards begin at once, with 4, 2, 1 and 1 calls until all have heard of each other; not with 16.
    assert 1 < system.teacher.stats()["peak"] <= 2 * CALLS


def test_nothing_is_paid_twice(system: System, backfilled: list[str]) -> None:
    stats = system.teacher.stats()
    assert stats["paid"] == stats["unique"] > 0


# --- four nights from the command line, cancelled ---------------------------------------------------


@pytest.fixture(scope="module")
def french(system: System, paused: Paused) -> list[str]:
    """The two that had begun when it was cancelled."""
    wait_for(lambda: set(system.states("fr", FRENCH).values()) == {"success", "failed"}, LONG)
    return FRENCH[:2]


def test_a_cancelled_backfill_ends_what_runs_and_fails_what_waits(system: System, french: list[str]) -> None:
    assert system.states("fr", FRENCH) == {night: "success" if night in french else "failed" for night in FRENCH}
    assert set(system.store.dates(SAMPLES, "fr")).isdisjoint(FRENCH[2:])


def test_nights_that_ran_at_once_share_no_english_row_either(system: System, french: list[str]) -> None:
    for stage, column in ((SELECTION, "page_id"), (CHOICE, "id"), (SAMPLES, "id")):
        found = [value for night in french for value in system.ids(stage, "fr", night, column)]
        assert len(found) == len(set(found)) > 0, stage
    assert all(len(system.ids(SELECTION, "fr", night, "page_id")) == 1 for night in french)  # as the command said
    assert all(len(system.ids(CHOICE, "fr", night)) == 6 for night in french)


# --- a new prompt -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Again:
    """Parts of both languages, and what had been paid, before prompts were changed and nights were run again."""

    kept: dict[str, tuple[str, datetime]]
    dialogues: dict[str, tuple[str, datetime]]
    steps: dict[str, int]


AGAIN = {"de": NIGHTS[:2], "fr": FRENCH[:1]}
KEPT = (SELECTION, ARTICLES, PASSAGES, CHOICE, *TRANSLATIONS.values())


@pytest.fixture(scope="module")
def again(system: System, backfilled: list[str], french: list[str]) -> Again:
    """Another prompt for the German judge and one for French answers, the German nights from the dialog."""
    wait_for(lambda: system.completed("de") and system.completed("fr"), LONG)
    before = Again(everything(system, *KEPT), everything(system, DIALOGUES), system.teacher.steps())
    new_words(system.project / "include/prompts/de.yaml", "judge", "Sei dabei streng.")
    new_words(system.project / "include/prompts/fr.yaml", "answer", "Soyez précis.")
    create(system, "fr", AGAIN["fr"], "--reprocess-behavior", "completed", "--dag-run-conf", ONE)
    fill_dialog(system, AGAIN["de"], 2, "All Runs")
    system.picture("again", "2 runs will be triggered.")
    system.press("Run Backfill", lambda: len(system.backfills("de")) == 2)
    wait_for(lambda: len(system.backfill_runs("de")) == len(NIGHTS) + len(AGAIN["de"]), LONG)
    for language, nights in AGAIN.items():
        wait_for(lambda code=language, dates=nights: set(system.states(code, dates).values()) == {"success"}, LONG)
    return before


def everything(system: System, *stages: Stage) -> dict[str, tuple[str, datetime]]:
    """Fingerprint and time of writing of all parts of the nights that are run again."""
    return {
        path: stamp
        for language, nights in AGAIN.items()
        for stage in stages
        for path, stamp in system.written(stage, language, nights).items()
    }


def new_words(book: Path, section: str, words: str) -> None:
    """Add a sentence to the (first) system message of a section of prompts."""
    content = yaml.safe_load(book.read_text(encoding="utf-8"))
    prompts = content[section].get("first", content[section])
    prompts["system"] = f"{prompts['system']}\n\n{words}"
    book.write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False), encoding="utf-8")


def test_a_new_prompt_touches_nothing_but_dialogues(system: System, again: Again) -> None:
    assert len({path.split("/")[-4] for path in again.kept}) == len(KEPT)
    assert everything(system, *KEPT) == again.kept
    rebuilt = everything(system, DIALOGUES)
    assert rebuilt.keys() == again.dialogues.keys()
    assert all(rebuilt[path][0] != again.dialogues[path][0] for path in rebuilt)


def test_a_new_prompt_pays_for_the_calls_that_it_changes(system: System, again: Again) -> None:
    paid = Counter(system.teacher.steps())
    paid.subtract(again.steps)
    more = {step for step, calls in paid.items() if calls}
    assert {step for step in more if step.startswith("de ")} == {"de judge"}
    assert "fr answer.first" in more
    assert "fr question.first" not in more  # it was asked before, with the same words
    assert not any("translate" in step for step in more)


def test_nights_that_ran_again_have_each_sample_once(system: System, again: Again) -> None:
    for language in AGAIN:
        nights = system.store.dates(SAMPLES, language)
        ids = [row for night in nights for row in system.ids(SAMPLES, language, night)]
        assert len(ids) == len(set(ids)) > 0


# --- an outage --------------------------------------------------------------------------------------


@contextmanager
def wiki_down(farm: Farm) -> Iterator[None]:
    """Nginx finds no PHP, and says 502."""
    socket = farm.root / "run" / "fpm.sock"
    away = socket.rename(socket.with_suffix(".away"))
    try:
        yield
    finally:
        away.rename(socket)


@dataclass(frozen=True)
class Outage:
    """The teacher's counts before a night whose wiki was down, when its task waited for a retry, and after its end."""

    before: dict[str, int]
    during: dict[str, int]
    after: dict[str, int]
    german: dict[str, int]  # paid calls per step, after its end


@pytest.fixture(scope="module")
def outage(system: System, again: Again) -> Outage:
    """A night that is started by hand while its wiki is down, and cleared when that is back."""
    before = system.teacher.stats()
    with wiki_down(system.farm):
        run_id = system.api.trigger("ultralink_de", OUTAGE, {})
        wait_for(lambda: state_of(system, run_id, "wikipedia.select") == "up_for_retry", LONG)
        page = system.open(f"/ultralink/runs/ultralink_de/{quote(run_id, safe='')}")
        assert "wikipedia.select" in page.inner_text("main")
        system.picture("outage", "wikipedia.select")
        during = system.teacher.stats()
    body = {"dry_run": False, "dag_run_id": run_id, "task_ids": ["wikipedia.select"], "include_downstream": True,
            "reset_dag_runs": True, "only_failed": False}  # fmt: skip
    system.api.call("POST", "/api/v2/dags/ultralink_de/clearTaskInstances", body)
    wait_for(lambda: state_of_run(system, run_id) in {"success", "failed"}, LONG)
    assert state_of_run(system, run_id) == "success"
    return Outage(before, during, system.teacher.stats(), german_steps(system))


def german_steps(system: System) -> dict[str, int]:
    return {step: calls for step, calls in system.teacher.steps().items() if step.startswith("de ")}


def test_a_night_is_run_again_after_an_outage(system: System, outage: Outage) -> None:
    assert outage.during["calls"] == outage.before["calls"]
    assert len(system.ids(SELECTION, "de", OUTAGE, "page_id")) == ARTICLES_A_NIGHT
    others = [row for night in NIGHTS for row in system.ids(SAMPLES, "de", night)]
    assert not set(system.ids(SAMPLES, "de", OUTAGE)) & set(others)
    assert outage.after["paid"] - outage.before["paid"] == outage.after["unique"] - outage.before["unique"] > 0


# --- which nights a backfill takes ------------------------------------------------------------------


@pytest.fixture(scope="module")
def later(system: System, outage: Outage) -> dict[str, list[str]]:
    """The nights that two more backfills took, in the order in which their runs were made."""
    wait_for(lambda: system.completed("de") and system.completed("fr"), LONG)
    known = {run["dag_run_id"] for language in AGAIN for run in system.backfill_runs(language)}
    create(system, "de", [OUTAGE])
    create(system, "fr", FRENCH, "--reprocess-behavior", "failed", "--run-backwards", "--dag-run-conf", ONE)
    taken = {
        language: [run["partition_key"] for run in system.backfill_runs(language) if run["dag_run_id"] not in known]
        for language in AGAIN
    }
    for language, nights in taken.items():
        wait_for(lambda code=language, dates=nights: set(system.states(code, dates).values()) == {"success"}, LONG)
    return taken


def test_cancelled_nights_are_errored_ones(system: System, later: dict[str, list[str]]) -> None:
    assert later["fr"] == FRENCH[:1:-1], "the latest first"
    assert all(system.ids(SAMPLES, "fr", night) for night in FRENCH)


def test_a_night_that_was_started_by_hand_is_missing_and_costs_nothing(
    system: System, outage: Outage, later: dict[str, list[str]]
) -> None:
    assert later["de"] == [OUTAGE]
    assert german_steps(system) == outage.german


def test_an_undone_night_leaves_its_journal(system: System, later: dict[str, list[str]]) -> None:
    guide = (ROOT / "docs/backfill.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^find .*$", guide, re.MULTILINE)
    undo = line.replace(".store", system.store.root).replace("2026-10-07", OUTAGE)
    subprocess.run(["bash", "-euc", undo], check=True)
    left = system.store.fs.find(system.store.root)
    assert {path.removeprefix(f"{system.store.root}/").split("/")[0] for path in left if OUTAGE in path} == {"journal"}
    told = json.loads(system.command("ultralink", "nights", "de", "--json"))
    assert OUTAGE not in str(told)
    assert NIGHTS[0] in str(told)
    system.command("ultralink", "verify", "de")


def state_of_run(system: System, run_id: str) -> str:
    return next(str(run["state"]) for run in system.runs("de") if run["dag_run_id"] == run_id)


def state_of(system: System, run_id: str, task_id: str) -> str | None:
    return next((str(task["state"]) for task in system.tasks("de", run_id) if task["task_id"] == task_id), None)
