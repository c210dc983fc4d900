"""Validate: files that are in order, and every kind of mistake named with its file and field."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ultralink.__main__ import main
from ultralink.commands import validate
from ultralink.recipe import INCLUDE

ROOT = Path(__file__).resolve().parents[2]
FILES = ("languages", "prompts", "judge", "models.yaml", "pool.yaml", "pool_prompts.yaml", "release.yaml")


@pytest.fixture
def include(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of all that a user edits."""
    copy = tmp_path / "include"
    copy.mkdir()
    for name in FILES:
        (shutil.copytree if (INCLUDE / name).is_dir() else shutil.copy)(INCLUDE / name, copy / name)
    monkeypatch.setattr(validate, "INCLUDE", copy)
    monkeypatch.setattr(validate, "release_recipe_path", lambda: copy / "release.yaml")
    return copy


def replaced(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def findings(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, str]]:
    code = main(["validate", "--json", *arguments])
    found: list[dict[str, str]] = json.loads(capsys.readouterr().out)
    assert code == any(each["level"] == "mistake" for each in found)
    return found


def test_the_files_of_this_project_are_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert findings(capsys) == []
    assert main(["validate"]) == 0
    assert "no mistakes" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("file", "old", "new", "field"),
    [
        ("languages/fr.yaml", "shards: 4", "shards: none", "shards"),
        ("languages/fr.yaml", "seed: 0", "sead: 0", "wikipedia.sead"),
        ("languages/fr.yaml", "language: fr", "language: xx", "language"),
        ("languages/fr.yaml", "wikipedia:", "wikipedia: [", "not valid YAML"),
        ("prompts/fr.yaml", "\n    user: ", "\n    usher: ", "usher"),
        ("judge/fr.yaml", "grounded:", "groundet:", "items.0"),
        ("pool.yaml", "sources:", "sauces:", "sauces"),
        ("pool_prompts.yaml", ":", "-", "pool_prompts.yaml"),
        ("release.yaml", "validation_share:", "validation_part:", "validation_part"),
    ],
)
def test_a_mistake_is_named_with_file_and_field(
    include: Path, file: str, old: str, new: str, field: str, capsys: pytest.CaptureFixture[str]
) -> None:
    replaced(include / file, old, new)
    (mistake,) = (each for each in findings(capsys) if each["level"] == "mistake")
    assert mistake["file"] == str(include / file)
    assert field in mistake["what"]
    assert main(["validate"]) == 1
    assert f"MISTAKE  {include / file}" in capsys.readouterr().out


def test_all_mistakes_are_told_at_once(include: Path, capsys: pytest.CaptureFixture[str]) -> None:
    replaced(include / "languages/fr.yaml", "shards: 4", "shards: 0")
    replaced(include / "languages/zh.yaml", "shards: 4", "shards: 999")
    (include / "prompts/es.yaml").unlink()
    replaced(include / "release.yaml", "validation_share:", "validation_part:")
    assert len([each for each in findings(capsys) if each["level"] == "mistake"]) == 4
    assert {Path(each["file"]).name for each in findings(capsys, "zh", "es")} == {"zh.yaml", "es.yaml"}
    assert findings(capsys, "ru") == []


def test_what_does_not_fit_together_is_a_mistake(include: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = include / "languages/fr.yaml"
    replaced(recipe, "  model: gpt-4o-mini", "  model: own-model")
    path = include / "prompts/fr.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text[: text.index("\ntranslation:")] + "\n", encoding="utf-8")
    found = findings(capsys, "fr")
    assert [each["level"] for each in found] == ["mistake", "mistake"]
    assert "teacher.model: 'own-model' is not in models.yaml" in found[0]["what"]
    assert "translation: is missing" in found[1]["what"]


def test_what_may_be_meant_so_is_a_note(include: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (include / "judge/fr.yaml").unlink()
    shutil.copy(include / "prompts/fr.yaml", include / "prompts/pt.yaml")
    replaced(include / "languages/es.yaml", "samples/wikipedia/eswiki.xml", "samples/wikipedia/none.xml")
    found = findings(capsys)
    assert {each["level"] for each in found} == {"note"}
    told = " ".join(each["what"] for each in found)
    for said in ("the judge is never measured", "is of no language", "none.xml is not on this machine"):
        assert said in told
    assert main(["validate"]) == 0


def test_blocklists_are_read(include: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = include / "release.yaml"
    path.write_text(f"blocklists: {{fr: {tmp_path / 'none.txt'}}}\n")
    (found,) = findings(capsys)
    assert "blocklists.fr" in found["what"]


def test_a_file_of_ones_own_is_read_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ULTRALINK_MODELS", str(tmp_path / "models.yaml"))
    (found,) = findings(capsys)
    assert str(tmp_path / "models.yaml") in found["what"]
    monkeypatch.delenv("ULTRALINK_MODELS")
    monkeypatch.setenv("ULTRALINK_RELEASE", str(tmp_path / "release.yaml"))
    (found,) = findings(capsys)
    assert found["file"] == str(tmp_path / "release.yaml")


def test_it_runs_as_a_module() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "include")}
    command = [sys.executable, "-m", "ultralink", "validate", "xx"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "no recipe for language 'xx'" in done.stderr
