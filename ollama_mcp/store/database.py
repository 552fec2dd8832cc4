"""Runs the store's SQL in a thread of its own, so that the event loop never waits for the disk or the network."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from ollama_mcp.errors import InvalidArgument

if TYPE_CHECKING:
    from ollama_mcp.store.sql import Connection

T = TypeVar("T")
log = logging.getLogger(__name__)


class Engine(Protocol):
    """SQLite or PostgreSQL; used in one thread."""

    def run(self, work: Callable[[Connection], T]) -> T:
        """See `Database.run`."""
        ...

    def run_or_default(self, work: Callable[[Connection], T], default: T) -> T:
        """See `Database.run_or_default`."""
        ...

    def close(self) -> None:
        """Close the connection, if there is one."""
        ...


class Database:
    """Runs functions of a connection one after another, in one thread.

    Args:
        path: The file; None for a database in memory.
        url: The address of a PostgreSQL database, which takes the place of the file; "" for none.

    Attributes:
        persistent: Whether what is kept outlives the process.
    """

    def __init__(self, path: Path | None, url: str = "") -> None:
        self.path, self.url = path, url
        self.persistent = path is not None or bool(url)
        self._thread: Executor | None = None
        self._engine: Engine | None = None
        self._warned = False

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Run `work` on the database.

        Raises:
            DiskError: It cannot be read or written.
            InvalidArgument: Its address is none, or needs a package that is not installed.
        """
        return await self._in_thread(lambda: self._open().run(work))

    async def run_or_default(self, work: Callable[[Connection], T], default: T) -> T:
        """Run `work` on the database, or in memory if a file cannot be used; return `default` if it fails.

        The first failure is logged.
        """
        try:
            return await self._in_thread(lambda: self._open().run_or_default(work, default))
        except OSError:
            # Not even the library could be loaded, as when too many files are open.
            return default
        except InvalidArgument as error:
            # The address is none, or its library is not installed.
            if not self._warned:
                self._warned = True
                log.warning("%s Until then, nothing is kept.", error)
            return default

    async def aclose(self) -> None:
        """Close the connection; the next use opens it again."""
        if self._thread is not None:
            await self._in_thread(self._close)
            self._thread.shutdown(wait=False)
            self._thread = None

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._thread is None:
            from concurrent.futures import ThreadPoolExecutor

            self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _close(self) -> None:
        if self._engine is not None:
            self._engine.close()

    def _open(self) -> Engine:
        # Imported in the thread: neither a start nor the first call waits for the library.
        if self._engine is None:
            self._engine = self._made()
        return self._engine

    def _made(self) -> Engine:
        if self.url:
            require_postgres()
            from ollama_mcp.store.postgres import PostgresEngine

            return PostgresEngine(self.url)
        from ollama_mcp.store.connection import StoreConnection

        return StoreConnection(self.path)


def require_postgres() -> None:
    """Check that what speaks to a PostgreSQL database is installed, before a module is imported that needs it.

    Raises:
        InvalidArgument: It is not; the message names the extra that brings it.
    """
    from importlib import import_module
    from importlib.util import find_spec

    try:
        import_module("psycopg")
        # Only sought: importing the queue takes a third of a second, which most uses of the database do without.
        complete = find_spec("procrastinate") is not None
    except ImportError:
        complete = False
    if not complete:
        from ollama_mcp._command import how_to_install

        raise InvalidArgument(
            "store.url names a PostgreSQL database, and what the extra `fleet` brings is not installed.",
            next_step=how_to_install("fleet"),
        )
