"""The failure note knows what to do about every error that the library raises."""

from __future__ import annotations

import inspect

import pytest

from ultralink import errors

BASES = {errors.UltraLinkError, errors.PermanentError, errors.TransientError}
NO_FAILURE = {errors.NothingNew}  # ends a task as skipped
KINDS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, errors.UltraLinkError) and kind not in BASES | NO_FAILURE
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_has_a_remedy_in_a_sentence(kind: type[errors.UltraLinkError], airflow_db: None) -> None:
    from ultralink_airflow.failure import remedy_for

    remedy = remedy_for(kind)
    assert remedy is not None
    assert remedy[0].isupper()
    assert remedy.endswith(".")


def test_an_error_of_another_kind_has_none(airflow_db: None) -> None:
    from ultralink_airflow.failure import remedy_for

    assert remedy_for(ValueError) is None
