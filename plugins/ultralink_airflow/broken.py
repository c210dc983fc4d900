"""A language whose recipe or prompts are wrong: an import error of its own, and no harm to the others.

Raising while the Dag file is parsed would take every language down with it. Airflow records an error of a
single Dag, under that Dag's own file, only where the Dag cannot be serialised; so that is what a BrokenDag does.
"""

from __future__ import annotations

import logging

from airflow.sdk import DAG

log = logging.getLogger(__name__)


class BrokenDag(DAG):
    """Stands for a Dag that cannot be built; Airflow lists ``error`` as the import error of ``file``."""

    def __init__(self, dag_id: str, file: str, error: Exception) -> None:
        super().__init__(dag_id, schedule=None)
        self._file = file
        self._error = error
        log.error("%s is left out: %s", dag_id, error)

    @property
    def relative_fileloc(self) -> str:
        """The file with the mistake; the importer's own guess is ignored."""
        return self._file

    @relative_fileloc.setter
    def relative_fileloc(self, guess: str | None) -> None:
        return

    def get_serialized_fields(self) -> frozenset[str]:  # type: ignore[override]  # is a classmethod there
        """Called by Airflow to store the Dag: raises the error instead."""
        raise self._error
