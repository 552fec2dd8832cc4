"""Opening the file: made private, brought to the present form, set aside where it is broken."""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from ollama_mcp.errors import DiskError
from ollama_mcp.store.database import transaction
from ollama_mcp.store.schema import APPLICATION_ID, MIGRATIONS

log = logging.getLogger(__name__)

BUSY_SECONDS = 5.0
Identity = tuple[int, int]
"""Device and inode of a file."""

_MAGIC = b"SQLite format 3\0"
# Where SQLite's file format keeps the application id, big-endian.
_ID_AT = slice(68, 72)
_COMPANIONS = ("-wal", "-shm")


def identity(path: Path) -> Identity | None:
    """Which file lies there now; None where there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def in_memory() -> sqlite3.Connection:
    """Return a new database in memory, in the present form."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("PRAGMA foreign_keys=ON")
    _migrate(connection, "")
    return connection


def open_file(path: Path) -> tuple[sqlite3.Connection, Identity | None]:
    """Open a store, made where there is none, readable by its user only.

    Raises:
        DiskError: The file is of a newer version, or another program's.
        sqlite3.Error: It is broken, locked, or cannot be read or written.
        OSError: Its folder or the file cannot be made.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Made by us and not by SQLite, whose files have the rights of the umask; those beside it take after this one.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    # What a mistyped setting names keeps its rights.
    if _was_ours(path):
        with suppress(PermissionError):
            os.chmod(path, 0o600)
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        _prepare(connection, os.fspath(path))
        return connection, identity(path)
    except BaseException:
        connection.close()
        raise


def set_aside(path: Path, broken: Identity | None) -> bool:
    """Rename a broken store, if it was one of ours and is still there; return whether there is room for a new one.

    A file with something else in it was never a store: a mistyped setting must not move a user's file.
    """
    from filelock import FileLock

    with FileLock(f"{path}.lock", timeout=BUSY_SECONDS):
        if identity(path) != broken:
            # Another process was quicker.
            return True
        if not _was_ours(path):
            return False
        place = Path(f"{path}.broken-{datetime.now():%Y%m%d-%H%M%S-%f}")
        os.rename(path, place)
        # What had not reached the file yet lies in its log, and goes along for who wants to save it.
        for companion in _COMPANIONS:
            with suppress(OSError):
                os.rename(f"{path}{companion}", f"{place}{companion}")
        log.warning("The store %s was broken. It is kept as %s, and a new one is begun.", path, place)
        return True


def _was_ours(path: Path) -> bool:
    """Whether it has our mark, or is empty, or the zeros that a crash of the machine leaves."""
    with open(path, "rb") as file:
        head = file.read(512)
    ours = head.startswith(_MAGIC) and head[_ID_AT] == APPLICATION_ID.to_bytes(4, "big")
    return ours or not any(head)


def _prepare(connection: sqlite3.Connection, path: str) -> None:
    _refuse_foreign(connection, path)
    # Counts only before the first table is made.
    connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
    _wait_for(connection, "PRAGMA journal_mode=WAL")
    # Survives the death of a process at any moment; a power cut may take the last moments of work.
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA secure_delete=ON")
    connection.execute("PRAGMA foreign_keys=ON")
    _migrate(connection, path)


def _wait_for(connection: sqlite3.Connection, statement: str) -> object:
    """Run a statement, waiting for locks for which SQLite itself does not: those around the change of the mode."""
    end = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return connection.execute(statement).fetchone()[0]
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
        time.sleep(0.01)


def _refuse_foreign(connection: sqlite3.Connection, path: str) -> None:
    """Leave a newer store, and a database of another program, as they are."""
    version = _wait_for(connection, "PRAGMA user_version")
    mark = _wait_for(connection, "PRAGMA application_id")
    if mark != APPLICATION_ID and _wait_for(connection, "SELECT count(*) FROM sqlite_master"):
        raise DiskError(
            f"{path[-120:]!r} is a database of another program, not a store of this server.",
            next_step="Name another file by the setting store.path.",
        )
    if isinstance(version, int) and version > len(MIGRATIONS):
        raise DiskError(
            f"The store {path[-120:]!r} is of version {version}, made by a newer ollama-mcp-server; "
            f"this one knows {len(MIGRATIONS)}.",
            next_step="Update this server, or name another file by the setting store.path.",
        )


def _migrate(connection: sqlite3.Connection, path: str) -> None:
    """Bring the file to the present form, in one transaction, so that of several processes one does it."""
    if _version(connection) == len(MIGRATIONS):
        return
    with transaction(connection):
        _refuse_foreign(connection, path)
        for step in MIGRATIONS[_version(connection) :]:
            for statement in step:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version={len(MIGRATIONS)}")


def _version(connection: sqlite3.Connection) -> int:
    return connection.execute("PRAGMA user_version").fetchone()[0]
