"""A minimal HTTP/1.1 server on asyncio that gives faults control over every byte of a response.

A connection serves one request at a time; a client that disconnects cancels its request.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Protocol, cast
from urllib.parse import parse_qsl, unquote, urlsplit

_MAX_HEAD_BYTES = 1 << 20
_MAX_PIPELINED_BYTES = 1 << 20
# struct linger with l_onoff 1 and l_linger 0; its members are shorts on Windows and ints elsewhere.
_NO_LINGER = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)


class BodySink(Protocol):
    """Receives the body of a request in pieces, so that a large one is never held in memory."""

    def write(self, data: bytes) -> None: ...


class HttpRequest:
    """One request; header names are in lower case."""

    __slots__ = ("body", "body_sink", "closes", "headers", "method", "path", "query", "started")

    def __init__(self, method: str, target: str, headers: dict[str, str]) -> None:
        self.method = method
        parts = urlsplit(target)
        self.path = unquote(parts.path)
        self.query = dict(parse_qsl(parts.query))
        self.headers = headers
        self.body = b""
        self.body_sink: BodySink | None = None
        self.started = time.monotonic()
        self.closes = headers.get("connection", "").lower() == "close"


Handler = Callable[["Connection", HttpRequest], Awaitable[None]]
SinkFactory = Callable[[HttpRequest], BodySink | None]


class Connection(asyncio.Protocol):
    """The connection of one client: parses its requests and passes them to the handler one after another.

    Args:
        handler: Serves a request by writing to the connection.
        sink_for: Gives the sink for the body of a request; None keeps the body in memory.
        open_connections: The set that contains the connection while it is open.
    """

    def __init__(self, handler: Handler, sink_for: SinkFactory, open_connections: set[Connection]) -> None:
        self._handler = handler
        self._sink_for = sink_for
        self._open_connections = open_connections
        self._buffer = bytearray()
        self._request: HttpRequest | None = None
        self._body = bytearray()
        self._remaining = 0
        self._chunked = False
        self._task: asyncio.Task[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._paused = False
        self._rejected = False
        self.closed_by_server = False
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._open_connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._open_connections.discard(self)
        self.resume_writing()
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        if self._rejected:
            return
        self._buffer += data
        if self._task is None:
            self._parse()
        # A client may pipeline its next request, but not fill the memory.
        elif len(self._buffer) > _MAX_PIPELINED_BYTES and self.transport is not None:
            self.transport.pause_reading()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    @property
    def closed(self) -> bool:
        """Whether the client or the server closed the connection."""
        return self.transport is None or self.transport.is_closing()

    @property
    def task(self) -> asyncio.Task[None] | None:
        """The task that serves the current request."""
        return self._task

    def write(self, data: bytes) -> None:
        """Send bytes; does nothing after the client disconnected."""
        if self.transport is not None:
            self.transport.write(data)

    async def drain(self) -> None:
        """Wait until the client has read enough of what was written."""
        if self._paused:
            self._writable = asyncio.get_running_loop().create_future()
            await self._writable

    def close(self) -> None:
        """Close the connection after everything written is sent."""
        self.closed_by_server = True
        if self.transport is not None:
            self.transport.close()

    def reset(self) -> None:
        """Close the connection with a TCP reset; pending data is discarded."""
        self.closed_by_server = True
        if self.transport is not None:
            # A linger time of zero makes the kernel send RST instead of FIN.
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            self.transport.abort()

    def _parse(self) -> None:
        if self._request is None and not self._parse_head():
            return
        request = cast("HttpRequest", self._request)
        complete = self._read_chunks(request) if self._chunked else self._read_body(request)
        if complete:
            request.body = bytes(self._body)
            self._body.clear()
            self._request = None
            self._task = asyncio.get_running_loop().create_task(self._serve(request))

    def _parse_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > _MAX_HEAD_BYTES:
                self._reject(b"431 Request Header Fields Too Large")
            return False
        lines = self._buffer[:end].decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        try:
            # The version is not checked: every client of Ollama speaks 1.1.
            method, target, _ = lines[0].split(" ")
            headers = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines[1:])}
            self._remaining = int(headers.get("content-length", "0"))
        except ValueError:
            self._reject(b"400 Bad Request")
            return False
        # The sink is chosen before the body arrives: a blob must never be held in memory.
        request = self._request = HttpRequest(method, target, headers)
        request.body_sink = self._sink_for(request)
        self._chunked = headers.get("transfer-encoding", "").lower() == "chunked"
        if headers.get("expect", "").lower() == "100-continue":
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return True

    def _read_body(self, request: HttpRequest) -> bool:
        if self._remaining:
            self._store(request, bytes(self._buffer[: self._remaining]))
            taken = min(self._remaining, len(self._buffer))
            del self._buffer[:taken]
            self._remaining -= taken
        return self._remaining == 0

    def _read_chunks(self, request: HttpRequest) -> bool:
        while True:
            if not self._remaining:
                end = self._buffer.find(b"\r\n")
                if end < 0:
                    return False
                size = _chunk_size(bytes(self._buffer[:end]))
                if size is None:
                    self._reject(b"400 Bad Request")
                    return False
                if size == 0:
                    if len(self._buffer) < end + 4:
                        return False
                    del self._buffer[: end + 4]
                    return True
                del self._buffer[: end + 2]
                # The data of a chunk ends with CR LF.
                self._remaining = size + 2
            if len(self._buffer) < self._remaining:
                return False
            self._store(request, bytes(self._buffer[: self._remaining - 2]))
            del self._buffer[: self._remaining]
            self._remaining = 0

    def _store(self, request: HttpRequest, data: bytes) -> None:
        if request.body_sink is not None:
            request.body_sink.write(data)
        else:
            self._body += data

    def _reject(self, status: bytes) -> None:
        self.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        # Closing while the client still sends would be a reset, and the client would not see the status.
        self._rejected = True
        if self.transport is not None:
            self.transport.write_eof()

    async def _serve(self, request: HttpRequest) -> None:
        try:
            await self._handler(self, request)
        except Exception:
            # A bug in the simulator must not leave its client waiting.
            self.reset()
            raise
        finally:
            self._task = None
        if request.closes:
            self.close()
        elif not self.closed:
            cast("asyncio.Transport", self.transport).resume_reading()
            if self._buffer:
                self._parse()


def _chunk_size(line: bytes) -> int | None:
    try:
        return int(line.split(b";")[0], 16)
    except ValueError:
        return None
