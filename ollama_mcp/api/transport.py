"""The HTTP transport: an httpx transport over a free list of connections.

httpx's own pool scans all its connections for every request, so it slows down with the number of requests in flight.
Here a request takes an idle connection from a list, or opens one; callers limit how many run at once. What is plain is
written and read by `http1`, the rest by httpcore.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import httpcore
import httpx

from ollama_mcp.api.http1 import PlainResponse, encode_head, encode_request, read_head
from ollama_mcp.api.read_only import READING_POSTS
from ollama_mcp.api.sockets import Socket, connect

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping
    from types import AsyncGeneratorType

# nginx closes idle connections after 75 s, load balancers after 60 s; Ollama's own server never does.
KEEPALIVE_SECONDS = 20.0
MAX_IDLE_CONNECTIONS = 64
# Some close them earlier, and may do so just as a request comes, which they then never see. It is sent again where the
# connection ends at once; not where it was in use a moment ago, since then whoever worked on the request has ended.
# That goes for what only reads, or runs a model: whatever else could be done twice, so it gets a connection of its own,
# which is not about to be closed.
_SURELY_ALIVE_SECONDS = 0.03
_AT_ONCE_SECONDS = 0.5
_READING_METHODS = ("GET", "HEAD")
# An address may have a path before that of the endpoint.
_READING_PATHS = tuple(path.encode() for path in READING_POSTS)
# Paths hold digests too, so that their number has no bound.
_MAX_HEADS = 32

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

Timeouts = dict[str, Any]


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
        self._idle: dict[tuple[bytes, bytes, int], deque[tuple[float, _Connection]]] = {}
        self._closed = False
        # The beginnings of plain requests by method and path, and the fields that all of them have.
        self._heads: dict[tuple[str, bytes], bytes] = {}
        self._fields: Mapping[str, str] | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The same as `send`, for a client of httpx."""
        reply = await self.send(request)
        return httpx.Response(reply.status, headers=reply.fields, stream=reply, request=request)

    async def send(self, request: httpx.Request | PlainRequest) -> Reply:
        """Send a request and return its response, of which only the head has been read.

        The `read` limit of `extensions["timeout"]` applies to the whole head of the response, from the end of the
        request; `idle`, if given, to each further piece of the body.
        """
        timeouts: Timeouts = dict(request.extensions.get("timeout", {}))
        is_new = request.method not in _READING_METHODS and not request.url.raw_path.endswith(_READING_PATHS)
        while True:
            try:
                connection = await self._acquire(request.url, timeouts.get("connect"), is_new=is_new)
            except Exception as error:
                raise _httpx_error(error) from error
            started = monotonic()
            try:
                response = await connection.send(request, timeouts)
                break
            except (_Ended, httpcore.ReadError) as error:
                await connection.aclose()
                was_idle = isinstance(request, PlainRequest) and connection.idle_seconds > _SURELY_ALIVE_SECONDS
                if not was_idle or monotonic() - started > _AT_ONCE_SECONDS:
                    raise _httpx_error(error) from error
                # The other side closed it, as one that is idle, while the request was on its way: most likely. So it is
                # sent once more, and not over each connection that is idle.
                is_new = True
            except BaseException as error:
                await connection.aclose()
                raise _httpx_error(error) from error
        # httpcore looks the limit up when the body is first read, so it can still be changed here.
        timeouts["read"] = timeouts.get("idle", timeouts.get("read"))
        return Reply(connection, response, request, timeouts, self._release)

    def build_request(
        self,
        method: str,
        url: httpx.URL,
        headers: Mapping[str, str],
        body: bytes | AsyncIterable[bytes] | None,
        size: int | None,
        limits: dict[str, Any],
    ) -> httpx.Request | PlainRequest:
        """A request with that body, of `size` bytes where it comes in pieces and that is known."""
        if isinstance(body, bytes) and method != "HEAD":
            return PlainRequest(method, url, headers, body, limits, self._encode(method, url, headers, body))
        if size is not None:
            headers = httpx.Headers(headers)
            headers["Content-Length"] = str(size)
        return httpx.Request(method, url, headers=headers, content=body, extensions=limits)

    def _encode(self, method: str, url: httpx.URL, headers: Mapping[str, str], body: bytes) -> bytes:
        if self._fields is not headers:
            self._heads, self._fields = {}, headers
        key = method, url.raw_path
        head = self._heads.get(key)
        if head is None:
            head = encode_head(method, key[1], httpx.Headers(headers))
            if len(self._heads) < _MAX_HEADS:
                self._heads[key] = head
        return b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body)

    @property
    def idle_count(self) -> int:
        """How many connections are open for further requests."""
        return sum(map(len, self._idle.values()))

    async def aclose(self) -> None:
        """Close the idle connections; those in use are closed as their responses end."""
        self._closed = True
        for idle in self._idle.values():
            while idle:
                await idle.pop()[1].aclose()

    async def _acquire(self, url: httpx.URL, seconds: float | None, *, is_new: bool) -> _Connection:
        origin = url.raw_scheme, url.raw_host, url.port or (443 if url.scheme == "https" else 80)
        idle = None if is_new else self._idle.get(origin)
        while idle:
            since, connection = idle.pop()
            connection.idle_seconds = monotonic() - since
            if connection.idle_seconds <= KEEPALIVE_SECONDS and connection.socket.is_quiet():
                return connection
            await connection.aclose()
        context = await self._tls_context() if url.scheme == "https" else None
        return _Connection(origin, await connect(url.raw_host.decode("ascii"), origin[2], context, seconds))

    async def _release(self, connection: _Connection) -> None:
        now, idle = monotonic(), self._idle.setdefault(connection.origin, deque())
        if self._closed:
            await connection.aclose()
        else:
            idle.append((now, connection))
        # The oldest goes when it is of no use any more, since the newest is taken first: that is looked at then.
        while idle and (oldest := idle[0])[1] is not connection:
            is_of_use = len(idle) <= MAX_IDLE_CONNECTIONS and now - oldest[0] <= KEEPALIVE_SECONDS
            if is_of_use and oldest[1].socket.is_quiet():
                break
            await idle.popleft()[1].aclose()

    async def _tls_context(self) -> ssl.SSLContext:
        if self._cached_tls_context is None:
            self._cached_tls_context = await self._create_tls_context()
        return self._cached_tls_context


