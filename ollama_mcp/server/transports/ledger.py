"""The requests of one connection that wait for their answer.

The SDK lets a second request take an id that is in flight, and then mixes up answers and cancellations; nor does it
bound how many are in flight. The two wrappers here, around a connection's streams, see to both.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

import anyio
from mcp.shared._stream_protocols import ReadStream, WriteStream
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

from ollama_mcp.server.transports.limits import MAX_CONNECTION_CALLS
from ollama_mcp.server.transports.streams import MessageSink, MessageSource

OVERLOADED = -32000
"""JSON-RPC code, of the range for implementations, of a request refused because too many are in flight."""


class Ledger:
    """The ids in flight on one connection."""

    def __init__(self) -> None:
        self._open: set[RequestId] = set()
        self._empty = anyio.Event()

    def enter(self, request: JSONRPCRequest) -> SessionMessage | None:
        """Takes the request in; where that can't be, the error to answer it with."""
        key = coerce_request_id(request.id)
        if key in self._open:
            # An error under this id would be taken for the answer of the call that already bears it.
            return refusal(None, INVALID_REQUEST, f"Request id {request.id!r:.100} is already in flight")
        if len(self._open) >= MAX_CONNECTION_CALLS:
            return refusal(request.id, OVERLOADED, f"Over {MAX_CONNECTION_CALLS} requests in flight; wait for answers")
        self._open.add(key)
        return None

    def settle(self, request: RequestId) -> None:
        """The request has been answered, or gets no answer."""
        self._open.discard(coerce_request_id(request))
        if not self._open:
            self._empty.set()

    async def settled(self) -> None:
        """Waits until nothing is in flight."""
        while self._open:
            self._empty = anyio.Event()
            await self._empty.wait()


class Admission(MessageSource):
    """Passes messages on, except requests that the ledger refuses: these it answers.

    Args:
        source: Where messages come from.
        sink: Where refusals go.
        ledger: The connection's ledger.
        grace: Seconds that calls in flight still get when the client has closed its side.
        at_end: Called after that.
    """

    def __init__(
        self,
        source: ReadStream[SessionMessage | Exception],
        sink: WriteStream[SessionMessage],
        ledger: Ledger,
        grace: float,
        at_end: Callable[[], None],
    ) -> None:
        self._source = source
        self._sink = sink
        self._ledger = ledger
        self._grace = grace
        self._at_end = at_end

    async def receive(self) -> SessionMessage | Exception:
        """The next message that the server shall see."""
        while True:
            try:
                item = await self._source.receive()
            except anyio.EndOfStream:
                with anyio.move_on_after(self._grace):
                    await self._ledger.settled()
                self._at_end()
                raise
            if isinstance(item, Exception) or not isinstance(item.message, JSONRPCRequest):
                return item
            if (refused := self._ledger.enter(item.message)) is None:
                return SessionMessage(item.message, self._metadata(item, item.message))
            with suppress(anyio.BrokenResourceError):
                await self._sink.send(refused)

    async def aclose(self) -> None:
        """Closes the source."""
        await self._source.aclose()

    def _metadata(self, item: SessionMessage, request: JSONRPCRequest) -> ServerMessageMetadata:
        async def settle() -> None:
            self._ledger.settle(request.id)

        known = item.metadata
        context = known.request_context if isinstance(known, ServerMessageMetadata) else None
        return ServerMessageMetadata(
            request_context=context, on_request_unanswered=settle, can_send_request=not is_modern(request.params)
        )


class Settlement(MessageSink):
    """Passes messages on, and settles the requests that they answer."""

    def __init__(self, sink: WriteStream[SessionMessage], ledger: Ledger) -> None:
        self._sink = sink
        self._ledger = ledger

    async def send(self, item: SessionMessage, /) -> None:
        """Sends one message; a request whose answer could not be sent is settled too."""
        message = item.message
        try:
            await self._sink.send(item)
        finally:
            if isinstance(message, JSONRPCResponse | JSONRPCError) and message.id is not None:
                self._ledger.settle(message.id)

    async def aclose(self) -> None:
        """Closes the sink."""
        await self._sink.aclose()


def is_modern(params: Any) -> bool:
    """Whether these params carry the per-request envelope of protocol 2026-07-28."""
    meta: Any = cast("dict[str, Any]", params).get("_meta") if isinstance(params, dict) else None
    return isinstance(meta, dict) and PROTOCOL_VERSION_META_KEY in meta


def refusal(request: RequestId | None, code: int, message: str) -> SessionMessage:
    """A JSON-RPC error as a message for the client."""
    return SessionMessage(JSONRPCError(jsonrpc="2.0", id=request, error=ErrorData(code=code, message=message)))
