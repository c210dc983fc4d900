"""The assets: what a finished night, pool or release is called in Airflow."""

from __future__ import annotations

from airflow.sdk import Asset

GROUP = "ultralink"


def samples(language: str) -> Asset:
    """The samples of one language, a partition per night."""
    return Asset(name=f"ultralink_{language}_samples", uri=f"ultralink://samples/{language}", group=GROUP)


def english_pool() -> Asset:
    """The pool of English rows."""
    return Asset(name="ultralink_english_pool", uri="ultralink://pool/en", group=GROUP)


def release() -> Asset:
    """The releases."""
    return Asset(name="ultralink_release", uri="ultralink://release", group=GROUP)
