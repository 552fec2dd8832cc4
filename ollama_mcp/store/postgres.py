"""The PostgreSQL engine of the store: one connection of a process, in a schema of our own.

Each piece of work is one transaction, so that a pooler in transaction mode may give every one of them another
connection of the server (https://www.pgbouncer.org/features.html). Transactions are READ COMMITTED, PostgreSQL's own
choice: what reads and then writes holds a lock (`Connection.lock`, `for_share`, the row of a sum) or is one statement.

One connection means that work waits for the work before it: no statement of the store is long, since pages and steps
bound each. Where that is not enough (`Database` measures nothing), the `Executor` there gets more threads, each with a
`PostgresEngine` of its own; nothing else depends on there being one.

Passages' words are lists of hashes beside their vectors, read by the hash of the text (`work/search`): the same table
serves both engines, and neither SQLite's FTS nor PostgreSQL's tsvector is needed.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

import psycopg
from psycopg.adapt import Dumper
from psycopg.conninfo import conninfo_to_dict
from psycopg.types.numeric import Int8Dumper
from psycopg.types.string import StrDumper

from ollama_mcp import clock
from ollama_mcp.errors import DiskError, InvalidArgument
from ollama_mcp.store.postgres_errors import failure_of, shown
from ollama_mcp.store.postgres_schema import LOCK, SCHEMA, check_version

if TYPE_CHECKING:
    from psycopg.abc import Buffer

    from ollama_mcp.store.sql import Connection

T = TypeVar("T")
log = logging.getLogger(__name__)

# A server that vanished without a word is given up after a quarter of a minute, not after the system's two hours.
_OPTIONS: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
_PLAUSIBLE = {"host": r"@?[^@]*", "port": r"(\d{0,5},?)*", "dbname": r"[^@]*"}
# For so long a database that could not be used is not tried again by what can do without it.
_AWAY_SECONDS = 5.0
# Those who waited while a connection was tried in vain for as long do not wait as long again, one after another.
_TRIED_SECONDS = 1.0
_BEGIN = f"BEGIN; SET LOCAL search_path TO {SCHEMA}; SET LOCAL lock_timeout TO '20s'"


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
    for_share = " FOR SHARE"

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        self.raw = connection

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> psycopg.Cursor[tuple[Any, ...]]:
        """Run a statement."""
        # Vectors as text would take twice their bytes.
        return self.raw.execute(_translated(sql), parameters or None, binary=True)

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> object:
        """Run a statement once for each row of parameters."""
        with self.raw.cursor() as cursor:
            return cursor.executemany(_translated(sql), parameters)

    def execute_each(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> list[int]:
        """Run a statement once for each row of parameters, without waiting for the answer of one before the next."""
        with self.raw.pipeline():
            cursors = [self.execute(sql, row) for row in parameters]
        return [cursor.rowcount for cursor in cursors]

    def execute_all(self, *statements: tuple[str, Sequence[Any]]) -> list[psycopg.Cursor[tuple[Any, ...]]]:
        """Run statements without waiting for the answer of one before the next; none of those after one that fails."""
        with self.raw.pipeline():
            return [self.execute(*statement) for statement in statements]

    def insert(self, table: str, rows: Sequence[Sequence[int | bytes]], /) -> None:
        """Insert whole rows, in the form that the server takes fastest."""
        if not rows:
            return
        copying = cast("Any", f"COPY {table} FROM STDIN (FORMAT BINARY)")
        with self.raw.cursor() as cursor, cursor.copy(copying) as copy:
            copy.set_types(["bytea" if isinstance(value, bytes) else "int8" for value in rows[0]])
            for row in rows:
                copy.write_row(row)

    def begin(self) -> None:
        """Nothing: the work is a transaction as a whole."""

    def lock(self, name: str) -> None:
        """Wait for other transactions that named the same; the lock ends with this one."""
        self.raw.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", (LOCK, name))

    def commit(self) -> None:
        """Nothing: it is committed at the end of the work."""

    def rollback(self) -> None:
        """Nothing: an error ends the work, which is rolled back."""


class PostgresEngine:
    """The connection of a process, opened with its first use and again after a failure; used in one thread.

    While the database cannot be used, nothing takes its place: what counts keeps its counts until they can be written.

    Args:
        url: The address of the database.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None
        self._away_until = self._tried_until = 0.0
        self._failure: psycopg.OperationalError | None = None
        self._warned = False

    def run(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in one transaction.

        Raises:
            DiskError: The database cannot be used.
        """
        try:
            result = self._run(work)
        except psycopg.Error as error:
            raise failure_of(error, self._url) from error
        self._away_until = 0.0
        if self._warned:
            self._warned = False
            log.warning("The store %s can be used again.", shown(self._url))
        return result

    def run_or_default(self, work: Callable[[Connection], T], default: T) -> T:
        """Run `work`; return `default` if the database cannot be used."""
        if time.monotonic() < self._away_until:
            return default
        try:
            return self.run(work)
        except DiskError as error:
            self._away_until = time.monotonic() + _AWAY_SECONDS
            if not self._warned:
                self._warned = True
                log.warning("%s Until then, what needs it waits or fails.", error)
            return default

    def close(self) -> None:
        """Close the connection, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error):
                connection.close()

    def _run(self, work: Callable[[Connection], T]) -> T:
        try:
            return self._run_once(work)
        except psycopg.errors.DeadlockDetected:
            # Nothing of it was done, and the other transaction goes on.
            return self._run_once(work)

    def _run_once(self, work: Callable[[Connection], T]) -> T:
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
            self._connection = self._connected()
            try:
                check_version(self._connection, self._url)
            except BaseException:
                self.close()
                raise
        self._connection.execute(_BEGIN)
        return self._connection

    def _connected(self) -> psycopg.Connection[tuple[Any, ...]]:
        started = time.monotonic()
        if self._failure is not None and started < self._tried_until:
            raise self._failure.with_traceback(None)
        try:
            return connect(self._url)
        except psycopg.OperationalError as error:
            now = time.monotonic()
            if now - started >= _TRIED_SECONDS:
                self._failure, self._tried_until = error, now + _TRIED_SECONDS
            raise

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


