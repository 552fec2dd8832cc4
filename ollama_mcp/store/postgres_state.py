"""What a PostgreSQL database says of itself, the making of its tables, and the secret that is kept in it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg

from ollama_mcp.errors import DiskError
from ollama_mcp.store.host_views import ALIVE_SECONDS
from ollama_mcp.store.postgres import connect
from ollama_mcp.store.postgres_errors import failure_of
from ollama_mcp.store.postgres_schema import SCHEMA, VERSION, Version, check_version, upgrade
from ollama_mcp.store.queue_schema import check_queue

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["VERSION", "DatabaseState", "connected", "shared_secret", "size_of", "state_of", "upgrade_at"]

_CHANNEL = "ollama_mcp_check"
_NOTIFY_SECONDS = 2.0
_SECRET = "state.secret"
_SECRET_BYTES = 32
_ALIVE = f"""SELECT DISTINCT process, program, version FROM {SCHEMA}.host_views
    WHERE seen_at > clock_timestamp() - make_interval(secs => {ALIVE_SECONDS})
    ORDER BY version, program"""
_SIZE = f"""SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = '{SCHEMA}' AND c.relkind IN ('r', 'p')"""


class Alive(NamedTuple):
    """A server or worker: what it is and where it runs, and its version; both "" where an earlier one does not say."""

    program: str
    version: str


class DatabaseState(NamedTuple):
    """What was found.

    Attributes:
        server: The version of PostgreSQL, such as "15.18".
        pooled: Whether a pooler stands before it.
        hears: Whether a notification arrives.
        ahead: By how many seconds its clock is ahead of this machine's.
        tables: What is wrong with the tables, the queue's too; None where they are those of this version.
        alive: The servers and workers that have it for their store.
    """

    server: str
    pooled: bool
    hears: bool
    ahead: float
    tables: DiskError | None
    alive: list[Alive]


def state_of(url: str) -> DatabaseState:
    """Look at a database.

    Raises:
        DiskError: It cannot be reached.
        InvalidArgument: The address is none.
    """
    with connected(url) as connection:
        try:
            check_version(connection, url)
            with connection.transaction():
                connection.execute(f"SET LOCAL search_path TO {SCHEMA}")
                check_queue(connection)
            tables = None
        except DiskError as error:
            tables = error
        # The number that a pooler gives to a client is not that of the process behind it.
        pid = _one(connection, "SELECT pg_backend_pid()")
        before = time.time()
        there = _one(connection, "SELECT extract(epoch FROM clock_timestamp())::float8")
        ahead = there - (before + time.time()) / 2
        number = connection.info.server_version
        pooled = pid != connection.info.backend_pid
        server = f"{number // 10_000}.{number % 10_000}"
        found = [] if tables is not None else connection.execute(_ALIVE.encode()).fetchall()
        alive = [Alive(program, version) for _, program, version in found]
        return DatabaseState(server, pooled, _hears(connection, url), ahead, tables, alive)


def upgrade_at(url: str) -> Version:
    """Make the tables of a database, or bring them up to date; returns the version before.

    Raises:
        DiskError: It cannot be reached, is too old, or refuses; or the tables are of a newer version.
        InvalidArgument: The address is none.
    """
    with connected(url) as connection:
        return upgrade(connection, url)


def size_of(url: str) -> int:
    """How many bytes the tables take, with their indexes.

    Raises:
        DiskError: It cannot be reached.
        InvalidArgument: The address is none.
    """
    with connected(url) as connection:
        return _one(connection, _SIZE)


def shared_secret(url: str) -> bytes:
    """The secret of all servers that use this database, made by the first of them.

    Raises:
        DiskError: The database cannot be used.
        InvalidArgument: The address is none.
    """
    with connected(url) as connection:
        check_version(connection, url)
        connection.execute(
            f"INSERT INTO {SCHEMA}.meta (name, value) VALUES (%s, %s) ON CONFLICT (name) DO NOTHING",
            (_SECRET, secrets.token_hex(_SECRET_BYTES)),
        )
        return bytes.fromhex(_one(connection, f"SELECT value FROM {SCHEMA}.meta WHERE name = '{_SECRET}'"))


@contextmanager
def connected(url: str) -> Generator[Connection]:
    """A connection for a moment.

    Raises:
        DiskError: The database cannot be reached, or what was done there failed.
        InvalidArgument: The address is none.
    """
    try:
        with connect(url) as connection:
            yield connection
    except psycopg.Error as error:
        raise failure_of(error, url) from error


def _one(connection: Connection, statement: str) -> Any:
    row = connection.execute(statement.encode()).fetchone()
    assert row is not None
    return row[0]


def _hears(connection: Connection, url: str) -> bool:
    connection.execute(f"LISTEN {_CHANNEL}")
    try:
        with connected(url) as other:
            other.execute(f"NOTIFY {_CHANNEL}")
        return any(connection.notifies(timeout=_NOTIFY_SECONDS, stop_after=1))
    finally:
        connection.execute(f"UNLISTEN {_CHANNEL}")
