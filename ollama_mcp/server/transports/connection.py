"""Serves one client of stdio or SSE: its requests in flight, and the protocol version of each message.

The dispatcher of the SDK (mcp 2.3.0, `mcp.shared.jsonrpc_dispatcher`) lets a second request take an id that is in
flight, and then mixes up answers and cancellations. It starts any number of requests at once. And it drops what is in
flight as soon as the client closes its side, so a shell pipeline gets no answers. `TrackedSource` and `TrackedSink`,
around a connection's own streams, see to all three. Obsolete when these tests pass without them:
`test_a_second_request_of_an_id_in_flight_is_refused_and_the_first_answered`,
`test_requests_beyond_the_limit_in_flight_are_refused_at_once`,
`test_a_call_in_flight_when_stdin_closes_still_gets_its_answer`.

The SDK (`serve_dual_era_loop` in `mcp.server.runner`) decides once, by the first request, which protocol a connection
speaks: a host that probes with `server/discover` and then sends `initialize` is refused. Here 2024-11-05 to 2025-11-25
and 2026-07-28 are served on one connection, each request by the version it names. Obsolete when
`test_a_host_may_probe_with_discover_and_then_initialize` passes with `MCPServer.run_stdio_async`, and its like for SSE
with `serve_dual_era_loop` in `http_app`.

Not all imports below are documented by the SDK. Where they have moved, `run_stdio` falls back on the SDK's own loop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Protocol, cast

import anyio
from anyio.abc import ObjectReceiveStream, ObjectSendStream
from mcp.server.connection import Connection, NotifyOnlyOutbound
from mcp.server.lowlevel import Server
from mcp.server.runner import ServerRunner, aclose_shielded, modern_error_data, serve_one
from mcp.shared.dispatcher import DispatchContext, coerce_request_id
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import InboundLadderRejection, classify_inbound_request
from mcp.shared.jsonrpc_dispatcher import JSONRPCDispatcher
from mcp.shared.message import ServerMessageMetadata, SessionMessage
from mcp.shared.transport_context import TransportContext
from mcp.types import (
    INVALID_REQUEST,
    PROTOCOL_VERSION_META_KEY,
    ErrorData,
    JSONRPCError,
    JSONRPCRequest,
    JSONRPCResponse,
    RequestId,
)
from mcp_types.version import LATEST_MODERN_VERSION
from pydantic import ValidationError

from ollama_mcp.server.transports.direct_calls import DirectCalls

_Context = DispatchContext[TransportContext]
_Params = Mapping[str, Any] | None

MAX_CONNECTION_CALLS = 2_000
"""Requests in flight on one stdio or SSE connection; further ones are answered with an error at once."""

OVERLOADED = -32000
"""JSON-RPC code, of the range for implementations, of a request refused because too many are in flight."""


class MessageReceiver(Protocol):
    """A connection's messages from the client, as the SDK's streams and anyio's have them."""

    async def receive(self) -> SessionMessage | Exception:
        """The next message.

        Raises:
            anyio.EndOfStream: The client has closed its side.
        """
        ...

    async def aclose(self) -> None:
        """Close the stream."""
        ...


class MessageSender(Protocol):
    """A connection's messages to the client, as the SDK's streams and anyio's have them."""

    async def send(self, item: SessionMessage, /) -> None:
        """Send one message.

        Raises:
            anyio.BrokenResourceError: The client no longer reads.
        """
        ...

    async def aclose(self) -> None:
        """Close the stream."""
        ...


class InFlightRequests:
    """The ids of one connection's requests that have no answer yet."""

    def __init__(self) -> None:
        self._ids: set[RequestId] = set()
        self._empty = anyio.Event()

    def add(self, request: JSONRPCRequest) -> SessionMessage | None:
        """Add a request. Where that is not allowed, return the error to answer it with."""
        key = coerce_request_id(request.id)  # 7 and "7" are one id to the SDK's dispatcher
        if key in self._ids:
            # Without an id: under this one the error would pass for the answer of the call that has it.
            return _error_message(None, INVALID_REQUEST, f"Request id {request.id!r:.100} is already in flight")
        if len(self._ids) >= MAX_CONNECTION_CALLS:
            text = f"Over {MAX_CONNECTION_CALLS} requests in flight; wait for answers"
            return _error_message(request.id, OVERLOADED, text)
        self._ids.add(key)
        return None

    def remove(self, request_id: RequestId) -> None:
        """Remove a request that has been answered."""
        self._ids.discard(coerce_request_id(request_id))
        if not self._ids:
            self._empty.set()

    async def forget(self, request_id: RequestId) -> None:
        """Remove a request that will get no answer."""
        self.remove(request_id)

    async def wait_until_empty(self) -> None:
        """Wait until nothing is in flight."""
        while self._ids:
            self._empty = anyio.Event()
            await self._empty.wait()


