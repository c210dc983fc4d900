"""Files of every kind, whole and broken, from disk, memory, HTTP and a hub that refuses."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import ClassVar

import fsspec
import huggingface_hub.constants
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import HfFileSystem
from tests.pool.sources import lines, packed, pair, source, written

from ultralink.errors import SourceError, SourceUnreachable
from ultralink.pool import files
from ultralink.pool.files import Malformed, Record, checksum, records

SUFFIXES = [".jsonl", ".json", ".jsonl.gz", ".jsonl.zst"]


def read(path: Path | str) -> list[Record | Malformed]:
    return list(records(source(path)))


def parquet(path: Path, rows: list[dict[str, object]], rows_per_group: int = 100) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=rows_per_group)
    return path


# --- whole files ----------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_json_lines_packed_or_not(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"rows{suffix}"
    path.write_bytes(packed(lines(*map(pair, range(500))), suffix))
    assert read(path) == [Record(number + 1, pair(number)) for number in range(500)]


@pytest.mark.parametrize("suffix", [".jsonl.gz", ".jsonl.zst"])
def test_packed_files_that_were_appended_to(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"rows{suffix}"
    path.write_bytes(packed(lines(pair(1)), suffix) + packed(lines(pair(2)), suffix))
    assert [record.row for record in read(path)] == [1, 2]


def test_parquet_with_nested_columns(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"messages": [{"role": "user", "content": f"text {n}"}]} for n in range(300)]
    path = parquet(tmp_path / "rows.parquet", rows)
    assert read(path) == [Record(number + 1, fields) for number, fields in enumerate(rows)]


def test_blank_lines_are_no_rows_but_count(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + lines(pair(1), b"", b"  \r", pair(2)).rstrip())
    assert read(path) == [Record(1, pair(1)), Record(4, pair(2))]


def test_object_storage() -> None:
    with fsspec.open("memory://pool-files/rows.jsonl.gz", "wb") as file:
        file.write(packed(lines(pair(1)), ".gz"))
    assert read("memory://pool-files/rows.jsonl.gz") == [Record(1, pair(1))]


def test_a_file_is_not_held_whole(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl.zst"
    path.write_bytes(packed(lines(*map(pair, range(200_000))), ".zst")[:-9])
    found = records(source(path))
    assert next(found) == Record(1, pair(0))  # long before the place where it is broken


def test_a_checksum_is_that_of_the_content(tmp_path: Path) -> None:
    one, other = tmp_path / "one.jsonl", tmp_path / "other.jsonl"
    one.write_bytes(lines(pair(1)))
    other.write_bytes(lines(pair(1)))
    before = checksum(source(one))
    assert before == checksum(source(other))
    one.write_bytes(lines(pair(2)))
    assert checksum(source(one)) != before
    with pytest.raises(SourceError, match="no such file"):
        checksum(source(tmp_path / "none.jsonl"))


def test_a_checksum_of_object_storage() -> None:
    with fsspec.open("memory://pool-checksum/rows.jsonl", "wb") as file:
        file.write(lines(pair(1)))
    assert checksum(source("memory://pool-checksum/rows.jsonl")) == checksum(
        source("memory://pool-checksum/rows.jsonl")
    )


# --- malformed rows -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "field", "reason"),
    [
        (b'{"instruction": "a", "response": "b"', "", "not valid JSON"),
        (b'{"instruction": "a\xff"}', "", "byte 19 of the line is not UTF-8"),
        (b'{"response": "b", "response": "c"}', "response", "given twice"),
        (b'{"nested": {"a": 1, "a": 2}}', "a", "given twice"),
        (b'{"score": NaN}', "", "NaN is not JSON"),
        (b'{"score": -Infinity}', "", "-Infinity is not JSON"),
        (b'["instruction", "response"]', "", "must be a JSON object, is an array"),
        (b'"text"', "", "is a string"),
        (b"null", "", "is null"),
        (b'{"n": ' + b"9" * 5000 + b"}", "", "not usable JSON"),
        (b"[" * 100_000 + b"]" * 100_000, "", "not usable JSON"),
    ],
)
def test_a_line_that_is_no_object(tmp_path: Path, line: bytes, field: str, reason: str) -> None:
    before, fault, after = read(written(tmp_path, pair(1), line, pair(2)))
    assert (before, after) == (Record(1, pair(1)), Record(3, pair(2)))
    assert isinstance(fault, Malformed)
    assert (fault.source, fault.row, fault.field) == ("sample", 2, field)
    assert reason in fault.reason
    assert len(fault.excerpt) <= files.EXCERPT


def test_an_endless_line_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LONGEST_LINE", 100)
    _, fault, after = read(written(tmp_path, pair(1), {"instruction": "x" * 1000}, pair(2)))
    assert isinstance(fault, Malformed)
    assert "longer than 100 bytes" in fault.reason
    assert after == Record(3, pair(2))


def test_parquet_text_that_is_not_utf8(tmp_path: Path) -> None:
    binary = pa.array([b"good", b"\xff\xfe", b"fine"])
    column = pa.Array.from_buffers(pa.string(), 3, binary.buffers())
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"query": column}), path)
    first, fault, last = read(path)
    assert (first, last) == (Record(1, {"query": "good"}), Record(3, {"query": "fine"}))
    assert isinstance(fault, Malformed)
    assert (fault.row, fault.reason) == (2, "text that is not UTF-8")


# --- broken files ---------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".jsonl.gz", ".jsonl.zst"])
@pytest.mark.parametrize("kept", [0.5, 0.99])
def test_a_truncated_packed_file_names_the_last_row(tmp_path: Path, suffix: str, kept: float) -> None:
    path = tmp_path / f"rows{suffix}"
    noise = [{"instruction": str(number * 7919**5), "response": str(number**9)} for number in range(20_000)]
    whole = packed(lines(*noise), suffix)
    path.write_bytes(whole[: int(len(whole) * kept)])
    found, seen = records(source(path)), 0
    with pytest.raises(SourceError, match="truncated or damaged") as caught:
        for record in found:
            seen = record.row
    assert seen > 1000
    assert f"after row {seen}" in str(caught.value)
    assert "source sample" in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["rows.jsonl.gz", "rows.jsonl.zst", "rows.parquet"])
def test_a_file_that_is_something_else(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"<html>not found</html>" * 10)
    with pytest.raises(SourceError, match="truncated or damaged"):
        read(path)


def test_a_truncated_parquet_file(tmp_path: Path) -> None:
    path = parquet(tmp_path / "rows.parquet", [pair(number) for number in range(1000)])
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(SourceError, match=r"rows\.parquet\): the file is truncated or damaged"):
        read(path)


def test_a_parquet_file_with_a_hole(tmp_path: Path) -> None:
    path = parquet(tmp_path / "rows.parquet", [pair(number) for number in range(1000)])
    content = bytearray(path.read_bytes())
    middle = pq.ParquetFile(path).metadata.row_group(5).column(0).data_page_offset
    content[middle : middle + 200] = b"\xff" * 200
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"after row \d{3}: the file is truncated or damaged"):
        read(path)


def test_a_json_array_over_lines_is_no_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([pair(1), pair(2)], indent=1))
    with pytest.raises(SourceError, match="JSON array"):
        read(path)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"source sample .*rows\.jsonl\): no such file"):
        read(tmp_path / "rows.jsonl")
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(SourceError, match="cannot be opened"):
        read(tmp_path / "folder.jsonl")


@pytest.mark.parametrize("path", ["/tmp/rows.csv", "/tmp/rows.gz", "/tmp/rows.parquet.gz", "/tmp/rows"])  # noqa: S108
def test_an_unknown_suffix(path: str) -> None:
    with pytest.raises(SourceError, match=r"must end in \.jsonl"):
        read(path)


@pytest.mark.parametrize(
    ("path", "said"), [("nosuch://a/b.jsonl", "Protocol not known"), ("hf://nonsense.jsonl", "cannot be opened")]
)
def test_an_address_that_is_none(path: str, said: str) -> None:
    with pytest.raises(SourceError, match=said):
        read(path)


# --- servers --------------------------------------------------------------------------------------


class Hub(http.server.BaseHTTPRequestHandler):
    """A server that says ``status`` to all, or, at 200, serves one repository with one file."""

    status = 200
    content: ClassVar[bytes] = lines(pair(1), pair(2))
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.status != 200:
            self._answer(self.status, b"{}")
        elif self.path.startswith(("/api/datasets/a/b/tree", "/api/datasets/a/b/paths-info")):
            size = len(self.content)
            entry = {"type": "file", "oid": "0" * 40, "size": size, "path": "rows.jsonl"}
            self._answer(200, json.dumps([entry]).encode())
        elif self.path.startswith("/api/datasets/a/b"):
            self._answer(200, json.dumps({"id": "a/b", "sha": "0" * 40, "siblings": []}).encode())
        elif self.path.endswith("/rows.jsonl"):
            self._file()
        else:
            self._answer(404, b"{}")

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()

    def _file(self) -> None:
        asked = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")
        end = int(asked[1]) if asked[1] else len(self.content) - 1
        part = self.content[int(asked[0]) : end + 1]
        self._answer(206 if "Range" in self.headers else 200, part)

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/json")
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def served(status: int) -> Iterator[str]:
    handler = type("Told", (Hub,), {"status": status})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(handler)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Hugging Face's file system, fresh, so that an endpoint set by the test is the one it asks."""
    HfFileSystem.clear_instance_cache()
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    yield monkeypatch
    HfFileSystem.clear_instance_cache()


