"""Alarms to real notifiers: mails arrive, broken and slow channels harm nobody, nothing is told twice."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError
from tests.loopback import FakeMailServer, fake_mail_server, words_of
from tests.stages.editions import edition
from tests.stages.nights import night

from ultralink import errors
from ultralink.pool.row import Kind
from ultralink.recipe import AlarmKind, Alarms, Channel, Recipe, RecipeError, load_recipe, read_yaml
from ultralink.stages.edition import PoolStatistics, pool_statistics_path
from ultralink.stages.statistics import Statistics, Subset, statistics_path
from ultralink.store import Store
from ultralink.teacher.listener import Spent
from ultralink.watch.alarm import Alarm

SMTP = "airflow.providers.smtp.notifications.smtp.SmtpNotifier"
WORDS = {
    "smtp_conn_id": "mail",
    "from_email": "ultralink@example.org",
    "to": "data@example.org",
    "subject": "{{ alarm.title }}",
    "html_content": "<p>{{ alarm.html }}</p>",
}


@pytest.fixture
def mails(monkeypatch: pytest.MonkeyPatch, airflow_db: None) -> Iterator[FakeMailServer]:
    with fake_mail_server() as server:
        extra = {"disable_ssl": True, "disable_tls": True, "timeout": 5, "retry_limit": 0}
        connection = {"conn_type": "smtp", "host": "127.0.0.1", "port": server.port, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_MAIL", json.dumps(connection))
        yield server


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("ULTRALINK_STORE", str(tmp_path))
    return Store.at(str(tmp_path))


def alarms(*channels: Channel, **changes: Any) -> Alarms:
    return Alarms(notifiers=list(channels or (Channel(notifier=SMTP, kwargs=WORDS),)), **changes)


def context(**changes: Any) -> dict[str, Any]:
    task = {
        "dag_id": "ultralink_fr", "task_id": "dialogue.generate", "run_id": "scheduled__1", "map_index": 2,
        "try_number": 5, "log_url": "http://airflow/log",
    }  # fmt: skip
    return {"ti": SimpleNamespace(**task | changes), "dag_run": SimpleNamespace(partition_key="2026-11-23")}


def alarm(title: str = "title", text: str = "text", kind: AlarmKind = AlarmKind.LATE) -> Alarm:
    return Alarm(kind, title, text, title)


def send(store: Store, settings: Alarms, *posted: Alarm) -> None:
    from ultralink_airflow.alarms import Outbox

    with Outbox(settings, context(), lambda: store) as outbox:
        for each in posted:
            outbox.post(each)


def test_a_mail_arrives_with_the_alarm_s_words_and_no_markup_of_others(mails: FakeMailServer, store: Store) -> None:
    send(store, alarms(), alarm("late: {{ 7 * 7 }}", "<b>row</b> {{ conn.mail.password }}"))
    (mail,) = mails.mails
    assert mail["Subject"] == "late: {{ 7 * 7 }}"  # what an alarm quotes is no template
    assert mail["To"] == "data@example.org"
    assert "&lt;b&gt;row&lt;/b&gt; {{ conn.mail.password }}" in words_of(mail)


def test_an_alarm_is_sent_once_and_only_to_those_who_want_its_kind(mails: FakeMailServer, store: Store) -> None:
    settings = alarms(Channel(notifier=SMTP, kwargs=WORDS, kinds=["late"]))  # type: ignore[list-item]
    send(store, settings, alarm("one"), alarm("budget", kind=AlarmKind.BUDGET))
    send(store, settings, alarm("one"), alarm("two"))
    assert sorted(mails.subjects()) == ["one", "two"]


@pytest.mark.parametrize(
    ("notifier", "kwargs", "words"),
    [
        ("no.such.module.Notifier", {}, "ModuleNotFoundError"),
        ("airflow.sdk.NoNotifierAtAll", {}, "AttributeError"),
        ("collections.Counter", {}, "is no notifier"),
        (SMTP, {}, "missing 1 required positional argument: 'to'"),
        (SMTP, {**WORDS, "smtp_conn_id": "nobody"}, "connection is not found"),
        (SMTP, {**WORDS, "subject": "{{ alarm.nonsense.title }}"}, "UndefinedError"),
        (SMTP, {**WORDS, "subject": "{% if %}"}, "TemplateSyntaxError"),
    ],
)
def test_a_broken_channel_is_logged_and_the_next_one_works(
    mails: FakeMailServer, store: Store, caplog: pytest.LogCaptureFixture, notifier: str, kwargs: Any, words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    good = Channel(notifier=SMTP, kwargs=WORDS)
    send(store, alarms(Channel(notifier=notifier, kwargs=kwargs), good), alarm("still"))
    assert mails.subjects() == ["still"]
    told = caplog.text + "".join(capsys.readouterr())
    assert f"did not go out by {notifier}" in told
    assert words in told


def test_a_server_that_refuses_is_asked_again_by_the_next_task(mails: FakeMailServer, store: Store) -> None:
    mails.refuse = True
    send(store, alarms(), alarm("try"))
    mails.refuse = False
    send(store, alarms(), alarm("try"))
    assert mails.subjects() == ["try"]


def test_a_server_that_says_nothing_holds_nobody_up(
    mails: FakeMailServer, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ultralink_airflow import alarms as module

    monkeypatch.setattr(module, "PATIENCE_S", 0.2)
    mails.silent.set()
    send(store, alarms(), alarm())  # the mail's own limit is 5 s
    assert mails.mails == []


def test_a_store_that_is_down_does_not_keep_an_alarm_back(mails: FakeMailServer) -> None:
    from ultralink_airflow.alarms import Outbox

    def down() -> Store:
        raise OSError("the store is down")

    with Outbox(alarms(), context(), down) as outbox:
        outbox.post(alarm("anyway"))
    assert mails.subjects() == ["anyway"]


def test_a_notifier_that_is_only_asynchronous_is_awaited(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.sdk import BaseNotifier
    from airflow.sdk.definitions.context import Context

    from ultralink_airflow import alarms as module

    heard: list[str] = []

    class Chat(BaseNotifier):
        async def async_notify(self, context: Context) -> None:
            heard.append(context["alarm"].title)  # type: ignore[typeddict-item]

    monkeypatch.setattr(module, "_notifier", lambda path: Chat)
    send(store, alarms(Channel(notifier="a.Chat")), alarm("hello"))
    assert heard == ["hello"]


def test_shards_that_fail_together_send_one_mail_that_says_what_to_do(mails: FakeMailServer, store: Store) -> None:
    from ultralink_airflow.alarms import FailureAlarm

    for shard in range(40):
        failed = {**context(map_index=shard), "exception": errors.KeyRejected("the key is refused")}
        FailureAlarm(alarms())(failed)
    FailureAlarm(alarms())({**context(), "exception": None})  # killed: another cause, another mail
    first, second = mails.mails
    assert first["Subject"] == "ultralink_fr 2026-11-23: dialogue.generate failed: KeyRejected"
    for words in (
        "the key is refused",
        "Admin &gt; Connections",
        "http://airflow/log",
        "[0]",
        "/dags/ultralink_fr/runs/scheduled__1",
    ):
        assert words in words_of(first)
    assert "killed" in str(second["Subject"])


def test_no_alarm_shows_what_airflow_hides_from_its_logs(
    mails: FakeMailServer, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    from airflow.sdk.log import mask_secret

    from ultralink_airflow.alarms import FailureAlarm

    mask_secret("sesame-open-4711")
    error = ConnectionError("cannot reach https://me:sesame-open-4711@example.org")
    FailureAlarm(alarms())({**context(), "exception": error})
    (mail,) = mails.mails
    assert "https://me:***@example.org" in words_of(mail)
    assert "sesame" not in words_of(mail) + caplog.text


def test_the_budget_is_told_per_task_and_level(mails: FakeMailServer, store: Store) -> None:
    from ultralink_airflow.watching import watching

    for shard in (0, 1):
        here = context(map_index=shard)
        with watching(alarms(), SimpleNamespace(store=store), here) as watch:  # type: ignore[arg-type]
            watch.spent(Spent(0.8, 0.8, 1.0, 5000, None))
            watch.spent(Spent(1.0, 0.97, 1.0, 6000, None))
    assert sorted(mails.subjects()) == [
        f"ultralink_fr 2026-11-23: {level} of the budget of dialogue.generate is gone" for level in ("100%", "80%")
    ]


def test_a_run_s_address_is_airflow_s_own_with_odd_signs_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    from ultralink_airflow.alarms import run_url

    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.org/data/")
    found = run_url("ultralink_fr", "manual__2026-11-23T01:02:03+00:00")
    assert found == "https://airflow.example.org/data/dags/ultralink_fr/runs/manual__2026-11-23T01%3A02%3A03%2B00%3A00"


def statistics(date: str, rejects: int, store: Store) -> Statistics:
    made = Statistics(
        language="fr", date=date, articles=9, passages=9, pool=None, calls=5, prompt_tokens=1, cached_tokens=0,
        completion_tokens=1, cost_usd=1.0, models=["m"], outputs={},
        subsets={"chat_specific": Subset(samples=90, turns=90, rejects={"leak: x": rejects})},
    )  # fmt: skip
    store.write_text(statistics_path(store, "fr", date), made.model_dump_json())
    return made


def test_a_night_that_jumps_is_told_once(mails: FakeMailServer, store: Store) -> None:
    from ultralink_airflow.alarms import tell_jumps

    for day in range(1, 6):
        statistics(f"2026-11-0{day}", 10, store)
    tonight = statistics("2026-11-06", 90, store)
    settings = {"notifiers": [{"notifier": SMTP, "kwargs": WORDS}]}
    here = night(store, "fr", {"alarms": settings}, date="2026-11-06")
    tell_jumps(here, tonight, context())
    tell_jumps(here, tonight, context())  # cleared and published again
    (mail,) = mails.mails
    assert mail["Subject"] == "UltraLink fr 2026-11-06: reject rate of chat_specific jumped"
    assert "50% of the rows" in words_of(mail)
    assert "leak: x (90)" in words_of(mail)
    assert "/dags/ultralink_fr/runs/scheduled__1" in words_of(mail)


def test_an_edition_of_the_pool_that_jumps_is_told_once(mails: FakeMailServer, store: Store) -> None:
    from ultralink_airflow.alarms import tell_pool_jumps

    def published(date: str, rejects: int, cost: float) -> PoolStatistics:
        made = PoolStatistics(
            date=date, run="r", changed=True, digest="d", rows=dict.fromkeys(Kind, 30), clusters=dict.fromkeys(Kind, 1),
            rejects={"screen: place": rejects}, calls=9, prompt_tokens=1, cached_tokens=0, completion_tokens=1,
            cost_usd=cost, outputs={},
        )  # fmt: skip
        store.write_text(pool_statistics_path(store, date), made.model_dump_json())
        return made

    for day in range(1, 6):
        published(f"2026-11-0{day}", 10, 1.0)
    tonight = published("2026-11-06", 90, 4.0)
    settings = {"notifiers": [{"notifier": SMTP, "kwargs": WORDS}]}
    here = edition(store.root, {"alarms": settings}, date="2026-11-06")
    tell_pool_jumps(here, tonight, context(dag_id="ultralink_english_pool"))
    tell_pool_jumps(here, tonight, context(dag_id="ultralink_english_pool"))
    (mail,) = mails.mails
    assert mail["Subject"] == "UltraLink pool 2026-11-06: reject rate of the screen and cost per row jumped"
    assert "75% of the rows of the screen" in words_of(mail)
    assert "/dags/ultralink_english_pool/runs/scheduled__1" in words_of(mail)


def test_a_comparison_that_fails_fails_no_task(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    from ultralink_airflow.alarms import tell_jumps

    tonight = statistics("2026-11-06", 90, store)
    store.write_text(statistics_path(store, "fr", "2026-11-05"), "not JSON")
    tell_jumps(night(store, "fr", date="2026-11-06"), tonight, context())


# --- deadlines ----------------------------------------------------------------------------------------


def test_only_scheduled_runs_have_a_deadline(airflow_db: None) -> None:
    from airflow.utils.types import DagRunType

    from ultralink_airflow.deadline import WhenDue

    due = datetime(2026, 11, 23, 2, 45, tzinfo=UTC)
    kinds = {DagRunType.SCHEDULED: due, DagRunType.MANUAL: None, DagRunType.BACKFILL_JOB: None}
    for kind, expected in kinds.items():
        run = SimpleNamespace(run_type=kind, run_after=due)
        session = SimpleNamespace(scalar=lambda query, run=run: run)
        assert WhenDue()._evaluate_with(session=session, dag_id="d", run_id="r") == expected  # type: ignore[arg-type]


def test_the_deadline_is_the_recipe_s(airflow_db: None) -> None:
    from ultralink_airflow.deadline import deadline

    assert deadline("fr", Alarms()) is None
    made = deadline("fr", Alarms(late_after_hours=7.5))
    assert made is not None
    assert made.interval == timedelta(hours=7.5)
    assert made.callback.path == "ultralink_airflow.deadline.tell_late"


DAG_FILE = """
from airflow.providers.standard.operators.empty import EmptyOperator
from ultralink.recipe import Alarms
from ultralink_airflow.deadline import PunctualDag, deadline

