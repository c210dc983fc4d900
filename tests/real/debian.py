"""What tests need of Debian: a package is installed where its program is missing, by one process at a time."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

_LOCK = Path(tempfile.gettempdir()) / "ultralink-tests-apt.lock"
# RUNLEVEL: Debian would start the servers that it installs at once, on their usual ports; they are not wanted.
_ENVIRONMENT = {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}


def have(packages: Sequence[str], is_there: Callable[[], bool]) -> None:
    """Have ``packages``, of which ``is_there`` tells. Where it may install nothing the test is skipped.

    Where it may and that fails, the test fails: a machine of tests that lost its packages is to be noticed.
    """
    if is_there():
        return
    install = ["apt-get", "-o", "DPkg::Lock::Timeout=300", "install", "-y", "--no-install-recommends", *packages]
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        pytest.skip(f"as root: apt-get update && {' '.join(install)}")
    with _LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for step in (["apt-get", "update"], install):
            if not is_there():  # another process may have installed them meanwhile
                done = subprocess.run(step, env=os.environ | _ENVIRONMENT, capture_output=True, text=True, check=False)
    if not is_there():
        pytest.fail(f"{' '.join(install)}: {done.stderr[-300:]}")


def have_program(name: str, package: str) -> None:
    """Have the program ``name`` of ``package``."""
    have([package], lambda: shutil.which(name) is not None)
