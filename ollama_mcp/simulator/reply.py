"""What a handler answers with: one JSON document, a text, nothing, or a stream of JSON lines.

The head of a stream goes out with its first line, as Ollama sends it: a client sees no byte while a model loads.
"""

from __future__ import annotations

import time
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

from ollama_mcp.simulator.encoding import encode
from ollama_mcp.simulator.http import Connection, Request

Headers = dict[str, str] | None

JSON = "application/json; charset=utf-8"
BARE_JSON = "application/json"
LINES = "application/x-ndjson"
TEXT = "text/plain"
# Go's net/http gives a length to answers that fit its buffer and sends longer ones in chunks.
_BUFFERED = 2048

_REASONS = {status.value: status.phrase for status in HTTPStatus}
_date = (0, "")


def _now() -> str:
    global _date
    second = int(time.time())
    if _date[0] != second:
        _date = (second, formatdate(second, usegmt=True))
    return _date[1]


def _reason(status: int) -> str:
    return _REASONS.get(status, "Status")


class Reply:
    """Writes one answer to a connection. Faults are subclasses that override `write`, `line` or `end`."""

    def __init__(self, connection: Connection, request: Request) -> None:
        self.connection = connection
        self.request = request
        self.status = 0
        self.streaming = False
        self.lines = 0
        self._error_type = JSON
        self._lines_only = False

    @property
    def started(self) -> bool:
        """Whether the head is out, so that the status can change no more."""
        return self.status != 0

    def write(self, data: bytes) -> None:
        """Put bytes on the wire."""
        self.connection.write(data)

    def send(self, status: int, body: bytes = b"", content_type: str = "", headers: Headers = None) -> None:
        """A whole answer at once."""
        self.status = status
        head = self._head(status, content_type, headers)
        # HEAD tells no length, since Go does not compute what it does not write.
        if self.request.method == "HEAD":
            self.write(f"{head}\r\n".encode("latin-1"))
        elif len(body) <= _BUFFERED or content_type.startswith(TEXT):
            self.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode("latin-1") + body)
        else:
            self.write(f"{head}Transfer-Encoding: chunked\r\n\r\n{len(body):x}\r\n".encode("latin-1"))
            self.write(body + b"\r\n0\r\n\r\n")

    def json(self, value: Any, status: int = 200, content_type: str = JSON, headers: Headers = None) -> None:
        """A JSON document."""
        self.send(status, encode(value), content_type, headers)

    def text(self, status: int, text: str, content_type: str = TEXT, headers: Headers = None) -> None:
        """A plain text, as the router's own 404 and 405 are."""
        self.send(status, text.encode(), content_type, headers)

    def expect_stream(self, *, lines_only: bool) -> None:
        """From here on errors are those of a stream.

        Args:
            lines_only: The server begins the stream before it knows whether it fails (before v0.12.6).
        """
        self._error_type, self._lines_only = BARE_JSON, lines_only

    async def error(self, body: Any, status: int) -> None:
        """An error: as the whole answer while there is still time for that, else as a line."""
        if self.started or self._lines_only:
            await self.line(body)
        else:
            self.json(body, status, self._error_type)

    async def line(self, value: Any) -> None:
        """One line of a stream; the first one brings the head with it."""
        await self.raw_line(encode(value))

    async def raw_line(self, data: bytes) -> None:
        """One line of a stream, its bytes as given, without the line break."""
        self.begin()
        self.chunk(data + b"\n")
        self.lines += 1
        await self.connection.drain()

    def begin(self, content_type: str = LINES) -> None:
        """Send the head of a stream, if it is not out yet."""
        # Only now: the status may still become an error while the model loads.
        if not self.started:
            self.status, self.streaming = 200, True
            self.write(f"{self._head(200, content_type, None)}Transfer-Encoding: chunked\r\n\r\n".encode("latin-1"))

    def chunk(self, data: bytes) -> None:
        """One chunk of a chunked body."""
        self.write(b"%x\r\n%b\r\n" % (len(data), data))

    async def end(self) -> None:
        """Finish a stream; nothing to do after a whole answer."""
        if self.streaming:
            self.write(b"0\r\n\r\n")

    def _head(self, status: int, content_type: str, headers: Headers) -> str:
        head = f"HTTP/1.1 {status} {_reason(status)}\r\nDate: {_now()}\r\n"
        if content_type:
            head += f"Content-Type: {content_type}\r\n"
        if self.request.closing:
            head += "Connection: close\r\n"
        for name, value in (headers or {}).items():
            head += f"{name}: {value}\r\n"
        return head
