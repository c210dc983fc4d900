"""docker-compose.yaml's cluster on a store like S3: two workers; a worker, the scheduler, Postgres taken away."""

from __future__ import annotations

import signal
import time
import urllib.error
import urllib.request

import pytest
from tests.cluster.conftest import LANGUAGES
from tests.cluster.system import Paid, System
from tests.waiting import wait_for

from ultralink.recipe import load_recipe
from ultralink.schemas import SAMPLES, SELECTION

DATE = "2026-11-01"
OTHER_DATE = "2026-11-02"
FEW = 5  # articles; the Chinese night takes as many as its recipe says,
ONE = 1  # and the one by batches only one: each turn of a dialogue is a wave
GENERATE = "dialogue.generate"


def test_two_languages_at_once_use_both_workers_and_one_store(system: System) -> None:
    before = system.paid()
    runs = {"zh": system.run("zh", DATE), "fr": system.run("fr", DATE, articles=FEW, shards=2)}
    assert {language: system.finish(language, run) for language, run in runs.items()} == dict.fromkeys(runs, "success")
    for language, run in runs.items():
        system.check_night(language, DATE)
        assert {each.number for each in system.tries(language, run, GENERATE)} == {1}
    tries = [each for language, run in runs.items() for each in system.tries(language, run, GENERATE)]
    assert {each.hostname for each in tries} == {worker.name for worker in system.cluster.workers}
    paid = system.paid() - before
    assert paid.again == 0
    assert sum(system.billed(language, DATE) for language in runs) == paid.unique
    found = system.store.fs.find(system.store.root)
    assert {path.rpartition(".")[2] for path in found} >= {"parquet", "json", "zst"}
    assert not [path for path in system.cluster.folder.rglob("*") if path.suffix in {".parquet", ".zst"}]
    assert not any((system.cluster.folder / "project" / ".store").iterdir())


