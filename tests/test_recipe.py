"""Recipes: those that ship are valid, and a mistake in one names the file and the field."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from langdetect.detector_factory import PROFILES_DIRECTORY
from pydantic import ValidationError

from ultralink.errors import PermanentError, RecipeError
from ultralink.recipe import INCLUDE, LANGUAGES, DumpSource, Recipe, configured_languages, load_recipe

SHIPPED = ("en", "es", "fr", "ru", "zh")
DATA = Path(__file__).parent / "data"

Settings = dict[str, dict[str, object]]  # a recipe as YAML has it

ADDRESS = "https://example.org/wiki/{title}"


def _edited(folder: Path, edit: Callable[[Settings], object]) -> Path:
    """A folder whose only recipe is the French one, with ``edit`` applied."""
    settings = yaml.safe_load((LANGUAGES / "fr.yaml").read_text(encoding="utf-8"))
    edit(settings)
    (folder / "fr.yaml").write_text(yaml.safe_dump(settings, allow_unicode=True), encoding="utf-8")
    return folder


def _set(dotted: str, value: object) -> Callable[[Settings], object]:
    def edit(settings: Settings) -> None:
        *parents, field = dotted.split(".")
        section: Any = settings
        for parent in parents:
            section = section[parent]
        section[field] = value

    return edit


@pytest.fixture(autouse=True)
def _no_overlay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WIKI_SOURCE", raising=False)


def test_five_languages_ship() -> None:
    assert configured_languages() == sorted(SHIPPED)


@pytest.mark.parametrize("language", SHIPPED)
def test_a_shipped_recipe_is_valid(language: str) -> None:
    recipe = load_recipe(language)
    assert recipe.language == language
    assert recipe.wikipedia.simplify_chinese == (language == "zh")
    assert recipe.wikipedia.dump is not None
    assert recipe.wikipedia.dump.path.endswith(f"include/samples/wikipedia/{language}wiki.xml")
    assert "wikipedia.org" not in recipe.wikipedia.article_url  # the samples are not Wikipedia's
    assert recipe.wikipedia.api is not None
    assert recipe.wikipedia.api.base_url == f"https://{language}.wikipedia.org/w/api.php"
    assert recipe.text.leaks
    assert recipe.text.dangling_openings
    assert recipe.text.refusals


def test_the_languages_start_apart() -> None:
    schedules = [load_recipe(language).schedule for language in SHIPPED]
    assert len(set(schedules)) == len(SHIPPED)


def test_a_sixth_language_is_one_more_file(tmp_path: Path) -> None:
    shutil.copy(DATA / "de.yaml", tmp_path)
    assert configured_languages(tmp_path) == ["de"]
    assert load_recipe("de", tmp_path).name == "Deutsch"


def test_paths_start_at_include() -> None:
    dump = load_recipe("fr").wikipedia.dump
    assert dump is not None
    assert Path(dump.path) == INCLUDE / "samples/wikipedia/frwiki.xml"
    assert DumpSource(article_url=ADDRESS, path="/srv/dumps/frwiki.xml.bz2").path == "/srv/dumps/frwiki.xml.bz2"
    assert DumpSource(article_url=ADDRESS, path="s3://dumps/frwiki.xml.bz2").path == "s3://dumps/frwiki.xml.bz2"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("shard", 4),  # a misspelt key
        ("wikipedia.sources", "dump"),
        ("wikipedia.cleaning.drop_section", []),
        ("wikipedia.api.selection.dept", 2),
        ("schedule", "99 * * * *"),
        ("schedule", "nightly"),
        ("schedule", "0 0 31 2 *"),  # never
        ("schedule", "0 0 2 * * *"),  # seconds
        ("timezone", "Mars/Base"),
        ("timezone", "../etc/passwd"),
        ("start_date", "2026-13-45"),
        ("shards", "many"),
        ("shards", "4"),
        ("shards", True),
        ("wikipedia.simplify_chinese", 1),
        ("shards", 0),
        ("shards", 257),
        ("wikipedia.source", "rss"),
        ("wikipedia.articles_per_night", 0),
        ("wikipedia.min_language_score", 1.5),
        ("wikipedia.dump.article_url", "https://fr.wikipedia.org/wiki/"),
        ("wikipedia.document_tokens", {"min": 10, "max": 5}),
        ("wikipedia.cleaning.list_title", "("),
        ("wikipedia.cleaning.list_title", "a{99999999999999}"),
        ("text.leaks", ["(" * 5000]),
        ("wikipedia.api.base_url", "fr.wikipedia.org"),
        ("wikipedia.api.contact", ""),
        ("wikipedia.api.selection", {"kind": "newest"}),
        ("wikipedia.api.selection", {"kind": "titles", "titles": []}),
        ("text.detector_labels", ["zh"]),
        ("text.detector_labels", []),
        ("text.leaks", ["(unclosed"]),
        ("text.leaks", ["{no_such_fragment}"]),
        ("text.refusals", "just text"),
        ("teacher.temperature", 3),
        ("teacher.concurrency", 0),
        ("dialogue.stop_probability", 0),
        ("gates.question_tokens.max", -1),
        ("gates.max_copied", "80%"),
        ("judge.sampling_rate", 2),
        ("budget.usd", -5),
    ],
)
def test_a_mistake_names_file_and_field(tmp_path: Path, field: str, value: object) -> None:
    folder = _edited(tmp_path, _set(field, value))
    with pytest.raises(RecipeError) as caught:
        load_recipe("fr", folder)
    assert str(folder / "fr.yaml") in str(caught.value)
    assert f" {field}" in str(caught.value).replace(".category.", ".")  # pydantic names the kind of selection too


def test_several_mistakes_are_told_at_once(tmp_path: Path) -> None:
    def edit(settings: Settings) -> None:
        settings["teacher"]["temprature"] = 1
        settings["gates"]["max_copied"] = 7

    with pytest.raises(RecipeError) as caught:
        load_recipe("fr", _edited(tmp_path, edit))
    assert "teacher.temprature" in str(caught.value)
    assert "gates.max_copied" in str(caught.value)


def test_a_missing_section_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"fr\.yaml: teacher: "):
        load_recipe("fr", _edited(tmp_path, lambda settings: settings.pop("teacher")))


def test_a_source_needs_its_section(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"fr\.yaml: wikipedia: .*'dump'"):
        load_recipe("fr", _edited(tmp_path, lambda settings: settings["wikipedia"].pop("dump")))


def test_passages_that_cannot_be_cut_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"fr\.yaml: .*passage_tokens"):
        load_recipe("fr", _edited(tmp_path, _set("wikipedia.passage_tokens", {"min": 1000, "max": 1500})))


def test_documents_shorter_than_any_passage_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"fr\.yaml: .*document_tokens"):
        load_recipe("fr", _edited(tmp_path, _set("wikipedia.document_tokens", {"min": 10, "max": 900})))


def test_an_unknown_language_lists_those_that_there_are(tmp_path: Path) -> None:
    folder = _edited(tmp_path, lambda settings: None)
    with pytest.raises(RecipeError, match=r"tlh\.yaml: no recipe for language 'tlh'; configured: fr"):
        load_recipe("tlh", folder)
    with pytest.raises(RecipeError, match="configured: none"):
        load_recipe("tlh", tmp_path / "nowhere")


def test_the_file_name_is_the_language(tmp_path: Path) -> None:
    shutil.copy(LANGUAGES / "fr.yaml", tmp_path / "es.yaml")
    with pytest.raises(RecipeError, match=r"es\.yaml: language: is 'fr'"):
        load_recipe("es", tmp_path)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"language: [fr", "not valid YAML"),
        (b"language: fr\n\tname: x", "not valid YAML"),
        (b"shards: 2\nname: x\nshards: 3", "'shards' is given twice"),
        (b"start_date: 2026-02-30", "not valid YAML: day is out of range"),
        (b"shards: 0b_", "not valid YAML"),
        (b"x: " + b"[" * 20000, "not valid YAML"),
        (b"- fr", "must hold a mapping, found list"),
        (b"", "must hold a mapping, found NoneType"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b"language: fr", "wikipedia: Field required"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "fr.yaml").write_bytes(content)
    with pytest.raises(RecipeError) as caught:
        load_recipe("fr", tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'fr.yaml'}: ")
    assert told in str(caught.value)


def test_the_environment_chooses_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WIKI_SOURCE", "api")
    assert load_recipe("fr").wikipedia.source == "api"
    monkeypatch.setenv("WIKI_SOURCE", "")
    assert load_recipe("fr").wikipedia.source == "dump"


def test_a_bad_source_in_the_environment_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WIKI_SOURCE", "ftp")
    with pytest.raises(RecipeError, match=r"fr\.yaml: wikipedia\.source: "):
        load_recipe("fr")
    monkeypatch.setenv("WIKI_SOURCE", "api")
    (tmp_path / "fr.yaml").write_text("wikipedia: 7", encoding="utf-8")
    with pytest.raises(RecipeError, match=r"fr\.yaml: .*wikipedia: Input should be a valid dictionary"):
        load_recipe("fr", tmp_path)


def test_fragments_stand_for_their_text(tmp_path: Path) -> None:
    def edit(settings: Settings) -> None:
        settings["text"]["fragments"] |= {"a": "x{b}", "b": "y|z"}  # type: ignore[operator]
        settings["text"]["leaks"] = [r"{a}{2,3}\d{1}"]

    recipe = load_recipe("fr", _edited(tmp_path, edit))
    assert recipe.text.leaks == [r"(?:x(?:y|z)){2,3}\d{1}"]


def test_fragments_in_a_circle_are_refused(tmp_path: Path) -> None:
    def edit(settings: Settings) -> None:
        settings["text"] |= {"fragments": {"a": "{b}", "b": "{a}"}, "leaks": ["{a}"]}

    with pytest.raises(RecipeError, match=r"text\.leaks: .*circle"):
        load_recipe("fr", _edited(tmp_path, edit))


def test_any_label_of_langdetect_is_known() -> None:
    labels = sorted(path.name for path in Path(PROFILES_DIRECTORY).iterdir())
    text = load_recipe("fr").text.model_dump() | {"detector_labels": labels}
    assert type(load_recipe("fr").text).model_validate(text).detector_labels == labels


def test_a_recipe_does_not_change_after_loading() -> None:
    recipe = load_recipe("fr")
    with pytest.raises(ValidationError):
        recipe.teacher.model = "other"


def test_a_recipe_error_is_permanent() -> None:
    assert issubclass(RecipeError, PermanentError)
    assert isinstance(load_recipe("fr"), Recipe)
