"""The ASGI application of each HTTP transport."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal, cast

from mcp.server import MCPServer

from ollama_mcp.server.auth.authenticator import Authenticator
from ollama_mcp.server.auth.scopes import carry_principal
from ollama_mcp.server.sdk import lowlevel_server
from ollama_mcp.server.transports import MAX_MESSAGE_BYTES
from ollama_mcp.server.transports.asgi import ASGIApp, Receive, Route, Scope, Send, route_of, send_text
from ollama_mcp.server.transports.cancellation import cancel_abandoned
from ollama_mcp.server.transports.guard import Guard
from ollama_mcp.server.transports.page import is_asked, page
from ollama_mcp.settings.model import HttpSettings

HttpKind = Literal["http", "sse"]

# What MCP clients in a web page send.
_CORS_REQUEST_HEADERS = (
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
    """An ASGI application, and the context that must be open while it serves."""

    guard: Guard
    running: Callable[[], AbstractAsyncContextManager[None]]


def http_application(
    server: MCPServer,
    *,
    kind: HttpKind,
    stateless: bool,
    settings: HttpSettings,
    ready: Callable[[], Awaitable[bool]],
    auth: Authenticator | None = None,
    routes: Mapping[str, Route] = {},
) -> Application:
    """The application that serves `server`. Build it once per server, and serve inside its `running()`.

    Args:
        server: What is served. A middleware is added to it.
        kind: Streamable HTTP at /mcp, or SSE at /sse and /messages/.
        stateless: Streamable HTTP without sessions.
        settings: Names, origins and limits.
        ready: Asked by /readyz.
        auth: Finds out who sends a request; None lets everybody in.
        routes: What is served beside it, by path.
    """
    if auth is not None:
        server.middleware.insert(0, carry_principal)
    # The outermost, so that a cancelled call unwinds the other middleware too.
    server.middleware.insert(0, cancel_abandoned)
    app, running = _sse(server) if kind == "sse" else _streamable_http(server, stateless, settings)
    endpoint = "/sse" if kind == "sse" else "/mcp"
    app = _with_routes(_with_page(app, endpoint, needs_token=auth is not None), routes)
    # Without a listed origin the guard refuses every request of a web page before CORS could matter.
    if settings.allowed_origins:
        app = _with_cors(app, settings.allowed_origins)

    @asynccontextmanager
    async def all_running() -> AsyncGenerator[None]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(running())
            for route in routes.values():
                await stack.enter_async_context(route.running())
            yield

    return Application(Guard(app, settings, ready, auth, endpoint, routes), all_running if routes else running)


_AppAndContext = tuple[ASGIApp, Callable[[], AbstractAsyncContextManager[None]]]


def _streamable_http(server: MCPServer, stateless: bool, settings: HttpSettings) -> _AppAndContext:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

    from ollama_mcp.server.transports.client_limits import SessionLimits

    manager = StreamableHTTPSessionManager(
        lowlevel_server(server),
        stateless=stateless,
        session_idle_timeout=settings.session_seconds,
        max_request_body_size=MAX_MESSAGE_BYTES,
    )
    sdk_app = cast("ASGIApp", manager.asgi_app)
    app = sdk_app if stateless else SessionLimits(sdk_app, settings.max_sessions, settings.session_seconds)

    async def route(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in ("/mcp", "/mcp/"):
            await app(scope, receive, send)
        else:
            await send_text(send, 404, "Not Found")

    return route, manager.run


def _sse(server: MCPServer) -> _AppAndContext:
    from mcp.server.sse import SseServerTransport

    from ollama_mcp.server.transports.connection import serve_stream

    core = lowlevel_server(server)
    transport = SseServerTransport("/messages/", max_request_body_size=MAX_MESSAGE_BYTES)
    state: list[Any] = []  # one item once `running` is open

    @asynccontextmanager
    async def running() -> AsyncGenerator[None]:
        # `MCPServer.sse_app` of the SDK (mcp 2.3.0) opens a lifespan per connection, and the first client to leave
        # would close the hosts and the store of all. Obsolete when `test_the_sdk_client_works_over_sse` passes with it.
        async with core.lifespan(core) as lifespan_state:
            state.append(lifespan_state)
            yield

    async def route(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in ("/messages", "/messages/"):
            await transport.handle_post_message(scope, receive, cast("Any", send))
        elif scope["path"] in ("/sse", "/sse/") and scope["method"] == "GET":
            async with transport.connect_sse(scope, receive, cast("Any", send)) as (source, sink):
                await serve_stream(core, source, sink, state[0])
        else:
            await send_text(send, 404, "Not Found")

    return route, running


def _with_page(app: ASGIApp, endpoint: str, *, needs_token: bool) -> ASGIApp:
    async def route(scope: Scope, receive: Receive, send: Send) -> None:
        if is_asked(scope, endpoint):
            await send_text(send, 200, page(scope, endpoint, needs_token=needs_token))
        else:
            await app(scope, receive, send)

    return route


def _with_routes(app: ASGIApp, routes: Mapping[str, Route]) -> ASGIApp:
    if not routes:
        return app

    async def dispatch(scope: Scope, receive: Receive, send: Send) -> None:
        route = route_of(routes, scope["path"])
        await (app if route is None else route.app)(scope, receive, send)

    return dispatch


def _with_cors(app: ASGIApp, origins: list[str]) -> ASGIApp:
    from starlette.middleware.cors import CORSMiddleware

    return cast(
        "ASGIApp",
        CORSMiddleware(
            cast("Any", app),
            allow_origins=origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=_CORS_REQUEST_HEADERS,
            expose_headers=["mcp-session-id"],
        ),
    )