class PlainRequest(NamedTuple):
    """A request whose body is there, with the bytes to send.

    The httpx.Request that it stands for is made where httpcore needs one: making it takes as long as all else here.
    """

    method: str
    url: httpx.URL
    headers: Mapping[str, str]
    body: bytes
    extensions: dict[str, Any]
    data: bytes

    def whole(self) -> httpx.Request:
        """The request for httpcore."""
        headers = httpx.Headers(self.headers)
        headers["Content-Length"] = str(len(self.body))
        # httpx takes ten times as long to make a stream of the bytes itself.
        stream = httpx.ByteStream(self.body)
        return httpx.Request(self.method, self.url, headers=headers, stream=stream, extensions=self.extensions)


class _Ended(httpcore.RemoteProtocolError):
    """The connection ended before a response began."""


class _Connection:
    """An open socket; httpcore reads and writes it where a message is not plain.

    Attributes:
        idle_seconds: How long it was idle before it was taken.
    """

    idle_seconds = 0.0

    def __init__(self, origin: tuple[bytes, bytes, int], socket: Socket) -> None:
        self.origin = origin
        self.socket = socket
        self._http: httpcore.AsyncHTTP11Connection | None = None

    async def send(
        self, request: httpx.Request | PlainRequest, timeouts: Timeouts
    ) -> PlainResponse | httpcore.Response:
        """Send a request and return its response, of which the head has been read."""
        self.socket.limit.restart()
        data = request.data if isinstance(request, PlainRequest) else encode_request(request)
        if data is None:
            return await self.send_by_httpcore(request, timeouts)
        # A server may refuse a request before it has read all of it: what it said is read first.
        with suppress(httpcore.WriteError):
            await self.socket.send(data, timeouts.get("write"))
        head = await read_head(self.socket, timeouts.get("read"))
        if not head:
            raise _Ended("Server disconnected without sending a response.")
        if (response := PlainResponse.parse(head)) is not None:
            return response
        self.socket.give_back(head)
        return await self.send_by_httpcore(request, timeouts, is_sent=True)

    async def send_by_httpcore(
        self, request: httpx.Request | PlainRequest, timeouts: Timeouts, *, is_sent: bool = False
    ) -> httpcore.Response:
        """The same by httpcore; of a request that `is_sent` only the response is read."""
        if isinstance(request, PlainRequest):
            request = request.whole()
        scheme, host, port = self.origin
        if self._http is None:
            self._http = httpcore.AsyncHTTP11Connection(httpcore.Origin(scheme, host, port), self.socket)
        self.socket.discards = is_sent
        return await self._http.handle_async_request(
            httpcore.Request(
                request.method,
                httpcore.URL(scheme=scheme, host=host, port=port, target=request.url.raw_path),
                headers=request.headers.raw,
                content=cast("AsyncIterable[bytes]", request.stream),
                extensions={"timeout": timeouts},
            )
        )

    def is_idle(self) -> bool:
        """Whether it may take another request after one that httpcore sent."""
        return self._http is None or self._http.is_idle()

    async def aclose(self) -> None:
        """Close it in whatever state it is, even if this call is cancelled in turn."""
        await self.socket.aclose()


