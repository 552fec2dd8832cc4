"""The SQLite connection of the store: opening, migration, and recovery from a file that cannot be used."""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from ollama_mcp.errors import DiskError
from ollama_mcp.store.backups import back_up, drop_old_backups
from ollama_mcp.store.sql import Connection
from ollama_mcp.store.tables import APPLICATION_ID, MIGRATIONS
from ollama_mcp.store.writes import transaction

T = TypeVar("T")
log = logging.getLogger(__name__)

BUSY_SECONDS = 5.0
FileIdentity = tuple[int, int]
"""Device and inode of a file."""

_MAGIC = b"SQLite format 3\0"
# Where SQLite's file format keeps the application id, big-endian.
_APPLICATION_ID_BYTES = slice(68, 72)
_COMPANIONS = ("-wal", "-shm")
_CHANGE_PATH = "or name another file in the setting store.path"
_BROKEN = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
# SQLite's result codes: what happened, and the remedy.
_REASONS = {
    sqlite3.SQLITE_FULL: ("the disk is full", "Free some space"),
    sqlite3.SQLITE_IOERR: ("reading or writing it failed (disk full, a size limit, or a disk fault)", "Check the disk"),
    sqlite3.SQLITE_BUSY: ("another process has kept it locked", "End that process"),
    sqlite3.SQLITE_READONLY: ("it is read-only", "Check its permissions and those of its folder"),
    sqlite3.SQLITE_CANTOPEN: ("it cannot be opened", "Check its permissions and those of its folder"),
    sqlite3.SQLITE_CORRUPT: ("it is broken", "Move it away"),
    sqlite3.SQLITE_NOTADB: ("it is not an SQLite file", "Move it away"),
}


