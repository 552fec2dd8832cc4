"""What a server offers over HTTP beside MCP, as its settings say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from ollama_mcp.server.transports.asgi import Route

if TYPE_CHECKING:
    from ollama_mcp.server.app import OllamaServer
    from ollama_mcp.server.transports.files import FilesRoute


def http_routes(server: OllamaServer) -> dict[str, Route]:
    """The routes of a server, by path."""
    settings = server.ollama_settings
    found: dict[str, Route] = {}
    if settings.uploads.enabled:
        from ollama_mcp.server.transports.files import PATH, FilesRoute

        files = FilesRoute(settings)
        found[PATH] = Route(files, "files", takes_body=True, running=lambda: _tidying(files))
    if server.observer is not None and settings.metrics.over_http:
        from ollama_mcp.server.metrics import PATH, Metrics

        (figures,) = (one for one in server.observer.recorders if isinstance(one, Metrics))
        found[PATH] = Route(figures.serve, "metrics")
    return found


@asynccontextmanager
async def _tidying(files: FilesRoute) -> AsyncGenerator[None]:
    tidying = asyncio.create_task(files.keep_tidy())
    try:
        yield
    finally:
        tidying.cancel()
