"""How the store writes: in transactions, and for frequent changes some moments later."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlite3 import Connection

DELAY_SECONDS = 2.0


@contextmanager
def transaction(connection: Connection) -> Generator[None]:
    """Run the block in a transaction, committed at its end and rolled back if it raises."""
    # IMMEDIATE takes the write lock at once: a transaction that reads first may fail for the lock half-way.
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite has already rolled back after some failures, such as a full disk.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
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
