"""`make demo` as a person runs it: it shows a night, and however it ends, it leaves no process behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import duckdb
import pandas as pd
import pytest
from datasets import load_dataset
from PIL import Image
from tests.waiting import wait_for

from ultralink.local.processes import running
from ultralink.local.settings import ROOT


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("local")


def command(home: Path, *arguments: str, **more: str) -> subprocess.Popen[str]:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
        "ULTRALINK_HOME": str(home),
        "ULTRALINK_STORE": str(home / "store"),
        "PYTHONPATH": os.pathsep.join(str(ROOT / folder) for folder in ("include", "plugins")),
        **more,
    }
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "ultralink.local", *arguments],
        env=environment,
        cwd=home,
        stdout=(home / "output").open("w"),
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def test_the_demo_shows_a_night_and_stops_what_it_started(home: Path) -> None:
    demo = command(home, "demo", "--language", "ru")
    assert demo.wait(300) == 0, (home / "output").read_text()
    output = (home / "output").read_text()
    assert "It is not an LLM" in output
    for row in (
        "articles",
        "passages",
        "chat_specific",
        "reject: article · stub",
        "chat_agnostic",
        "math",
        "code",
        "prompt tokens",
        "cost",
        "paid in this run",
    ):
        assert re.search(rf"│ +{row} +│", output), row
    assert "offline-teacher (not an LLM)" in output
    samples = re.search(r"samples +(\S+/samples/ru/\S+\.parquet)", output)
    assert samples is not None
    assert Path(samples[1]).is_file()
    card = re.search(r"Card +(\S+/releases/2026\.11\.01/README\.md)", output)
    assert card is not None
    text = Path(card[1]).read_text()
    assert "This is a rehearsal, not training data" in text
    pictures = re.findall(r'<img src="(plots/[^"]+\.png)"', text)
    assert len(pictures) >= 6
    for name in pictures:
        with Image.open(Path(card[1]).parent / name) as picture:
            assert picture.size[0] >= 800
            assert len(picture.convert("RGB").getcolors(1 << 24)) > 10
    folder = str(Path(card[1]).parent)
    loaded = load_dataset(folder, "ru_chat_specific", cache_dir=str(home / "datasets"))
    rows = sum(len(split) for split in loaded.values())
    assert rows == len(pd.read_parquet(f"{folder}/data/ru_chat_specific")) > 0
    counted = duckdb.read_parquet(f"{folder}/data/ru_chat_specific/*.parquet").count("*").fetchall()
    assert counted == [(rows,)]
    assert running(home) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_no_process(home: Path, number: signal.Signals) -> None:
    demo = command(home, "demo", "--language", "fr")
    wait_for(lambda: "Run manual" in (home / "output").read_text() or demo.poll() is not None, 180)
    assert len(running(home)) >= 4
    os.killpg(demo.pid, number)
    assert demo.wait(60) == 130, (home / "output").read_text()
    assert running(home) == []


def test_up_stays_until_down(home: Path) -> None:
    up = command(home, "up")
    assert up.wait(180) == 0, (home / "output").read_text()
    output = (home / "output").read_text()
    assert re.search(r"Airflow: +http://127\.0\.0\.1:\d+", output)
    assert re.search(r"Login: +admin / \S+", output)
    assert len(running(home)) >= 4
    second = command(home, "demo", "--language", "ru")
    assert second.wait(60) == 1
    assert "already running" in (home / "output").read_text()
    assert len(running(home)) >= 4
    assert command(home, "down").wait(60) == 0
    assert running(home) == []


def test_an_unknown_language_is_named(home: Path) -> None:
    demo = command(home, "demo", "--language", "tlh")
    assert demo.wait(60) == 1
    assert "no recipe for language 'tlh'; configured: en, es, fr, ru, zh" in (home / "output").read_text()
