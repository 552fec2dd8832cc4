"""The stdio transport, one message a line, in place of `MCPServer.run_stdio_async` of the SDK (mcp 2.3.0).

That one drops a line that is not a message without an answer, so its sender waits for ever. Obsolete when
`test_a_line_that_is_no_message_is_answered_and_the_next_one_served` passes with it. `pipes`, `lines`, `connection` and
`process_setup` say what else is wrong with it, and which test shows whether it still is. To see all at once, call it at
the top of `run_stdio` and run `test_stdio_protocol.py` and `test_stdio_faults.py`.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any, cast

import anyio
from anyio.abc import ObjectReceiveStream, ObjectSendStream
from mcp.server import MCPServer
from mcp.shared.message import SessionMessage
from mcp.types import (
    INVALID_REQUEST,
    PARSE_ERROR,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    RequestId,
    jsonrpc_message_adapter,
)

from ollama_mcp.server.sdk import lowlevel_server
from ollama_mcp.server.transports import MAX_MESSAGE_BYTES
from ollama_mcp.server.transports.lines import LineEvent, LineReader, LineWriter
from ollama_mcp.server.transports.pipes import claim_stdio, open_stdio, release_stdio
from ollama_mcp.server.transports.process_setup import (
    ForcedEnd,
    end_with_stdin,
    raise_open_files,
    stopping_on_signals,
)

_GRACE_SECONDS = 0.25
"""A pipeline such as `printf ... | ollama-mcp-server` closes stdin at once and still wants its answers."""
_MAX_ID_SEARCH_BYTES = 1024 * 1024


async def run_stdio(
    server: MCPServer, received: bytes = b"", answered: int = 0, force_seconds: float | None = None
) -> None:
    """Serve one client over the process's stdin and stdout, until it closes stdin or a signal comes.

    Serves protocol 2024-11-05 to 2026-07-28, also mixed, with lines of up to 72 MiB. At the end calls in flight are
    cancelled and the server's lifespan is closed. Descriptors 0 and 1 stay claimed for the rest of the process.

    Args:
        server: The server.
        received: What the client has sent already.
        answered: How many answers to that it has already: the first ones are not sent.
        force_seconds: Time from the end of stdin, or a signal, after which the process is ended whatever hangs; None
            lets it live.

    Raises:
        InvalidArgument: stdin or stdout is closed.
    """
    try:
        # Late, because this builds on names that the SDK does not document and may move.
        from ollama_mcp.server.transports.connection import serve_stream
    except ImportError:
        release_stdio()
        await server.run_stdio_async()
        return

    raise_open_files()
    core = lowlevel_server(server)
    scope = anyio.CancelScope()
    forced = ForcedEnd(force_seconds)

    def stop() -> None:
        forced.begin()
        scope.cancel()

    with stopping_on_signals(scope.cancel, forced):
        # The pipes first, so that nothing which the lifespan starts can write to stdout; and the lifespan outside the
        # scope, so that its clean-up may still await.
        async with open_stdio(stop, received) as (reader, writer), core.lifespan(core) as state:
            stdin, _, is_watchable = claim_stdio()
            if is_watchable and force_seconds is not None:
                end_with_stdin(stdin, forced)
            with scope:
                sink = LineSink(writer, answered)
                source = LineSource(reader, sink)

                def before_cancel() -> None:
                    forced.begin()
                    writer.ignore_backpressure()

                await serve_stream(
                    core,
                    source,
                    sink,
                    state,
                    grace_seconds=_GRACE_SECONDS,
                    before_cancel=before_cancel,
                )
            writer.ignore_backpressure()


class LineSink(ObjectSendStream[SessionMessage]):
    """Writes messages as lines.

    Args:
        writer: Where they go.
        answered: How many messages the client has already: so many are dropped first.
    """

    def __init__(self, writer: LineWriter, answered: int = 0) -> None:
        self._writer = writer
        self._answered = answered

    async def send(self, item: SessionMessage) -> None:
        """Write one message in one write.

        Raises:
            anyio.BrokenResourceError: The client no longer reads.
        """
        if self._answered:
            self._answered -= 1
            return
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
                await self._refuse(None, INVALID_REQUEST, f"Line over {MAX_MESSAGE_BYTES} bytes")
            elif line.strip():  # blank lines and a bare carriage return are nothing
                try:
                    return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
                except ValueError:
                    await self._refuse(*_diagnose(line))

    async def aclose(self) -> None:
        """Do nothing: `open_stdio` closes the reader."""

    async def _refuse(self, request_id: RequestId | None, code: int, text: str) -> None:
        error = JSONRPCError(jsonrpc="2.0", id=request_id, error=ErrorData(code=code, message=text))
        with suppress(anyio.BrokenResourceError):  # the writer has told the server already that its client has gone
            await self._sink.send(SessionMessage(error))


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
