"""A server that answers with scripted bytes and records its requests and connections."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping


@dataclass
class RawRequest:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Connection:
    """One connection as the server sees it; `gone` is set when the client has closed it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            # Let the client read each piece by itself.
            await asyncio.sleep(0)

    async def wait_gone(self) -> None:
        async with asyncio.timeout(30):
            while await self.reader.read(65536):
                pass
        self.gone.set()


if TYPE_CHECKING:
    Script = Callable[[RawRequest, Connection], Awaitable[None]]


class RawServer:
    """Answers the n-th request with the n-th script; the last one serves all that follow."""

    def __init__(self, *scripts: Script) -> None:
        self._scripts = scripts
        self.requests: list[RawRequest] = []
        self.connections: list[Connection] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(reader, writer)
        self.connections.append(connection)
        try:
            while not writer.is_closing():
                request = await _read_request(reader)
                script = self._scripts[min(len(self.requests), len(self._scripts) - 1)]
                self.requests.append(request)
                await script(request, connection)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            connection.gone.set()
            writer.close()


@asynccontextmanager
async def serving(*scripts: Script, tls: ssl.SSLContext | None = None) -> AsyncGenerator[RawServer]:
    raw = RawServer(*scripts)
    server = await asyncio.start_server(raw.serve, "127.0.0.1", 0, ssl=tls)
    raw.url = f"http{'s' if tls else ''}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield raw
    finally:
        server.close()
        for connection in raw.connections:
            connection.writer.close()
        async with asyncio.timeout(30):
            for connection in raw.connections:
                await connection.gone.wait()
        await server.wait_closed()


def head(status: int = 200, headers: Mapping[str, str] | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in (headers or {}).items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def response(body: bytes | str, status: int = 200, content_type: str = "application/json", **headers: str) -> Script:
    """A script that answers with a body of known length."""
    data = body.encode() if isinstance(body, str) else body
    extra = {name.replace("_", "-"): value for name, value in headers.items()}
    sent = head(status, {"Content-Type": content_type, "Content-Length": str(len(data)), **extra})

    async def script(request: RawRequest, connection: Connection) -> None:
        await connection.send(sent + (b"" if request.method == "HEAD" else data))

    return script


async def blob_exists(request: RawRequest, connection: Connection) -> None:
    """A script that answers HEAD for a blob that exists, without headers, as Ollama does."""
    assert request.method == "HEAD"
    await connection.send(head())


def error(text: str, status: int, **headers: str) -> Script:
    """A script that answers with Ollama's error object."""
    return response(json.dumps({"error": text}), status, **headers)


def chunk(data: bytes) -> bytes:
    """A chunk of a body in chunked transfer coding."""
    return b"%x\r\n%s\r\n" % (len(data), data)


END = b"0\r\n\r\n"
STREAM_HEAD = head(200, {"Content-Type": "application/x-ndjson", "Transfer-Encoding": "chunked"})


def stream(*lines: dict[str, Any] | bytes, end: bytes = END) -> Script:
    """A script that answers with lines, each a chunk of its own."""
    pieces = [chunk(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n") for line in lines]

    async def script(_: RawRequest, connection: Connection) -> None:
        await connection.send(STREAM_HEAD, *pieces, end)
        if end != END:
            connection.writer.close()

    return script


def generate_chunk(text: str, **more: Any) -> dict[str, Any]:
    """A line of generate."""
    return {"model": "m", "created_at": "2026-11-21T02:39:24.32Z", "response": text, "done": False, **more}


def generate_end(text: str = "", **more: Any) -> dict[str, Any]:
    """The last line of generate."""
    return {
        **generate_chunk(text),
        "done": True,
        "done_reason": "stop",
        "eval_count": 2,
        "eval_duration": 10**9,
        **more,
    }


def chat_chunk(text: str, **more: Any) -> dict[str, Any]:
    """A line of chat; `more` goes into the message."""
    return {"model": "m", "message": {"role": "assistant", "content": text, **more}, "done": False}


def chat_end(text: str = "", **more: Any) -> dict[str, Any]:
    """The last line of chat."""
    return {**chat_chunk(text, **more), "done": True, "done_reason": "stop"}


NOT_FOUND = response("404 page not found", 404, "text/plain")


def version(text: str) -> Script:
    """A script that answers GET /api/version."""
    return response(json.dumps({"version": text}))


def by_path(**scripts: Script) -> Script:
    """Answers by the last part of the path."""

    async def script(request: RawRequest, connection: Connection) -> None:
        await scripts.get(request.path.rpartition("/")[2], NOT_FOUND)(request, connection)

    return script


async def _read_request(reader: asyncio.StreamReader) -> RawRequest:
    raw = await reader.readuntil(b"\r\n\r\n")
    first, *rest = raw.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest if line)}
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readexactly(2)
    else:
        body = await reader.readexactly(int(headers.get("content-length", 0)))
    return RawRequest(method, path, headers, body)