def from_hub(hub: pytest.MonkeyPatch, endpoint: str) -> list[Record | Malformed]:
    hub.setattr(huggingface_hub.constants, "ENDPOINT", endpoint)
    address = f"{endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    hub.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", address)
    return read("hf://datasets/a/b/rows.jsonl")


def test_a_file_of_the_hub(hub: pytest.MonkeyPatch) -> None:
    with served(200) as endpoint:
        assert from_hub(hub, endpoint) == [Record(1, pair(1)), Record(2, pair(2))]
        assert checksum(source("hf://datasets/a/b/rows.jsonl"))


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_hub_that_refuses(hub: pytest.MonkeyPatch, status: int) -> None:
    with served(status) as endpoint, pytest.raises(SourceError, match=r"hf://datasets/a/b/rows\.jsonl"):
        from_hub(hub, endpoint)


def test_a_hub_out_of_order(hub: pytest.MonkeyPatch) -> None:
    with served(500) as endpoint, pytest.raises(SourceUnreachable, match="cannot be reached"):
        from_hub(hub, endpoint)


def test_no_network(hub: pytest.MonkeyPatch) -> None:
    with served(200) as gone:
        pass
    with pytest.raises(SourceUnreachable, match="without a network, name a downloaded file"):
        from_hub(hub, gone)


def test_a_hub_that_is_switched_off(hub: pytest.MonkeyPatch) -> None:
    hub.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(SourceError, match="HF_HUB_OFFLINE"):
        read("hf://datasets/a/b/rows.jsonl")


def test_http() -> None:
    with served(200) as url:
        assert len(read(f"{url}/rows.jsonl")) == 2
        with pytest.raises(SourceError, match="no such file"):
            read(f"{url}/other.jsonl")
    with pytest.raises(SourceUnreachable, match="cannot be reached"):
        read(f"{url}/rows.jsonl?download=true")
