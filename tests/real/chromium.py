"""A real Chromium without a screen: Debian's package, driven by playwright; it downloads nothing itself."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright
from tests.real.debian import have

PACKAGES = ["chromium", "fonts-noto-cjk"]


def _path() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser; installed first where it is missing and may be installed, else the test is skipped."""
    have(PACKAGES, lambda: _path() is not None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_path(), args=["--no-sandbox", "--disable-dev-shm-usage"])
        try:
            yield browser
        finally:
            browser.close()
