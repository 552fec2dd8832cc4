"""TCP connections as asyncio protocols: what has come waits in memory, and a read that finds it does not wait at all.

anyio's own stream asks the system to watch the socket for each read and to stop after it, and lets other tasks run at
each step, which costs more than the exchange of a short request and answer.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import Any, cast

import anyio
from anyio.abc import ByteStream, SocketAttribute

# What may wait to be read before the other side is slowed down.
_MAX_WAITING = 256 * 1024
# How long an address is tried alone (RFC 8305).
_ALONE_SECONDS = 0.25


class TcpStream(asyncio.Protocol, ByteStream):
    """A connection; one task reads and one writes at a time.

    Attributes:
        socket: The socket, as asyncio gives it out.
    """

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self.socket: Any = None
        self._parts: deque[bytes] = deque()
        self._waiting = 0
        self._is_paused = self._has_ended = self._is_closed = False
        self._error: Exception | None = None
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)
        self.socket = transport.get_extra_info("socket")

    def data_received(self, data: bytes) -> None:
        """Keep what has come."""
        self._parts.append(data)
        self._waiting += len(data)
        if self._waiting > _MAX_WAITING and self._transport is not None and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()
        self._wake_reader()

    def eof_received(self) -> bool:
        """Note the end; the connection stays open for who writes."""
        self._has_ended = True
        self._wake_reader()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake who waits."""
        self._has_ended = True
        self._error = exc
        self._wake_reader()
        self.resume_writing()

    def pause_writing(self) -> None:
        """The buffer is full."""
        self._writer = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """The buffer has room."""
        if self._writer is not None and not self._writer.done():
            self._writer.set_result(None)
        self._writer = None

    # What its user calls.

    async def receive(self, max_bytes: int = 65_536, seconds: float | None = None) -> bytes:
        """The next bytes.

        Raises:
            TimeoutError: None came in so many seconds.
            anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError: None will come.
        """
        if not self._parts:
            await self._wait_for_bytes(seconds)
        data = self._parts.popleft()
        if len(data) > max_bytes:
            self._parts.appendleft(data[max_bytes:])
            data = data[:max_bytes]
        self._waiting -= len(data)
        if self._is_paused and not self._waiting and self._transport is not None:
            self._is_paused = False
            self._transport.resume_reading()
        return data

    def write(self, data: bytes) -> bool:
        """Send bytes; returns whether there is room for more, which `drained` waits for.

        Raises:
            anyio.BrokenResourceError, anyio.ClosedResourceError: They were not taken.
        """
        transport = self._checked()
        if transport.is_closing():
            raise anyio.BrokenResourceError from self._error
        transport.write(data)
        return self._writer is None

    async def drained(self) -> None:
        """Wait until there is room.

        Raises:
            anyio.BrokenResourceError: The other side has closed it.
        """
        if self._writer is not None:
            await self._writer
            if self._error is not None:
                raise anyio.BrokenResourceError from self._error

    async def send(self, item: bytes) -> None:
        """Both."""
        self.write(item)
        await self.drained()

    async def send_eof(self) -> None:
        """Tell the other side that nothing more is sent."""
        self._checked().write_eof()

    async def aclose(self) -> None:
        """Close it, whoever reads or writes."""
        self._is_closed = True
        if self._transport is None:
            return
        # uvloop says so where the other side has closed it.
        with suppress(OSError, RuntimeError):
            self._transport.write_eof()
        self._transport.close()
        self._wake_reader()
        # The loop closes the socket in its next turn.
        await asyncio.sleep(0)
        self._transport.abort()

    @property
    def has_come(self) -> bool:
        """Whether bytes or the end have come that nobody has read."""
        return bool(self._parts) or self._has_ended

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        """The socket, as anyio names it."""
        return {SocketAttribute.raw_socket: lambda: self.socket}

    async def _wait_for_bytes(self, seconds: float | None) -> None:
        self._checked()
        if not self._has_ended:
            loop = asyncio.get_running_loop()
            reader = self._reader = loop.create_future()
            timer = loop.call_later(seconds, _expire, reader) if seconds is not None else None
            try:
                await reader
            finally:
                self._reader = None
                if timer is not None:
                    timer.cancel()
        if not self._parts:
            self._checked()
            if self._error is not None:
                raise anyio.BrokenResourceError from self._error
            raise anyio.EndOfStream

    def _checked(self) -> asyncio.Transport:
        if self._is_closed or self._transport is None:
            raise anyio.ClosedResourceError
        return self._transport

    def _wake_reader(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)


def _expire(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_exception(TimeoutError())


async def connect_tcp(host: str, port: int) -> TcpStream:
    """Connect to the first address of a host that answers.

    Raises:
        OSError: None does, or there is none; of several errors the cause is a group.
    """
    try:
        addresses = [str(ip_address(host))]
    except ValueError:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(address[4][0]) for address in found))
    return await (_connect_one(addresses[0], port) if len(addresses) == 1 else _connect_any(addresses, port))


async def _connect_one(address: str, port: int) -> TcpStream:
    _, stream = await asyncio.get_running_loop().create_connection(TcpStream, address, port)
    return stream


async def _connect_any(addresses: Sequence[str], port: int) -> TcpStream:
    """Try the addresses in their order, each with a start before the next."""
    left, errors = deque(addresses), list[Exception]()
    trying: set[asyncio.Task[TcpStream]] = set()
    try:
        while left or trying:
            if left:
                trying.add(asyncio.create_task(_connect_one(left.popleft(), port)))
            timeout = _ALONE_SECONDS if left else None
            done, trying = await asyncio.wait(trying, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if (error := task.exception()) is None:
                    trying |= done - {task}
                    return task.result()
                if not isinstance(error, OSError):
                    raise error
                errors.append(error)
    finally:
        for task in trying:
            task.add_done_callback(_close)
            task.cancel()
    raise OSError("All connection attempts failed") from ExceptionGroup("of several addresses", errors)


def _close(task: asyncio.Task[TcpStream]) -> None:
    """Close a connection that came about when another was in use already."""
    if not task.cancelled() and task.exception() is None:
        task.get_loop().create_task(task.result().aclose())