class Reply(httpx.AsyncByteStream):
    """A response: its head, and the bytes of its body as they come.

    It releases the connection at its end, or closes it when left early.

    Attributes:
        status: The status.
        fields: The fields of the head.
        headers: The same by name in lower case; a httpx.Response takes several times as long to make.
        received: Bytes of the body that were read.
    """

    def __init__(
        self,
        connection: _Connection,
        response: PlainResponse | httpcore.Response,
        request: httpx.Request | PlainRequest,
        timeouts: Timeouts,
        release: Callable[[_Connection], Awaitable[None]],
    ) -> None:
        self._connection = connection
        self._response = response
        self._request = request
        self._timeouts = timeouts
        self._release = release
        self._closed = False
        self._parts: AsyncGeneratorType[bytes, None] | None = None
        self.status = 200 if isinstance(response, PlainResponse) else response.status
        self.fields = response.headers
        self.headers: dict[str, str] = {}
        for name, value in self.fields:
            key, text = name.decode("latin-1").lower(), value.decode("latin-1")
            self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text
        self.received = 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    @property
    def is_at_end(self) -> bool:
        """Whether all bytes were read and nothing has to be waited for."""
        return isinstance(self._response, PlainResponse) and self._response.is_complete

    async def __anext__(self) -> bytes:
        socket = self._connection.socket
        socket.limit.restart()
        try:
            if isinstance(self._response, PlainResponse):
                data = await self._response.read(socket, self._timeouts["read"])
                if data:
                    self.received += len(data)
                    return data
                if data is not None:
                    raise StopAsyncIteration
                self._response = await self._connection.send_by_httpcore(self._request, self._timeouts, is_sent=True)
            if self._parts is None:
                # An asynchronous generator; only the declared type of httpcore's stream is wider.
                stream = cast("AsyncIterable[bytes]", self._response.stream)
                self._parts = cast("AsyncGeneratorType[bytes, None]", aiter(stream))
            data = await anext(self._parts)
            self.received += len(data)
            return data
        except StopAsyncIteration:
            await self.aclose()
            raise
        except Exception as error:
            raise _httpx_error(error) from error

    async def aclose(self) -> None:
        if self._closed:
            return
        self._closed = True
        if isinstance(self._response, PlainResponse):
            await (self._release(self._connection) if self._response.is_complete else self._connection.aclose())
            return
        try:
            await self._response.aclose()
            # A reader in another task may be waiting in it: it sees the connection close and ends the generator itself.
            if self._parts is not None and not self._parts.ag_running:
                await self._parts.aclose()
        except BaseException:
            # httpcore takes a lock before it looks at the connection; cancelled there, it leaves the socket open.
            await self._connection.aclose()
            raise
        await (self._release(self._connection) if self._connection.is_idle() else self._connection.aclose())


def _httpx_error(error: BaseException) -> BaseException:
    """httpx's error of the same name for one of httpcore's; other errors as they are."""
    for kind, mapped in _HTTPX_ERRORS.items():
        if isinstance(error, kind):
            return mapped(str(error))
    return error
