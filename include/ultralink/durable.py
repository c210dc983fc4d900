"""What is written survives a power cut: a local file's content, a local folder's names."""

from __future__ import annotations

import os


def sync(path: str) -> None:
    """Have the local file or folder on the disk before anything that follows."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
