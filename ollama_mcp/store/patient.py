"""Waiting for a database that is away: work that is begun goes on once it is back, and loses nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar, cast

from ollama_mcp.errors import DiskError

if TYPE_CHECKING:
    from ollama_mcp.store.database import Database
    from ollama_mcp.store.sql import Connection

T = TypeVar("T")
OnWait = Callable[[DiskError], Awaitable[None]]
log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0


class DatabaseAway(DiskError):
    """A PostgreSQL database cannot do the work now; the same work may succeed later.

    Attributes:
        refuses: Whether it was reached, and refuses the work or the connection.
    """

    refuses = False


class PatientDatabase:
    """A database whose work is done again until it can be reached; such work may be done twice without harm.

    Args:
        database: The database.
        on_wait: Told why it waits, each time.
        waits_for: The failures after which the work is done again.
    """

    def __init__(
        self, database: Database, on_wait: OnWait | None = None, waits_for: type[DiskError] = DatabaseAway
    ) -> None:
        self.impatient, self._on_wait, self._waits_for = database, on_wait, waits_for
        self.path, self.url, self.persistent = database.path, database.url, database.persistent
        self._warned = False

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in one transaction, however long the database is away.

        Raises:
            DiskError: It refuses the work.
        """
        while True:
            try:
                result = await self.impatient.run(work)
            except self._waits_for as error:
                # That it is away is told by what shares the hosts, which asks it every two seconds.
                if not self._warned and not (isinstance(error, DatabaseAway) and not error.refuses):
                    self._warned = True
                    log.warning("%s What is at work waits for it. %s", error.message, error.next_step or "")
                if self._on_wait is not None:
                    await self._on_wait(error)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                self._warned = False
                return result

    async def run_or_default(self, work: Callable[[Connection], T], default: T) -> T:
        """See `Database`."""
        return await self.impatient.run_or_default(work, default)


def patient(database: Database, on_wait: OnWait, waits_for: type[DiskError] = DatabaseAway) -> Database:
    """The database with work that waits for it; a file, for which nobody waits, as it is."""
    return cast("Database", PatientDatabase(database, on_wait, waits_for)) if database.url else database


def impatient(database: Database) -> Database:
    """The database whose work fails at once where it cannot be used."""
    return database.impatient if isinstance(database, PatientDatabase) else database
