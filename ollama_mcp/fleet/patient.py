"""Waiting for a database that is away: work on a run goes on once it is back, and loses nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import psycopg

from ollama_mcp.errors import DiskError

if TYPE_CHECKING:
    from ollama_mcp.store.database import Database
    from ollama_mcp.store.sql import Connection

T = TypeVar("T")
log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
# Connection exceptions, also those of a pooler, and a server that is shutting down.
_AWAY = ("08", "57P")


class PatientDatabase:
    """A database whose work is done again until it can be reached; such work may be done twice without harm.

    Args:
        database: The database.
        on_wait: Told why it waits, each time.
    """

    url = "postgresql:"
    persistent = True

    def __init__(self, database: Database, on_wait: Callable[[DiskError], None] = lambda error: None) -> None:
        self._database, self._on_wait = database, on_wait
        self._warned = False

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in one transaction, however long the database is away.

        Raises:
            DiskError: It refuses the work.
        """
        while True:
            try:
                result = await self._database.run(work)
            except DiskError as error:
                if not isinstance(error.__cause__, psycopg.OperationalError):
                    raise
                # That it is away is told by what shares the hosts, which asks it every two seconds.
                if not self._warned and not _is_away(error.__cause__):
                    self._warned = True
                    log.warning("%s What is at work waits for it. %s", error.message, error.next_step or "")
                self._on_wait(error)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                self._warned = False
                return result

    async def run_or_default(self, work: Callable[[Connection], T], default: T) -> T:
        """See `Database`."""
        return await self._database.run_or_default(work, default)


def _is_away(error: psycopg.OperationalError) -> bool:
    """Whether the database cannot be reached; otherwise it refuses the work."""
    return error.sqlstate is None or error.sqlstate.startswith(_AWAY)
