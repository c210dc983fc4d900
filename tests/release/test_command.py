"""The command line of releases: what it prints, and the exit codes that scripts go by."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.release.shelves import nights, release

from ultralink.release.__main__ import main
from ultralink.store import Store

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with two releases, named by the environment."""
    store = Store.at(str(tmp_path))
    nights(store)
    release(store, "first", version="1.0")
    nights(store, ["2026-11-02"])
    release(store, "second", version="2.0")
    monkeypatch.setenv("ULTRALINK_STORE", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "140")
    return tmp_path


def test_list_names_all_and_the_latest(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    printed = capsys.readouterr().out
    assert "2.0 (latest)" in printed
    assert printed.index("1.0") < printed.index("2.0")
    assert main(["list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(each["version"], each["languages"]) for each in listed] == [
        ("1.0", ["en", "zh"]),
        ("2.0", ["en", "zh"]),
    ]


def test_an_unreadable_release_is_listed_and_is_a_problem(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = root / "releases/1.0/release.json"
    manifest.unlink()
    manifest.write_text("{")
    assert main(["list"]) == 1
    assert "1.0: its manifest cannot be read" in capsys.readouterr().out
    assert main(["list", "--json"]) == 1
    assert [each["version"] for each in json.loads(capsys.readouterr().out)] == ["2.0"]
    assert main(["show", "1.0"]) == 2


def test_show_tells_what_is_in_it(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "1.0"]) == 0
    printed = capsys.readouterr().out
    for said in ("Release 1.0", "chat_specific", "run first", str(root / "releases/1.0/README.md")):
        assert said in printed
    assert main(["show", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["version"] == "2.0"


def test_path_is_for_scripts(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["path"]) == 0
    assert capsys.readouterr().out == f"{root}/releases/2.0\n"


def test_of_a_store_that_is_not_on_a_disk_the_path_is_a_url(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"memory://{tmp_path}"
    nights(Store.at(url))
    release(Store.at(url), version="1.0")
    assert main(["--store", url, "path"]) == 0
    assert capsys.readouterr().out == f"{url}/releases/1.0\n"


def test_compare_says_what_came(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "1.0"]) == 0
    printed = capsys.readouterr().out
    assert "new night" in printed
    assert "New nights: en 2026-11-02, zh 2026-11-02" in printed
    assert main(["compare", "1.0", "2.0", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["changes"][0]["what"] == "came"


def test_verify_finds_damage(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "1.0"]) == 0
    (root / "releases/1.0/README.md").unlink()
    assert main(["verify", "1.0"]) == 1
    assert "README.md is missing" in capsys.readouterr().out
    assert main(["verify"]) == 0


def test_prune_asks_first(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prune", "--keep", "1"]) == 0
    printed = capsys.readouterr().out
    assert "release 1.0" in printed
    assert "--yes" in printed
    assert (root / "releases/1.0").is_dir()
    assert main(["prune", "--keep", "1", "--yes", "--protect", "1.0"]) == 0
    assert (root / "releases/1.0").is_dir()
    assert main(["prune", "--keep", "1", "--yes"]) == 0
    assert not (root / "releases/1.0").exists()
    assert main(["prune", "--keep", "1", "--yes"]) == 0
    assert "Nothing to remove" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [["show", "3.0"], ["compare", "3.0"], ["verify", "3.0"], ["prune", "--keep", "1", "--protect", "3.0"]],
)
def test_an_error_is_one_line_beside_the_output(
    root: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "no release '3.0'" in printed.err
    assert "1.0, 2.0" in printed.err


def test_an_error_may_hold_brackets(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "[/en]"]) == 2
    assert "'[/en]'" in capsys.readouterr().err


def test_a_store_that_no_file_system_knows_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--store", "nonsense://here", "list"])
    assert caught.value.code == 2
    assert "nonsense" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [[], ["unknown"], ["prune"], ["prune", "--keep", "0"], ["prune", "--keep", "x"], ["compare"]]
)
def test_wrong_use_is_explained(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    printed = capsys.readouterr().err
    assert "usage" in printed
    assert "_at_least_one" not in printed


def test_a_store_that_is_a_file_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["--store", str(tmp_path / "file"), "list"]) == 2
    assert "Not a directory" in capsys.readouterr().err


def test_an_empty_store_lists_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--store", str(tmp_path), "list"]) == 0
    assert main(["--store", str(tmp_path), "path"]) == 2
    assert "no release in" in capsys.readouterr().err


def piped(*arguments: str, reads: int | None = None) -> tuple[str, str]:
    """What the command prints into a pipe, out of which so many bytes are read before it is closed; and its errors."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "include")}
    environment.pop("COLUMNS", None)
    command = [sys.executable, "-m", "ultralink.release", *arguments]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        out = running.stdout.read(reads)
        running.stdout.close()
        return out.decode(), running.stderr.read().decode()


def test_it_runs_as_a_module(root: Path) -> None:
    assert piped("path", "1.0") == (f"{root}/releases/1.0\n", "")


def test_nothing_is_cut_in_a_pipe(root: Path) -> None:
    printed, _ = piped("compare", "1.0")
    assert "…" not in printed
    index = pq.read_table(root / "releases/2.0/provenance/index.parquet", columns=["id", "date"]).to_pylist()
    assert all(row["id"] in printed for row in index if row["date"] == "2026-11-02")


@pytest.mark.parametrize("arguments", [["list"], ["compare", "1.0", "--json"], ["show", "--json"], ["path"]])
def test_a_reader_that_has_enough_is_no_error(root: Path, arguments: list[str]) -> None:
    assert piped(*arguments, reads=0) == ("", "")
