"""The stdio transport, in place of `MCPServer.run_stdio_async` of the SDK (mcp 2.3.0).

`pipes`, `lines`, `json_lines`, `in_flight`, `protocol_versions` and `process_setup` say what is wrong with that one,
and which test shows whether it still is. To see all at once, call `run_stdio_async` at the top of `run_stdio` and run
`test_stdio_protocol.py` and `test_stdio_faults.py`.
"""

from __future__ import annotations

import anyio
from mcp.server import MCPServer

from ollama_mcp.server.sdk import lowlevel_server, remove_unused_tracing
from ollama_mcp.server.transports.pipes import open_stdio, release_stdio
from ollama_mcp.server.transports.process_setup import raise_open_files, stopping_on_signals

_GRACE_SECONDS = 0.25
"""A pipeline such as `printf ... | ollama-mcp-server` closes stdin at once and still wants its answers."""


async def run_stdio(server: MCPServer, received: bytes = b"", answered: int = 0) -> None:
    """Serve one client over the process's stdin and stdout, until it closes stdin or a signal comes.

    Serves protocol 2024-11-05 to 2026-07-28, also mixed, with lines of up to 72 MiB. At the end calls in flight are
    cancelled and the server's lifespan is closed. Descriptors 0 and 1 stay claimed for the rest of the process.

    Args:
        server: The server.
        received: What the client has sent already.
        answered: How many answers to that it has already: the first ones are not sent.

    Raises:
        InvalidArgument: stdin or stdout is closed.
    """
    try:
        # Late, because these build on names that the SDK does not document and may move.
        from ollama_mcp.server.transports.json_lines import LineSink, LineSource
        from ollama_mcp.server.transports.protocol_versions import serve_stream
    except ImportError:
        release_stdio()
        await server.run_stdio_async()
        return

    raise_open_files()
    remove_unused_tracing(server)
    core = lowlevel_server(server)
    scope = anyio.CancelScope()
    with stopping_on_signals(scope.cancel):
        # The pipes first, so that nothing which the lifespan starts can write to stdout; and the lifespan outside the
        # scope, so that its clean-up may still await.
        async with open_stdio(scope.cancel, received) as (reader, writer), core.lifespan(core) as state:
            with scope:
                sink = LineSink(writer, answered)
                source = LineSource(reader, sink)
                await serve_stream(
                    core,
                    source,
                    sink,
                    state,
                    grace_seconds=_GRACE_SECONDS,
                    before_cancel=writer.ignore_backpressure,
                )
            writer.ignore_backpressure()