with PunctualDag("punctual", schedule=None, deadline=deadline("fr", Alarms(late_after_hours=1))):
    EmptyOperator(task_id="nothing")
"""


def test_a_dag_with_a_deadline_can_still_be_tested(airflow_db: None, tmp_path: Path) -> None:
    """``dag.test()`` of Airflow 3.3.2 breaks on a deadline."""
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    from airflow.models.dagbundle import DagBundleModel
    from airflow.utils.session import create_session

    (tmp_path / "punctual.py").write_text(DAG_FILE)
    with create_session() as session:
        session.merge(DagBundleModel(name="tested"))
    bag = DagBag(tmp_path)
    assert bag.import_errors == {}
    sync_bag_to_db(bag, "tested", None)
    dag = bag.dags["punctual"]
    assert dag.test().state == "success"
    assert dag.deadline


# --- the recipe ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overlay", "field"),
    [
        ({"alarms.late_after_hours": 0}, "alarms.late_after_hours"),
        ({"alarms.notifiers": [{"notifier": "Slack!"}]}, "alarms.notifiers.0.notifier"),
        ({"alarms.notifiers": [{"notifier": SMTP, "kinds": ["everything"]}]}, "alarms.notifiers.0.kinds"),
        ({"alarms.notifiers": [{"notifier": SMTP, "kwargs": {"context": {}}}]}, "alarms.notifiers.0.kwargs"),
        ({"alarms.jump": {"reject_rate": 3.0}}, "alarms.jump.reject_rate"),
        ({"alarms.mail": "me@example.org"}, "alarms.mail"),
    ],
)
def test_a_mistake_in_the_alarms_names_its_field(overlay: Mapping[str, object], field: str) -> None:
    from ultralink.recipe import LANGUAGES

    with pytest.raises(RecipeError, match=field):
        read_yaml(LANGUAGES / "fr.yaml", Recipe, RecipeError, dict(overlay))


def test_alarms_are_optional() -> None:
    assert load_recipe("fr").alarms.late_after_hours == 12
    with pytest.raises(ValidationError):
        Alarms(late_after_hours=-1)
