"""The store as the page reads it: a store that does not answer becomes a page that says so."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends
from fastapi.exceptions import HTTPException

from ultralink.default_store import default_store
from ultralink.errors import UltraLinkError
from ultralink.store import Store
from ultralink_airflow.base import open_store


class StoreDown(Exception):
    """The store does not answer; says where it should be and what it said."""


def _shelf() -> Iterator[Store]:
    try:
        store = open_store()
        if store.is_local:
            if not os.path.isdir(store.root):  # noqa: PTH112  # a path of the store is text
                raise FileNotFoundError(f"{store.root} is not there")
            os.listdir(store.root)  # noqa: PTH208
        else:
            store.fs.invalidate_cache()
            with suppress(FileNotFoundError):  # nothing was ever written; `exists` would hide all other errors
                store.fs.info(store.root)
    except Exception as error:  # what a file system raises is its own affair
        raise StoreDown(_told(error)) from error
    try:
        yield store
    except (HTTPException, UltraLinkError):
        raise
    except OSError as error:
        raise StoreDown(_told(error)) from error


Shelf = Annotated[Store, Depends(_shelf)]
"""The store, found to answer."""


def place() -> str:
    """Where the store should be, without a connection's name or key."""
    return _without_connection(default_store())


def _told(error: BaseException) -> str:
    return _without_connection(f"{type(error).__name__}: {error}")[:300]


def _without_connection(text: str) -> str:
    """Without what stands before the host in the store's URL, which may be a key and its secret."""
    connection = urlsplit(os.environ.get("ULTRALINK_STORE", "")).netloc.rpartition("@")[0]
    return text.replace(f"{connection}@", "").replace(connection, "…") if connection else text
