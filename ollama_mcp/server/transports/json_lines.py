"""JSON-RPC messages as lines: one message a line, as MCP's stdio transport has it.

The SDK (mcp 2.3.0, `mcp.server.stdio`) drops a line that is not a message without an answer, so its sender waits for
ever. Obsolete when `test_a_line_that_is_no_message_is_answered_and_the_next_one_served` passes with
`MCPServer.run_stdio_async`.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any, cast

import anyio
from anyio.abc import ObjectReceiveStream, ObjectSendStream
from mcp.shared.message import SessionMessage
from mcp.types import INVALID_REQUEST, PARSE_ERROR, JSONRPCMessage, RequestId, jsonrpc_message_adapter

from ollama_mcp.server.transports import MAX_MESSAGE_BYTES
from ollama_mcp.server.transports.in_flight import error_message
from ollama_mcp.server.transports.lines import LineEvent, LineReader, LineWriter

_MAX_ID_SEARCH_BYTES = 1024 * 1024


class LineSink(ObjectSendStream[SessionMessage]):
    """Writes messages as lines."""

    def __init__(self, writer: LineWriter) -> None:
        self._writer = writer

    async def send(self, item: SessionMessage) -> None:
        """Write one message in one write.

        Raises:
            anyio.BrokenResourceError: The client no longer reads.
        """
        await self._writer.write(_as_json(item.message) + b"\n")

    async def aclose(self) -> None:
        """Do nothing: `open_stdio` closes the writer, once what is buffered has been sent."""


class LineSource(ObjectReceiveStream[SessionMessage | Exception]):
    """Reads messages from lines. A line that is not a message is answered with an error."""

    def __init__(self, lines: LineReader, sink: LineSink) -> None:
        self._lines = lines
        self._sink = sink

    async def receive(self) -> SessionMessage | Exception:
        """The next message.

        Raises:
            anyio.EndOfStream: The client has closed its side.
        """
        while True:
            line = await self._lines.readline()
            if line is LineEvent.END:
                raise anyio.EndOfStream
            if line is LineEvent.TOO_LONG:
                await self._answer(error_message(None, INVALID_REQUEST, f"Line over {MAX_MESSAGE_BYTES} bytes"))
            elif line.strip():  # blank lines and a bare carriage return are nothing
                try:
                    return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
                except ValueError:
                    await self._answer(error_message(*_diagnose(line)))

    async def aclose(self) -> None:
        """Do nothing: `open_stdio` closes the reader."""

    async def _answer(self, error: SessionMessage) -> None:
        with suppress(anyio.BrokenResourceError):  # the writer has told the server already that its client has gone
            await self._sink.send(error)


def _as_json(message: JSONRPCMessage) -> bytes:
    """A message as the SDK writes it: unset fields are left out, but an explicit null stays."""
    try:
        return message.model_dump_json(by_alias=True, exclude_unset=True).encode()
    except ValueError:
        # Half a surrogate pair, in a file's name or an answer, has no UTF-8. It must not end the connection.
        fields = message.model_dump(mode="python", by_alias=True, exclude_unset=True)
        return json.dumps(fields, default=str, separators=(",", ":")).encode()


def _diagnose(line: bytes) -> tuple[RequestId | None, int, str]:
    """The id to answer a bad line with, the JSON-RPC error code and its message."""
    if len(line) > _MAX_ID_SEARCH_BYTES:
        # Parsing many megabytes a second time, only to find an id, would block the event loop.
        return None, PARSE_ERROR, "Not a JSON-RPC message"
    try:
        value: Any = json.loads(line)
    except (ValueError, RecursionError):
        return None, PARSE_ERROR, "Parse error"
    if isinstance(value, list):
        return None, INVALID_REQUEST, "Batches are not supported; send one message per line"
    fields = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    request_id = fields.get("id")
    # The id of a broken response belongs to a request of the server: the client would take it for an answer to its own.
    is_usable = "method" in fields and isinstance(request_id, str | int) and not isinstance(request_id, bool)
    return request_id if is_usable else None, INVALID_REQUEST, "Invalid Request"
