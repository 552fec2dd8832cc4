"""The connection, and what is done where it cannot be had or fails."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ollama_mcp.errors import DiskError
from ollama_mcp.store.opening import Identity, identity, in_memory, open_file, set_aside

T = TypeVar("T")
log = logging.getLogger(__name__)

_WAYS_OUT = "or name another file by the setting store.path"
_BROKEN = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_REASONS = {
    sqlite3.SQLITE_FULL: ("the disk is full", "Free space on it"),
    sqlite3.SQLITE_IOERR: ("writing or reading it failed (disk full, or a limit or fault of the disk)", "See to it"),
    sqlite3.SQLITE_BUSY: ("another process has kept it locked", "End that process"),
    sqlite3.SQLITE_READONLY: ("it may not be written", "Check its rights and its folder's"),
    sqlite3.SQLITE_CANTOPEN: ("it cannot be opened", "Check its rights and its folder's"),
    sqlite3.SQLITE_CORRUPT: ("it is broken", "Move it away"),
    sqlite3.SQLITE_NOTADB: ("it is no SQLite file", "Move it away"),
}


class Keeper:
    """Keeps one connection; used in one thread.

    Args:
        path: The file; None is a database in memory.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        # Which file is open; None where it is memory.
        self._open: Identity | None = None
        self._warned = False

    def strictly(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` on the file.

        Raises:
            DiskError: It cannot be opened, read or written; a database in memory in its place does not count.
        """
        if self._path is not None and self._connection is not None and self._open is None:
            self.close()
        try:
            return work(self._connected())
        except (sqlite3.Error, OSError) as error:
            raise self._failure(error) from error

    def leniently(self, work: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        """Run `work` on the file, or in memory where there is none; `otherwise` is for what fails then."""
        try:
            connection = self._connected()
        except (sqlite3.Error, OSError, DiskError) as error:
            self._warn(error if isinstance(error, DiskError) else self._failure(error))
            connection = self._connection = in_memory()
        try:
            return work(connection)
        except (sqlite3.Error, OSError) as error:
            failure = self._failure(error)
            # Of a file that was set aside the log tells already, and the next use has a new one.
            if self._connection is not None:
                self._warn(failure)
            return otherwise

    def close(self) -> None:
        """Close the connection, if there is one."""
        connection, self._connection, self._open = self._connection, None, None
        if connection is not None:
            connection.close()

    def _connected(self) -> sqlite3.Connection:
        if self._path is not None and self._open is not None and identity(self._path) != self._open:
            log.warning("The store %s was removed or replaced while in use; a new one is begun.", self._path)
            self.close()
        if self._connection is None:
            self._connection = in_memory() if self._path is None else self._file(self._path)
        return self._connection

    def _file(self, path: Path) -> sqlite3.Connection:
        try:
            connection, self._open = open_file(path)
        except sqlite3.DatabaseError as error:
            # Once more with an empty file; one that was not ours stays, and fails again.
            if _code(error) not in _BROKEN or not _set_aside(path, identity(path)):
                raise
            connection, self._open = open_file(path)
        return connection

    def _failure(self, error: sqlite3.Error | OSError) -> DiskError:
        """The error as ours; a file that proves to be broken makes room for a new one."""
        what = f"The store {_shown(self._path)} cannot be used"
        if _code(error) in _BROKEN and self._path is not None and (broken := self._open) is not None:
            self.close()
            if _set_aside(self._path, broken):
                return DiskError(
                    f"The store {_shown(self._path)} was broken and is set aside; what it held is not at hand.",
                    next_step="Make the call again: it begins anew.",
                )
        if isinstance(error, OSError):
            return DiskError(
                f"{what}: {error.strerror or 'unknown reason'}.",
                next_step=f"Check its folder's rights and space, {_WAYS_OUT}.",
            )
        reason, way_out = _REASONS.get(_code(error), (str(error)[:80], "Move it away"))
        return DiskError(f"{what}: {reason}.", next_step=f"{way_out}, {_WAYS_OUT}, then make the call again.")

    def _warn(self, failure: DiskError) -> None:
        if not self._warned:
            self._warned = True
            log.warning("%s What is counted and learnt is not kept until then.", failure)


def _code(error: BaseException) -> int:
    # The lowest byte is the primary code; the rest says more of the same.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _shown(path: Path | None) -> str:
    text = os.fspath(path) if path is not None else ":memory:"
    return repr(text if len(text) <= 120 else f"...{text[-117:]}")


def _set_aside(path: Path, broken: Identity | None) -> bool:
    try:
        return set_aside(path, broken)
    except OSError:
        return False
