"""A claim: a small file that says which run a name belongs to; of two runs that want it at once, one gets it."""

from __future__ import annotations

from ultralink.store import Store, disk_errors


def claim(store: Store, path: str, owner: str) -> bool:
    """Make ``path`` the owner's unless it is somebody's; whether it is the owner's now.

    Raises StoreFull, StoreReadOnly.
    """
    try:
        store.create_text(path, owner)
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
