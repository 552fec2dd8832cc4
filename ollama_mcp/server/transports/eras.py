"""Serves both protocol eras on one connection, request by request.

The SDK decides the era once, by the first request, so a host that probes with `server/discover` and then sends
`initialize` is refused. Here each request is served by the era that it names.

The imports below are not all public in SDK 2.3; where they have moved, `run_stdio` uses the SDK's own loop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mcp.server.connection import Connection, NotifyOnlyOutbound
from mcp.server.lowlevel import Server
from mcp.server.runner import ServerRunner, aclose_shielded, modern_error_data, serve_one
from mcp.shared._stream_protocols import ReadStream, WriteStream
from mcp.shared.dispatcher import DispatchContext
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import InboundLadderRejection, classify_inbound_request
from mcp.shared.jsonrpc_dispatcher import JSONRPCDispatcher
from mcp.shared.message import SessionMessage
from mcp.shared.transport_context import TransportContext
from mcp_types.version import LATEST_MODERN_VERSION
from pydantic import ValidationError

from ollama_mcp.server.transports.ledger import Admission, Ledger, Settlement, is_modern

_Context = DispatchContext[TransportContext]
_Params = Mapping[str, Any] | None


async def serve_stream(
    server: Server[Any],
    incoming: ReadStream[SessionMessage | Exception],
    outgoing: WriteStream[SessionMessage],
    lifespan_state: Any,
    *,
    grace: float = 0.0,
    at_end: Callable[[], None] = lambda: None,
) -> None:
    """Serves one client until it closes its side; what is in flight then is cancelled.

    Args:
        server: The protocol server.
        incoming: Messages from the client.
        outgoing: Messages to the client.
        lifespan_state: What the server's lifespan gave.
        grace: Seconds that calls in flight still get when the client has closed its side.
        at_end: Called after that, before the rest is cancelled.
    """
    ledger = Ledger()
    dispatcher: JSONRPCDispatcher[TransportContext] = JSONRPCDispatcher(
        Admission(incoming, outgoing, ledger, grace, at_end),
        Settlement(outgoing, ledger),
        inline_methods=frozenset({"initialize"}),  # what follows in the same write must find the session open
    )
    eras = _Eras(server, dispatcher, lifespan_state)
    try:
        await dispatcher.run(eras.on_request, eras.on_notify)
    finally:
        await aclose_shielded(eras.handshaken)


class _Eras:
    def __init__(self, server: Server[Any], dispatcher: JSONRPCDispatcher[TransportContext], state: Any) -> None:
        self._server = server
        self._state = state
        self._outbound = NotifyOnlyOutbound(dispatcher)
        self.handshaken = Connection.for_loop(dispatcher)
        self._legacy = ServerRunner(server, self.handshaken, state)

    async def on_request(self, context: _Context, method: str, params: _Params) -> dict[str, Any]:
        if method == "initialize" or not is_modern(params):
            return await self._legacy.on_request(context, method, params)
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
            raise MCPError.from_error_data(modern_error_data(error)) from error

    async def on_notify(self, context: _Context, method: str, params: _Params) -> None:
        if self.handshaken.initialize_accepted:
            await self._legacy.on_notify(context, method, params)
            return
        connection = Connection.from_envelope(LATEST_MODERN_VERSION, None, None, outbound=self._outbound)
        try:
            await ServerRunner(self._server, connection, self._state).on_notify(context, method, params)
        finally:
            await aclose_shielded(connection)
