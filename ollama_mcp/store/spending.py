"""Tokens that each principal has used today, which a restart must not set back, nor another process with this store."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ollama_mcp import clock
from ollama_mcp.store.writes import WriteBehind, transaction

if TYPE_CHECKING:
    from ollama_mcp.store.database import Database
    from ollama_mcp.store.sql import Connection

_DAY_SECONDS = 86_400
_ADD = """INSERT INTO spending (day, name, tokens) VALUES (?, ?, ?)
    ON CONFLICT (day, name) DO UPDATE SET tokens = spending.tokens + excluded.tokens RETURNING tokens"""
_READ = "SELECT tokens FROM spending WHERE day = ? AND name = ?"
_DELETE_OLD = "DELETE FROM spending WHERE day < ?"


class Spending:
    """Sums by day and name. Adding takes microseconds; the file is written some moments later.

    Args:
        database: Where they are kept.

    Attributes:
        corrected: Told day, name and the tokens of all processes after each write.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pending: dict[tuple[int, str], int] = {}
        self._writer = WriteBehind(self._write)
        self.corrected: Callable[[int, str, int], None] = lambda day, name, tokens: None

    async def of_today(self, name: str) -> int:
        """What somebody has used today, as far as it was written; 0 where the store cannot be read."""
        key = today(), name
        return await self._database.run_or_default(lambda connection: _read(connection, key), 0)

    def add(self, name: str, tokens: int) -> None:
        """Add tokens; call it in the event loop."""
        key = today(), name
        self._pending[key] = self._pending.get(key, 0) + tokens
        self._writer.schedule()

    async def aclose(self) -> None:
        """Write what is left."""
        await self._writer.flush()

    async def _write(self) -> None:
        pending, self._pending = self._pending, {}
        if not pending:
            return
        sums = await self._database.run_or_default(lambda connection: _add(connection, pending), None)
        for (day, name), tokens in pending.items():
            if sums is None:
                # What could not be written waits for the next time.
                self._pending[day, name] = self._pending.get((day, name), 0) + tokens
            else:
                self.corrected(day, name, sums[day, name] + self._pending.get((day, name), 0))


def today() -> int:
    """The day in UTC, counted from 1970."""
    return int(clock.now() // _DAY_SECONDS)


def _read(connection: Connection, key: tuple[int, str]) -> int:
    found = connection.execute(_READ, key).fetchone()
    return 0 if found is None else found[0]


def _add(connection: Connection, pending: dict[tuple[int, str], int]) -> dict[tuple[int, str], int]:
    # In one order everywhere, so that two processes never wait for each other's rows.
    ordered = sorted(pending.items())
    with transaction(connection):
        sums = {key: connection.execute(_ADD, (*key, tokens)).fetchone()[0] for key, tokens in ordered}
        connection.execute(_DELETE_OLD, (today() - 1,))
    return sums
