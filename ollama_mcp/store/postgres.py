"""The PostgreSQL engine of the store: one connection of a process, in a schema of our own.

Each piece of work is one transaction, so that a pooler in transaction mode may give every one of them another
connection of the server (https://www.pgbouncer.org/features.html).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ollama_mcp.errors import DiskError, InvalidArgument
from ollama_mcp.store.connection import SqliteConnection, open_in_memory
from ollama_mcp.store.postgres_errors import failure_of, shown
from ollama_mcp.store.postgres_schema import SCHEMA, check_version

try:
    import psycopg
    from psycopg.adapt import Dumper
    from psycopg.types.numeric import Int8Dumper
    from psycopg.types.string import StrDumper
except ImportError as error:
    raise InvalidArgument(
        "store.url names a PostgreSQL database, and the packages that speak to one are not installed.",
        next_step="Install the extra: pip install 'ollama-mcp-server[fleet]'.",
    ) from error

if TYPE_CHECKING:
    from psycopg.abc import Buffer

    from ollama_mcp.store.sql import Connection

T = TypeVar("T")
log = logging.getLogger(__name__)

CONNECT_SECONDS = 5
# For so long a database that could not be reached is not tried again by what can do without it.
_AWAY_SECONDS = 5.0
_BEGIN = f"BEGIN; SET LOCAL search_path TO {SCHEMA}"


class _BoolDumper(Dumper):
    """Writes True and False as 1 and 0, as SQLite has them."""

    oid = Int8Dumper.oid

    def dump(self, obj: bool) -> Buffer:
        return b"1" if obj else b"0"


class _TextDumper(StrDumper):
    """Writes text without the character 0, which PostgreSQL's text cannot hold."""

    def dump(self, obj: str) -> Buffer | None:
        return super().dump(obj.replace("\0", "\N{REPLACEMENT CHARACTER}"))


class PostgresConnection:
    """A connection as the functions of the store see it; see `Connection` in sql.py. All of it is one transaction."""

    in_memory = False

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        self.raw = connection

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> psycopg.Cursor[tuple[Any, ...]]:
        """Run a statement."""
        return self.raw.execute(_translated(sql), parameters or None)

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> object:
        """Run a statement once for each row of parameters."""
        with self.raw.cursor() as cursor:
            return cursor.executemany(_translated(sql), parameters)

    def begin(self) -> None:
        """Nothing: the work is a transaction as a whole."""

    def commit(self) -> None:
        """Nothing: it is committed at the end of the work."""

    def rollback(self) -> None:
        """Nothing: an error ends the work, which is rolled back."""


class PostgresEngine:
    """The connection of a process, opened with its first use and again after a failure; used in one thread.

    Args:
        url: The address of the database.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None
        self._memory: SqliteConnection | None = None
        self._away_until = 0.0
        self._warned = False

    def run(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in one transaction.

        Raises:
            DiskError: The database cannot be used.
        """
        try:
            return self._run(work)
        except psycopg.Error as error:
            raise failure_of(error, self._url) from error

    def run_or_default(self, work: Callable[[Connection], T], default: T) -> T:
        """Run `work`, or in memory if the database cannot be reached; return `default` if it fails."""
        if time.monotonic() >= self._away_until:
            try:
                return self._run(work)
            except psycopg.OperationalError as error:
                self._warn(failure_of(error, self._url))
                self._away_until = time.monotonic() + _AWAY_SECONDS
            except DiskError as error:
                self._warn(error)
            except psycopg.Error as error:
                self._warn(failure_of(error, self._url))
                return default
        if self._memory is None:
            self._memory = open_in_memory()
        return work(self._memory)

    def close(self) -> None:
        """Close the connection, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error):
                connection.close()

    def _run(self, work: Callable[[Connection], T]) -> T:
        # A connection that was lost meanwhile is seen with the first statement, before which nothing was done.
        known = self._connection is not None
        try:
            connection = self._begun()
        except psycopg.OperationalError:
            self.close()
            if not known:
                raise
            connection = self._begun()
        with self._ended(connection):
            return work(PostgresConnection(connection))

    def _begun(self) -> psycopg.Connection[tuple[Any, ...]]:
        if self._connection is None:
            self._connection = connect(self._url)
            with self._ended(self._connection):
                self._connection.execute(_BEGIN)
                check_version(self._connection, self._url)
        self._connection.execute(_BEGIN)
        return self._connection

    @contextmanager
    def _ended(self, connection: psycopg.Connection[tuple[Any, ...]]) -> Generator[None]:
        try:
            yield
            connection.execute("COMMIT")
        except BaseException:
            try:
                connection.execute("ROLLBACK")
            except psycopg.Error:
                self.close()
            raise

    def _warn(self, failure: DiskError) -> None:
        if not self._warned:
            self._warned = True
            log.warning("%s Until then, counts and estimates are not kept.", failure)


def connect(url: str) -> psycopg.Connection[tuple[Any, ...]]:
    """Connect as the store does.

    Raises:
        InvalidArgument: The address is none.
        psycopg.OperationalError: The database cannot be reached.
    """
    try:
        # Prepared statements would be another connection's behind a pooler.
        connection = psycopg.connect(
            url,
            autocommit=True,
            prepare_threshold=None,
            connect_timeout=CONNECT_SECONDS,
            application_name="ollama-mcp-server",
        )
    except psycopg.ProgrammingError as error:
        raise InvalidArgument(
            f"store.url is not the address of a PostgreSQL database: {shown(url)}.",
            next_step="Write it as postgresql://user@host:5432/database.",
        ) from error
    connection.adapters.register_dumper(bool, _BoolDumper)
    connection.adapters.register_dumper(str, _TextDumper)
    return connection


@lru_cache(512)
def _translated(sql: str) -> Any:
    return cast("Any", sql.replace("%", "%%").replace("?", "%s"))
