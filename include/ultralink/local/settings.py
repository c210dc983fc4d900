"""Where the local Airflow lives and how it is configured, as environment variables."""

from __future__ import annotations

import base64
import json
import os
import secrets
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from ultralink.default_store import default_store

ROOT = Path(__file__).resolve().parents[3]
OFFLINE_MODEL = "offline-teacher"


@dataclass(frozen=True)
class Secrets:
    """Made once per local Airflow, kept in a file that only its owner reads."""

    password: str
    jwt: str
    fernet: str

    @classmethod
    def of(cls, home: Path) -> Secrets:
        path = home / "secrets.json"
        if not path.exists():
            home.mkdir(parents=True, exist_ok=True)
            made = cls(
                password=secrets.token_urlsafe(12),
                jwt=secrets.token_urlsafe(64),
                fernet=base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            )
            with os.fdopen(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "w") as file:
                json.dump(made.__dict__, file)
        return cls(**json.loads(path.read_text()))


@dataclass(frozen=True)
class LocalSettings:
    """One local Airflow: its home, database, store and ports."""

    home: Path
    store: str
    database: str
    port: int
    scheduled: bool  # False: only runs that were triggered by hand

    @classmethod
    def from_environment(cls, *, port: int, scheduled: bool) -> LocalSettings:
        """``ULTRALINK_HOME``, ``ULTRALINK_STORE`` and ``ULTRALINK_DB`` replace the project's own folders."""
        home = Path(os.environ.get("ULTRALINK_HOME") or ROOT / ".airflow").resolve()
        store = default_store()
        database = os.environ.get("ULTRALINK_DB") or f"sqlite:///{home}/airflow.db?timeout=60"
        return cls(home, store, database, port, scheduled)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def offline(self) -> bool:
        """No key is set, so the teacher is the offline one."""
        return not os.environ.get("OPENAI_API_KEY")

    def environment(self, teacher_url: str | None) -> dict[str, str]:
        """The environment of every Airflow process. ``teacher_url`` is the offline teacher's, if it serves."""
        made = Secrets.of(self.home)
        passwords = self.home / "passwords.json"
        passwords.write_text(json.dumps({"admin": made.password}))
        passwords.chmod(0o600)
        airflow = {
            "CORE__DAGS_FOLDER": str(ROOT / "dags"),
            "CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
            "CORE__LOAD_EXAMPLES": "False",
            "CORE__EXECUTOR": "LocalExecutor",
            "CORE__PARALLELISM": "8",  # SQLite locks up at the default of 32
            "CORE__MP_START_METHOD": "fork",
            "CORE__FERNET_KEY": made.fernet,
            "CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
            "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
            "DATABASE__SQL_ALCHEMY_CONN": self.database,
            "API__HOST": "127.0.0.1",
            "API__PORT": str(self.port),
            "API__BASE_URL": self.url,
            "API__WORKERS": "1",
            "API_AUTH__JWT_SECRET": made.jwt,
            "LOGGING__BASE_LOG_FOLDER": str(self.home / "logs"),
            "LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
            "LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
            "SCHEDULER__USE_JOB_SCHEDULE": str(self.scheduled),
        }
        return {
            **os.environ,
            **{f"AIRFLOW__{name}": value for name, value in airflow.items()},
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW_CONN_OPENAI_DEFAULT": json.dumps(self._connection(teacher_url)),
            "ULTRALINK_STORE": self.store,
            "PYTHONPATH": os.pathsep.join(str(ROOT / folder) for folder in ("include", "plugins")),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
            "NO_PROXY": "127.0.0.1,localhost",
        }

    def _connection(self, teacher_url: str | None) -> dict[str, object]:
        if teacher_url is not None:
            extra = {"model": OFFLINE_MODEL}
            return {"conn_type": "openai", "host": teacher_url, "password": "offline", "extra": extra}
        given: dict[str, object] = {
            "password": os.environ.get("OPENAI_API_KEY"),
            "host": os.environ.get("OPENAI_BASE_URL"),
            "extra": json.loads(os.environ.get("OPENAI_EXTRA") or "{}"),
        }
        return {"conn_type": "openai", **{key: value for key, value in given.items() if value}}


def free_port(preferred: int = 0) -> int:
    """A free loopback port: ``preferred`` if nobody has it, else any."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", preferred))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
