"""Runs the store's SQL in a thread of its own, so that the event loop never waits for the disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from sqlite3 import Connection

    from ollama_mcp.store.connection import StoreConnection

T = TypeVar("T")


class Database:
    """Runs functions of a connection one after another, in one thread.

    Args:
        path: The file; None for a database in memory.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._thread: Executor | None = None
        self._connection: StoreConnection | None = None

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Run `work` on the file.

        Raises:
            DiskError: The file cannot be read or written.
        """
        return await self._in_thread(lambda: self._open().run(work))

    async def run_or_default(self, work: Callable[[Connection], T], default: T) -> T:
        """Run `work` on the file, or in memory if the file cannot be used; return `default` if it fails.

        The first failure is logged.
        """
        try:
            return await self._in_thread(lambda: self._open().run_or_default(work, default))
        except OSError:
            # Not even the library could be loaded, as when too many files are open.
            return default

    async def aclose(self) -> None:
        """Close the connection; the next use opens it again."""
        if self._thread is not None:
            await self._in_thread(lambda: self._open().close())
            self._thread.shutdown(wait=False)
            self._thread = None

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._thread is None:
            from concurrent.futures import ThreadPoolExecutor

            self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _open(self) -> StoreConnection:
        # Imported in the thread: neither a start nor the first call waits for the SQLite library.
        if self._connection is None:
            from ollama_mcp.store.connection import StoreConnection

            self._connection = StoreConnection(self.path)
        return self._connection
