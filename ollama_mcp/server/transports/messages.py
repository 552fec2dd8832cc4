"""JSON-RPC messages, one a line, over a line reader and a writer."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any, cast

import anyio
from mcp.shared.message import SessionMessage
from mcp.types import INVALID_REQUEST, PARSE_ERROR, RequestId, jsonrpc_message_adapter

from ollama_mcp.server.transports.ledger import refusal
from ollama_mcp.server.transports.limits import MAX_MESSAGE_BYTES
from ollama_mcp.server.transports.lines import LineReader, Odd
from ollama_mcp.server.transports.streams import MessageSink, MessageSource
from ollama_mcp.server.transports.writer import Writer

_ID_SEARCH_BYTES = 1024 * 1024


class LineSink(MessageSink):
    """Writes messages as lines."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def send(self, item: SessionMessage, /) -> None:
        """Writes one message in one write.

        Raises:
            anyio.BrokenResourceError: The client no longer reads.
        """
        await self._writer.write(item.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")


class LineSource(MessageSource):
    """Reads messages from lines; a line that holds none is answered with an error."""

    def __init__(self, lines: LineReader, sink: MessageSink) -> None:
        self._lines = lines
        self._sink = sink

    async def receive(self) -> SessionMessage | Exception:
        """The next message.

        Raises:
            anyio.EndOfStream: The client has closed its side.
        """
        while True:
            line = await self._lines.next()
            if line is Odd.END:
                raise anyio.EndOfStream
            if line is Odd.TOO_LONG:
                await self._answer(refusal(None, INVALID_REQUEST, f"Line over {MAX_MESSAGE_BYTES} bytes"))
            elif line.strip():
                try:
                    return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
                except ValueError:
                    await self._answer(refusal(*_why(line)))

    async def _answer(self, error: SessionMessage) -> None:
        with suppress(anyio.BrokenResourceError):  # the writer has told the server already that its client has gone
            await self._sink.send(error)


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
