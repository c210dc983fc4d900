"""A claim: a small file that says which run a name belongs to; of two runs that want it at once, one gets it."""

from __future__ import annotations

import uuid
from pathlib import Path

from ultralink.durable import sync
from ultralink.store import Store, disk_errors


def claim(store: Store, path: str, owner: str) -> bool:
    """Make ``path`` the owner's unless it is somebody's; whether it is the owner's now.

    Raises StoreFull, StoreReadOnly.
    """
    try:
        with disk_errors(path):
            _create(store, path, owner)
    except FileExistsError:
        return owner_of(store, path) == owner
    return True


def owner_of(store: Store, path: str) -> str | None:
    """Whose the claim is; None where nobody claims."""
    return store.read_text(path)


def give_back(store: Store, path: str, owner: str) -> None:
    """Remove the claim if it is the owner's."""
    if owner_of(store, path) == owner:
        with disk_errors(path):
            store.fs.rm_file(path)


def _create(store: Store, path: str, text: str) -> None:
    """Write a file that is not there yet, whole at once. Raises FileExistsError."""
    if not store.is_local:
        store.fs.pipe_file(path, text.encode(), mode="create")
        store.fs.invalidate_cache(path.rpartition("/")[0])
        return
    # fsspec looks before it writes; a hard link is made or refused in one step, and never half-written.
    folder, _, name = path.rpartition("/")
    aside = Path(folder, f".{name}.{uuid.uuid4().hex}.tmp")
    aside.parent.mkdir(parents=True, exist_ok=True)
    try:
        aside.write_text(text, encoding="utf-8")
        sync(str(aside))
        Path(path).hardlink_to(aside)
        sync(folder)
    finally:
        aside.unlink(missing_ok=True)
