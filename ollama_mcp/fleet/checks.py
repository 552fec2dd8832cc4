"""Whether a database is as a worker needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ollama_mcp.store.postgres import PostgresConnection
from ollama_mcp.store.queue_schema import check_queue

if TYPE_CHECKING:
    from ollama_mcp.store.sql import Connection


def check_tables(connection: Connection) -> None:
    """Refuse tables of another version; those of the store are checked by the connection itself.

    Raises:
        DiskError: The queue's are of another version, or not there.
    """
    assert isinstance(connection, PostgresConnection)
    check_queue(connection.raw)
