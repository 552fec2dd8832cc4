"""Responses as the transport reads them, compared with what httpx's own transport makes of the same bytes."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from ollama_mcp.api.transport import FreeListTransport

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
# What is plain first, then what h11 has to judge.
RESPONSES: dict[str, bytes] = {
    "length": OK + b"Content-Length: 5\r\n\r\nhello",
    "no body": OK + b"content-length: 0\r\n\r\n",
    "spaces": b"HTTP/1.1 200 OK\r\ncontent-LENGTH:5  \r\nX:\t a\tb \r\n\r\nhello",
    "chunks": CHUNKED + b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
    "more than was asked for": OK + b"Content-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n\r\n",
    "no reason": b"HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\nhello",
    "a chunk with an extension": CHUNKED + b"2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n",
    "a trailer": CHUNKED + b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
    "a large chunk": CHUNKED + b"2\r\nhe\r\n20000\r\n" + b"x" * 0x20000 + b"\r\n0\r\n\r\n",
    "a chunk without its end": CHUNKED + b"2\r\nhe\r\n3\r\nlloX0\r\n\r\n",
    "no size": CHUNKED + b"2\r\nhe\r\n\r\n",
    "half of the chunks": CHUNKED + b"2\r\nhe\r\n3\r\nll",
    "no last chunk": CHUNKED + b"2\r\nhe\r\n",
    "half of the last chunk": CHUNKED + b"2\r\nhe\r\n0\r\n",
    "half of the body": OK + b"Content-Length: 5\r\n\r\nhel",
    "half of the head": OK[:-5],
    "nothing": b"",
    "an interim response": b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK + b"Content-Length: 5\r\n\r\nhello",
    "until the end": OK + b"\r\nhello",
    "closes": OK + b"Connection: close\r\nContent-Length: 5\r\n\r\nhello",
    "version 1.0": b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "two lengths": OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "both framings": OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "a signed length": OK + b"Content-Length: +5\r\n\r\nhello",
    "two codings": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "a folded field": OK + b"X-Long: a\r\n b\r\nContent-Length: 5\r\n\r\nhello",
    "a space before the colon": OK + b"Content-Length : 5\r\n\r\nhello",
    "bare newlines": b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
    "latin letters": OK + b"X-Name: caf\xe9\r\nContent-Length: 5\r\n\r\nhello",
    "a zero byte": OK + b"X-Name: a\0b\r\nContent-Length: 5\r\n\r\nhello",
    "another status": b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nhello",
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "not HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
    "a huge head": OK + b"X: " + b"y" * 30_000 + b"\r\nContent-Length: 5\r\n\r\nhello",
}


@asynccontextmanager
async def answering(response: bytes, cut: int) -> AsyncGenerator[str]:
    """A server that gives each connection one response, in two pieces where it is cut, and then closes it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\nhi")
        writer.write(response[:cut])
        await writer.drain()
        # So that the pieces are read one by one.
        for _ in range(4):
            await asyncio.sleep(0)
        writer.write(response[cut:])
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def outcome(transport: httpx.AsyncBaseTransport, url: str) -> tuple[Any, ...]:
    """What a client gets: status, header and body, or the kind of error and its words."""
    async with httpx.AsyncClient(transport=transport, trust_env=False, timeout=5) as client:
        try:
            got = await client.post(url, content=b"hi")
        except httpx.TransportError as error:
            # What is quoted of a broken chunk depends on where it was cut.
            return type(error), str(error).partition(":")[0]
        header = sorted((name.lower(), value) for name, value in got.headers.raw)
        return got.status_code, header, got.content


async def no_tls() -> ssl.SSLContext:
    raise AssertionError("not https")


@pytest.mark.parametrize("name", RESPONSES)
async def test_a_response_is_read_as_httpx_reads_it(name: str):
    response = RESPONSES[name]
    body = response.find(b"\r\n\r\n") + 4
    places = {0, 1, 17, body, len(response) // 2, *range(len(response) - 7, len(response) + 1)}
    for cut in sorted(place for place in places if 0 <= place <= len(response)):
        async with answering(response, cut) as url:
            ours = await outcome(FreeListTransport(no_tls), url)
            assert ours == await outcome(httpx.AsyncHTTPTransport(verify=False), url), cut
