"""The ASGI application of each HTTP transport."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal, cast

from mcp.server import MCPServer

from ollama_mcp.server.transports.body import Receive, Scope, Send
from ollama_mcp.server.transports.exchange import App, answer, free_abandoned
from ollama_mcp.server.transports.guard import Guard
from ollama_mcp.server.transports.limits import MAX_MESSAGE_BYTES
from ollama_mcp.server.transports.sdk import low_level, without_idle_tracing
from ollama_mcp.settings.http import HttpSettings

HttpKind = Literal["http", "sse"]

_HEADERS = (
    "authorization",
    "content-type",
    "last-event-id",
    "mcp-method",
    "mcp-name",
    "mcp-protocol-version",
    "mcp-session-id",
)


@dataclass(frozen=True)
class Application:
    """An ASGI application, and what must run while it serves."""

    guard: Guard
    running: Callable[[], AbstractAsyncContextManager[None]]


def http_application(
    server: MCPServer,
    *,
    kind: HttpKind,
    stateless: bool,
    settings: HttpSettings,
    ready: Callable[[], Awaitable[bool]],
) -> Application:
    """The application that serves `server`; build it once per server, and serve inside its `running()`.

    Args:
        server: What is served. A middleware is added to it.
        kind: Streamable HTTP at /mcp, or SSE at /sse and /messages/.
        stateless: Streamable HTTP without sessions.
        settings: Names, origins and limits.
        ready: Asked by /readyz.
    """
    without_idle_tracing(server)
    server.middleware.insert(0, free_abandoned)
    app, running = _sse(server) if kind == "sse" else _streamable(server, stateless, settings)
    if settings.allowed_origins:
        app = _with_cors(app, settings.allowed_origins)
    return Application(Guard(app, settings, ready), running)


_Parts = tuple[App, Callable[[], AbstractAsyncContextManager[None]]]


def _streamable(server: MCPServer, stateless: bool, settings: HttpSettings) -> _Parts:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

    from ollama_mcp.server.transports.sessions import SessionLimits

    manager = StreamableHTTPSessionManager(
        low_level(server),
        stateless=stateless,
        session_idle_timeout=settings.session_seconds,
        max_request_body_size=MAX_MESSAGE_BYTES,
    )
    served = cast("App", manager.asgi_app)
    inner = served if stateless else SessionLimits(served, settings.max_sessions, settings.session_seconds)

    async def route(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in ("/mcp", "/mcp/"):
            await inner(scope, receive, send)
        else:
            await answer(send, 404, "Not Found")

    return route, manager.run


def _sse(server: MCPServer) -> _Parts:
    from mcp.server.sse import SseServerTransport

    from ollama_mcp.server.transports.eras import serve_stream

    core = low_level(server)
    transport = SseServerTransport("/messages/", max_request_body_size=MAX_MESSAGE_BYTES)
    state: list[Any] = []

    @asynccontextmanager
    async def running() -> AsyncGenerator[None]:
        # Once for the process: the SDK's own SSE application opens a lifespan per connection.
        async with core.lifespan(core) as opened:
            state.append(opened)
            yield

    async def route(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in ("/messages", "/messages/"):
            await transport.handle_post_message(scope, receive, cast("Any", send))
        elif scope["path"] in ("/sse", "/sse/") and scope["method"] == "GET":
            async with transport.connect_sse(scope, receive, cast("Any", send)) as (incoming, outgoing):
                await serve_stream(core, incoming, outgoing, state[0])
        else:
            await answer(send, 404, "Not Found")

    return route, running


def _with_cors(app: App, origins: list[str]) -> App:
    from starlette.middleware.cors import CORSMiddleware

    return cast(
        "App",
        CORSMiddleware(
            cast("Any", app),
            allow_origins=origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=_HEADERS,
            expose_headers=["mcp-session-id"],
        ),
    )
