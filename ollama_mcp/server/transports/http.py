"""The HTTP transports: streamable HTTP and SSE, on an address or a Unix socket, served by uvicorn.

Why not the SDK's own (mcp 2.3.0, `run_streamable_http_async`, `run_sse_async`): `guard`, `cancellation`,
`client_limits` and `http_app` say so, each with its tests.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import closing, contextmanager, nullcontext

import anyio
import h11
import uvicorn
from mcp.server import MCPServer
from uvicorn.protocols.http.h11_impl import H11Protocol

from ollama_mcp.server.auth.authenticator import Authenticator
from ollama_mcp.server.transports.asgi import Route
from ollama_mcp.server.transports.binding import check_open, listen_tcp, listen_unix, warn_of_plain
from ollama_mcp.server.transports.http_app import HttpKind, http_application
from ollama_mcp.server.transports.origin import is_loopback
from ollama_mcp.server.transports.process_setup import (
    ForcedEnd,
    limit_accept_errors,
    raise_open_files,
    stopping_on_signals,
)
from ollama_mcp.server.transports.tls import Certificate
from ollama_mcp.settings.model import HttpSettings

_log = logging.getLogger("ollama_mcp.http")
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
    auth: Authenticator | None = None,
    routes: Mapping[str, Route] = {},
    listening: Callable[[str], None] = lambda url: None,
    force_seconds: float | None = None,
) -> None:
    """Serve until SIGINT, SIGTERM or cancellation. Then responses end, calls are cancelled, the lifespan is closed.

    Args:
        server: What is served.
        kind: "http" (streamable HTTP at /mcp) or "sse" (at /sse).
        host: Address to listen on.
        port: Its port; 0 takes a free one.
        uds: Path of a Unix socket to listen on instead.
        stateless: Streamable HTTP without sessions.
        settings: Names, origins and limits.
        ready: Asked by /readyz.
        auth: Finds out who sends a request; None lets everybody in.
        routes: What is served beside the MCP endpoint, by path.
        listening: Called with the URL (or the socket's path) once clients can connect.
        force_seconds: Time from a signal after which the process is ended whatever hangs; None lets it live.

    Raises:
        NotAllowed: `host` is not loopback, and clients need no token.
        InvalidArgument: The port is in use, `host` is no address, or the certificate cannot be used.
        DiskError: The socket can't be created.
    """
    if auth is None and uds is None and not is_loopback(host):
        check_open(host, settings)
    with closing(listen_tcp(host, port)) if uds is None else listen_unix(uds) as listener:
        certificate = Certificate(settings) if settings.tls_certificate and uds is None else None
        if auth is not None and uds is None:
            warn_of_plain(host, settings)
        raise_open_files()
        limit_accept_errors()
        _quiet_sdk_loggers()
        app = http_application(
            server, kind=kind, stateless=stateless, settings=settings, ready=ready, auth=auth, routes=routes
        )
        web = _Server(
            uvicorn.Config(
                app.guard,
                http=_protocol_with_header_timeout(settings.body_seconds),
                ws="none",
                loop="asyncio",
                lifespan="off",  # `app.running()` below is the lifespan; the guard takes HTTP requests only
                # uvicorn's own would send access lines to stdout and replace what the command line has set up.
                log_config=None,
                access_log=False,
                server_header=False,
                # Peers could otherwise name any address as theirs and evade the limits per client.
                proxy_headers=bool(settings.behind_proxy),
                forwarded_allow_ips=[str(proxy) for proxy in settings.behind_proxy],
                ssl_context_factory=certificate.for_uvicorn if certificate is not None else None,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
            )
        )

        def stop() -> None:
            web.should_exit = True
            # uvicorn waits for open responses, and an event stream never ends by itself.
            app.guard.stop()

        with stopping_on_signals(stop, ForcedEnd(force_seconds)):
            async with app.running(), certificate.watched() if certificate is not None else nullcontext():
                listening(_url(listener, kind, "http" if certificate is None else "https"))
                watching = asyncio.create_task(app.guard.end_revoked())
                try:
                    await web.serve([listener])
                except asyncio.CancelledError:
                    stop()
                    # `serve` was cancelled before its own shutdown.
                    with anyio.CancelScope(shield=True):
                        await web.shutdown([listener])
                    raise
                finally:
                    watching.cancel()


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Generator[None]:
        # uvicorn's would kill the process by the same signal after its own clean-up, before ours.
        yield


def _protocol_with_header_timeout(seconds: float) -> type[H11Protocol]:
    """uvicorn's HTTP/1.1 protocol that closes a connection whose first byte, or the rest of a head, takes longer.

    uvicorn (0.54) limits only the time between requests. Obsolete when `test_headers_that_never_end_are_given_up`
    passes with `http="h11"`.
    """

    class Limited(H11Protocol):
        _timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            self._start_timer()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            # h11 stays idle until the head of a request is whole.
            if self.conn.their_state is h11.IDLE:
                self._start_timer()
            else:
                self._stop_timer()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_timer()
            super().connection_lost(exc)

        def _start_timer(self) -> None:
            if self._timer is None:
                self._timer = self.loop.call_later(seconds, self._on_timeout)

        def _stop_timer(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _on_timeout(self) -> None:
            _log.warning("no request within %g seconds from %s", seconds, self.client[0] if self.client else "socket")
            self.transport.close()

    return Limited


def _url(listener: socket.socket, kind: HttpKind, scheme: str) -> str:
    if listener.family not in (socket.AF_INET, socket.AF_INET6):
        return str(listener.getsockname())
    address, port = listener.getsockname()[:2]
    # From the socket, not from the arguments: port 0 has become a real one.
    name = f"[{address}]" if listener.family == socket.AF_INET6 else address
    return f"{scheme}://{name}:{port}/{'sse' if kind == 'sse' else 'mcp'}"


def _quiet_sdk_loggers() -> None:
    # Our guard logs refusals, one line each. The SDK adds lines that hold session ids, bodies and tracebacks.
    logging.getLogger("mcp.server.sse").setLevel(logging.CRITICAL)
    logging.getLogger("mcp.server.streamable_http").setLevel(logging.WARNING)
    logging.getLogger("mcp.server.streamable_http_manager").setLevel(logging.ERROR)
