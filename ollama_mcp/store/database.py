"""One connection in one thread, so that the event loop never waits for the disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from sqlite3 import Connection

    from ollama_mcp.store.keeper import Keeper

T = TypeVar("T")


class Database:
    """Runs functions of a connection in a thread of their own, one after another.

    Args:
        path: The file; None is a database in memory.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._thread: Executor | None = None
        self._keeper: Keeper | None = None

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Run `work`, which needs the file.

        Raises:
            DiskError: The file cannot be read or written.
        """
        return await self._in_thread(lambda: self._kept().strictly(work))

    async def try_to_run(self, work: Callable[[Connection], T], otherwise: T) -> T:
        """Run `work`; return `otherwise` where that fails, which the log tells once."""
        return await self._in_thread(lambda: self._kept().leniently(work, otherwise))

    async def aclose(self) -> None:
        """Close the connection; the next use opens it again."""
        if self._thread is not None:
            await self._in_thread(lambda: self._kept().close())
            self._thread.shutdown(wait=False)
            self._thread = None

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._thread is None:
            from concurrent.futures import ThreadPoolExecutor

            self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _kept(self) -> Keeper:
        # Imported in the thread: neither a start nor a first call waits for the SQLite library.
        if self._keeper is None:
            from ollama_mcp.store.keeper import Keeper

            self._keeper = Keeper(self.path)
        return self._keeper


@contextmanager
def transaction(connection: Connection) -> Generator[None]:
    """A transaction that has the right to write from its beginning, so that it never fails half-way for a lock."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite has rolled back by itself after some failures, such as a full disk.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
