"""A language's files together: its recipe and its prompt book, each valid, and fitting each other."""

from __future__ import annotations

from ultralink.dialogue.labelled import load_labelled
from ultralink.errors import PromptError
from ultralink.prompts import PROMPTS, PromptBook, load_prompts
from ultralink.recipe import Recipe, load_recipe


def load_language(code: str) -> tuple[Recipe, PromptBook]:
    """The recipe and the prompts of a language; labelled items are optional, but must be valid.

    Raises RecipeError and PromptError naming the file and the field.
    """
    recipe, book = load_recipe(code), load_prompts(code)
    load_labelled(code)
    if recipe.translation and book.translation is None:
        raise PromptError(f"{PROMPTS / f'{code}.yaml'}: translation: is missing, but the recipe has that section")
    return recipe, book
