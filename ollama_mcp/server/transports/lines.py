"""Lines of a byte stream, as asyncio protocols: a reader with a length limit, and a writer; both with back-pressure.

The SDK (mcp 2.3.0, `mcp.server.stdio`) reads lines of any length into memory and hands each line to a worker thread and
back. Obsolete when `test_a_line_over_the_limit_is_refused_without_being_held` passes with `MCPServer.run_stdio_async`.

Nothing of the SDK is imported here: stdin and stdout are claimed before the SDK is loaded.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import cast

import anyio

from ollama_mcp.server.transports import MAX_MESSAGE_BYTES

_MAX_QUEUED_BYTES = 4 * 1024 * 1024


class LineEvent(Enum):
    """What a reader returns in place of a line."""

    TOO_LONG = "too long"
    END = "end"


class LineSplitter:
    """Splits chunks of bytes into lines. Nothing is kept of a line over the limit.

    Args:
        limit: Longest line in bytes, its newline not counted.
    """

    def __init__(self, limit: int = MAX_MESSAGE_BYTES) -> None:
        self._limit = limit
        # Joined once, at the newline: bytes that grow with each chunk would be copied each time.
        self._parts: list[bytes] = []
        self._size = 0
        self._is_skipping = False

    def feed(self, data: bytes) -> list[bytes | LineEvent]:
        """The lines that `data` completes, without their newlines."""
        part, *rest = data.split(b"\n")
        if rest and not rest[-1] and not self._parts and not self._is_skipping and len(data) <= self._limit:
            # Nearly always a chunk is whole lines: there is nothing to join.
            return [part, *rest[:-1]]
        return self._feed_parts(part, rest)

    def _feed_parts(self, part: bytes, rest: list[bytes]) -> list[bytes | LineEvent]:
        lines: list[bytes | LineEvent] = []
        for next_part in rest:
            self._append(part)
            lines.append(self._finish_line())
            part = next_part
        self._append(part)
        return lines

    def end(self) -> list[bytes | LineEvent]:
        """What is left at the end of the stream: a last line without a newline."""
        return [self._finish_line()] if self._parts or self._is_skipping else []

    def _append(self, part: bytes) -> None:
        if self._is_skipping or not part:
            return
        self._size += len(part)
        if self._size > self._limit:
            self._parts.clear()
            self._is_skipping = True
        else:
            self._parts.append(part)

    def _finish_line(self) -> bytes | LineEvent:
        line = LineEvent.TOO_LONG if self._is_skipping else b"".join(self._parts)
        self._parts.clear()
        self._size, self._is_skipping = 0, False
        return line


class LineReader(asyncio.Protocol):
    """Receives bytes from a transport and returns them line by line.

    The transport is paused while more than 4 MiB of whole lines wait. A client that sends faster than it is served is
    slowed down instead of filling the memory.
    """

    def __init__(self, limit: int = MAX_MESSAGE_BYTES) -> None:
        self._splitter = LineSplitter(limit)
        self._lines: deque[bytes | LineEvent] = deque()
        self._queued_bytes = 0
        self._waiter: asyncio.Future[None] | None = None
        self._transport: asyncio.ReadTransport | None = None
        self._is_paused = False
        self._has_ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport, to pause and close it."""
        # Not checked: the transports of uvloop have the methods, but not the base class.
        self._transport = cast("asyncio.ReadTransport", transport)

    def data_received(self, data: bytes) -> None:
        """Queue the lines that are whole now."""
        self._enqueue(self._splitter.feed(data))
        if self._queued_bytes > _MAX_QUEUED_BYTES and self._transport and not self._is_paused:
            self._transport.pause_reading()
            self._is_paused = True

    def connection_lost(self, exc: Exception | None) -> None:
        """Queue the last line and the end. An error of the stream counts as its end."""
        if not self._has_ended:
            self._has_ended = True
            self._enqueue([*self._splitter.end(), LineEvent.END])

    async def readline(self) -> bytes | LineEvent:
        """The next line, or why there is none. After the end it returns `END` again."""
        while not self._lines:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        # The end stays in the queue, for further calls.
        line = self._lines[0]
        if line is not LineEvent.END:
            self._lines.popleft()
        if isinstance(line, bytes):
            self._queued_bytes -= len(line)
        # Half of the limit, so that a steady sender does not pause and resume at every line.
        if self._is_paused and self._queued_bytes <= _MAX_QUEUED_BYTES // 2 and self._transport:
            self._transport.resume_reading()
            self._is_paused = False
        return line

    def close(self) -> None:
        """Stop reading."""
        # The transport calls `connection_lost` for this too, and nobody reads any more.
        self._has_ended = True
        if self._transport:
            self._transport.close()

    def _enqueue(self, lines: list[bytes | LineEvent]) -> None:
        self._lines.extend(lines)
        self._queued_bytes += sum(len(line) for line in lines if isinstance(line, bytes))
        # A waiter whose task was cancelled is done already.
        if lines and self._waiter and not self._waiter.done():
            self._waiter.set_result(None)


class LineWriter(asyncio.BaseProtocol):
    """Writes whole lines to a transport, and waits while its reader is slow.

    At most the transport's own buffer (64 KiB) and one line per caller are held. While turns of the event loop bring
    several lines those go out together, since each system call also wakes the reader; else each goes out at once.

    Args:
        on_lost: Called once when the other side has closed the stream.
    """

    def __init__(self, on_lost: Callable[[], None]) -> None:
        self._on_lost = on_lost
        self._transport: asyncio.WriteTransport | None = None
        self._lines: list[bytes] = []
        # Set from the first line of a turn to the turn's end; whether the turn before had several.
        self._is_sending = self._had_several = False
        self._is_writable = asyncio.Event()
        self._is_writable.set()
        self._is_lost = asyncio.Event()
        self._ignores_backpressure = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.WriteTransport", transport)

    def pause_writing(self) -> None:
        """The buffer is full: callers of `write` wait."""
        self._is_writable.clear()

    def resume_writing(self) -> None:
        """The buffer has room again."""
        self._is_writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """The stream is closed, by this side or by its reader."""
        self._is_lost.set()
        self._is_writable.set()
        self._on_lost()

    async def write(self, data: bytes) -> None:
        """Write `data` as a whole, or not at all when cancelled while waiting for room.

        Raises:
            anyio.BrokenResourceError: Nobody reads any more.
        """
        # A loop, since another waiting caller may have filled the buffer again.
        while not self._is_writable.is_set() and not self._ignores_backpressure:
            await self._is_writable.wait()
        if self._is_lost.is_set() or self._transport is None:
            raise anyio.BrokenResourceError
        if not self._is_sending:
            self._is_sending = True
            asyncio.get_running_loop().call_soon(self._send)
            if not self._had_several:
                self._transport.write(data)
                return
        self._lines.append(data)

    def _send(self) -> None:
        lines, self._lines = self._lines, []
        # Of a turn before which there was one, the first line is gone already.
        self._had_several = len(lines) > self._had_several
        self._is_sending = False
        if lines and self._transport is not None and not self._is_lost.is_set():
            self._transport.write(b"".join(lines))

    def ignore_backpressure(self) -> None:
        """From now on nobody waits for a slow reader: the process is about to end."""
        self._ignores_backpressure = True
        self._is_writable.set()

    async def close(self, flush_seconds: float) -> None:
        """Send what is buffered for at most `flush_seconds`, then close."""
        if self._transport is None or self._is_lost.is_set():
            return
        self._send()
        self._transport.close()
        try:
            await asyncio.wait_for(self._is_lost.wait(), flush_seconds)
        except TimeoutError:
            self._transport.abort()
