"""Where the store is when nobody says: what ``ULTRALINK_STORE`` names, or .store beside include/."""

from __future__ import annotations

import os
from pathlib import Path

DEFAULT_STORE = Path(__file__).resolve().parents[2] / ".store"


def default_store() -> str:
    """A path or a URL."""
    return os.environ.get("ULTRALINK_STORE") or str(DEFAULT_STORE)
