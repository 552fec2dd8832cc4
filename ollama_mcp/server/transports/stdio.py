"""The stdio transport."""

from __future__ import annotations

import anyio
from mcp.server import MCPServer

from ollama_mcp.server.transports.limits import raise_open_files
from ollama_mcp.server.transports.sdk import low_level, without_idle_tracing
from ollama_mcp.server.transports.signals import stopping_on_signals

_END_GRACE_SECONDS = 0.25
"""A pipeline such as `printf ... | ollama-mcp-server` closes stdin at once and still wants its answers."""


async def run_stdio(server: MCPServer) -> None:
    """Serves one client over the process's stdin and stdout, until it closes stdin or a signal comes.

    Serves protocol 2024-11-05 to 2026-07-28, also mixed. Lines may have 72 MiB. When it ends, calls in flight are
    cancelled and the server's lifespan is closed. It takes fd 0 and 1 for the rest of the process.

    Raises:
        InvalidArgument: stdin or stdout is closed.
    """
    from ollama_mcp.server.transports.pipes import open_stdio, release_stdio

    try:
        from ollama_mcp.server.transports.eras import serve_stream
    except ImportError:
        release_stdio()
        await server.run_stdio_async()
        return
    from ollama_mcp.server.transports.messages import LineSink, LineSource

    raise_open_files()
    without_idle_tracing(server)
    core = low_level(server)
    scope = anyio.CancelScope()
    with stopping_on_signals(scope.cancel):
        # The pipes first, so that nothing which the lifespan starts can write to stdout; and the lifespan outside the
        # scope, so that its clean-up may still await.
        async with open_stdio(scope.cancel) as (lines, writer), core.lifespan(core) as state:
            with scope:
                sink = LineSink(writer)
                source = LineSource(lines, sink)
                await serve_stream(core, source, sink, state, grace=_END_GRACE_SECONDS, at_end=writer.hurry)
            writer.hurry()
