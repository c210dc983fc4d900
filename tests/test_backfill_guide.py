"""docs/backfill.md: every command in it parses, every picture is there and fit for a page."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from ultralink.__main__ import parser

ROOT = Path(__file__).resolve().parents[1]
GUIDE = (ROOT / "docs/backfill.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```bash\n(.*?)```", GUIDE, re.DOTALL)
LINES = [shlex.split(line, comments=True) for block in BLOCKS for line in block.splitlines()]
PICTURES = re.findall(r"!\[[^\]]+\]\((backfill/[a-z]+\.png)\)", GUIDE)


def test_it_has_commands_of_both_kinds_and_pictures() -> None:
    begun = {tuple(words[:3]) for words in LINES}
    assert ("airflow", "backfill", "create") in begun
    assert ("python", "-m", "ultralink") in begun
    assert len(PICTURES) >= 6


@pytest.mark.parametrize("words", [words for words in LINES if words[0] == "airflow"], ids=" ".join)
def test_airflow_takes_its_commands(words: list[str]) -> None:
    from airflow.cli.cli_parser import get_parser

    assert get_parser().parse_args(words[1:]).subcommand


@pytest.mark.parametrize("words", [words for words in LINES if words[0] == "python"], ids=" ".join)
def test_ultralink_takes_its_commands(words: list[str]) -> None:
    assert words[1:3] == ["-m", "ultralink"]
    assert parser().parse_args(words[3:]).command


def test_flags_in_the_text_exist() -> None:
    from airflow.cli.cli_parser import get_parser

    required = ["--dag-id", "ultralink_de", "--from-date", "2026-10-01", "--to-date", "2026-10-31"]
    flags = re.findall(r"^\| `(--.*?)` \|", GUIDE, re.MULTILINE)
    assert len(flags) == 5
    for flag in flags:
        assert get_parser().parse_args(["backfill", "create", *required, *shlex.split(flag)])


def test_make_runs_airflow_s_commands() -> None:
    told = subprocess.run(
        ["make", "--no-print-directory", "--dry-run", "--old-file=.venv/installed", "airflow", "ARGS=pools list"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert told.stdout.split()[-5:] == ["-m", "ultralink.local", "airflow", "pools", "list"]


def test_without_a_running_airflow_its_commands_are_refused(tmp_path: Path) -> None:
    environment = {**os.environ, "ULTRALINK_HOME": str(tmp_path), "PYTHONPATH": str(ROOT / "include")}
    told = subprocess.run(
        [sys.executable, "-m", "ultralink.local", "airflow", "pools", "list"],
        env=environment, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert told.returncode == 1
    assert "Start it with: make up" in told.stdout


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_are_there_and_fit_a_page(name: str) -> None:
    path = ROOT / "docs" / name
    assert path.stat().st_size <= 160_000
    with Image.open(path) as picture:
        assert picture.size[0] == 1280
        assert len(picture.convert("RGB").getcolors(1 << 24) or []) > 50


def test_no_picture_is_left_over() -> None:
    assert {f"backfill/{path.name}" for path in (ROOT / "docs/backfill").iterdir()} == set(PICTURES)


def test_it_is_found_from_the_readme() -> None:
    assert "docs/backfill.md" in (ROOT / "README.md").read_text(encoding="utf-8")
