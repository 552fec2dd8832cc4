"""The HTTP transport: an httpx transport over a free list of httpcore connections.

httpx's own pool walks over all its connections for every request, so it slows down with the number of requests in
flight. Here a request takes an idle connection from a list, or opens one; how many may run at once is decided above.
"""

from __future__ import annotations

from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, cast

import httpcore
import httpx

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
    from types import AsyncGeneratorType

# nginx closes idle connections after 75 s, load balancers after 60 s; Ollama's own server never does.
KEEPALIVE_SECONDS = 20.0
MAX_IDLE = 64

_SAME_NAME = (
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
_MAPPED: dict[type[Exception], type[httpx.TransportError]] = {
    getattr(httpcore, name): getattr(httpx, name) for name in _SAME_NAME
}


class FreeListTransport(httpx.AsyncBaseTransport):
    """Sends requests to one or more origins over HTTP/1.1, keeping idle connections for the next request.

    A connection goes back to the list only after its answer was read to the end; one whose request was cancelled or
    whose answer was left unread is closed, which is how Ollama learns that nobody waits any more.

    Args:
        tls: Builds the TLS context at the first https connection, since reading CA files takes tens of milliseconds.
    """

    def __init__(self, tls: Callable[[], Awaitable[ssl.SSLContext]]) -> None:
        self._tls = tls
        self._context: ssl.SSLContext | None = None
        self._idle: dict[str, deque[tuple[float, _Connection]]] = {}
        self._closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and return its answer, of which only the head was read.

        The read limit of `extensions["timeout"]` covers the wait for the head of the answer; `idle`, where given,
        the waits for its further bytes.
        """
        url = request.url
        port = url.port or (443 if url.scheme == "https" else 80)
        origin = httpcore.Origin(url.raw_scheme, url.raw_host, port)
        connection = await self._take(origin)
        limits = dict(request.extensions.get("timeout", {}))
        sent = httpcore.Request(
            request.method,
            httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=port, target=url.raw_path),
            headers=request.headers.raw,
            content=cast("AsyncIterable[bytes]", request.stream),
            extensions={"timeout": limits},
        )
        try:
            answer = await connection.handle_async_request(sent)
        except BaseException as error:
            await connection.abandon()
            raise _httpx_error(error) from error
        # httpcore reads the limit when the body is first asked for, so this is the moment to change it.
        limits["read"] = limits.get("idle", limits.get("read"))
        body = _Body(answer, lambda: self._release(origin, connection))
        return httpx.Response(answer.status, headers=answer.headers, stream=body, request=request)

    async def aclose(self) -> None:
        """Close what is idle; connections still in use are closed as their answers end."""
        self._closed = True
        for idle in self._idle.values():
            while idle:
                await idle.pop()[1].aclose()

    async def _take(self, origin: httpcore.Origin) -> _Connection:
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
        while idle and (len(idle) > MAX_IDLE or now - idle[0][0] > KEEPALIVE_SECONDS):
            await idle.popleft()[1].aclose()

    async def _tls_context(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = await self._tls()
        return self._context


class _Sockets(httpcore.AsyncNetworkBackend):
    """Opens the socket of one connection and remembers it."""

    def __init__(self) -> None:
        self.opened: httpcore.AsyncNetworkStream | None = None
        # Its type is open upstream, since anyio is optional there.
        self._inner = cast("httpcore.AsyncNetworkBackend", httpcore.AnyIOBackend())

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 # httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        self.opened = await self._inner.connect_tcp(host, port, timeout, local_address, socket_options)
        return self.opened


class _Connection(httpcore.AsyncHTTPConnection):
    """A connection that can be given up at any moment.

    httpcore closes none that was cancelled within its TLS handshake, or between connecting and sending.
    """

    def __init__(self, origin: httpcore.Origin, context: ssl.SSLContext | None) -> None:
        self._sockets = _Sockets()
        super().__init__(origin, ssl_context=context, keepalive_expiry=KEEPALIVE_SECONDS, network_backend=self._sockets)

    async def abandon(self) -> None:
        """Close it, however far it came."""
        await self.aclose()
        if self._sockets.opened is not None:
            await self._sockets.opened.aclose()


class _Body(httpx.AsyncByteStream):
    """The bytes of an answer as they come; gives the connection back at the end, or closes it when left early."""

    def __init__(self, answer: httpcore.Response, release: Callable[[], Awaitable[None]]) -> None:
        self._answer = answer
        self._release = release
        self._closed = False
        # An asynchronous generator, which only the type of httpcore's stream leaves open.
        self._parts = cast("AsyncGeneratorType[bytes, None]", aiter(cast("AsyncIterable[bytes]", answer.stream)))

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
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
        await self._answer.aclose()
        # Somebody may be waiting in it; they see the connection close and end it themselves.
        if not self._parts.ag_running:
            await self._parts.aclose()
        await self._release()


def _httpx_error(error: BaseException) -> BaseException:
    """httpx's error of the same name for one of httpcore's; others stay."""
    for kind, mapped in _MAPPED.items():
        if isinstance(error, kind):
            return mapped(str(error))
    return error
