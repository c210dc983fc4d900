"""The store as the page reads it: a store that does not answer becomes a page that says so."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends
from fastapi.exceptions import HTTPException

from ultralink.default_store import default_store
from ultralink.errors import StoreRefused, StoreUnreachable, UltraLinkError
from ultralink.store import Store
from ultralink_airflow.base import open_store

PATIENCE_S = 10.0  # that a person has with a page, and a page with the store

# A mount or a server that hangs holds a thread, so there are few of them: who comes later waits, and is told the same.
_checks = ThreadPoolExecutor(4, thread_name_prefix="ultralink-store")
# Of S3's client, whose own would be minutes; s3fs asks five times, should the server begin to hang under a page.
_S3_PATIENCE = {"connect_timeout": 4, "read_timeout": 8, "retries": {"max_attempts": 0}}


class StoreDown(Exception):
    """The store does not answer; says where it should be and what it said."""


def _opened() -> Store:
    """The store, found to answer."""
    store = open_store()
    if store.is_local:
        if not os.path.isdir(store.root):  # noqa: PTH112  # a path of the store is text
            raise FileNotFoundError(f"{store.root} is not there")
        os.listdir(store.root)  # noqa: PTH208
        return store
    settings = getattr(store.fs, "config_kwargs", None)
    if isinstance(settings, dict):  # of s3fs, which makes its client at its first call
        for name, value in _S3_PATIENCE.items():
            settings.setdefault(name, value)
    with suppress(FileNotFoundError):  # nothing was ever written; `exists` would hide all other errors
        store.fs.info(store.root)
    return store


def _shelf() -> Iterator[Store]:
    try:
        store = _checks.submit(_opened).result(PATIENCE_S)
    except TimeoutError as error:
        raise StoreDown(f"It has not answered within {PATIENCE_S:g} s.") from error
    except Exception as error:  # what a file system raises is its own affair
        raise StoreDown(_told(error)) from error
    try:
        yield store
    except (StoreUnreachable, StoreRefused) as error:
        raise StoreDown(_told(error)) from error
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
