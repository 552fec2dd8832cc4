"""Writes whole messages to a byte stream, waiting while its reader is slow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import anyio


class Writer(asyncio.BaseProtocol):
    """One write per message; at most the transport's own buffer (64 KiB) and one message per caller are held.

    Args:
        on_lost: Called once when the other side has closed the stream.
    """

    def __init__(self, on_lost: Callable[[], None]) -> None:
        self._on_lost = on_lost
        self._transport: asyncio.WriteTransport | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._lost = asyncio.Event()
        self._hurried = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport."""
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def pause_writing(self) -> None:
        """The buffer is full: senders wait."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """The buffer has room again."""
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """The stream is closed, by us or by its reader."""
        self._lost.set()
        self._writable.set()
        self._on_lost()

    async def write(self, data: bytes) -> None:
        """Writes `data` as a whole, or (when cancelled while waiting for room) not at all.

        Raises:
            anyio.BrokenResourceError: Nobody reads any more.
        """
        while not self._writable.is_set() and not self._hurried:
            await self._writable.wait()
        if self._lost.is_set() or self._transport is None:
            raise anyio.BrokenResourceError
        self._transport.write(data)

    def hurry(self) -> None:
        """From now on nobody waits for a slow reader: the process is about to end."""
        self._hurried = True
        self._writable.set()

    async def close(self, grace: float) -> None:
        """Lets what is buffered go out for at most `grace` seconds, then closes."""
        if self._transport is None or self._lost.is_set():
            return
        self._transport.close()
        try:
            await asyncio.wait_for(self._lost.wait(), grace)
        except TimeoutError:
            self._transport.abort()
