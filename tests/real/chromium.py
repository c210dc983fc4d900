"""A real Chromium without a screen: Debian's package, driven by playwright; it downloads nothing itself."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

INSTALL = [
    "apt-get",
    "-o",
    "DPkg::Lock::Timeout=300",
    "install",
    "-y",
    "--no-install-recommends",
    "chromium",
    "fonts-noto-cjk",
]


def _path() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def _install() -> None:
    command = " ".join(INSTALL)
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        pytest.skip(f"needs Chromium; as root: apt-get update && {command}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for step in (["apt-get", "update"], INSTALL):
        done = subprocess.run(step, env=environment, capture_output=True, text=True, check=False)
    if _path() is None:
        pytest.skip(f"needs Chromium, and apt-get could not install it: {done.stderr[-300:]}; {command}")


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser; installed first where it is missing and may be installed, else the test is skipped."""
    if _path() is None:
        _install()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_path(), args=["--no-sandbox", "--disable-dev-shm-usage"])
        try:
            yield browser
        finally:
            browser.close()
