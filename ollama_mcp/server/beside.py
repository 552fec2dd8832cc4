"""What a server does beside answering its clients, where servers share a store: loaded and begun after the start."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from ollama_mcp.errors import InternalError

if TYPE_CHECKING:
    from ollama_mcp.access import Access
    from ollama_mcp.server.app import OllamaServer
    from ollama_mcp.work.call_context import CallContext

# Clients' first requests come first.
_DELAY_SECONDS = 1.5
# More than what has begun may take, and less than the process has to end.
_END_SECONDS = 4.0


@asynccontextmanager
async def work_beside(server: OllamaServer) -> AsyncGenerator[None]:
    """Work beside the block, until it ends; whatever goes wrong there ends nothing here."""
    if not server.ollama_settings.fleet.work:
        yield
        return
    stop = asyncio.Event()
    task = asyncio.create_task(_work_on_rows(server, stop))
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait({task}, timeout=_END_SECONDS)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _work_on_rows(server: OllamaServer, stop: asyncio.Event) -> None:
    from ollama_mcp.work.call_context import CallContext
    from ollama_mcp.work.choosing import ModelHabits
    from ollama_mcp.work.progress import Progress

    try:
        await asyncio.wait_for(stop.wait(), _DELAY_SECONDS)
    except TimeoutError:
        # In a thread: the queue's library takes a third of a second to load.
        serve_ranges = await asyncio.to_thread(_load)
        settings, habits = server.ollama_settings, ModelHabits()
        call = CallContext(settings, server.hosts, _no_access, server.store, Progress(None), server.in_use, habits)
        await serve_ranges(call, stop)


def _load() -> Callable[[CallContext, asyncio.Event], Awaitable[None]]:
    from ollama_mcp.fleet.serving import serve_ranges

    return serve_ranges


def _no_access() -> Access:
    raise InternalError("A worker reads no files.")
