"""The HTTP transport: an httpx transport over a free list of httpcore connections.

httpx's own pool scans all its connections for every request, so it slows down with the number of requests in flight.
Here a request takes an idle connection from a list, or opens one; callers limit how many run at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, cast

import httpcore
import httpx

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
    from types import AsyncGeneratorType

# nginx closes idle connections after 75 s, load balancers after 60 s; Ollama's own server never does.
KEEPALIVE_SECONDS = 20.0
MAX_IDLE_CONNECTIONS = 64
# In how many parts the time for a connection is counted.
_CONNECT_PARTS = 20

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


class _ReadLimit:
    """The time limit of several reads together: it counts from the first read after a restart.

    A limit on each read alone is never reached by a server that trickles bytes: of a header, of interim responses
    (1xx), of the size of a chunk.
    """

    def __init__(self) -> None:
        self._deadline: float | None = None

    def restart(self) -> None:
        """Count from the next read."""
        self._deadline = None

    def remaining(self, limit: float | None) -> float | None:
        """The seconds that are left for a read."""
        if limit is None:
            return None
        now = monotonic()
        if self._deadline is None:
            self._deadline = now + limit
        return max(self._deadline - now, 0.0)


class _LimitedStream(httpcore.AsyncNetworkStream):
    """A socket, plain or with TLS: its reads have one limit together, and it writes a request in one piece."""

    def __init__(self, stream: httpcore.AsyncNetworkStream, limit: _ReadLimit) -> None:
        self._stream = stream
        self._limit = limit
        self._begins_request = True
        self._head = b""

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 # httpcore's
        self._begins_request = True
        return await self._stream.read(max_bytes, self._limit.remaining(timeout))

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 # httpcore's
        if self._begins_request:
            # httpcore writes the head by itself, and then the body, or b"" where there is none: one system call and one
            # packet do for both.
            self._begins_request, self._head = False, buffer
            return
        data, self._head = self._head + buffer, b""
        if data:
            await self._stream.write(data, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 # httpcore's signature
    ) -> httpcore.AsyncNetworkStream:
        async with _connect_limit(timeout):
            return _LimitedStream(await self._stream.start_tls(ssl_context, server_hostname), self._limit)

    def get_extra_info(self, info: str) -> object:
        return self._stream.get_extra_info(info)


@asynccontextmanager
async def _connect_limit(seconds: float | None) -> AsyncGenerator[None]:
    """Limit the time of connecting, counted in parts, each of which ends in a turn of the event loop of its own.

    A loop that is late by more than the whole limit would otherwise end it before it looks whether the connection has
    been established meanwhile, and blame the host for its own load.
    """
    loop, parts = asyncio.get_running_loop(), _CONNECT_PARTS

    def count() -> None:
        nonlocal parts, timer
        parts -= 1
        if parts:
            timer = loop.call_later(part, count)
        else:
            limit.reschedule(loop.time())

    if seconds is None:
        yield
        return
    part = seconds / _CONNECT_PARTS
    timer = loop.call_later(part, count)
    try:
        async with asyncio.timeout(None) as limit:
            yield
    except TimeoutError:
        raise httpcore.ConnectTimeout from None
    finally:
        timer.cancel()


class _SocketRecorder(httpcore.AsyncNetworkBackend):
    """Opens the socket of one connection and keeps a reference to it."""

    def __init__(self) -> None:
        self.opened: httpcore.AsyncNetworkStream | None = None
        self.read_limit = _ReadLimit()
        # httpcore types it as Any, since anyio is optional there.
        self._inner = cast("httpcore.AsyncNetworkBackend", httpcore.AnyIOBackend())

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 # httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        async with _connect_limit(timeout):
            stream = await self._inner.connect_tcp(host, port, None, local_address, socket_options)
        self.opened = _LimitedStream(stream, self.read_limit)
        return self.opened


class _Connection(httpcore.AsyncHTTPConnection):
    """A connection that can be aborted at any moment.

    httpcore itself leaves a socket open that is cancelled during its TLS handshake, or between connecting and sending.
    """

    def __init__(self, origin: httpcore.Origin, context: ssl.SSLContext | None) -> None:
        self._sockets = _SocketRecorder()
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

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        self._connection.read_limit.restart()
        try:
            return await anext(self._parts)
        except StopAsyncIteration:
            await self.aclose()
            raise
        except Exception as error:
            raise _httpx_error(error) from error

    async def aclose(self) -> None:
        if self._closed:
            return
        self._closed = True
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


def _httpx_error(error: BaseException) -> BaseException:
    """httpx's error of the same name for one of httpcore's; other errors as they are."""
    for kind, mapped in _HTTPX_ERRORS.items():
        if isinstance(error, kind):
            return mapped(str(error))
    return error
