"""The response to a request: one JSON document, a text, no body, or a stream of JSON lines (NDJSON).

The head of a stream is sent with its first line, as Ollama does: a client receives no byte while a model loads.
"""

from __future__ import annotations

import time
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

from ollama_mcp.simulator.go_json import encode
from ollama_mcp.simulator.http import Connection, HttpRequest

Headers = dict[str, str] | None

JSON = "application/json; charset=utf-8"
JSON_WITHOUT_CHARSET = "application/json"
NDJSON = "application/x-ndjson"
TEXT = "text/plain"
# net/http sets Content-Length on bodies that fit its buffer and sends longer ones in chunks.
_BUFFER_SIZE = 2048

_REASONS = {status.value: status.phrase for status in HTTPStatus}
# The Date header of the last second, formatted once.
_date = (0, "")


def _http_date() -> str:
    global _date
    second = int(time.time())
    if _date[0] != second:
        _date = (second, formatdate(second, usegmt=True))
    return _date[1]


class ResponseWriter:
    """Writes one response to a connection. `FaultyResponseWriter` overrides its methods to inject faults."""

    def __init__(self, connection: Connection, request: HttpRequest) -> None:
        self.connection = connection
        self.request = request
        self.status = 0
        self.streaming = False
        self.lines = 0
        self._error_type = JSON
        self._lines_only = False

    @property
    def started(self) -> bool:
        """Whether the head was sent, so that the status cannot change."""
        return self.status != 0

    def write(self, data: bytes) -> None:
        """Send bytes."""
        self.connection.write(data)

    def send(self, status: int, body: bytes = b"", content_type: str = "", headers: Headers = None) -> None:
        """Send a complete response."""
        self.status = status
        head = self._head(status, content_type, headers)
        # Go computes no Content-Length for HEAD, because the handler writes no body.
        if self.request.method == "HEAD":
            self.write(f"{head}\r\n".encode("latin-1"))
        elif len(body) <= _BUFFER_SIZE or content_type.startswith(TEXT):
            self.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode("latin-1") + body)
        else:
            self.write(f"{head}Transfer-Encoding: chunked\r\n\r\n{len(body):x}\r\n".encode("latin-1"))
            self.write(body + b"\r\n0\r\n\r\n")

    def json(self, value: Any, status: int = 200, content_type: str = JSON, headers: Headers = None) -> None:
        """Send a JSON document."""
        self.send(status, encode(value), content_type, headers)

    def text(self, status: int, text: str, content_type: str = TEXT, headers: Headers = None) -> None:
        """Send plain text, such as the 404 and 405 of the router."""
        self.send(status, text.encode(), content_type, headers)

    def expect_stream(self, *, lines_only: bool) -> None:
        """Send errors as a streaming endpoint does from now on.

        Args:
            lines_only: Whether errors are always lines, because the stream begins before the work (before v0.12.6).
        """
        self._error_type, self._lines_only = JSON_WITHOUT_CHARSET, lines_only

    async def error(self, body: Any, status: int) -> None:
        """Send an error: as a complete response, or as a line if the stream has begun."""
        if self.started or self._lines_only:
            await self.line(body)
        else:
            self.json(body, status, self._error_type)

    async def line(self, value: Any) -> None:
        """Send one line of a stream, with the head before the first one."""
        await self.raw_line(encode(value))

    async def raw_line(self, data: bytes) -> None:
        """Send one line of a stream, given as bytes without the line break."""
        self.begin()
        self.chunk(data + b"\n")
        self.lines += 1
        await self.connection.drain()

    def begin(self, content_type: str = NDJSON) -> None:
        """Send the head of a stream, unless it was sent."""
        # Not earlier: the status may become an error while the model loads.
        if not self.started:
            self.status, self.streaming = 200, True
            self.write(f"{self._head(200, content_type, None)}Transfer-Encoding: chunked\r\n\r\n".encode("latin-1"))

    def chunk(self, data: bytes) -> None:
        """Send one chunk of a chunked body."""
        self.write(b"%x\r\n%b\r\n" % (len(data), data))

    async def end(self) -> None:
        """Finish a stream; does nothing after a complete response."""
        if self.streaming:
            self.write(b"0\r\n\r\n")

    def _head(self, status: int, content_type: str, headers: Headers) -> str:
        head = f"HTTP/1.1 {status} {_REASONS.get(status, 'Status')}\r\nDate: {_http_date()}\r\n"
        if content_type:
            head += f"Content-Type: {content_type}\r\n"
        if self.request.closes:
            head += "Connection: close\r\n"
        for name, value in (headers or {}).items():
            head += f"{name}: {value}\r\n"
        return head
