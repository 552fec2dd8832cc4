"""What a server does beside answering its clients, where servers share a store: loaded and begun after the start."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ollama_mcp.server.app import OllamaServer

log = logging.getLogger(__name__)

_DELAY_SECONDS = 1.5
# More than what has begun may take, and less than the process has to end.
_END_SECONDS = 4.0


@asynccontextmanager
async def work_beside(server: OllamaServer) -> AsyncGenerator[None]:
    """Work beside the block, until it ends; whatever goes wrong there ends nothing here."""
    settings, stop = server.ollama_settings, asyncio.Event()
    tasks: list[asyncio.Task[None]] = []
    if settings.fleet.work:
        tasks.append(asyncio.create_task(_work_on_rows(server, stop)))
    # Over stdio a process is one user's, and goes on with what that one asks for.
    watching = server.store.url and settings.transport != "stdio" and asyncio.create_task(_watch_jobs(server, stop))
    try:
        yield
    finally:
        stop.set()
        if watching:
            watching.cancel()
            tasks.append(watching)
        if tasks:
            for late in (await asyncio.wait(tasks, timeout=_END_SECONDS))[1]:
                late.cancel()
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(result, Exception):
                    log.error("What was done beside the clients failed.", exc_info=result)


async def _watch_jobs(server: OllamaServer, stop: asyncio.Event) -> None:
    await _begin(stop)
    await server.jobs.watch()


async def _begin(stop: asyncio.Event) -> None:
    """Let the clients' first requests come first."""
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), _DELAY_SECONDS)


async def _work_on_rows(server: OllamaServer, stop: asyncio.Event) -> None:
    from ollama_mcp.work.own_context import own_context

    await _begin(stop)
    if not stop.is_set():
        # In a thread: the queue's library takes a third of a second to load.
        serve_ranges = await asyncio.to_thread(_load)
        call = own_context(server.ollama_settings, server.hosts, server.store, in_use=server.in_use)
        await serve_ranges(call, stop, server.observer and server.observer.range_of)


def _load() -> Callable[..., Awaitable[None]]:
    from ollama_mcp.fleet.serving import serve_ranges

    return serve_ranges
