"""The services of docker-compose.yaml on this machine, without Docker: installed, started, stopped to the last."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import socket
import sys
import tempfile
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.cluster.compose import Service, load, read_settings
from tests.cluster.containers import Container, Keeper
from tests.cluster.places import HOST, PORTS, Place, Ports, postgres_programs
from tests.real.debian import have

from ultralink.local.rest import AirflowApi

ROOT = Path(__file__).resolve().parents[2]
WORKERS = 2
START_S = 420

PACKAGES = ["postgresql", "redis-server", "dumb-init", "curl", "util-linux", "hostname"]
_NEEDED = ["redis-server", "redis-cli", "dumb-init", "curl", "unshare", "setpriv", "hostname"]


def install() -> None:
    """Have Debian's packages."""
    if os.geteuid() != 0:
        pytest.skip("The cluster test needs root: its containers have host names and processes of their own.")
    have(PACKAGES, lambda: not _missing())


def _missing() -> list[str]:
    absent = [name for name in _NEEDED if shutil.which(name) is None]
    return absent if postgres_programs() else [*absent, "postgres"]


def settings(example: str, given: Mapping[str, str]) -> dict[str, str]:
    """A .env made of .env.example as it says: secrets made, the machine's user, and what is ``given``."""
    made = read_settings(example)
    for name in re.findall(r"^(\w+)=$", example, re.MULTILINE):
        if name == "FERNET_KEY":
            made[name] = urlsafe_b64encode(secrets.token_bytes(32)).decode()
        elif name.endswith(("_PASSWORD", "_SECRET", "_KEY")):
            made[name] = secrets.token_hex(32)
    made["AIRFLOW_UID"] = str(os.getuid())
    if unknown := set(given) - set(made):
        raise ValueError(f".env.example has no {sorted(unknown)}")
    return {**made, **given}


@dataclass(frozen=True)
class Cluster:
    """The running services. ``workers`` are two containers of one service, as with ``--scale airflow-worker=2``."""

    folder: Path
    containers: Mapping[str, Container]
    url: str
    password: str

    @property
    def workers(self) -> list[Container]:
        return [self.containers[f"airflow-worker-{number}"] for number in range(1, WORKERS + 1)]

    def api(self) -> AirflowApi:
        return AirflowApi(self.url, "admin", self.password)

    def wait_until_healthy(self, name: str, timeout_s: float = 180) -> None:
        """Until the compose file's health check of a container passes. Raises TimeoutError with the end of its log."""
        container, deadline = self.containers[name], time.monotonic() + timeout_s
        while not container.is_healthy():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name} is not healthy after {timeout_s} s. Its log ends:\n{container.tail()}")
            time.sleep(0.5)


@contextmanager
def running(given: Mapping[str, str]) -> Iterator[Cluster]:
    """The cluster with these settings in its .env. It is stopped, and its folder removed, at the end."""
    install()
    folder = Path(tempfile.mkdtemp(prefix="ultralink-cluster-"))
    folder.chmod(0o755)  # Postgres runs as another user
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        cluster = _made(folder, given)
        keeper = Keeper(list(cluster.containers.values()))
        for container in cluster.containers.values():
            stack.callback(container.kill)
        stack.callback(keeper.end)
        keeper.start()
        _start(cluster)
        yield cluster


def _made(folder: Path, given: Mapping[str, str]) -> Cluster:
    project = _project(folder, given)
    services = load(project / "docker-compose.yaml", read_settings((project / ".env").read_text()))
    numbers = {name: WORKERS if name == "airflow-worker" else 1 for name in services}
    slots = [(name, number) for name in PORTS for number in range(1, numbers[name] + 1)]
    ports = Ports(dict(zip(slots, _free_ports(len(slots)), strict=True)))
    containers = {}
    for service in services.values():
        for number in range(1, numbers[service.name] + 1):
            container = _container(folder, project, Place(service, number, folder / f"{service.name}-{number}", ports))
            containers[container.name] = container
    password = json.loads((project / "config" / "passwords.json").read_text())["admin"]
    return Cluster(folder, containers, f"http://{HOST}:{ports.here('airflow-apiserver')}", password)


def _project(folder: Path, given: Mapping[str, str]) -> Path:
    """The repository as a user has it: with a .env and a ``config`` folder of the user's own."""
    project = folder / "project"
    (project / "config").mkdir(parents=True)
    for name in ("dags", "plugins", "include", "docker-compose.yaml"):
        (project / name).symlink_to(ROOT / name)
    (project / "config" / "passwords.json").write_text(json.dumps({"admin": secrets.token_urlsafe(12)}))
    chosen = settings((ROOT / ".env.example").read_text(), given)
    (project / ".env").write_text("".join(f"{name}={value}\n" for name, value in chosen.items()))
    return project


def _container(folder: Path, project: Path, place: Place) -> Container:
    """The container's folder with its volumes; its command."""
    _mount(place.root, folder / "volumes", project, place.service)
    place.folder.mkdir(parents=True, exist_ok=True)
    command = place.command()
    if place.service.name == "postgres":
        data, sockets = place.path("/var/lib/postgresql/data"), folder / "postgres-sockets"
        sockets.mkdir()
        command = [sys.executable, str(Path(__file__).with_name("postgres.py")), str(data), str(sockets)]
    return Container(place, command, place.environment(), folder / f"{place.hostname}.log")


def _mount(root: Path, named: Path, project: Path, service: Service) -> None:
    for volume in service.volumes:
        source = named / volume.source if volume.is_named else project / volume.source
        source.mkdir(parents=True, exist_ok=True)
        target = root / volume.target.removeprefix("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind((HOST, 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def _start(cluster: Cluster) -> None:
    """Start each container when what its service depends on is ready, as ``up --wait`` does."""
    waiting, ready = dict(cluster.containers), set[tuple[str, str]]()
    deadline = time.monotonic() + START_S
    while waiting or any((name, "healthy") not in ready for name in _with_health(cluster)):
        for name, container in list(waiting.items()):
            if all(_is_met(cluster, ready, other, how) for other, how in container.place.service.depends_on.items()):
                container.start()
                del waiting[name]
        for name in _with_health(cluster):
            container = cluster.containers[name]
            if name not in waiting and (name, "healthy") not in ready and container.is_healthy():
                ready.add((name, "healthy"))
        if time.monotonic() > deadline:
            late = [name for name in _with_health(cluster) if (name, "healthy") not in ready]
            tails = "\n".join(f"--- {name}\n{cluster.containers[name].tail()}" for name in late if name not in waiting)
            raise TimeoutError(f"not healthy after {START_S} s: {late}\n{tails}")
        time.sleep(0.2)


def _with_health(cluster: Cluster) -> list[str]:
    return [name for name, container in cluster.containers.items() if container.place.service.health]


def _is_met(cluster: Cluster, ready: set[tuple[str, str]], service: str, condition: str) -> bool:
    name = f"{service}-1"
    container = cluster.containers[name]
    match condition:
        case "service_healthy":
            return (name, "healthy") in ready
        case "service_completed_successfully":
            if container.started == 0 or container.is_running():
                return False
            if code := container.wait(1):
                raise RuntimeError(f"{name} ended with {code}:\n{container.tail()}")
            return True
        case _:
            return container.is_running()
