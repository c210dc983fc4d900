"""The command line as a whole: exit codes, wrong use, closed pipes, and that its page describes it."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from ultralink.__main__ import COMMANDS, main, parser
from ultralink.commands import nights, terminal
from ultralink.commands.terminal import ERROR, FINE, PROBLEM

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/commands.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^\| `([^`]+)` \|", PAGE.partition("## For scripts")[0], flags=re.MULTILINE)


def started(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "ultralink", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT / "include")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_of_the_page_can_be_parsed(example: str) -> None:
    words = shlex.split(example)
    assert words[0] in {*COMMANDS, "release"}
    if words[0] != "release":
        parser().parse_args(words)


def test_the_page_has_an_example_of_every_command_and_option() -> None:
    assert {shlex.split(example)[0] for example in EXAMPLES} == {*COMMANDS, "release"}
    told = PAGE + " ".join(EXAMPLES)
    for name in COMMANDS:
        shown = subprocess.run(
            [sys.executable, "-m", "ultralink", name, "--help"],
            env={**os.environ, "PYTHONPATH": str(ROOT / "include")},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        options = set(re.findall(r"(?<![\w-])--[a-z]+", shown)) - {"--help", "--chat", "--math", "--code", "--source"}
        assert [option for option in sorted(options) if option not in told] == []


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["unknown"],
        ["show"],
        ["plan"],
        ["explain"],
        ["explain", "row"],
        ["gc", "--parts", "0"],
        ["gc", "--journals", "many"],
        ["plan", "fr", "--math", "-1"],
        ["nights", "--nonsense"],
        ["show", "fr-math-\udcff"],
        ["explain", "row", "\udcff"],
    ],
)
def test_wrong_use_is_explained(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == ERROR
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "usage" in printed.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nights", "xx"], "nothing of 'xx'; it has fr, pool"),
        (["nights", "../fr"], "nothing of '../fr'"),
        (["verify", "xx"], "nothing of 'xx'"),
        (["show", "xx"], "nothing of 'xx'; it has fr"),
        (["show", "fr", "--date", "2026-12-24"], "no samples of 'fr' on 2026-12-24"),
        (["show", "fr", "--number", "100000"], "has no row 100000"),
        (["show", "fr", "--number", "-1"], "rows are counted from 0"),
        (["show", "fr", "--number", str(2**63)], "no night has so many"),
        (["show", "fr-math-of_nobody"], "has the id 'fr-math-of_nobody'"),
        (["show", "fr-math-[/en]"], "'fr-math-[/en]'"),
        (["explain", "row", "nobody"], "no row of the store has the id 'nobody'"),
        (["explain", "row", "fr-math-nobody"], "has the id 'fr-math-nobody'"),
        (["explain", "row", "fr-math-nobody", "--release", "9"], "no release '9'"),
        (["explain", "part", "fr", "2026-12-24"], "nothing of fr 2026-12-24; it has 2026-11-01"),
        (["explain", "part", "fr", "../.."], "must be a date"),
        (["explain", "part", "fr", "2026-11-01", "nonsense"], "fr has selection, articles"),
        (["explain", "part", "fr", "2026-11-01", "dialogues", "--shard", "9"], "no dialogues of shard 9"),
        (["plan", "xx"], "no recipe for language 'xx'"),
        (["plan", "fr", "--date", "tomorrow"], "must be a date"),
        (["validate", "xx"], "no recipe for language 'xx'"),
        (["release", "show", "9"], "no release '9'"),
    ],
)
def test_an_error_is_one_line_beside_the_output(
    root: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == ERROR
    printed = capsys.readouterr()
    assert printed.out == ""
    assert said in printed.err
    assert printed.err.count("\n") == 1


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("/nowhere/at/all", "no such store"),
        ("nonsense://here", "nonsense"),
        ("s3://my_conn:secret@bucket/ultralink", "only Airflow knows"),
    ],
)
def test_a_store_that_is_not_there_is_an_error(url: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--store", url, "nights"], ["nights", "--store", url], ["verify", f"--store={url}"]):
        assert main(arguments) == ERROR
        printed = capsys.readouterr().err
        assert said in printed
        assert "secret" not in printed


def test_what_nobody_foresaw_is_no_problem_found(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(nights, "_show", broken)
    assert main(["nights"]) == ERROR
    assert "ZeroDivisionError" in capsys.readouterr().err

    def gone(*_: object) -> None:
        raise OSError(5, "Input/output error", "/store")

    monkeypatch.setattr(nights, "_show", gone)
    assert main(["nights"]) == ERROR
    assert "Input/output error" in capsys.readouterr().err


def test_names_of_files_do_not_steer_the_terminal(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hostile = root / "samples" / "\x1b]0;owned\x07\u202e" / "2026-11-01"
    hostile.mkdir(parents=True)
    (hostile / "00000.parquet").write_bytes(b"\x1b[2J")
    for arguments in (["nights"], ["verify"], ["nights", "\x1b[2J"], ["gc", "--parts", "1"], ["show", "\x1b[2J"]):
        assert main(arguments) in (FINE, PROBLEM, ERROR)
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        assert not set(printed.out + printed.err) & set("\x1b\x07\u202e")


def test_a_password_in_the_stores_url_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    for url in ("nonsense://me:secret@host/store", "http://me:secret@[host/store"):
        assert main(["nights", "--store", url]) == ERROR
        printed = capsys.readouterr().err
        assert "secret" not in printed
        assert "Traceback" not in printed


def test_json_is_json_whatever_it_holds(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    terminal.print_json({"nan": float("nan"), "list": [float("-inf"), 1.5], "name": "\udcff\u202e中"})

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    told = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert told == {"nan": None, "list": [None, 1.5], "name": "\udcff\u202e中"}


def test_an_encoding_without_the_letters_is_no_reason_to_fail(root: Path) -> None:
    for arguments in (["nights"], ["nights", "--json"], ["show", "fr", "--seed", "1"]):
        done = subprocess.run(
            [sys.executable, "-m", "ultralink", *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT / "include"), "PYTHONIOENCODING": "ascii"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == FINE, done.stderr


def test_releases_have_their_own_commands(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["release", "list"]) == FINE
    assert main(["--store", str(root), "release", "list", "--json"]) == FINE
    assert main([f"--store={root}", "release", "list", "--json"]) == FINE
    assert capsys.readouterr().out.endswith("[]\n[]\n")


@pytest.mark.parametrize(
    "arguments", [["nights"], ["nights", "--json"], ["show", "fr"], ["verify"], ["release", "list"]]
)
def test_a_closed_pipe_is_fine(root: Path, arguments: list[str]) -> None:
    process = started(*arguments)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    told = process.stderr.read()
    assert process.wait(60) == FINE, told
    assert "Traceback" not in told
    assert "BrokenPipe" not in told
