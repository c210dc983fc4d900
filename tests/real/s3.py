"""An S3 store for tests: moto's server, a stand-in for S3, in a process of its own on loopback."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import botocore.session
import httpx
import pytest
import s3fs
from botocore.config import Config

CONNECTION = "aws_default"
BUCKET = "night-store"
KEY, SECRET, REGION = "test-key", "test-secret-never-shown", "us-east-1"
NEEDED_S = 60.0


@dataclass(frozen=True)
class S3:
    """A running S3-compatible server with one empty bucket.

    ``store_url`` names Airflow's connection (``s3://aws_default@bucket/ultralink``); ``plain_url`` is the same
    place without it. ``airflow_connection`` is the connection as JSON. ``environment`` holds all that another
    process needs to open either URL: the AWS variables and ``AIRFLOW_CONN_AWS_DEFAULT``.
    """

    endpoint: str
    bucket: str
    store_url: str
    airflow_connection: str
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def plain_url(self) -> str:
        return self.store_url.replace(f"{CONNECTION}@", "")

    def requests(self) -> Counter[str]:
        """How many requests of each method the server has answered so far (its log has a line for each)."""
        lines = self.log.read_text(errors="replace").splitlines()
        words = (line.partition('"')[2].split(" ") for line in lines if " HTTP/1." in line)
        return Counter(word[0] for word in words)

    def stop(self) -> None:
        """End the server: from now on the store is down."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def named(server: S3) -> Iterator[None]:
    """This process's environment names the server within the block, and no other is remembered."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in server.environment.items():
            patch.setenv(name, value)
        _forget()
        try:
            yield
        finally:
            _forget()


def _forget() -> None:
    s3fs.S3FileSystem.clear_instance_cache()
    with contextlib.suppress(ImportError):
        from airflow.sdk.io import store

        store._STORE_CACHE.clear()


@contextmanager
def s3_server() -> Iterator[S3]:
    """The server within the block; ended after it."""
    with tempfile.TemporaryDirectory(prefix="ultralink-s3-") as folder:
        server = _started(_free_port(), Path(folder) / "requests.log")
        try:
            _make_bucket(server)
            yield server
        finally:
            server.stop()


def _started(port: int, log: Path) -> S3:
    endpoint = f"http://127.0.0.1:{port}"
    command = [str(Path(sys.executable).with_name("moto_server")), "--host", "127.0.0.1", "--port", str(port)]
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=_no_proxy(os.environ), start_new_session=True
        )
    connection = json.dumps(
        {
            "conn_type": "aws",
            "login": KEY,
            "password": SECRET,
            "extra": {"endpoint_url": endpoint, "region_name": REGION},
        }
    )
    environment = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        f"AIRFLOW_CONN_{CONNECTION.upper()}": connection,
    }
    server = S3(endpoint, BUCKET, f"s3://{CONNECTION}@{BUCKET}/ultralink", connection, environment, process, log)
    try:
        _await(server)
    except BaseException:
        server.stop()
        raise
    return server


def _await(server: S3) -> None:
    deadline = time.monotonic() + NEEDED_S
    while True:
        try:
            httpx.get(f"{server.endpoint}/moto-api/", timeout=10, trust_env=False)
            return
        except httpx.HTTPError as error:
            if server.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"moto_server: {error!r}\n{server.log.read_text()[-800:]}") from error
        time.sleep(0.1)


def _make_bucket(server: S3) -> None:
    client = botocore.session.Session().create_client(
        "s3",
        endpoint_url=server.endpoint,
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
        region_name=REGION,
        config=Config(proxies={}),
    )
    client.create_bucket(Bucket=server.bucket)


def _no_proxy(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if not name.lower().endswith("_proxy")}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
