"""Serves protocol 2024-11-05 to 2025-11-25 and 2026-07-28 on one connection, each request by the version it names.

The SDK (mcp 2.3.0, `serve_dual_era_loop` in `mcp.server.runner`) decides once, by the first request: a host that probes
with `server/discover` and then sends `initialize` is refused. Obsolete when
`test_a_host_may_probe_with_discover_and_then_initialize` passes with `MCPServer.run_stdio_async`, and its like for SSE
with `serve_dual_era_loop` in `http_app`.

Not all imports below are documented by the SDK. Where they have moved, `run_stdio` falls back on the SDK's own loop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mcp.server.connection import Connection, NotifyOnlyOutbound
from mcp.server.lowlevel import Server
from mcp.server.runner import ServerRunner, aclose_shielded, modern_error_data, serve_one
from mcp.shared.dispatcher import DispatchContext
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import InboundLadderRejection, classify_inbound_request
from mcp.shared.jsonrpc_dispatcher import JSONRPCDispatcher
from mcp.shared.transport_context import TransportContext
from mcp_types.version import LATEST_MODERN_VERSION
from pydantic import ValidationError

from ollama_mcp.server.transports.in_flight import (
    InFlightRequests,
    MessageReceiver,
    MessageSender,
    TrackedSink,
    TrackedSource,
    has_modern_envelope,
)

_Context = DispatchContext[TransportContext]
_Params = Mapping[str, Any] | None


async def serve_stream(
    server: Server[Any],
    source: MessageReceiver,
    sink: MessageSender,
    lifespan_state: Any,
    *,
    grace_seconds: float = 0.0,
    before_cancel: Callable[[], None] = lambda: None,
) -> None:
    """Serve one client until it closes its side. What is in flight then is cancelled.

    Args:
        server: The protocol server.
        source: Messages from the client.
        sink: Messages to the client.
        lifespan_state: What the server's lifespan yielded.
        grace_seconds: How long calls in flight may go on when the client has closed its side.
        before_cancel: Called after that time, before the rest is cancelled.
    """
    in_flight = InFlightRequests()
    dispatcher: JSONRPCDispatcher[TransportContext] = JSONRPCDispatcher(
        TrackedSource(source, sink, in_flight, grace_seconds, before_cancel),
        TrackedSink(sink, in_flight),
        inline_methods=frozenset({"initialize"}),  # what follows in the same write must find the session open
    )
    router = _VersionRouter(server, dispatcher, lifespan_state)
    try:
        await dispatcher.run(router.on_request, router.on_notify)
    finally:
        await aclose_shielded(router.session)


class _VersionRouter:
    """Hands each message of a connection to the SDK's code for the protocol version that it names.

    `session` is the connection of the handshake versions, which lives as long as the client. Requests of 2026-07-28
    have no session; each gets a connection of its own.
    """

    def __init__(self, server: Server[Any], dispatcher: JSONRPCDispatcher[TransportContext], state: Any) -> None:
        self._server = server
        self._state = state
        self._outbound = NotifyOnlyOutbound(dispatcher)
        self.session = Connection.for_loop(dispatcher)
        self._session_runner = ServerRunner(server, self.session, state)

    async def on_request(self, context: _Context, method: str, params: _Params) -> dict[str, Any]:
        # 2026-07-28 has no `initialize`, whatever envelope a client puts on it.
        if method == "initialize" or not has_modern_envelope(params):
            return await self._session_runner.on_request(context, method, params)
        route = classify_inbound_request({"method": method, "params": params})
        if isinstance(route, InboundLadderRejection):
            raise MCPError(code=route.code, message=route.message, data=route.data)
        connection = Connection.from_envelope(
            route.protocol_version, route.client_info, route.client_capabilities, outbound=self._outbound
        )
        try:
            return await serve_one(
                self._server, context, method, params, connection=connection, lifespan_state=self._state
            )
        except (MCPError, ValidationError):
            raise
        except Exception as error:
            # The dispatcher would answer with code 0 and the text of the exception, which 2026-07-28 forbids.
            raise MCPError.from_error_data(modern_error_data(error)) from error

    async def on_notify(self, context: _Context, method: str, params: _Params) -> None:
        # A notification names no version: it belongs to the session where there is one.
        if self.session.initialize_accepted:
            await self._session_runner.on_notify(context, method, params)
            return
        connection = Connection.from_envelope(LATEST_MODERN_VERSION, None, None, outbound=self._outbound)
        try:
            await ServerRunner(self._server, connection, self._state).on_notify(context, method, params)
        finally:
            await aclose_shielded(connection)
