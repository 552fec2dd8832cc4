"""The sockets of the transport: reads that have one limit together and end where the head of a response ends.

They are anyio's. httpcore's own wrapper makes two context managers for each read, which costs more than the read.
"""

from __future__ import annotations

import asyncio
import select
import ssl
from contextlib import asynccontextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any

import anyio
import httpcore
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSAttribute, TLSStream

from ollama_mcp.api.tcp import TcpStream, connect_tcp

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

# In how many parts the time for a connection is counted.
_CONNECT_PARTS = 20


class ReadLimit:
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


class Socket(httpcore.AsyncNetworkStream):
    """A socket, plain or with TLS, whose reads have one limit together, and to which bytes can be given back.

    Args:
        stream: The socket of anyio.

    Attributes:
        limit: The limit of the reads.
        discards: Whether what is written until the next read is left out, since it has been sent.
    """

    def __init__(self, stream: ByteStream) -> None:
        self._stream, self.limit = stream, ReadLimit()
        self._given_back = b""
        self._begins_request, self._head = True, b""
        self.discards = False

    def give_back(self, data: bytes) -> None:
        """Return bytes, which the next read gives again."""
        self._given_back = data + self._given_back

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 # httpcore's
        """The next bytes; none at the end.

        Raises:
            httpcore.ReadTimeout, httpcore.ReadError: They did not come.
        """
        self._begins_request, self.discards = True, False
        if data := self._given_back:
            self._given_back = b""
            return data
        return await self._receive(max_bytes, self.limit.remaining(timeout))

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 # httpcore's
        """Send bytes of a request as httpcore writes it.

        Raises:
            httpcore.WriteTimeout, httpcore.WriteError: They were not taken.
        """
        if self.discards:
            return
        if self._begins_request:
            # httpcore writes the head by itself, and then the body, or b"" where there is none: one system call and one
            # packet do for both.
            self._begins_request, self._head = False, buffer
            return
        data, self._head = self._head + buffer, b""
        if data:
            await self.send(data, timeout)

    async def send(self, data: bytes, seconds: float | None) -> None:
        """Send bytes.

        Raises:
            httpcore.WriteTimeout, httpcore.WriteError: They were not taken.
        """
        stream = self._stream
        try:
            if not isinstance(stream, TcpStream):
                with anyio.fail_after(seconds):
                    await stream.send(data)
            elif not stream.write(data):
                with anyio.fail_after(seconds):
                    await stream.drained()
        except TimeoutError:
            raise httpcore.WriteTimeout from None
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise httpcore.WriteError(str(error)) from error

    async def aclose(self) -> None:
        """Close it."""
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 # httpcore's signature
    ) -> Socket:
        """The same with TLS."""
        async with _connect_limit(timeout):
            try:
                stream = await TLSStream.wrap(
                    self._stream, ssl_context=ssl_context, hostname=server_hostname, standard_compatible=False
                )
            except BaseException as error:
                await self.aclose()
                if isinstance(error, (anyio.BrokenResourceError, anyio.EndOfStream, ssl.SSLError)):
                    raise httpcore.ConnectError(str(error)) from error
                raise
        return Socket(stream)

    def get_extra_info(self, info: str) -> object:
        """What httpcore asks for: whether the server has closed an idle connection, and TLS."""
        if info == "ssl_object":
            return self._stream.extra(TLSAttribute.ssl_object, None)
        if info == "is_readable":
            return not self.is_quiet()
        return None

    def is_quiet(self) -> bool:
        """Whether the server has neither closed it nor sent what nobody has read."""
        stream = self._stream
        if self._given_back or (isinstance(stream, TcpStream) and stream.has_come):
            return False
        # What the event loop has not seen yet.
        if isinstance(stream, TcpStream):
            return not _is_readable(stream.socket)
        return not _is_readable(stream.extra(SocketAttribute.raw_socket, None))

    async def _receive(self, max_bytes: int, seconds: float | None) -> bytes:
        if seconds == 0:
            # What trickles in is always there.
            raise httpcore.ReadTimeout
        try:
            if isinstance(self._stream, TcpStream):
                return await self._stream.receive(max_bytes, seconds)
            with anyio.fail_after(seconds):
                return await self._stream.receive(max_bytes)
        except anyio.EndOfStream:
            return b""
        except TimeoutError:
            raise httpcore.ReadTimeout from None
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise httpcore.ReadError(str(error)) from error


def _is_readable(socket: Any) -> bool:
    """Whether there is something to read, or the end; True for a socket that is closed."""
    if socket is None or (descriptor := socket.fileno()) < 0:
        return True
    if not hasattr(select, "poll"):
        return bool(select.select([descriptor], [], [], 0)[0])
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


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


async def connect(host: str, port: int, context: ssl.SSLContext | None, seconds: float | None) -> Socket:
    """Open a socket, with TLS where there is a context.

    Raises:
        httpcore.ConnectTimeout, httpcore.ConnectError: It did not come about.
    """
    async with _connect_limit(seconds):
        try:
            stream = await connect_tcp(host, port)
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
    socket = Socket(stream)
    if context is None:
        return socket
    context.set_alpn_protocols(["http/1.1"])
    return await socket.start_tls(context, host, seconds)
