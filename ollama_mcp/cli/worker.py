"""`ollama-mcp-server worker`: works on rows of batches that servers with the same store give out."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING

from ollama_mcp.cli.options import cloud_key, load_from_options
from ollama_mcp.errors import InvalidArgument
from ollama_mcp.hosts import open_pool
from ollama_mcp.store import Store
from ollama_mcp.store.database import require_postgres
from ollama_mcp.work.own_context import own_context

if TYPE_CHECKING:
    from ollama_mcp.server.observation import Observer
    from ollama_mcp.settings import Settings

# From a signal to the end of the process, whatever hangs.
_FORCE_SECONDS = 5.5
log = logging.getLogger(__name__)


def worker(options: argparse.Namespace) -> int:
    """Work until a signal comes.

    Raises:
        InvalidArgument: There is no store that could be shared, or what it needs is not installed.
        DiskError: The database cannot be used, or has other tables.
    """
    settings = load_from_options(options).settings
    if not settings.store.url:
        raise InvalidArgument(
            "A worker needs a store that servers share (store.url).",
            next_step="Add --set store.url=postgresql://user@host/database, as the servers have it.",
        )
    if settings.read_only:
        raise InvalidArgument(
            "A worker writes into the store, and read_only forbids that.",
            next_step="Set read_only to false where workers run.",
        )
    require_postgres()
    line_format = "%(levelname)s %(name)s: %(message)s"
    logging.basicConfig(level=settings.log_level.upper(), stream=sys.stderr, format=line_format)
    if settings.log_format == "json":
        from ollama_mcp.cli.json_log import log_as_json

        log_as_json()
    asyncio.run(_serve(settings, options.lanes))
    return 0


async def _serve(settings: Settings, lanes: int | None) -> None:
    from ollama_mcp.fleet.checks import check_tables
    from ollama_mcp.fleet.shared_hosts import SharedHosts
    from ollama_mcp.fleet.worker import Worker, lanes_of, quiet_libraries

    quiet_libraries()
    lanes = lanes or lanes_of(settings)
    store = Store.from_settings(settings)
    hosts = open_pool(settings, api_key=cloud_key())
    observer: Observer | None = None
    if settings.is_observed:
        from ollama_mcp.server.observation import open_observer

        observer = open_observer(settings, store, hosts)
    try:
        await store.database.run(check_tables)
        working = Worker(own_context(settings, hosts, store), lanes, recorded=observer and observer.range_of)
        if observer is not None:
            observer.start()
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        for one in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(one, stop.set)
        async with SharedHosts(store.database, hosts, "worker", takes_rows=True):
            running = asyncio.create_task(working.run(stop))
            print(
                f"ollama-mcp-server worker takes rows, {lanes} at a time, on {hosts.url}", file=sys.stderr, flush=True
            )
            stopped = asyncio.create_task(stop.wait())
            await asyncio.wait({running, stopped}, return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            if not (await asyncio.wait({running}, timeout=_FORCE_SECONDS))[0]:
                # Nothing is lost: what is not kept is taken over.
                log.warning("Not everything ended in time, since the database or a host does not answer.")
                os._exit(0)
            await running
    finally:
        if observer is not None:
            await observer.aclose()
        await hosts.aclose()
        await store.aclose()
