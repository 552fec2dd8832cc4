"""What counts in one process only, of all that share a PostgreSQL database: the first that asks for it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ollama_mcp.store.sql import Connection

_NAME = "used "
_FORGET = "DELETE FROM meta WHERE name LIKE ? AND split_part(value, ' ', 2)::float8 < extract(epoch FROM now())"
_TAKE = """INSERT INTO meta (name, value) VALUES (?, ? || ' ' || (extract(epoch FROM now()) + ?::float8))
    ON CONFLICT (name) DO UPDATE SET value = meta.value RETURNING split_part(value, ' ', 1)"""


def take_for(connection: Connection, process: str, what: str, seconds: float) -> bool:
    """Whether something is this process's to use: nobody else asked before.

    Args:
        connection: The connection.
        process: What tells the process from all others; without spaces.
        what: The thing; only a digest of it is kept.
        seconds: How long it is known whose it is.
    """
    connection.execute(_FORGET, (f"{_NAME}%",))
    name = _NAME + hashlib.sha256(what.encode()).hexdigest()
    return connection.execute(_TAKE, (name, process, seconds)).fetchone()[0] == process
