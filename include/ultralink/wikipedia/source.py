"""Which of the two sources a recipe asks for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import fsspec

from ultralink.errors import DumpError, TimeUnknown
from ultralink.recipe import Recipe, Wikipedia
from ultralink.store import Store, modified
from ultralink.wikipedia.api import ApiWiki
from ultralink.wikipedia.article import Source
from ultralink.wikipedia.dump import DumpWiki
from ultralink.wikipedia.readers import among_readers
from ultralink.wikipedia.transport import endpoint_of


@contextmanager
def open_source(recipe: Recipe, store: Store) -> Iterator[Source]:
    """The recipe's source, open within the block; an API's request rate is shared with all who use ``store``."""
    wikipedia = recipe.wikipedia
    if wikipedia.source == "api" and wikipedia.api is not None:
        with (
            among_readers(store, endpoint_of(wikipedia.api.base_url)),
            ApiWiki(wikipedia.api, wikipedia, recipe.language) as wiki,
        ):
            yield wiki
    elif wikipedia.dump is not None:
        yield DumpWiki(wikipedia.dump, _fetched(wikipedia.dump.path))


def _fetched(path: str) -> datetime:
    """When the dump was brought here: its file's own time, the same in every rebuild while the file stays."""
    try:
        fs, there = fsspec.core.url_to_fs(path)
        return modified(fs, there)
    except (OSError, ImportError, ValueError, TimeUnknown) as error:  # the middle two: fsspec knows no such protocol
        raise DumpError(f"{path}: cannot be read: {error}") from error


def source_settings(wikipedia: Wikipedia) -> dict[str, object]:
    """What of the settings decides which articles can be chosen, for a fingerprint."""
    if wikipedia.source == "api" and wikipedia.api is not None:
        return wikipedia.api.model_dump(mode="json", include={"base_url", "selection"})
    return {} if wikipedia.dump is None else wikipedia.dump.model_dump(mode="json", include={"path"})
