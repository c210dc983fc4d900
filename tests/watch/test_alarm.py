"""Alarms: harmless words, and each one sent once."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ultralink.recipe import AlarmKind
from ultralink.store import Store
from ultralink.watch.alarm import TEXT_LENGTH, TITLE_LENGTH, Alarm
from ultralink.watch.sent import SENDING_S, Sent


def alarm(key: str = "key", quiet_s: float | None = None, title: str = "title", text: str = "text") -> Alarm:
    return Alarm(AlarmKind.FAILURE, title, text, key, quiet_s)


def test_a_title_is_one_short_line_and_a_text_does_no_harm() -> None:
    hostile = "a\r\nBcc: everyone@example.org\x1b[31m \u202egpj"
    made = alarm(title=hostile * 50, text=f"<script>alert(1)</script>\n{hostile}" + "x" * 10_000)
    assert "\n" not in made.title
    assert "\r" not in made.title
    assert len(made.title) <= TITLE_LENGTH
    assert len(made.text) <= TEXT_LENGTH
    for sign in ("\x1b", "\u202e", "\r"):
        assert sign not in made.title + made.text
    assert "<script>" not in made.html
    assert "&lt;script&gt;" in made.html


@pytest.mark.parametrize("url", ["{tmp}", "memory://alarms-{tmp}"])
def test_an_alarm_is_sent_once(tmp_path: Path, url: str) -> None:
    store = Store.at(url.format(tmp=tmp_path))
    assert Sent(store).claim(alarm())
    assert not Sent(store).claim(alarm())  # somebody is about to send it
    Sent(store).confirm(alarm())
    assert not Sent(store).claim(alarm())
    assert Sent(store).claim(alarm("another"))


def test_one_that_reached_nobody_may_be_sent_again(tmp_path: Path) -> None:
    sent = Sent(Store.at(str(tmp_path)))
    assert sent.claim(alarm())
    sent.give_up(alarm())
    assert sent.claim(alarm())


def test_many_tasks_at_once_send_one(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        claims = list(pool.map(lambda _: Sent(Store.at(str(tmp_path))).claim(alarm()), range(40)))
    assert claims.count(True) == 1


def test_quiet_times_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ultralink.watch import sent as module

    now = 1_000_000.0
    monkeypatch.setattr(module.time, "time", lambda: now)
    sent = Sent(Store.at(str(tmp_path)))
    assert sent.claim(alarm("failed", 3600))
    now += SENDING_S + 1  # whoever wanted to send it was killed
    assert sent.claim(alarm("failed", 3600))
    sent.confirm(alarm("failed", 3600))
    now += 3599
    assert not sent.claim(alarm("failed", 3600))
    now += 2
    assert sent.claim(alarm("failed", 3600))
    assert os.listdir(tmp_path / "alarms" / "failure") != []  # noqa: PTH208


def test_a_note_that_cannot_be_read_keeps_quiet(tmp_path: Path) -> None:
    sent = Sent(Store.at(str(tmp_path)))
    sent.claim(alarm())
    (path,) = (tmp_path / "alarms" / "failure").iterdir()
    path.write_text('{"time": 1')
    assert not sent.claim(alarm())
