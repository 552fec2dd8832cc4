"""Lines of a byte stream, each at most a given length, with back-pressure on the sender."""

from __future__ import annotations

import asyncio
from collections import deque
from enum import Enum

from ollama_mcp.server.transports.limits import MAX_MESSAGE_BYTES

_QUEUED_BYTES = 4 * 1024 * 1024


class Odd(Enum):
    """What comes in place of a line."""

    TOO_LONG = "too long"
    END = "end"


class LineSplitter:
    """Cuts chunks into lines; of a line over the limit nothing is kept.

    Args:
        limit: Longest line in bytes, its newline not counted.
    """

    def __init__(self, limit: int = MAX_MESSAGE_BYTES) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._held = 0
        self._skipping = False

    def feed(self, data: bytes) -> list[bytes | Odd]:
        """The lines that `data` completes, without their newlines."""
        first, *rest = data.split(b"\n")
        lines: list[bytes | Odd] = []
        for following in rest:
            self._hold(first)
            lines.append(self._take())
            first = following
        self._hold(first)
        return lines

    def end(self) -> list[bytes | Odd]:
        """What is left when the stream ends: a last line without a newline."""
        return [self._take()] if self._parts or self._skipping else []

    def _hold(self, part: bytes) -> None:
        if self._skipping or not part:
            return
        self._held += len(part)
        if self._held > self._limit:
            self._parts.clear()
            self._skipping = True
        else:
            self._parts.append(part)

    def _take(self) -> bytes | Odd:
        line = Odd.TOO_LONG if self._skipping else b"".join(self._parts)
        self._parts.clear()
        self._held, self._skipping = 0, False
        return line


class LineReader(asyncio.Protocol):
    """Receives bytes from a transport and hands them out line by line.

    The transport is paused while more than 4 MiB of whole lines wait, so a client that sends faster than it is
    served is slowed down instead of filling the memory.
    """

    def __init__(self, limit: int = MAX_MESSAGE_BYTES) -> None:
        self._splitter = LineSplitter(limit)
        self._lines: deque[bytes | Odd] = deque()
        self._queued = 0
        self._waiter: asyncio.Future[None] | None = None
        self._transport: asyncio.ReadTransport | None = None
        self._paused = False
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport, to pause and close it."""
        assert isinstance(transport, asyncio.ReadTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Queues the lines that are whole now."""
        self._queue(self._splitter.feed(data))
        if self._queued > _QUEUED_BYTES and self._transport and not self._paused:
            self._transport.pause_reading()
            self._paused = True

    def connection_lost(self, exc: Exception | None) -> None:
        """Queues the last line and the end; an error of the stream is its end."""
        if not self._ended:
            self._ended = True
            self._queue([*self._splitter.end(), Odd.END])

    async def next(self) -> bytes | Odd:
        """The next line, or why there is none; after the end, the end again."""
        while not self._lines:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        line = self._lines[0]
        if line is not Odd.END:
            self._lines.popleft()
        if isinstance(line, bytes):
            self._queued -= len(line)
        if self._paused and self._queued <= _QUEUED_BYTES // 2 and self._transport:
            self._transport.resume_reading()
            self._paused = False
        return line

    def close(self) -> None:
        """Stops reading."""
        self._ended = True
        if self._transport:
            self._transport.close()

    def _queue(self, lines: list[bytes | Odd]) -> None:
        self._lines.extend(lines)
        self._queued += sum(len(line) for line in lines if isinstance(line, bytes))
        if lines and self._waiter and not self._waiter.done():
            self._waiter.set_result(None)
