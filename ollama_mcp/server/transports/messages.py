"""JSON-RPC messages over a line reader and a writer, in the shape of the SDK's streams.

The SDK's own stdio costs two task switches and two copies per message here; these streams cost none.
"""

from __future__ import annotations

import json
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, cast

import anyio
from mcp.shared.dispatcher import coerce_request_id
from mcp.shared.message import ServerMessageMetadata, SessionMessage
from mcp.types import (
    INVALID_REQUEST,
    PARSE_ERROR,
    PROTOCOL_VERSION_META_KEY,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCRequest,
    JSONRPCResponse,
    RequestId,
    jsonrpc_message_adapter,
)

from ollama_mcp.server.transports.limits import MAX_MESSAGE_BYTES, MAX_STDIO_CALLS
from ollama_mcp.server.transports.lines import LineReader, Odd
from ollama_mcp.server.transports.writer import Writer

OVERLOADED = -32000
"""JSON-RPC code, of the range for implementations, of a call refused because too many are in flight."""

_END_GRACE_SECONDS = 0.25
_ID_SEARCH_BYTES = 1024 * 1024


class _Closable:
    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Nothing of its own to close: the pipes belong to `open_stdio`."""


class Outgoing(_Closable):
    """Writes messages, and knows which requests still wait for their answer."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self.unanswered: set[RequestId] = set()
        self._all_answered = anyio.Event()

    async def send(self, item: SessionMessage, /) -> None:
        """Writes one message as one line.

        Raises:
            anyio.BrokenResourceError: The client no longer reads.
        """
        await self.write(item.message)

    async def write(self, message: JSONRPCMessage) -> None:
        """As `send`, for a bare message."""
        try:
            await self._writer.write(message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
        finally:
            if isinstance(message, (JSONRPCResponse, JSONRPCError)) and message.id is not None:
                self.settle(message.id)

    def settle(self, request: RequestId) -> None:
        """Marks a request as answered, or as one that gets no answer."""
        self.unanswered.discard(coerce_request_id(request))
        if not self.unanswered:
            self._all_answered.set()

    async def finish(self) -> None:
        """Gives answers that are nearly there a quarter of a second, then stops waiting for a slow reader."""
        with anyio.move_on_after(_END_GRACE_SECONDS):
            while self.unanswered:
                self._all_answered = anyio.Event()
                await self._all_answered.wait()
        self._writer.hurry()


class Incoming(_Closable):
    """Reads messages; what is none is answered with an error here and never reaches the server."""

    def __init__(self, lines: LineReader, outgoing: Outgoing) -> None:
        self._lines = lines
        self._outgoing = outgoing

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def receive(self) -> SessionMessage | Exception:
        """The next message.

        Raises:
            anyio.EndOfStream: The client has closed its side.
        """
        while True:
            line = await self._lines.next()
            if line is Odd.END:
                await self._outgoing.finish()
                raise anyio.EndOfStream
            if line is Odd.TOO_LONG:
                await self._refuse(None, INVALID_REQUEST, f"Line over {MAX_MESSAGE_BYTES} bytes")
            elif line.strip() and (item := await self._read(line)):
                return item

    async def _read(self, line: bytes) -> SessionMessage | None:
        try:
            message = jsonrpc_message_adapter.validate_json(line, by_name=False)
        except ValueError:
            await self._refuse(*_why(line))
            return None
        if not isinstance(message, JSONRPCRequest):
            return SessionMessage(message)
        key = coerce_request_id(message.id)
        pending = self._outgoing.unanswered
        if key in pending:
            # An error under this id would be taken for the answer of the call that already bears it.
            await self._refuse(None, INVALID_REQUEST, f"Request id {message.id!r:.100} is already in flight")
            return None
        if len(pending) >= MAX_STDIO_CALLS:
            await self._refuse(message.id, OVERLOADED, f"Over {MAX_STDIO_CALLS} requests in flight; wait for answers")
            return None
        pending.add(key)
        return SessionMessage(message, self._metadata(message))

    def _metadata(self, request: JSONRPCRequest) -> ServerMessageMetadata:
        async def settle() -> None:
            self._outgoing.settle(request.id)

        return ServerMessageMetadata(can_send_request=not is_modern(request.params), on_request_unanswered=settle)

    async def _refuse(self, request: RequestId | None, code: int, message: str) -> None:
        error = JSONRPCError(jsonrpc="2.0", id=request, error=ErrorData(code=code, message=message))
        with suppress(anyio.BrokenResourceError):  # the writer has told the server already that its client has gone
            await self._outgoing.write(error)


def is_modern(params: Any) -> bool:
    """Whether these params carry the per-request envelope of protocol 2026-07-28."""
    meta: Any = cast("dict[str, Any]", params).get("_meta") if isinstance(params, dict) else None
    return isinstance(meta, dict) and PROTOCOL_VERSION_META_KEY in meta


def _why(line: bytes) -> tuple[RequestId | None, int, str]:
    if len(line) > _ID_SEARCH_BYTES:
        return None, PARSE_ERROR, "Not a JSON-RPC message"
    try:
        value: Any = json.loads(line)
    except (ValueError, RecursionError):
        return None, PARSE_ERROR, "Parse error"
    if isinstance(value, list):
        return None, INVALID_REQUEST, "Batches are not supported; send one message per line"
    fields = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    known = fields.get("id")
    # The id of a broken response belongs to a request of ours, so it must not come back as an answer to the client.
    usable = "method" in fields and isinstance(known, str | int) and not isinstance(known, bool)
    return known if usable else None, INVALID_REQUEST, "Invalid Request"
