"""The requests in flight on one stdio or SSE connection: each id once, and not more than a limit.

The dispatcher of the SDK (mcp 2.3.0, `mcp.shared.jsonrpc_dispatcher`) lets a second request take an id that is in
flight, and then mixes up answers and cancellations. It starts any number of requests at once. And it drops what is in
flight as soon as the client closes its side, so a shell pipeline gets no answers. The two streams here, around a
connection's own, see to all three. Obsolete when these tests pass without them:
`test_a_second_request_of_an_id_in_flight_is_refused_and_the_first_answered`,
`test_requests_beyond_the_limit_in_flight_are_refused_at_once`,
`test_a_call_in_flight_when_stdin_closes_still_gets_its_answer`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol, cast

import anyio
from anyio.abc import ObjectReceiveStream, ObjectSendStream
from mcp.shared.dispatcher import coerce_request_id
from mcp.shared.message import ServerMessageMetadata, SessionMessage
from mcp.types import (
    INVALID_REQUEST,
    PROTOCOL_VERSION_META_KEY,
    ErrorData,
    JSONRPCError,
    JSONRPCRequest,
    JSONRPCResponse,
    RequestId,
)

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
            return error_message(None, INVALID_REQUEST, f"Request id {request.id!r:.100} is already in flight")
        if len(self._ids) >= MAX_CONNECTION_CALLS:
            text = f"Over {MAX_CONNECTION_CALLS} requests in flight; wait for answers"
            return error_message(request.id, OVERLOADED, text)
        self._ids.add(key)
        return None

    def remove(self, request_id: RequestId) -> None:
        """Remove a request that has been answered or will get no answer."""
        self._ids.discard(coerce_request_id(request_id))
        if not self._ids:
            self._empty.set()

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

    async def receive(self) -> SessionMessage | Exception:
        """The next message for the server.

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
                raise
            if isinstance(item, Exception) or not isinstance(item.message, JSONRPCRequest):
                return item
            if (refusal := self._in_flight.add(item.message)) is None:
                return SessionMessage(item.message, self._metadata(item, item.message))
            with suppress(anyio.BrokenResourceError):
                await self._sink.send(refusal)

    async def aclose(self) -> None:
        """Close the source."""
        await self._source.aclose()

    def _metadata(self, item: SessionMessage, request: JSONRPCRequest) -> ServerMessageMetadata:
        async def remove() -> None:
            self._in_flight.remove(request.id)

        known = item.metadata
        context = known.request_context if isinstance(known, ServerMessageMetadata) else None
        return ServerMessageMetadata(
            request_context=context,
            # A cancelled request is never answered, so the sink would not see its end.
            on_request_unanswered=remove,
            # Protocol 2026-07-28 has no requests from the server to the client.
            can_send_request=not has_modern_envelope(request.params),
        )


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


def has_modern_envelope(params: Any) -> bool:
    """Whether these params carry the per-request envelope of protocol 2026-07-28."""
    meta: Any = cast("dict[str, Any]", params).get("_meta") if isinstance(params, dict) else None
    return isinstance(meta, dict) and PROTOCOL_VERSION_META_KEY in meta


def error_message(request_id: RequestId | None, code: int, text: str) -> SessionMessage:
    """A JSON-RPC error as a message to the client."""
    return SessionMessage(JSONRPCError(jsonrpc="2.0", id=request_id, error=ErrorData(code=code, message=text)))
