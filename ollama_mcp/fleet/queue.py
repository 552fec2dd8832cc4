"""The queue, procrastinate, as our workers use it: in our schema, behind a pooler too, and patient.

The library's worker ends when the database is away for a while; here its questions wait until it is back, so that what
is at work goes on and is not asked twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, LiteralString, TypeVar

import psycopg
from procrastinate import PsycopgConnector, exceptions
from psycopg import sql
from psycopg_pool import AsyncConnectionPool

from ollama_mcp.store.patient import RETRY_SECONDS
from ollama_mcp.store.postgres import options_of
from ollama_mcp.store.postgres_schema import SCHEMA

T = TypeVar("T")
log = logging.getLogger(__name__)

_POOL_SECONDS = 2.0
# Left to itself, a pool tries less and less often: signs of life must come soon after the database is back.
_RECONNECT_SECONDS = 1.0
# In each transaction, since behind a pooler the next one may have another connection.
_IN_SCHEMA = f"SET LOCAL search_path TO {SCHEMA}; SET LOCAL idle_in_transaction_session_timeout TO '5s'"
# Of a fetch whose answer was lost: the queue gave out a job that nobody has.
_NOT_FETCHED = """UPDATE procrastinate_jobs SET status = 'todo'
    WHERE worker_id = %(worker_id)s AND status = 'doing' AND NOT abort_requested
    AND NOT id = ANY(%(at_work)s::bigint[])"""
_LISTEN_SECONDS = 5.0
_APPLICATION = "ollama-mcp-server worker"


class _Pool(AsyncConnectionPool):
    """Connections whose transactions find the queue's tables."""

    @asynccontextmanager
    async def connection(self, timeout: float | None = None) -> AsyncGenerator[Any]:  # noqa: ASYNC109 (the library's)
        async with super().connection(timeout) as connection:
            await connection.execute(_IN_SCHEMA)
            yield connection


class QueueConnector(PsycopgConnector):
    """The connector of a worker, made by `queue_connector`."""

    listen_url: str
    at_work: set[int]
    stopping: asyncio.Event
    _is_away = False

    async def execute_query_async(self, query: LiteralString, **arguments: Any) -> None:
        """Run a statement; the end of a job that another process has taken over is no error."""
        try:
            await self._patiently(lambda: super(QueueConnector, self).execute_query_async(query, **arguments))
        except exceptions.ConnectorException as error:
            is_away = self.stopping.is_set() and isinstance(error.__cause__, psycopg.OperationalError)
            if not is_away and "Job was not found" not in str(error.__cause__):
                raise
            # What a process that ends could not tell of its jobs is seen by the sweep of another.
            log.debug("%s", error.__cause__)

    async def execute_query_one_async(self, query: LiteralString, **arguments: Any) -> dict[str, Any]:
        """Run a statement that gives one row."""
        is_fetch = arguments.keys() == {"queues", "worker_id"}

        async def again() -> None:
            if is_fetch:
                lost = {"worker_id": arguments["worker_id"], "at_work": list(self.at_work)}
                await super(QueueConnector, self).execute_query_async(_NOT_FETCHED, **lost)

        return await self._patiently(
            lambda: super(QueueConnector, self).execute_query_one_async(query, **arguments), again
        )

    async def execute_query_all_async(self, query: LiteralString, **arguments: Any) -> list[dict[str, Any]]:
        """Run a statement that gives rows."""
        return await self._patiently(lambda: super(QueueConnector, self).execute_query_all_async(query, **arguments))

    async def listen_notify(self, on_notification: Any, channels: Iterable[str]) -> None:
        """Pass on what the database tells, on a connection of its own; for as long as it is away, nothing is told."""
        while True:
            try:
                options = options_of(self.listen_url, _APPLICATION)
                async with await psycopg.AsyncConnection.connect(
                    "", autocommit=True, prepare_threshold=None, **options
                ) as connection:
                    for channel in channels:
                        await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
                    while True:
                        async for one in connection.notifies(timeout=_LISTEN_SECONDS):
                            await on_notification(channel=one.channel, payload=one.payload)
                        await connection.execute("SELECT 1")
            except psycopg.OperationalError as error:
                log.debug("LISTEN: %s", error)
                await asyncio.sleep(RETRY_SECONDS)

    async def _patiently(
        self, run: Callable[[], Awaitable[T]], again: Callable[[], Awaitable[None]] | None = None
    ) -> T:
        """Run a statement, again and again until the database is back; `again` before each but the first time."""
        is_again = False
        while True:
            try:
                if is_again and again is not None:
                    await again()
                result = await run()
            except exceptions.ConnectorException as error:
                if not isinstance(error.__cause__, psycopg.OperationalError) or self.stopping.is_set():
                    raise
                if not self._is_away:
                    self._is_away = True
                    log.warning("The queue waits for the database: %s", " ".join(str(error.__cause__).split())[:200])
                is_again = True
                await asyncio.sleep(RETRY_SECONDS)
            else:
                if self._is_away:
                    self._is_away = False
                    log.warning("The queue's database is back.")
                return result


def queue_connector(url: str, listen_url: str, at_work: set[int], stopping: asyncio.Event) -> QueueConnector:
    """The connector of a worker.

    Args:
        url: The address of the database.
        listen_url: The address for LISTEN, where a pooler is between at the other; "" for the same.
        at_work: The jobs that this process works on now.
        stopping: Set when nothing is to be waited for any more.

    Raises:
        InvalidArgument: An address is none.
    """
    # Else its error would be told only in the loop.
    options_of(listen_url or url)
    connector = QueueConnector(
        pool_factory=_Pool,
        # Prepared statements would be another connection's behind a pooler.
        kwargs={**options_of(url, _APPLICATION), "prepare_threshold": None},
        min_size=1,
        max_size=4,
        timeout=_POOL_SECONDS,
        reconnect_timeout=_RECONNECT_SECONDS,
    )
    connector.listen_url, connector.at_work, connector.stopping = listen_url or url, at_work, stopping
    return connector
