"""Which of the two sources a recipe asks for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import fsspec

from ultralink.errors import DumpError
from ultralink.recipe import Recipe, Wikipedia
from ultralink.store import modified
from ultralink.wikipedia.api import ApiWiki
from ultralink.wikipedia.article import Source
from ultralink.wikipedia.dump import DumpWiki


@contextmanager
def open_source(recipe: Recipe) -> Iterator[Source]:
    """The recipe's source, open within the block."""
    wikipedia = recipe.wikipedia
    if wikipedia.source == "api" and wikipedia.api is not None:
        with ApiWiki(wikipedia.api, wikipedia, recipe.language) as wiki:
            yield wiki
    elif wikipedia.dump is not None:
        yield DumpWiki(wikipedia.dump, _fetched(wikipedia.dump.path))


def _fetched(path: str) -> datetime:
    """When the dump was brought here: its file's own time, which a rebuild finds unchanged."""
    try:
        fs, path = fsspec.core.url_to_fs(path)
        return modified(fs, path)
    except OSError as error:
        raise DumpError(f"{path}: cannot be read: {error}") from error


def source_settings(wikipedia: Wikipedia) -> dict[str, object]:
    """What of the settings decides which articles can be chosen, for a fingerprint."""
    if wikipedia.source == "api" and wikipedia.api is not None:
        return wikipedia.api.model_dump(mode="json", include={"base_url", "selection"})
    return {} if wikipedia.dump is None else wikipedia.dump.model_dump(mode="json", include={"path"})
