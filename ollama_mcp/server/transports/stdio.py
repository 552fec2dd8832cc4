"""The stdio transport."""

from __future__ import annotations

import anyio
from mcp.server import MCPServer

from ollama_mcp.server.transports.sdk import low_level, without_idle_tracing
from ollama_mcp.server.transports.signals import stopping_on_signals


async def run_stdio(server: MCPServer) -> None:
    """Serves one client over the process's stdin and stdout, until it closes stdin or a signal comes.

    Serves protocol 2024-11-05 to 2026-07-28, also mixed. Lines may have 72 MiB. When it ends, calls in flight are
    cancelled and the server's lifespan is closed. It takes fd 0 and 1 for the rest of the process.

    Raises:
        InvalidArgument: stdin or stdout is closed.
    """
    try:
        from ollama_mcp.server.transports.eras import serve_stream
    except ImportError:
        await server.run_stdio_async()
        return
    from ollama_mcp.server.transports.messages import Incoming, Outgoing
    from ollama_mcp.server.transports.pipes import open_stdio

    without_idle_tracing(server)
    core = low_level(server)
    scope = anyio.CancelScope()
    with stopping_on_signals(scope.cancel):
        # The lifespan closes outside the scope, so that its clean-up may still await.
        async with core.lifespan(core) as state, open_stdio(scope.cancel) as (lines, writer):
            with scope:
                outgoing = Outgoing(writer)
                await serve_stream(core, Incoming(lines, outgoing), outgoing, state)
            writer.hurry()
