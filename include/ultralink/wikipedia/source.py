"""Which of the two sources a recipe asks for."""

from __future__ import annotations

from ultralink.recipe import Recipe, Wikipedia
from ultralink.wikipedia.api import ApiWiki
from ultralink.wikipedia.article import Source
from ultralink.wikipedia.dump import DumpWiki


def open_source(recipe: Recipe) -> Source:
    """The recipe's source, open; the caller closes it."""
    wikipedia = recipe.wikipedia
    if wikipedia.source == "api" and wikipedia.api is not None:
        return ApiWiki(wikipedia.api, wikipedia, recipe.language)
    if wikipedia.dump is None:
        raise AssertionError("the recipe's validation lets no source through without its section")
    return DumpWiki(wikipedia.dump, wikipedia)


def source_settings(wikipedia: Wikipedia) -> dict[str, object]:
    """What of the settings decides which articles can be chosen, for a fingerprint."""
    if wikipedia.source == "api" and wikipedia.api is not None:
        return wikipedia.api.model_dump(mode="json", include={"base_url", "selection"})
    return {} if wikipedia.dump is None else wikipedia.dump.model_dump(mode="json", include={"path"})
