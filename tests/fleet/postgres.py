"""A PostgreSQL server for tests: the machine's programs, in a temporary folder, by an ordinary user."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from ollama_mcp.store.postgres_schema import SCHEMA, upgrade
from tests.installed import from_distribution, libraries_of

_PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin")
_USER = "ollama"
_SECONDS = 120
# Nothing has to survive the machine, only the processes.
_SETTINGS = """
listen_addresses = ''
fsync = off
max_connections = 200
shared_buffers = 64MB
"""


@cache
def programs() -> Path:
    """The folder of initdb and pg_ctl, on PATH or the distribution's; skips the test where there is none."""
    if (found := shutil.which("initdb")) is not None:
        return Path(found).parent
    root = Path("/")
    found_folders = [folder for place in _PLACES for folder in root.glob(place[1:]) if (folder / "initdb").exists()]
    if not found_folders:
        return from_distribution("postgresql", "usr/lib/postgresql/*/bin/initdb").parent
    return max(found_folders, key=lambda folder: [int(part) for part in re.findall(r"\d+", str(folder))])


class Postgres:
    """A server; `url()` gives a new database on it.

    Args:
        folder: Where its data and its socket lie: no port can be taken by another process while it is stopped.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Who runs the tests as root cannot run a server: then nobody does.
        self._as = "nobody" if os.getuid() == 0 else None
        if self._as is not None:
            user = pwd.getpwnam(self._as)
            os.chown(folder, user.pw_uid, user.pw_gid)
        self._data = folder / "data"

    def create(self) -> None:
        """Make its data folder."""
        self._run(["initdb", "--no-sync", "--auth=trust", f"--username={_USER}", "--encoding=UTF8", "--locale=C", "-D"])
        with (self._data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write(f"{_SETTINGS}unix_socket_directories = '{self.folder}'\n")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._run(["pg_ctl", "start", "--wait", "--silent", "--log", str(self.folder / "log"), "-D"])

    def stop(self, mode: str = "fast") -> None:
        """Stop it: "fast", or "immediate" as in a crash."""
        self._run(["pg_ctl", "stop", "--wait", "--silent", "--mode", mode, "-D"])

    def ask_passwords_of(self, user: str) -> None:
        """Let a user in with a password alone."""
        rules = self._data / "pg_hba.conf"
        rules.write_text(f"local all {user} scram-sha-256\n{rules.read_text()}", encoding="utf-8")
        self._run(["pg_ctl", "reload", "--silent", "-D"])

    def pids(self) -> list[int]:
        """Its processes (Linux)."""
        first = int((self._data / "postmaster.pid").read_text(encoding="utf-8").split()[0])
        children = Path(f"/proc/{first}/task/{first}/children").read_text(encoding="utf-8")
        return [first, *map(int, children.split())]

    def close(self) -> None:
        """Stop it for good."""
        self.stop("immediate")

    def url(self, *, tables: bool = True) -> str:
        """The address of a new database, with our tables in it or none."""
        name = f"t{uuid.uuid4().hex}"
        with psycopg.connect(self.address("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
        url = self.address(name)
        if tables:
            with psycopg.connect(url, autocommit=True) as connection:
                upgrade(connection, url)
        return url

    def address(self, database: str) -> str:
        """The address of a database of that name."""
        return f"postgresql://{_USER}@/{database}?host={quote(str(self.folder), safe='')}"

    def _run(self, command: Sequence[str]) -> None:
        program, *options = command
        whole = [str(programs() / program), *options, str(self._data)]
        # Its log is inherited by the server, which outlives the command: a pipe would never end.
        with (self.folder / "commands").open("ab") as log:
            done = subprocess.run(
                whole,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                user=self._as,
                cwd="/",
                timeout=_SECONDS,
                env=libraries_of(programs() / program),
            )
        if done.returncode:
            raise RuntimeError(f"{' '.join(whole)}: {(self.folder / 'commands').read_text()[-2000:]}")


@contextmanager
def postgres() -> Generator[Postgres]:
    """Run a server until the end of the block."""
    programs()
    # Not below the folder of pytest: a socket's path may have 107 characters, and others may not enter that folder.
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        server = Postgres(Path(folder))
        server.create()
        server.start()
        try:
            yield server
        finally:
            server.close()


def renew(url: str) -> None:
    """Make the tables of a database anew: a tenth of the time and of the disk that another database takes."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(SCHEMA)))
        upgrade(connection, url)
