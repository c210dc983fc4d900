"""When a dump was brought here, whatever its file system calls that time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import pytest
from tests.stages.nights import recipe

from ultralink.errors import DumpError, TimeUnknown
from ultralink.recipe import LANGUAGES
from ultralink.store import Store, modified, time_of_writing
from ultralink.wikipedia.article import Page
from ultralink.wikipedia.source import open_source

SAMPLE = LANGUAGES.parent / "samples" / "wikipedia" / "enwiki.xml"
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
LOCAL = fsspec.filesystem("file")


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder."""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class Timeless(Quiet):
    """Serves a folder and tells no times."""

    def send_header(self, keyword: str, value: str) -> None:
        if keyword != "Last-Modified":
            super().send_header(keyword, value)


@contextmanager
def served(kind: type[Quiet]) -> Iterator[str]:
    """The address of the sample, served by ``kind``."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(kind, directory=str(SAMPLE.parent))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/{SAMPLE.name}"
        finally:
            server.shutdown()
            thread.join()


def fetched(path: str, tmp_path: Path) -> set[datetime]:
    """The times that the pages of the dump at ``path`` carry."""
    dump = recipe("en", {"wikipedia.source": "dump", "wikipedia.dump.path": path})
    with open_source(dump, Store.at(str(tmp_path))) as source:
        pages = source.pages(list(source.candidates())[:3])
        return {page.fetched for page in pages if isinstance(page, Page)}


def test_a_dump_on_disk_carries_its_files_time(tmp_path: Path) -> None:
    assert fetched(str(SAMPLE), tmp_path) == {datetime.fromtimestamp(SAMPLE.stat().st_mtime, UTC)}


def test_a_dump_on_the_web_carries_the_time_that_the_server_tells(tmp_path: Path) -> None:
    with served(Quiet) as address:
        assert fetched(address, tmp_path) == {datetime.fromtimestamp(int(SAMPLE.stat().st_mtime), UTC)}


def test_a_dump_whose_time_nobody_tells_is_refused(tmp_path: Path) -> None:
    with served(Timeless) as address, pytest.raises(DumpError, match=r"enwiki\.xml.*does not tell when"):
        fetched(address, tmp_path)


@pytest.mark.parametrize("path", ["none.xml", "nosuch://none.xml"])
def test_a_dump_that_is_nowhere_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(DumpError, match=r"none\.xml: cannot be read"):
        fetched(path if "://" in path else str(tmp_path / path), tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("mtime", NOON.timestamp()),
        ("mtime", NOON.astimezone(timezone(timedelta(hours=3)))),
        ("LastModified", NOON),
        ("last_modified", NOON),
        ("Last-Modified", "Mon, 23 Nov 2026 12:00:00 GMT"),
        ("updated", "2026-11-23T12:00:00.000Z"),
        ("created", NOON),
    ],
)
def test_each_file_systems_name_for_the_time(key: str, value: object) -> None:
    found = time_of_writing(fsspec.filesystem("http"), {"name": "x", "created": None, key: value})
    assert (found, found.tzinfo) == (NOON, UTC)


def test_the_start_of_time_is_a_time() -> None:
    assert time_of_writing(LOCAL, {"name": "x", "mtime": 0.0, "created": NOON}) == datetime(1970, 1, 1, tzinfo=UTC)


def test_a_file_system_that_knows_only_by_asking_is_asked(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    assert time_of_writing(LOCAL, {"name": str(tmp_path / "x")}) == modified(LOCAL, str(tmp_path / "x"))


def test_no_time_is_an_error_and_not_a_date() -> None:
    with pytest.raises(TimeUnknown, match=r"http://x/y: its file system does not tell"):
        time_of_writing(fsspec.filesystem("http"), {"name": "http://x/y", "mtime": "soon"})
