"""``validate``: every file that a user edits, read as the Dags read it; each mistake names file and field."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, TypeVar

from ultralink.commands.terminal import FINE, PROBLEM, Terminal, many, print_json
from ultralink.dialogue.labelled import load_labelled
from ultralink.errors import PermanentError, RecipeError
from ultralink.pool.recipe import PoolRecipe, load_pool_recipe
from ultralink.pool.screen import load_screen_prompts
from ultralink.prompts import PromptBook, load_prompts
from ultralink.recipe import INCLUDE, Budget, Recipe, configured_languages, load_recipe, read_yaml
from ultralink.release.blocklist import read_blocklist
from ultralink.release.recipe import ReleaseRecipe, release_recipe_path
from ultralink.teacher.models import ModelCards, load_models

Read = TypeVar("Read")


@dataclass(frozen=True)
class Finding:
    """A mistake, which some run will fail at, or a note: something that may be meant so."""

    level: Literal["mistake", "note"]
    file: str
    what: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own options."""
    parser.add_argument("language", nargs="*", help="only the files of these; default: all files")
    parser.add_argument("--json", action="store_true", help="for scripts")


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """Print what was found; PROBLEM where some of it is a mistake."""
    check = Check(INCLUDE)
    found = check.findings(options.language)
    if options.json:
        print_json([asdict(each) for each in found])
    else:
        for each in found:
            text = each.what if each.what.startswith(each.file) else f"{each.file}: {each.what}"
            terminal.say(f"{each.level.upper()}  {text}", "bold red" if each.level == "mistake" else "yellow")
        mistakes = sum(each.level == "mistake" for each in found)
        terminal.say(f"{many(len(check.read), 'file')} read, {many(mistakes, 'mistake')}")
    return PROBLEM if any(each.level == "mistake" for each in found) else FINE


class Check:
    """Reads all files below ``include`` and collects what is wrong with them."""

    def __init__(self, include: Path) -> None:
        self._include = include
        self._languages = include / "languages"
        self._found: list[Finding] = []
        self.read: set[Path] = set()

    def findings(self, chosen: list[str]) -> list[Finding]:
        """All that was found, mistakes first. Raises RecipeError for a language without a recipe."""
        known = configured_languages(self._languages)
        if unknown := [code for code in chosen if code not in known]:
            there = ", ".join(known) or "none"
            raise RecipeError(f"{self._languages}: no recipe for language {unknown[0]!r}; configured: {there}")
        if not known:
            self._mistake(self._languages, "holds no recipe at all")
        cards = self._attempt(self._include / "models.yaml", load_models)
        for code in chosen or known:
            self._language(code, cards)
        if not chosen:
            self._strays(known)
            self._pool(cards)
            self._release(known)
        return sorted(self._found, key=lambda each: (each.level, each.file))

    # --- a language -------------------------------------------------------------------------------

    def _language(self, code: str, cards: ModelCards | None) -> None:
        file, folder = self._languages / f"{code}.yaml", self._include / "prompts"
        recipe = self._attempt(file, lambda: load_recipe(code, self._languages))
        book = self._attempt(folder / f"{code}.yaml", lambda: load_prompts(code, folder))
        labels = self._include / "judge" / f"{code}.yaml"
        labelled = self._attempt(labels, lambda: load_labelled(code, labels.parent)) if labels.exists() else None
        if recipe is None:
            return
        if book is not None:
            self._fit(recipe, book, folder / f"{code}.yaml")
        if recipe.judge.sampling_rate and labelled is None and not labels.exists():
            self._note(labels, "no such file: the judge is never measured, so it only scores and rejects nothing")
        dump = recipe.wikipedia.dump if recipe.wikipedia.source == "dump" else None
        for field in ("path", "index"):
            path = getattr(dump, field, None)
            if path is not None:
                self._is_there(file, f"wikipedia.dump.{field}", path)
        models = {"teacher.model": recipe.teacher.model, "judge.model": recipe.judge.model}
        self._priced(file, models, recipe.budget, cards)

    def _fit(self, recipe: Recipe, book: PromptBook, file: Path) -> None:
        if recipe.translation and book.translation is None:
            self._mistake(file, "translation: is missing, but the recipe has that section")
        if book.translation and recipe.translation is None:
            self._note(file, "translation: is not used, for the recipe has no such section")

    def _strays(self, known: list[str]) -> None:
        for folder in ("prompts", "judge"):
            for path in sorted((self._include / folder).glob("*.yaml")):
                if path.stem not in known:
                    self._note(path, f"is of no language: there is no {self._languages / path.name}")

    def _priced(self, file: Path, models: dict[str, str | None], budget: Budget, cards: ModelCards | None) -> None:
        for field, model in models.items():
            if model is None or cards is None or cards.find(model) is not None:
                continue
            if budget.usd is None:
                self._note(file, f"{field}: {model!r} is not in models.yaml, so its cost will be unknown")
            else:
                self._mistake(
                    file,
                    f"{field}: {model!r} is not in models.yaml, but budget.usd is set: add its price there or in the "
                    "file that ULTRALINK_MODELS names, or set budget.tokens",
                )

    # --- pool and release -------------------------------------------------------------------------

    def _pool(self, cards: ModelCards | None) -> None:
        file, prompts = self._include / "pool.yaml", self._include / "pool_prompts.yaml"
        recipe: PoolRecipe | None = self._attempt(file, lambda: load_pool_recipe(file))
        self._attempt(prompts, lambda: load_screen_prompts(prompts))
        if recipe is None:
            return
        for number, source in enumerate(recipe.sources):
            self._is_there(file, f"sources.{number}.path", source.path)
        self._priced(file, {"screen.model": recipe.screen.model}, recipe.budget, cards)

    def _release(self, known: list[str]) -> None:
        named = release_recipe_path()
        file = self._include / "release.yaml" if named == INCLUDE / "release.yaml" else named
        recipe = self._attempt(file, lambda: read_yaml(file, ReleaseRecipe, RecipeError, {}))
        if recipe is None:
            return
        for number, one in enumerate(recipe.decontamination.sets):
            self._is_there(file, f"decontamination.sets.{number}.path", one.path)
        for language, path in recipe.blocklists.items():
            if language not in known:
                self._note(file, f"blocklists.{language}: is of no language that has a recipe")
            self._attempt(file, lambda language=language, path=path: read_blocklist(language, path))  # type: ignore[misc]

    # --- collecting -------------------------------------------------------------------------------

    def _attempt(self, file: Path, read: Callable[[], Read]) -> Read | None:
        """What ``read`` gives; its complaint is a mistake."""
        self.read.add(file)
        try:
            return read()
        except PermanentError as error:
            self._mistake(file, str(error))
            return None

    def _is_there(self, file: Path, field: str, path: str) -> None:
        if "://" not in path and not Path(path).exists():
            self._note(file, f"{field}: {path} is not on this machine")

    def _mistake(self, file: Path, what: str) -> None:
        self._found.append(Finding("mistake", str(file), what))

    def _note(self, file: Path, what: str) -> None:
        self._found.append(Finding("note", str(file), what))