def test_the_page_shows_the_nights_to_a_user_and_to_nobody_else(system: System) -> None:
    address = f"{system.cluster.url}/ultralink/?until={DATE}"
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(address, timeout=60)
    request = urllib.request.Request(address, headers={"Authorization": f"Bearer {system.api._token}"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        text = answer.read().decode()
    for language in ("zh", "fr"):
        figures = system.statistics(language, DATE)
        assert f"{load_recipe(language).name}, {DATE}: {figures.samples:,} samples, {figures.rejects:,} rejects" in text


def test_a_killed_worker_is_noticed_and_pays_again_only_for_what_was_in_flight(
    system: System, capsys: pytest.CaptureFixture[str]
) -> None:
    before = system.paid()
    run_id = system.run("es", DATE, articles=FEW, shards=1)
    wait_for(lambda: system.teacher.steps().get("es answer.first", 0) >= 3, 180)
    (first,) = (each for each in system.tries("es", run_id, GENERATE) if each.map_index == 0)
    assert (first.state, first.number) == ("running", 1)
    system.cluster.containers[first.hostname].kill()
    killed = time.monotonic()
    lost = (settled(system) - before).answers - system.saved("es", DATE)

    def again() -> bool:
        return any(each.number == 2 and each.hostname for each in system.tries("es", run_id, GENERATE))

    wait_for(again, 200)  # 300 s and a pause would pass at Airflow's default
    noticed = time.monotonic() - killed
    with capsys.disabled():
        print(f"\nworker killed: its task ran again after {noticed:.0f} s; {lost} answers were in flight")
    assert system.finish("es", run_id) == "success"
    (second,) = (each for each in system.tries("es", run_id, GENERATE) if each.map_index == 0)
    assert second.number == 2
    assert second.hostname == other_worker(system, first.hostname)
    system.check_night("es", DATE)
    paid = system.paid() - before
    assert paid.again == lost
    assert system.billed("es", DATE) == paid.unique
    assert system.log("es", run_id, GENERATE, 0, 1)  # of the dead worker's try
    assert not system.cluster.containers[first.hostname].is_running()
    system.cluster.containers[first.hostname].start()
    system.cluster.wait_until_healthy(first.hostname)


def test_scheduler_and_triggerer_are_killed_while_a_night_waits_for_its_batches(system: System) -> None:
    before = system.paid()
    run_id = system.run("ru", DATE, mode="batch", articles=ONE, shards=1)
    wait_for(lambda: "deferred" in {each.state for each in system.tries("ru", run_id, GENERATE)}, 240)
    for name in ("airflow-scheduler-1", "airflow-triggerer-1"):
        system.cluster.containers[name].kill()
    for name in ("airflow-scheduler-1", "airflow-triggerer-1"):
        system.cluster.containers[name].start()
    assert system.finish("ru", run_id) == "success"
    system.check_night("ru", DATE)
    paid = system.paid() - before
    assert paid.again == 0
    assert system.billed("ru", DATE) == system.statistics("ru", DATE).batch_calls == paid.unique


def test_the_scheduler_is_killed_while_teachers_are_asked(system: System) -> None:
    before = system.paid()
    run_id = system.run("fr", OTHER_DATE, articles=FEW, shards=2)
    wait_for(lambda: running_tries(system, "fr", run_id), 180)
    system.cluster.containers["airflow-scheduler-1"].kill()
    system.cluster.containers["airflow-scheduler-1"].start()
    assert system.finish("fr", run_id) == "success"
    system.check_night("fr", OTHER_DATE)
    paid = system.paid() - before
    assert paid.again == 0
    assert system.billed("fr", OTHER_DATE) == paid.unique


def test_postgres_is_stopped_for_20_seconds_while_teachers_are_asked(
    system: System, capsys: pytest.CaptureFixture[str]
) -> None:
    before, starts = system.paid(), {name: each.started for name, each in system.cluster.containers.items()}
    run_id = system.run("en", DATE, articles=FEW, shards=2)
    wait_for(lambda: system.teacher.steps().get("en answer.first", 0) >= 2, 180)
    assert running_tries(system, "en", run_id)
    postgres = system.cluster.containers["postgres-1"]
    postgres.stop(signal.SIGINT)  # as `pg_ctl stop -m fast`, and as Docker stops the image
    answered = system.paid()
    time.sleep(20)
    asked_meanwhile = (system.paid() - answered).answers
    postgres.start()
    system.cluster.wait_until_healthy("postgres-1")
    assert system.finish("en", run_id) == "success"
    again = {name: each.started - starts[name] for name, each in system.cluster.containers.items()}
    with capsys.disabled():
        restarted = ", ".join(f"{name} {count}" for name, count in again.items() if count and name != "postgres-1")
        print(f"\nPostgres away for 20 s: {asked_meanwhile} answers meanwhile; starts by Docker: {restarted or 'none'}")
    assert asked_meanwhile > 0
    assert not any(again[worker.name] for worker in system.cluster.workers)
    assert {each.number for each in system.tries("en", run_id, GENERATE)} == {1}
    system.check_night("en", DATE)
    paid = system.paid() - before
    assert paid.again == 0
    assert system.billed("en", DATE) == paid.unique


def test_no_sample_is_there_twice_and_nothing_went_through_xcom(system: System) -> None:
    nights = [*((language, DATE) for language in LANGUAGES), ("fr", OTHER_DATE)]
    samples = [row for language, date in nights for row in system.rows(SAMPLES, language, date)]
    assert len({str(row["id"]) for row in samples}) == len({str(row["messages"]) for row in samples}) == len(samples)
    assert len(samples) == sum(system.statistics(language, date).samples for language, date in nights)
    taken = {night: [str(row["page_id"]) for row in system.rows(SELECTION, *night)] for night in nights}
    recipes = load_recipe("zh").wikipedia.articles_per_night
    assert {night: len(set(articles)) for night, articles in taken.items()} == {
        night: {"zh": recipes, "ru": ONE}.get(night[0], FEW) for night in nights
    }
    assert not set(taken["fr", DATE]) & set(taken["fr", OTHER_DATE])
    assert system.api.call("GET", "/api/v2/dags/~/dagRuns/~/taskInstances/~/xcomEntries")["total_entries"] == 0


def running_tries(system: System, language: str, run_id: str) -> bool:
    return "running" in {each.state for each in system.tries(language, run_id, GENERATE)}


def settled(system: System) -> Paid:
    """What was paid once nothing is on its way any more."""
    while True:
        paid = system.paid()
        time.sleep(2)
        if system.paid() == paid:
            return paid


def other_worker(system: System, name: str) -> str:
    (other,) = {worker.name for worker in system.cluster.workers} - {name}
    return other