class TrackedSource(ObjectReceiveStream[SessionMessage | Exception]):
    """Passes messages from the client on and notes requests. Those it may not pass on it answers with an error.

    Args:
        source: Where messages come from.
        sink: Where refusals go.
        in_flight: The connection's requests.
        grace_seconds: How long calls in flight may go on when the client has closed its side.
        before_cancel: Called after that time.
    """

    def __init__(
        self,
        source: MessageReceiver,
        sink: MessageSender,
        in_flight: InFlightRequests,
        grace_seconds: float,
        before_cancel: Callable[[], None],
    ) -> None:
        self._source = source
        self._sink = sink
        self._in_flight = in_flight
        self._grace_seconds = grace_seconds
        self._before_cancel = before_cancel
        self.calls: DirectCalls | None = None

    async def receive(self) -> SessionMessage | Exception:
        """The next message for the SDK's dispatcher.

        Raises:
            anyio.EndOfStream: The client has closed its side, and the time for calls in flight is over.
        """
        while True:
            try:
                item = await self._source.receive()
            except anyio.EndOfStream:
                # The dispatcher cancels all calls as soon as it sees the end.
                with anyio.move_on_after(self._grace_seconds):
                    await self._in_flight.wait_until_empty()
                self._before_cancel()
                if self.calls is not None:
                    await self.calls.aclose()
                raise
            if isinstance(item, Exception) or not isinstance(item.message, JSONRPCRequest):
                if self.calls is not None and not isinstance(item, Exception):
                    self.calls.see(item.message)
                return item
            request = item.message
            if (refusal := self._in_flight.add(request)) is None:
                known = item.metadata
                is_modern = _has_modern_envelope(request.params)
                # What comes with an HTTP request is for the middleware.
                if self.calls is not None and known is None and not is_modern and self.calls.take(request):
                    continue
                item.metadata = ServerMessageMetadata(
                    request_context=known.request_context if isinstance(known, ServerMessageMetadata) else None,
                    # A cancelled request is never answered, so the sink would not see its end.
                    on_request_unanswered=partial(self._in_flight.forget, request.id),
                    # Protocol 2026-07-28 has no requests from the server to the client.
                    can_send_request=not is_modern,
                )
                return item
            with suppress(anyio.BrokenResourceError):
                await self._sink.send(refusal)

    async def aclose(self) -> None:
        """Close the source."""
        await self._source.aclose()


class TrackedSink(ObjectSendStream[SessionMessage]):
    """Passes messages to the client on and removes the requests that they answer."""

    def __init__(self, sink: MessageSender, in_flight: InFlightRequests) -> None:
        self._sink = sink
        self._in_flight = in_flight

    async def send(self, item: SessionMessage) -> None:
        """Send one message. A request whose answer could not be sent is removed too."""
        message = item.message
        try:
            await self._sink.send(item)
        finally:
            if isinstance(message, JSONRPCResponse | JSONRPCError) and message.id is not None:
                self._in_flight.remove(message.id)

    async def aclose(self) -> None:
        """Close the sink."""
        await self._sink.aclose()


def _has_modern_envelope(params: Any) -> bool:
    """Whether these params carry the per-request envelope of protocol 2026-07-28."""
    meta: Any = cast("dict[str, Any]", params).get("_meta") if isinstance(params, dict) else None
    return isinstance(meta, dict) and PROTOCOL_VERSION_META_KEY in meta


def _error_message(request_id: RequestId | None, code: int, text: str) -> SessionMessage:
    """A JSON-RPC error as a message to the client."""
    return SessionMessage(JSONRPCError(jsonrpc="2.0", id=request_id, error=ErrorData(code=code, message=text)))


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
    tracked_source = TrackedSource(source, sink, in_flight, grace_seconds, before_cancel)
    tracked_sink = TrackedSink(sink, in_flight)
    dispatcher: JSONRPCDispatcher[TransportContext] = JSONRPCDispatcher(
        tracked_source,
        tracked_sink,
        inline_methods=frozenset({"initialize"}),  # what follows in the same write must find the session open
    )
    router = _VersionRouter(server, dispatcher, lifespan_state)
    calls = DirectCalls(server, router.session, dispatcher, tracked_sink, in_flight.remove, lifespan_state)
    tracked_source.calls = calls
    try:
        await dispatcher.run(router.on_request, router.on_notify)
    finally:
        await calls.aclose()
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
        if method == "initialize" or not _has_modern_envelope(params):
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
