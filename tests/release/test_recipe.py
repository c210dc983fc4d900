"""What a release may be asked for: the recipe's file, and the trigger form's values."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from tests.release.nights_of_samples import assembly

from ultralink.errors import RecipeError
from ultralink.release.recipe import Format, ReleaseRecipe, load_release_recipe

SET = {"name": "mgsm", "path": "/data/mgsm.jsonl", "fields": ["question"]}


def test_the_recipe_that_comes_along_is_the_default_written_out() -> None:
    assert load_release_recipe() == ReleaseRecipe()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"languages": ["zh", "fr", "zh"]}, "languages: .*'zh' is named twice"),
        ({"languages": []}, "languages"),
        ({"languages": ["xx"]}, "languages: .*'xx' has no recipe; there are en"),
        ({"formats": ["messages", "messages"]}, "formats: .*'messages' is named twice"),
        ({"formats": ["xml"]}, "formats"),
        ({"blocklists": {"zn": "/data/zh.txt"}}, "blocklists: .*'zn' has no recipe"),
        ({"decontamination": {"sets": [SET, SET]}}, "decontamination: .*several are named 'mgsm'"),
        ({"validation_share": 2}, "validation_share"),
        ({"privacy": {"email": "hide"}}, r"privacy\.email"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_a_wrong_recipe_is_told_with_file_and_field(
    wrong: dict[str, object], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "release.yaml"
    path.write_text(yaml.safe_dump(wrong))
    monkeypatch.setenv("ULTRALINK_RELEASE", str(path))
    with pytest.raises(RecipeError, match=rf"{path}: {said}"):
        load_release_recipe()


@pytest.mark.parametrize("version", ["../x", "latest", "a/b", "1.0\n", " 1", "", ".hidden", "-1", "é", "x" * 65])
def test_a_version_that_is_no_name_of_a_folder_is_refused(tmp_path: Path, version: str) -> None:
    with pytest.raises(RecipeError, match="version"):
        assembly(tmp_path, version=version)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"languages": ("en", "zh", "en")}, "languages: 'en' is named twice"),
        ({"languages": ()}, "languages: at least one"),
        ({"languages": ("en", "xx")}, "languages: 'xx' has no recipe"),
        ({"formats": (Format.MESSAGES, Format.MESSAGES)}, "formats: 'messages' is named twice"),
        ({"since": "2026-11-03", "until": "2026-11-01"}, "from_date 2026-11-03 is after to_date 2026-11-01"),
        ({"since": "1 Nov"}, "from_date '1 Nov'"),
        ({"until": "2026-02-30"}, "to_date '2026-02-30'"),
    ],
)
def test_a_wrong_value_of_the_trigger_form_is_named(tmp_path: Path, wrong: dict[str, object], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        assembly(tmp_path, **wrong)


def test_no_format_but_parquet_may_be_asked_for(tmp_path: Path) -> None:
    assert assembly(tmp_path, formats=()).formats == ()
