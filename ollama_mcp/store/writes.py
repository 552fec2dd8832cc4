"""How the store writes: in transactions, for frequent changes some moments later; and how it gives space back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ollama_mcp.store.database import Database
    from ollama_mcp.store.sql import Connection

DELAY_SECONDS = 2.0
_FREED_PAGES = 2_000


@contextmanager
def transaction(connection: Connection) -> Generator[None]:
    """Run the block in a transaction, committed at its end and rolled back if it raises."""
    connection.begin()
    try:
        yield
        connection.commit()
    except BaseException:
        connection.rollback()
        raise


class WriteBehind:
    """Calls `write` a few seconds after the first of several changes, so that frequent changes cost few writes.

    Args:
        write: Writes everything that has changed; never raises.

    Attributes:
        timer: Set while a write is scheduled.
    """

    def __init__(self, write: Callable[[], Awaitable[None]]) -> None:
        self._write = write
        self.timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def schedule(self) -> None:
        """Note that something changed; call it in the event loop."""
        if self.timer is None:
            self.timer = asyncio.get_running_loop().call_later(DELAY_SECONDS, self._start)

    async def flush(self) -> None:
        """Write at once what has changed."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        # Two writes at a time would both take the same changes.
        if self._task is not None:
            await asyncio.wait({self._task})
        await self._write()

    def _start(self) -> None:
        self.timer = None
        # Held, since the event loop keeps only a weak reference to a task.
        self._task = asyncio.ensure_future(self._write())


async def release_space(database: Database) -> None:
    """Give the pages of what was deleted back to the disk, in steps, so that others can write in between.

    PostgreSQL does so by itself.
    """
    while not database.url and await database.run_or_default(_vacuum_step, False):
        pass


def _vacuum_step(connection: Connection) -> bool:
    """Give some free pages back to the disk, and truncate the log after the last; return whether more remain."""
    before = _free_pages(connection)
    connection.execute(f"PRAGMA incremental_vacuum({_FREED_PAGES})").fetchall()
    if 0 < _free_pages(connection) < before:
        return True
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return False


def _free_pages(connection: Connection) -> int:
    return connection.execute("PRAGMA freelist_count").fetchone()[0]