class SqliteConnection(sqlite3.Connection):
    """A connection as the functions of the store see it; see `Connection` in sql.py."""

    in_memory = False
    for_share = ""

    def execute_each(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> list[int]:
        """Run a statement once for each row of parameters."""
        return [self.execute(sql, row).rowcount for row in parameters]

    def insert(self, table: str, rows: Sequence[Sequence[int | bytes]], /) -> None:
        """Insert whole rows."""
        if rows:
            self.executemany(f"INSERT INTO {table} VALUES ({','.join('?' * len(rows[0]))})", rows)

    def begin(self) -> None:
        """Begin a transaction that writes."""
        # IMMEDIATE takes the write lock at once: a transaction that reads first may fail for the lock half-way.
        self.execute("BEGIN IMMEDIATE")

    def lock(self, name: str) -> None:
        """Nothing: the transaction has the only write lock."""


class StoreConnection:
    """A connection that is opened with its first use, and again after a failure; used in one thread.

    Args:
        path: The file; None for a database in memory.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._connection: SqliteConnection | None = None
        # Which file is open; None if the database is in memory.
        self._identity: FileIdentity | None = None
        self._warned = False

    def run(self, work: Callable[[Connection], T]) -> T:
        """Run `work` on the file.

        Raises:
            DiskError: The file cannot be opened, read or written; a database in memory does not take its place.
        """
        if self._path is not None and self._connection is not None and self._identity is None:
            # Memory took the place of the file before; the file may work by now.
            self.close()
        try:
            return work(self._connected())
        except (sqlite3.Error, OSError) as error:
            raise self._failure(error) from error

    def run_or_default(self, work: Callable[[Connection], T], default: T) -> T:
        """Run `work` on the file, or in memory if the file cannot be opened; return `default` if it fails."""
        try:
            connection = self._connected()
        except (sqlite3.Error, OSError, DiskError) as error:
            self._warn(error if isinstance(error, DiskError) else self._failure(error))
            connection = self._connection = open_in_memory()
        try:
            return work(connection)
        except (sqlite3.Error, OSError) as error:
            failure = self._failure(error)
            # A file that was set aside is already in the log, and the next use has a new one.
            if self._connection is not None:
                self._warn(failure)
            return default

    def close(self) -> None:
        """Close the connection, if there is one."""
        connection, self._connection, self._identity = self._connection, None, None
        if connection is not None:
            connection.close()

    def _connected(self) -> SqliteConnection:
        # SQLite itself would go on writing to a file that was removed or replaced.
        if self._path is not None and self._identity is not None and file_identity(self._path) != self._identity:
            log.warning("The store %s was removed or replaced while in use; a new one is begun.", self._path)
            self.close()
        if self._connection is None:
            self._connection = open_in_memory() if self._path is None else self._open(self._path)
        return self._connection

    def _open(self, path: Path) -> SqliteConnection:
        try:
            connection, self._identity = open_store_file(path)
        except sqlite3.DatabaseError as error:
            # Once more with an empty file; a file that is not a store of ours stays where it is, and fails again.
            if _primary_code(error) not in _BROKEN or not _try_set_aside(path, file_identity(path)):
                raise
            connection, self._identity = open_store_file(path)
        return connection

    def _failure(self, error: sqlite3.Error | OSError) -> DiskError:
        """Return the error as a DiskError; a file that proves to be broken is set aside for a new one."""
        shown = _shown(self._path)
        if _primary_code(error) in _BROKEN and self._path is not None and (broken := self._identity) is not None:
            self.close()
            if _try_set_aside(self._path, broken):
                return DiskError(
                    f"The store {shown} was broken and is set aside; its content is not available.",
                    next_step="Make the call again: it starts over.",
                )
        if isinstance(error, OSError):
            return DiskError(
                f"The store {shown} cannot be used: {error.strerror or 'unknown reason'}.",
                next_step=f"Check the permissions and free space of its folder, {_CHANGE_PATH}.",
            )
        reason, remedy = _REASONS.get(_primary_code(error), (str(error)[:80], "Move it away"))
        return DiskError(
            f"The store {shown} cannot be used: {reason}.",
            next_step=f"{remedy}, {_CHANGE_PATH}, then try again.",
        )

    def _warn(self, failure: DiskError) -> None:
        if not self._warned:
            self._warned = True
            log.warning("%s Until then, counts and estimates are not kept.", failure)


def open_in_memory() -> SqliteConnection:
    """Return a new database in memory, with the current schema."""
    # Autocommit: `transaction` begins and commits itself.
    connection = sqlite3.connect(":memory:", isolation_level=None, factory=SqliteConnection)
    connection.in_memory = True
    connection.execute("PRAGMA foreign_keys=ON")
    _migrate(connection, "")
    return connection


def open_store_file(path: Path) -> tuple[SqliteConnection, FileIdentity | None]:
    """Open a store, created if it does not exist, readable by its user only.

    Raises:
        DiskError: The file is of a newer version, or belongs to another program.
        sqlite3.Error: It is broken, locked, or cannot be read or written.
        OSError: Its folder or the file cannot be created.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _require_plain_file(path)
    # SQLite itself would apply the umask to a new file; its companions (-wal, -shm) get the mode of the file.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    # A file of another kind, which a mistyped setting may name, keeps its mode.
    if _is_store(path):
        with suppress(PermissionError):
            os.chmod(path, 0o600)
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, factory=SqliteConnection)
    try:
        _prepare(connection, os.fspath(path))
        drop_old_backups(path)
        return connection, file_identity(path)
    except BaseException:
        connection.close()
        raise


def _require_plain_file(path: Path) -> None:
    """Refuse a pipe, a socket or a device: opening or reading it may wait for ever.

    Raises:
        DiskError: It is one of them.
    """
    with suppress(FileNotFoundError):
        mode = os.stat(path).st_mode
        # Opening a folder fails by itself.
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise DiskError(
                f"The store {_shown(path)} is not a file but a pipe, a socket or a device.",
                next_step="Name a file in the setting store.path.",
            )


