"""Real trouble with a disk: folders that are mounted read-only, or on a disk of a few KB. Needs root."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

BALLAST = "ballast"


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """``folder`` cannot be written within the block, not even by root."""
    with _mounted(folder, "--bind", str(folder)):
        _run("mount", "-o", "remount,bind,ro", str(folder))
        yield


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """``folder`` is an empty disk of ``size`` (as in "64k") within the block."""
    with _mounted(folder, "-t", "tmpfs", "-o", f"size={size}", "tmpfs"):
        yield


def leave_free(folder: Path, spare: int) -> None:
    """Fill the disk of ``folder`` but for ``spare`` bytes, whatever filled it before."""
    (folder / BALLAST).unlink(missing_ok=True)
    status = os.statvfs(folder)
    (folder / BALLAST).write_bytes(bytes(status.f_bavail * status.f_frsize - spare))


@contextmanager
def _mounted(folder: Path, *options: str) -> Iterator[None]:
    if os.geteuid() != 0:
        pytest.skip("needs a real mount: run the tests as root")
    done = subprocess.run(["mount", *options, str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"needs a real mount, which this machine refuses: {done.stderr.strip()}")
    try:
        yield
    finally:
        _run("umount", "--lazy", str(folder))  # whoever still has a file open keeps it


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
