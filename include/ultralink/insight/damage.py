"""Damage in the store: what cannot be read is told with what to do, and a page shows the rest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ultralink.errors import PartMissing, SchemaMismatch

_CLIP = 300  # characters of what a reader complained about


class Damages:
    """What was found damaged, each file once."""

    def __init__(self) -> None:
        self._found: dict[str, str] = {}

    @property
    def lines(self) -> list[str]:
        """A sentence each, naming the file and what mends it; sorted."""
        return sorted(self._found.values())

    def note(self, path: str, error: Exception, mend: str = "delete it or run with rebuild") -> None:
        """Take note of a file that cannot be read. Raises ``error`` again where the store is at fault, not the file."""
        if isinstance(error, PartMissing | FileNotFoundError):  # gone since it was listed
            return
        if not is_damage(error):
            raise error
        said = " ".join(str(error).split()).removeprefix(f"{path}: ")
        remedy = "" if "rebuild" in said else f"; {mend}"
        self._found.setdefault(path, f"{path}: {said[:_CLIP]}{remedy}")

    @contextmanager
    def noted(self, path: str) -> Iterator[None]:
        """The block ends where the file at ``path`` turns out to be damaged or gone."""
        try:
            yield
        except Exception as error:
            self.note(path, error)


def is_damage(error: Exception) -> bool:
    """Whether a file is at fault: its bytes or its rights. Else it is the store, which does not answer.

    Arrow's word for broken pages is an OSError without a number; pydantic's and UTF-8's errors are ValueErrors.
    """
    if isinstance(error, OSError):
        is_arrows = type(error) is OSError and error.errno is None
        return is_arrows or isinstance(error, PermissionError | IsADirectoryError)
    return isinstance(error, SchemaMismatch | ValueError | KeyError | TypeError)
