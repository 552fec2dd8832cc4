"""The HTTP transports: streamable HTTP and SSE, on loopback or a Unix socket."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Generator
from contextlib import closing, contextmanager

import anyio
from mcp.server import MCPServer

from ollama_mcp.server.transports.app import HttpKind, http_application
from ollama_mcp.server.transports.binding import listen_tcp, listen_unix
from ollama_mcp.server.transports.limits import raise_open_files
from ollama_mcp.server.transports.signals import stopping_on_signals
from ollama_mcp.settings.http import HttpSettings

_KEEP_ALIVE_SECONDS = 75
_SHUTDOWN_SECONDS = 2


async def serve_http(
    server: MCPServer,
    *,
    kind: HttpKind,
    host: str,
    port: int,
    uds: str | None,
    stateless: bool,
    settings: HttpSettings,
    ready: Callable[[], Awaitable[bool]],
    listening: Callable[[str], None] = lambda url: None,
) -> None:
    """Serves until SIGINT, SIGTERM or cancellation; then answers end, calls are cancelled, the lifespan is closed.

    Args:
        server: What is served.
        kind: "http" (streamable HTTP at /mcp) or "sse" (at /sse).
        host: Loopback address to listen on.
        port: Its port; 0 takes a free one.
        uds: Path of a Unix socket to listen on instead.
        stateless: Streamable HTTP without sessions.
        settings: Names, origins and limits.
        ready: Asked by /readyz.
        listening: Called with the URL (or the socket's path) once clients can connect.

    Raises:
        NotAllowed: `host` is not loopback.
        InvalidArgument: The port is in use.
        DiskError: The socket can't be made.
    """
    import uvicorn

    from ollama_mcp.server.transports.protocol import protocol_with_header_limit

    class Server(uvicorn.Server):
        @contextmanager
        def capture_signals(self) -> Generator[None]:
            # uvicorn's would kill the process by the same signal after its own clean-up, before ours.
            yield

    with closing(listen_tcp(host, port)) if uds is None else listen_unix(uds) as listener:
        raise_open_files()
        _quieten_sdk()
        app = http_application(server, kind=kind, stateless=stateless, settings=settings, ready=ready)
        web = Server(
            uvicorn.Config(
                app.guard,
                http=protocol_with_header_limit(settings.body_seconds),
                ws="none",
                loop="asyncio",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                # Loopback peers could otherwise name any address as theirs and evade the limits per client.
                proxy_headers=False,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
            )
        )

        def stop() -> None:
            web.should_exit = True
            app.guard.stop()

        with stopping_on_signals(stop):
            async with app.running():
                listening(_url(listener, kind))
                try:
                    await web.serve([listener])
                except asyncio.CancelledError:
                    stop()
                    with anyio.CancelScope(shield=True):
                        await web.shutdown([listener])
                    raise


def _url(listener: socket.socket, kind: HttpKind) -> str:
    if listener.family not in (socket.AF_INET, socket.AF_INET6):
        return str(listener.getsockname())
    address, port = listener.getsockname()[:2]
    name = f"[{address}]" if listener.family == socket.AF_INET6 else address
    return f"http://{name}:{port}/{'sse' if kind == 'sse' else 'mcp'}"


def _quieten_sdk() -> None:
    # Refusals are logged by our guard, once. The SDK adds lines that hold session ids, bodies and tracebacks.
    logging.getLogger("mcp.server.sse").setLevel(logging.CRITICAL)
    logging.getLogger("mcp.server.streamable_http").setLevel(logging.WARNING)
    logging.getLogger("mcp.server.streamable_http_manager").setLevel(logging.ERROR)
