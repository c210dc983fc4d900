"""What stands in for images and networks: the only ways in which a service here differs from its container.

1. *Names and ports.* All services share this machine's loopback. Where a URL names a service, it gets 127.0.0.1 and a
   free port instead (``PORTS`` has the ports that the containers listen on); ``localhost:<port>`` likewise.
   ``LISTENING`` has the settings that tell a server that port, ``CLIENTS`` the ones of clients that know it by heart.
2. *Paths.* A container's path becomes a path of a scratch folder that has exactly the service's ``volumes``, as links.
   A path that no volume has is an error.
3. *Images.* ``IMAGES`` has what an image brings: environment, folder, entrypoint; the Dockerfile's ENV is read from
   the Dockerfile. Python is the one that runs the tests; Postgres and Redis are Debian's.

4. *No schedule* (``UNSCHEDULED``): a Dag that is unpaused begins with its latest night; only the tests start runs.

Everything else of a container is real: its own host name, its own processes (ended with the first one), no environment
but what the compose file gives.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.compose import ComposeError, Service

HOST = "127.0.0.1"
DOCKERFILE = Path(__file__).resolve().parents[2] / "Dockerfile"

PORTS = {
    "postgres": 5432,
    "redis": 6379,
    "airflow-apiserver": 8080,
    "airflow-scheduler": 8974,
    "airflow-worker": 8793,
    "airflow-triggerer": 8794,
}
LISTENING = {
    "airflow-apiserver": {"AIRFLOW__API__PORT": "{port}", "AIRFLOW__API__HOST": HOST},
    "airflow-scheduler": {
        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT": "{port}",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_HOST": HOST,
    },
    "airflow-worker": {"AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": "{port}"},
    "airflow-triggerer": {"AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": "{port}"},
    "postgres": {"PGPORT": "{port}", "PGHOST": HOST},
}
UNSCHEDULED = {"AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False"}
CLIENTS = {"redis-server": f"redis-server --bind {HOST} --port {{port}}", "redis-cli": "redis-cli -p {port}"}
SCHEMES = {"postgresql+psycopg2": "postgres", "db+postgresql+psycopg2": "postgres"}  # URLs that leave the port out


def postgres_programs() -> Path | None:
    """Where Debian keeps the newest Postgres that is installed."""
    return max(Path("/usr/lib/postgresql").glob("*/bin"), default=None, key=lambda path: int(path.parent.name))


@dataclass(frozen=True)
class Image:
    """What an image brings: its folder, its home, what it puts before the command, the ENV of what it is built from."""

    folder: str = "/"
    airflow_home: str | None = None
    entrypoint: tuple[str, ...] = ()
    dockerfile: Path | None = None

    def environment(self) -> dict[str, str]:
        """The Dockerfile's ENV lines. Raises ComposeError for one that is not read here."""
        text = self.dockerfile.read_text(encoding="utf-8") if self.dockerfile else ""
        found = re.findall(r"^ENV +(\w+)=(\S+)$", text, re.MULTILINE)
        if len(found) != len(re.findall(r"^ENV\b", text, re.MULTILINE)):
            raise ComposeError(f"{self.dockerfile}: an ENV line that is not NAME=value")
        return dict(found)


IMAGES = {
    # The images of Airflow start `airflow <command>` below dumb-init.
    "ultralink-airflow:latest": Image("/opt/airflow", "/opt/airflow", ("dumb-init", "--", "airflow"), DOCKERFILE),
    "redis:7.2-bookworm": Image("/data"),
    "postgres:16": Image(),  # its entrypoint is `postgres.py`
}

_URL_HOST = re.compile(r"(?P<scheme>[a-z0-9+]+)://(?P<login>[^/@\s]*@)?(?P<host>[A-Za-z0-9.-]+)(?::(?P<port>\d+))?")
_PATH = re.compile(r"(?<![\w./-])/(?:opt/airflow|data|var/lib/postgresql)(?:/[A-Za-z0-9._-]+)*")


@dataclass(frozen=True)
class Ports:
    """The free port that stands for each container's port; ``of`` is by service and number of its container."""

    of: Mapping[tuple[str, int], int]

    def here(self, service: str, number: int = 1) -> int:
        return self.of[service, number]


@dataclass(frozen=True)
class Place:
    """Where one container of a service runs: its texts as they must read here."""

    service: Service
    number: int
    root: Path
    ports: Ports

    @property
    def hostname(self) -> str:
        return f"{self.service.name}-{self.number}"

    @property
    def image(self) -> Image:
        return IMAGES[self.service.image]

    @property
    def folder(self) -> Path:
        """The folder that the container starts in."""
        return self.root / self.image.folder.removeprefix("/")

    def text(self, given: str) -> str:
        """``given`` with names, ports and paths as they are here."""
        given = _URL_HOST.sub(self._url, given)
        if self.service.name in PORTS:
            given = given.replace(f"localhost:{PORTS[self.service.name]}", f"{HOST}:{self._own_port}")
            for client, here in CLIENTS.items():
                given = re.sub(rf"(?<![\w/-]){client}\b", here.format(port=self._own_port), given)
        return _PATH.sub(lambda match: str(self.path(match[0])), given)

    def path(self, given: str) -> Path:
        """A container's path, here. Raises ComposeError where no volume has it."""
        targets = [volume.target for volume in self.service.volumes]
        if not any(given == target or given.startswith(f"{target}/") for target in targets):
            raise ComposeError(f"{self.service.name}: {given} is on none of its volumes: {', '.join(targets)}")
        return self.root / given.removeprefix("/")

    def environment(self) -> dict[str, str]:
        """Everything that a process of the container finds in its environment."""
        given = {**self.image.environment(), **self.service.environment}
        home = {"AIRFLOW_HOME": f"{self.root}{self.image.airflow_home}"} if self.image.airflow_home else {}
        own = {name: value.format(port=self._own_port) for name, value in LISTENING.get(self.service.name, {}).items()}
        return {
            "PATH": f"{Path(sys.executable).parent}:{postgres_programs()}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": str(self.root),
            "HOSTNAME": self.hostname,
            "LANG": "C.UTF-8",
            **home,
            **{name: self.text(value) for name, value in given.items()},
            **own,
            **(UNSCHEDULED if self.service.name == "airflow-scheduler" else {}),
        }

    def command(self) -> list[str]:
        """What the container runs."""
        words = [self.text(word) for word in self.service.command or ()]
        entrypoint = self.image.entrypoint if self.service.entrypoint is None else self.service.entrypoint
        return [*entrypoint, *words]

    @property
    def _own_port(self) -> int:
        return self.ports.here(self.service.name, self.number) if self.service.name in PORTS else 0

    def _url(self, match: re.Match[str]) -> str:
        service = match["host"]
        if service not in PORTS:
            return match[0]
        port = match["port"] or (PORTS[service] if SCHEMES.get(match["scheme"]) == service else None)
        if int(port or 0) != PORTS[service]:
            raise ComposeError(f"{self.service.name}: {service} does not listen on the port of {match[0]}")
        return f"{match['scheme']}://{match['login'] or ''}{HOST}:{self.ports.here(service)}"
