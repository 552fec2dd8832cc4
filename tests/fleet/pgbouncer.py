"""PgBouncer in transaction mode before a PostgreSQL server: the machine's program, by an ordinary user."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from urllib.parse import quote, urlsplit

from tests.fleet.postgres import Postgres
from tests.installed import unavailable

_SECONDS = 60
_PORT = 6432
_CONFIG = f"""
[databases]
* = host={{server}}

[pgbouncer]
listen_port = {_PORT}
unix_socket_dir = {{folder}}
auth_type = trust
auth_file = {{folder}}/users
pool_mode = transaction
logfile = {{folder}}/log
"""


@cache
def program() -> str:
    """The path of pgbouncer; skips the test where there is none."""
    found = shutil.which("pgbouncer", path=os.pathsep.join([*os.get_exec_path(), "/usr/sbin"]))
    if found is None:
        unavailable("there is no PgBouncer here")
    return found


@contextmanager
def pgbouncer(server: Postgres, url: str) -> Generator[str]:
    """Run it before a server; yields the address of a database through it.

    Args:
        server: The server.
        url: The address of the database without it.
    """
    # Short, since a socket's path may have 107 characters.
    with tempfile.TemporaryDirectory(prefix="pgbouncer-") as name:
        folder = Path(name)
        config = folder / "pgbouncer.ini"
        config.write_text(_CONFIG.format(server=server.folder, folder=folder))
        (folder / "users").write_text(f'"{urlsplit(url).username}" ""\n')
        user = "nobody" if os.getuid() == 0 else None
        if user is not None:
            os.chown(folder, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
        process = subprocess.Popen([program(), "--quiet", config], user=user, cwd="/", stdin=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + _SECONDS
            while not (folder / f".s.PGSQL.{_PORT}").exists():
                assert process.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()
                time.sleep(0.01)
            parts = urlsplit(url)
            yield f"postgresql://{parts.username}@{parts.path}?host={quote(name, safe='')}&port={_PORT}"
        finally:
            process.terminate()
            process.wait(_SECONDS)
