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

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

# In how many parts the time for a connection is counted.
_CONNECT_PARTS = 20
_HEAD_END = b"\r\n\r\n"


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
    """A socket, plain or with TLS; it writes a request in one piece.

    Its reads have one limit together, and end where the head of a response ends, so that the body can be read by
    another reader than httpcore's; bytes can be given back.

    Args:
        stream: The socket of anyio.
        limit: The limit of the reads.
    """

    def __init__(self, stream: ByteStream, limit: ReadLimit) -> None:
        self._stream, self._limit = stream, limit
        self._given_back = b""
        self._begins_request, self._head = True, b""
        # What comes first is a head; of one that has not ended, the last bytes, since the end may be cut anywhere.
        self._in_head, self._tail = True, b""

    def begin_head(self) -> None:
        """From here on a head is read."""
        self._in_head, self._tail = True, b""

    def begin_body(self) -> bool:
        """From here on a body is read; returns whether nothing of it was given out with the head."""
        ended, self._in_head = self._in_head and self._tail == _HEAD_END, False
        return ended

    def give_back(self, data: bytes) -> None:
        """Return bytes, which the next read gives again."""
        self._given_back = data + self._given_back

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 # httpcore's
        """The next bytes; none at the end.

        Raises:
            httpcore.ReadTimeout, httpcore.ReadError: They did not come.
        """
        self._begins_request = True
        if data := self._given_back:
            self._given_back = b""
        else:
            data = await self._receive(max_bytes, self._limit.remaining(timeout))
        return self._until_head_end(data) if self._in_head and data else data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 # httpcore's
        """Send bytes.

        Raises:
            httpcore.WriteTimeout, httpcore.WriteError: They were not taken.
        """
        if self._begins_request:
            # httpcore writes the head by itself, and then the body, or b"" where there is none: one system call and one
            # packet do for both.
            self._begins_request, self._head = False, buffer
            return
        data, self._head = self._head + buffer, b""
        if not data:
            return
        try:
            with anyio.fail_after(timeout):
                await self._stream.send(data)
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
    ) -> httpcore.AsyncNetworkStream:
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
        return Socket(stream, self._limit)

    def get_extra_info(self, info: str) -> object:
        """What httpcore asks for: whether the server has closed an idle connection, and TLS."""
        if info == "ssl_object":
            return self._stream.extra(TLSAttribute.ssl_object, None)
        if info == "is_readable":
            return bool(self._given_back) or _is_readable(self._stream.extra(SocketAttribute.raw_socket, None))
        return None

    async def _receive(self, max_bytes: int, seconds: float | None) -> bytes:
        deadline = float("inf") if seconds is None else anyio.current_time() + seconds
        try:
            with anyio.CancelScope(deadline=deadline):
                return await self._stream.receive(max_bytes)
        except anyio.EndOfStream:
            return b""
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise httpcore.ReadError(str(error)) from error
        raise httpcore.ReadTimeout

    def _until_head_end(self, data: bytes) -> bytes:
        """The bytes up to the end of a head, if it is there; the rest is kept for the next read."""
        # After the end of an interim response (1xx) comes another head.
        seen = data if self._tail == _HEAD_END else self._tail + data
        end = seen.find(_HEAD_END)
        if end < 0:
            self._tail = seen[-3:]
            return data
        self._tail = _HEAD_END
        rest = seen[end + len(_HEAD_END) :]
        self._given_back = rest
        return data[: len(data) - len(rest)]


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


class SocketRecorder(httpcore.AsyncNetworkBackend):
    """Opens the socket of one connection and keeps a reference to it."""

    def __init__(self) -> None:
        self.opened: Socket | None = None
        self.read_limit = ReadLimit()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 # httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        async with _connect_limit(timeout):
            try:
                stream = await anyio.connect_tcp(host, port, local_host=local_address)
            except (OSError, anyio.BrokenResourceError) as error:
                raise httpcore.ConnectError(str(error)) from error
        self.opened = Socket(stream, self.read_limit)
        return self.opened
