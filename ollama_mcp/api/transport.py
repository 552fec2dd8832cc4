"""The HTTP transport: an httpx transport over a free list of httpcore connections.

httpx's own pool scans all its connections for every request, so it slows down with the number of requests in flight.
Here a request takes an idle connection from a list, or opens one; callers limit how many run at once.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

import httpcore
import httpx

from ollama_mcp.api.chunked import READ_BYTES, ChunkReader
from ollama_mcp.api.sockets import Socket, SocketRecorder

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
    from types import AsyncGeneratorType

# nginx closes idle connections after 75 s, load balancers after 60 s; Ollama's own server never does.
KEEPALIVE_SECONDS = 20.0
MAX_IDLE_CONNECTIONS = 64

_ERROR_NAMES = (
    "ConnectTimeout",
    "ReadTimeout",
    "WriteTimeout",
    "ConnectError",
    "ReadError",
    "WriteError",
    "LocalProtocolError",
    "RemoteProtocolError",
    "UnsupportedProtocol",
)
_HTTPX_ERRORS: dict[type[Exception], type[httpx.TransportError]] = {
    getattr(httpcore, name): getattr(httpx, name) for name in _ERROR_NAMES
}


class FreeListTransport(httpx.AsyncBaseTransport):
    """Sends requests to one or more origins over HTTP/1.1 and keeps idle connections for further requests.

    A connection returns to the list only after its response was read to the end. One whose request was cancelled or
    whose response was left unread is closed, which is how Ollama learns that nobody waits any more.

    Args:
        create_tls_context: Called at the first https connection, since reading CA files takes tens of milliseconds.
    """

    def __init__(self, create_tls_context: Callable[[], Awaitable[ssl.SSLContext]]) -> None:
        self._create_tls_context = create_tls_context
        self._cached_tls_context: ssl.SSLContext | None = None
        self._idle: dict[str, deque[tuple[float, _Connection]]] = {}
        self._closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and return its response, of which only the head has been read.

        The `read` limit of `extensions["timeout"]` applies to the whole head of the response, from the end of the
        request; `idle`, if given, to each further piece of the body.
        """
        url = request.url
        port = url.port or (443 if url.scheme == "https" else 80)
        origin = httpcore.Origin(url.raw_scheme, url.raw_host, port)
        connection = await self._acquire(origin)
        timeouts = dict(request.extensions.get("timeout", {}))
        core_request = httpcore.Request(
            request.method,
            httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=port, target=url.raw_path),
            headers=request.headers.raw,
            content=cast("AsyncIterable[bytes]", request.stream),
            extensions={"timeout": timeouts},
        )
        connection.read_limit.restart()
        try:
            core_response = await connection.handle_async_request(core_request)
        except BaseException as error:
            await connection.abort()
            raise _httpx_error(error) from error
        # httpcore looks the limit up when the body is first read, so it can still be changed here.
        timeouts["read"] = timeouts.get("idle", timeouts.get("read"))
        body = _Body(core_response, connection, partial(self._release, origin, connection))
        if request.method != "HEAD" and core_response.status == 200:
            body.read_chunks(timeouts["read"])
        return httpx.Response(core_response.status, headers=core_response.headers, stream=body, request=request)

    async def aclose(self) -> None:
        """Close the idle connections; those in use are closed as their responses end."""
        self._closed = True
        for idle in self._idle.values():
            while idle:
                await idle.pop()[1].aclose()

    async def _acquire(self, origin: httpcore.Origin) -> _Connection:
        idle = self._idle.get(str(origin))
        while idle:
            _, connection = idle.pop()
            if connection.is_available() and not connection.has_expired():
                return connection
            await connection.aclose()
        context = await self._tls_context() if origin.scheme == b"https" else None
        return _Connection(origin, context)

    async def _release(self, origin: httpcore.Origin, connection: _Connection) -> None:
        now, idle = monotonic(), self._idle.setdefault(str(origin), deque())
        if connection.is_idle() and not self._closed:
            idle.append((now, connection))
        elif not connection.is_closed():
            await connection.aclose()
        while idle and (len(idle) > MAX_IDLE_CONNECTIONS or now - idle[0][0] > KEEPALIVE_SECONDS):
            await idle.popleft()[1].aclose()

    async def _tls_context(self) -> ssl.SSLContext:
        if self._cached_tls_context is None:
            self._cached_tls_context = await self._create_tls_context()
        return self._cached_tls_context


class _Connection(httpcore.AsyncHTTPConnection):
    """A connection that can be aborted at any moment.

    httpcore itself leaves a socket open that is cancelled during its TLS handshake, or between connecting and sending.
    """

    def __init__(self, origin: httpcore.Origin, context: ssl.SSLContext | None) -> None:
        self._sockets = SocketRecorder()
        self.read_limit = self._sockets.read_limit
        super().__init__(origin, ssl_context=context, keepalive_expiry=KEEPALIVE_SECONDS, network_backend=self._sockets)

    async def abort(self) -> None:
        """Close it in whatever state it is, even if this call is cancelled in turn."""
        try:
            await self.aclose()
        finally:
            if self._sockets.opened is not None:
                await self._sockets.opened.aclose()


class _Body(httpx.AsyncByteStream):
    """The bytes of a response as they come; releases the connection at the end, or closes it when left early."""

    def __init__(
        self, response: httpcore.Response, connection: _Connection, release: Callable[[], Awaitable[None]]
    ) -> None:
        self._response = response
        self._connection = connection
        self._release = release
        self._closed = False
        # An asynchronous generator; only the declared type of httpcore's stream is wider.
        self._parts = cast("AsyncGeneratorType[bytes, None]", aiter(cast("AsyncIterable[bytes]", response.stream)))
        self._socket = cast("Socket", cast("Any", response).extensions["network_stream"])
        self._begins_here = self._socket.begin_body()
        self._chunks: ChunkReader | None = None
        self._idle: float | None = None

    def read_chunks(self, idle: float | None) -> None:
        """Read the body without h11 where it is chunked, each piece within a limit."""
        if self._begins_here and (b"transfer-encoding", b"chunked") in _lowered(self._response.headers):
            self._chunks, self._idle = ChunkReader(), idle

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        self._connection.read_limit.restart()
        try:
            if self._chunks is not None and (content := await self._read_chunks(self._chunks)):
                return content
            return await anext(self._parts)
        except StopAsyncIteration:
            await self.aclose()
            raise
        except Exception as error:
            raise _httpx_error(error) from error

    async def _read_chunks(self, chunks: ChunkReader) -> bytes:
        """The content of the chunks that come next; nothing where h11 has to read on."""
        while not chunks.is_over and (data := await self._socket.read(READ_BYTES, self._idle)):
            if content := chunks.feed(data):
                return content
        self._chunks = None
        self._socket.give_back(chunks.take_rest())
        return b""

    async def aclose(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._socket.begin_head()
        try:
            await self._response.aclose()
            # A reader in another task may be waiting in it: it sees the connection close and ends the generator itself.
            if not self._parts.ag_running:
                await self._parts.aclose()
        except BaseException:
            # httpcore takes a lock before it looks at the connection; cancelled there, it leaves the socket open.
            await self._connection.abort()
            raise
        await self._release()


def _lowered(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [(name.lower(), value.lower()) for name, value in headers]


def _httpx_error(error: BaseException) -> BaseException:
    """httpx's error of the same name for one of httpcore's; other errors as they are."""
    for kind, mapped in _HTTPX_ERRORS.items():
        if isinstance(error, kind):
            return mapped(str(error))
    return error
