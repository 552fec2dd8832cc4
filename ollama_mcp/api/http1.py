"""Plain requests and responses of HTTP/1.1 (RFC 9112) on an open socket, without a state machine.

h11 checks and records each part of a message, which costs more than a short answer does. Here only what Ollama itself
sends is understood: 200, a known length or plain chunks, a connection that stays open. The rest is left to httpcore and
h11, which are given what was received, from the beginning of the head.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import httpcore
import httpx

from ollama_mcp.api.chunked import READ_BYTES, ChunkReader

if TYPE_CHECKING:
    from ollama_mcp.api.sockets import Socket

_MAX_HEAD = 16_384
_END = b"\r\n\r\n"
_LAST_CHUNK = b"0\r\n\r\n"
_HEAD = re.compile(rb"HTTP/1\.1 200(?: [\t\x20-\x7e]*)?\r\n(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e]*\r\n)+\r\n")
_LENGTH = re.compile(rb"[0-9]{1,15}")

Headers = list[tuple[bytes, bytes]]


def encode_request(request: httpx.Request) -> bytes | None:
    """The bytes of a request whose body is there; None for one whose body comes in pieces, or whose response has none.

    Its header is that of requests which httpx and h11 have checked before: the settings' own.
    """
    if request.method == "HEAD" or not isinstance(request.stream, httpx.ByteStream):
        return None
    head = encode_head(request.method, request.url.raw_path, request.headers)
    return b"%b\r\n%b" % (head, b"".join(request.stream))


def encode_head(method: str, target: bytes, headers: httpx.Headers) -> bytes:
    """The head of a request, to which fields may be added before the empty line that ends it."""
    lines = [b"%b: %b\r\n" % field for field in headers.raw]
    return b"%b %b HTTP/1.1\r\n%b" % (method.encode(), target, b"".join(lines))


async def read_head(socket: Socket, seconds: float | None) -> bytes:
    """What comes up to the end of a head; less where the connection ends before, or the head is too long to be plain.

    Raises:
        httpcore.ReadTimeout, httpcore.ReadError: It did not come.
    """
    head = b""
    while (end := head.find(_END)) < 0 and len(head) <= _MAX_HEAD:
        if not (data := await socket.read(READ_BYTES, seconds)):
            return head
        head += data
    if end < 0:
        return head
    if rest := head[end + len(_END) :]:
        socket.give_back(rest)
    return head[: end + len(_END)]


class PlainResponse:
    """A response in the form that Ollama sends.

    Args:
        head: Its head.
        headers: The fields of the head.
        length: Bytes of its body; None where it comes in chunks.

    Attributes:
        is_complete: Whether the body was read to its end.
    """

    def __init__(self, head: bytes, headers: Headers, length: int | None) -> None:
        self.headers = headers
        self.is_complete = length == 0
        self._head = head
        self._left = self._length = length or 0
        self._chunks = ChunkReader() if length is None else None

    @classmethod
    def parse(cls, head: bytes) -> PlainResponse | None:
        """The response with that head; None where it is not plain."""
        if _HEAD.fullmatch(head) is None:
            return None
        headers: Headers = []
        length = coding = None
        for line in head[: -len(_END)].split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            value = value.strip(b" \t")
            headers.append((name, value))
            match name.lower():
                case b"content-length" if length is None and _LENGTH.fullmatch(value):
                    length = int(value)
                case b"transfer-encoding" if coding is None and value.lower() == b"chunked":
                    coding = value
                case b"connection" if value.lower() == b"keep-alive":
                    pass
                case b"content-length" | b"transfer-encoding" | b"connection" | b"upgrade" | b"trailer":
                    return None
                case _:
                    pass
        # Exactly one of them says where the body ends.
        return cls(head, headers, length) if (length is None) != (coding is None) else None

    async def read(self, socket: Socket, seconds: float | None) -> bytes | None:
        """The next bytes of the body, b"" at its end; None where h11 has to read on, from `given_back`.

        Raises:
            httpcore.ReadTimeout, httpcore.ReadError: They did not come.
            httpcore.RemoteProtocolError: The connection ended before.
        """
        if self.is_complete:
            return b""
        if self._chunks is not None:
            return await self._read_chunks(socket, self._chunks, seconds)
        data = await socket.read(READ_BYTES, seconds)
        if not data:
            received = self._length - self._left
            raise httpcore.RemoteProtocolError(
                "peer closed connection without sending complete message body "
                f"(received {received} bytes, expected {self._length})"
            )
        if len(data) > self._left:
            # What comes after is nothing that was asked for: the connection is not used again.
            socket.give_back(data[self._left :])
            data = data[: self._left]
        self._left -= len(data)
        self.is_complete = not self._left
        return data

    async def _read_chunks(self, socket: Socket, chunks: ChunkReader, seconds: float | None) -> bytes | None:
        while not chunks.is_over and (data := await socket.read(READ_BYTES, seconds)):
            if content := chunks.feed(data):
                return content
        rest = chunks.take_rest()
        while rest and rest != _LAST_CHUNK and _LAST_CHUNK.startswith(rest):
            if not (data := await socket.read(READ_BYTES, seconds)):
                break
            rest += data
        if rest == _LAST_CHUNK:
            self.is_complete = True
            return b""
        # To h11 a response whose first chunk this is looks like any other.
        socket.give_back(self._head + rest)
        return None