def set_aside(path: Path, broken: FileIdentity | None) -> bool:
    """Rename a broken store; return whether there is room for a new one.

    A file that is not a store is not renamed: a mistyped setting must not move a user's file.

    Args:
        path: Where the store is.
        broken: The file that proved to be broken.
    """
    from filelock import FileLock

    with FileLock(f"{path}.lock", timeout=BUSY_SECONDS):
        if file_identity(path) != broken:
            # Another process has set it aside already.
            return True
        if not _is_store(path):
            return False
        target = Path(f"{path}.broken-{datetime.now():%Y%m%d-%H%M%S-%f}")
        os.rename(path, target)
        # The write-ahead log holds what had not reached the file yet; it goes along for whoever tries to recover it.
        for companion in _COMPANIONS:
            with suppress(OSError):
                os.rename(f"{path}{companion}", f"{target}{companion}")
        log.warning("The store %s was broken. It is kept as %s, and a new one is begun.", path, target)
        return True


def file_identity(path: Path) -> FileIdentity | None:
    """Return which file is at a path now; None if there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _try_set_aside(path: Path, broken: FileIdentity | None) -> bool:
    try:
        return set_aside(path, broken)
    except OSError:
        return False


def _is_store(path: Path) -> bool:
    """Return whether a file has our application id, or is empty, or has the zeros that a system crash leaves."""
    with open(path, "rb") as file:
        head = file.read(512)
    is_ours = head.startswith(_MAGIC) and head[_APPLICATION_ID_BYTES] == APPLICATION_ID.to_bytes(4, "big")
    return is_ours or not any(head)


def _prepare(connection: SqliteConnection, path: str) -> None:
    _check_is_ours(connection, path)
    # Takes effect only before the first table is created.
    connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
    _execute_when_unlocked(connection, "PRAGMA journal_mode=WAL")
    # Survives the death of the process at any moment; a power cut may lose the last moments of work.
    connection.execute("PRAGMA synchronous=NORMAL")
    # Overwrites what is deleted with zeros: records hold what users gave and models answered.
    connection.execute("PRAGMA secure_delete=ON")
    connection.execute("PRAGMA foreign_keys=ON")
    _migrate(connection, path)


def _execute_when_unlocked(connection: sqlite3.Connection, statement: str) -> tuple[Any, ...]:
    """Return the first row of a statement, waiting for the locks around a change of the journal mode.

    SQLite's own timeout does not apply to these.
    """
    end = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return connection.execute(statement).fetchone()
        except sqlite3.OperationalError as error:
            if _primary_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
        time.sleep(0.01)


def _check_is_ours(connection: sqlite3.Connection, path: str) -> None:
    """Refuse a newer store and the database of another program, which both stay as they are."""
    # One statement sees one state: between two, another process may migrate a new file.
    application_id, version, tables = _execute_when_unlocked(
        connection,
        "SELECT (SELECT application_id FROM pragma_application_id), (SELECT user_version FROM pragma_user_version),"
        " (SELECT count(*) FROM sqlite_master)",
    )
    # A database without tables may be taken over.
    if application_id != APPLICATION_ID and tables:
        raise DiskError(
            f"{path[-120:]!r} is a database of another program, not a store of this server.",
            next_step="Name another file in the setting store.path.",
        )
    if version > len(MIGRATIONS):
        raise DiskError(
            f"The store {path[-120:]!r} is of version {version}, made by a newer ollama-mcp-server; "
            f"this one knows {len(MIGRATIONS)}.",
            next_step="Update this server, or name another file in the setting store.path.",
        )


def _migrate(connection: SqliteConnection, path: str) -> None:
    """Bring the schema up to date in one transaction, so that only one of several processes does it."""
    if _version(connection) == len(MIGRATIONS):
        return
    with transaction(connection):
        # Checked again: another process may have migrated it before the lock was ours.
        _check_is_ours(connection, path)
        if path and (version := _version(connection)) and version < len(MIGRATIONS):
            # An earlier version of this server refuses the file from now on; nobody else can write it meanwhile.
            back_up(path, version)
        for step in MIGRATIONS[_version(connection) :]:
            for statement in step:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version={len(MIGRATIONS)}")


def _version(connection: sqlite3.Connection) -> int:
    return connection.execute("PRAGMA user_version").fetchone()[0]


def _primary_code(error: BaseException) -> int:
    # The low byte is the primary result code; the other bytes only refine it.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _shown(path: Path | None) -> str:
    text = os.fspath(path) if path is not None else ":memory:"
    return repr(text if len(text) <= 120 else f"...{text[-117:]}")
