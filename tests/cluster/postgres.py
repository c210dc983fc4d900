"""What the entrypoint of the postgres image does, with Debian's package: make the database once, then serve it."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

USER = "postgres"  # Postgres refuses root, and so does the image


def main(data: Path, sockets: Path) -> None:
    """Become Postgres. Settings: ``POSTGRES_USER``, ``_PASSWORD``, ``_DB``, ``PGHOST``, ``PGPORT``."""
    account = pwd.getpwnam(USER)
    for folder in (data, sockets):
        os.chown(folder, account.pw_uid, account.pw_gid)
        folder.chmod(0o700)
    os.setgroups([])
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
    if not (data / "PG_VERSION").exists():
        _make(data, sockets)
    server = ["postgres", "-D", str(data), "-k", str(sockets)]
    os.execvp("postgres", [*server, "-p", os.environ["PGPORT"], "-c", f"listen_addresses={os.environ['PGHOST']}"])  # noqa: S606


def _make(data: Path, sockets: Path) -> None:
    secret = sockets / "password"
    secret.write_text(os.environ["POSTGRES_PASSWORD"])
    owner = ["--username", os.environ["POSTGRES_USER"], "--pwfile", str(secret)]
    subprocess.run(["initdb", "-D", str(data), *owner, "--auth", "scram-sha-256", "-E", "UTF8"], check=True)
    secret.unlink()
    statement = f'CREATE DATABASE "{os.environ["POSTGRES_DB"]}"\n'
    subprocess.run(["postgres", "--single", "-D", str(data), "postgres"], input=statement, text=True, check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
