"""A small HTTP/1.1 server on asyncio: every byte of an answer is ours to delay, to break or to leave out.

One request is served at a time per connection, as HTTP/1.1 has it; a client that goes away cancels its request.
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

_MAX_HEAD = 1 << 20
_PAUSE_AT = 1 << 20
_NO_LINGER = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)


class Upload(Protocol):
    """Takes the body of a request piece by piece, so that large ones are never held whole."""

    def write(self, data: bytes) -> None: ...


class Request:
    """One request as it came; header names are in lower case."""

    __slots__ = ("body", "closing", "headers", "method", "path", "query", "started", "upload")

    def __init__(self, method: str, target: str, headers: dict[str, str]) -> None:
        self.method = method
        parts = urlsplit(target)
        self.path = unquote(parts.path)
        self.query = dict(parse_qsl(parts.query))
        self.headers = headers
        self.body = b""
        self.upload: Upload | None = None
        self.started = time.monotonic()
        self.closing = headers.get("connection", "").lower() == "close"


Handler = Callable[["Connection", Request], Awaitable[None]]
UploadFor = Callable[[Request], Upload | None]


def _chunk_size(line: bytes) -> int | None:
    try:
        return int(line.split(b";")[0], 16)
    except ValueError:
        return None


class Connection(asyncio.Protocol):
    """One client: parses its requests and hands them to the handler one after another.

    Args:
        handler: Serves a request by writing to the connection.
        upload_for: Gives the sink for a request's body; None keeps the body in memory.
        members: The set in which the connection stays while it is open.
    """

    def __init__(self, handler: Handler, upload_for: UploadFor, members: set[Connection]) -> None:
        self._handler = handler
        self._upload_for = upload_for
        self._members = members
        self._buffer = bytearray()
        self._request: Request | None = None
        self._body = bytearray()
        self._left = 0
        self._chunked = False
        self._task: asyncio.Task[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._paused = False
        self._refused = False
        self.ended_here = False
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._members.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._members.discard(self)
        self.resume_writing()
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._buffer += data
        if self._task is None:
            self._parse()
        # A client may send its next request early, but not without end.
        elif len(self._buffer) > _PAUSE_AT and self.transport is not None:
            self.transport.pause_reading()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    @property
    def closed(self) -> bool:
        """Whether the client, or we, ended the connection."""
        return self.transport is None or self.transport.is_closing()

    @property
    def task(self) -> asyncio.Task[None] | None:
        """The task that serves the request of this moment."""
        return self._task

    def write(self, data: bytes) -> None:
        """Send bytes; silently nothing once the client is gone."""
        if self.transport is not None:
            self.transport.write(data)

    async def drain(self) -> None:
        """Wait until the client has taken enough of what was written."""
        if self._paused:
            self._writable = asyncio.get_running_loop().create_future()
            await self._writable

    def close(self) -> None:
        """End the connection after what was written is sent."""
        self.ended_here = True
        if self.transport is not None:
            self.transport.close()

    def reset(self) -> None:
        """End the connection with a TCP reset, what was written or not."""
        self.ended_here = True
        if self.transport is not None:
            # Lingering for no time makes the kernel send a reset instead of a proper end.
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            self.transport.abort()

    def _parse(self) -> None:
        if self._request is None and not self._parse_head():
            return
        request = cast("Request", self._request)
        whole = self._take_chunks(request) if self._chunked else self._take_body(request)
        if whole:
            request.body = bytes(self._body)
            self._body.clear()
            self._request = None
            self._task = asyncio.get_running_loop().create_task(self._serve(request))

    def _parse_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > _MAX_HEAD:
                self._refuse(b"431 Request Header Fields Too Large")
            return False
        lines = self._buffer[:end].decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        try:
            # The version is not looked at: every client of Ollama speaks 1.1.
            method, target, _ = lines[0].split(" ")
            headers = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines[1:])}
            self._left = int(headers.get("content-length", "0"))
        except ValueError:
            self._refuse(b"400 Bad Request")
            return False
        # The sink is chosen by the head alone: a blob must never be held in memory whole.
        request = self._request = Request(method, target, headers)
        request.upload = self._upload_for(request)
        self._chunked = headers.get("transfer-encoding", "").lower() == "chunked"
        if headers.get("expect", "").lower() == "100-continue":
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return True

    def _take_body(self, request: Request) -> bool:
        if self._left:
            self._keep(request, bytes(self._buffer[: self._left]))
            taken = min(self._left, len(self._buffer))
            del self._buffer[:taken]
            self._left -= taken
        return self._left == 0

    def _take_chunks(self, request: Request) -> bool:
        while True:
            if not self._left:
                end = self._buffer.find(b"\r\n")
                if end < 0:
                    return False
                size = _chunk_size(bytes(self._buffer[:end]))
                if size is None:
                    self._refuse(b"400 Bad Request")
                    return False
                if size == 0:
                    if len(self._buffer) < end + 4:
                        return False
                    del self._buffer[: end + 4]
                    return True
                del self._buffer[: end + 2]
                self._left = size + 2
            if len(self._buffer) < self._left:
                return False
            self._keep(request, bytes(self._buffer[: self._left - 2]))
            del self._buffer[: self._left]
            self._left = 0

    def _keep(self, request: Request, data: bytes) -> None:
        if request.upload is not None:
            request.upload.write(data)
        else:
            self._body += data

    def _refuse(self, status: bytes) -> None:
        self.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        # Closing outright while the client still sends would be a reset, and the client would not see the reason.
        self._refused = True
        if self.transport is not None:
            self.transport.write_eof()

    async def _serve(self, request: Request) -> None:
        try:
            await self._handler(self, request)
        except Exception:
            # A fault of the simulator itself must not leave its client waiting.
            self.reset()
            raise
        finally:
            self._task = None
        if request.closing:
            self.close()
        elif not self.closed:
            cast("asyncio.Transport", self.transport).resume_reading()
            if self._buffer:
                self._parse()