def connect(url: str) -> psycopg.Connection[tuple[Any, ...]]:
    """Connect as the store does, and go by the database's clock from now on.

    Raises:
        InvalidArgument: The address is none.
        psycopg.OperationalError: The database cannot be reached.
    """
    # Prepared statements would be another connection's behind a pooler.
    connection = psycopg.connect("", autocommit=True, prepare_threshold=None, **options_of(url))
    connection.adapters.register_dumper(bool, _BoolDumper)
    connection.adapters.register_dumper(str, _TextDumper)
    if (row := connection.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone()) is not None:
        clock.follow(row[0])
    return connection


def options_of(url: str, application: str = "ollama-mcp-server") -> dict[str, Any]:
    """The options of a connection to an address; `application` is who it is that PostgreSQL shows.

    Raises:
        InvalidArgument: The address is none.
    """
    with suppress(psycopg.ProgrammingError):
        given = conninfo_to_dict(url)
        # A password that is not escaped goes on in the host, the port or the name, of which errors would tell.
        if all(re.fullmatch(pattern, str(given.get(name, ""))) for name, pattern in _PLAUSIBLE.items()):
            # What the address says itself has precedence.
            return _OPTIONS | {"application_name": application} | given
    # Without the cause, which repeats the address.
    raise InvalidArgument(
        f"store.url is not the address of a PostgreSQL database: {shown(url)}.",
        next_step="Write postgresql://user@host:5432/database, in a password %40 for @, %2F for / and %3F for ?.",
    )


@lru_cache(512)
def _translated(sql: str) -> Any:
    return cast("Any", sql.replace("%", "%%").replace("?", "%s"))
