"""What one process tells the others at once: NOTIFY and LISTEN of PostgreSQL, on a connection of its own.

A pooler in transaction mode gives each transaction another connection of the server, so that a LISTEN through it hears
nothing (https://www.pgbouncer.org/features.html). Without it the others learn the same with their next look.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import psycopg
from psycopg import sql

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.store.postgres import options_of
from ollama_mcp.store.postgres_errors import failure_of, shown

log = logging.getLogger(__name__)

_AGAIN_SECONDS = 5.0
_BACKEND = "SELECT pg_backend_pid()"


async def listen(url: str, channel: str, hear: Callable[[str], None]) -> None:
    """Call `hear` with each message, until the task is cancelled; returns where nothing can be heard.

    Args:
        url: The address of the database, without a pooler.
        channel: What is listened to; any name.
        hear: Gets what was sent; runs on the event loop.
    """
    while True:
        try:
            async with await psycopg.AsyncConnection.connect("", autocommit=True, **options_of(url)) as connection:
                row = await (await connection.execute(_BACKEND, prepare=False)).fetchone()
                if row is None or row[0] != connection.info.backend_pid:
                    log.warning("%s. Cancelling a job of another process takes up to a second more.", _pooled(url))
                    return
                await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
                async for message in connection.notifies():
                    hear(message.payload)
        except psycopg.InterfaceError:
            # Windows: the event loop that can start programs is none that psycopg can wait in.
            return
        except InvalidArgument as error:
            log.warning("%s Until then, cancelling a job of another process takes up to a second more.", error)
            return
        except psycopg.Error as error:
            log.info("%s", failure_of(error, url))
        await asyncio.sleep(_AGAIN_SECONDS)


def _pooled(url: str) -> str:
    # A pooler makes up the number that it gives a client to cancel by.
    return f"Between here and the database {shown(url)} is a pooler; store.listen_url is for an address without it"
