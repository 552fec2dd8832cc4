"""Blocking file descriptors as asyncio transports, for what an event loop can't watch: files, terminals, Windows.

The threads are daemons: a read that never returns must not keep the process alive.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

_CHUNK = 64 * 1024
_HIGH_WATER = 64 * 1024


class _OnLoop:
    """Calls back from a thread; a loop that has gone ends the thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def __call__(self, function: Callable[..., Any], *args: Any) -> bool:
        try:
            self._loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            return False
        return True


class ReaderThread(asyncio.ReadTransport):
    """Reads `fd` on a thread of its own and feeds `protocol`."""

    def __init__(self, fd: int, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self._fd = fd
        self._protocol = protocol
        self._wanted = threading.Event()
        self._wanted.set()
        self._call = _OnLoop()
        protocol.connection_made(self)
        threading.Thread(target=self._run, name="stdin", daemon=True).start()

    def pause_reading(self) -> None:
        """Reads at most one chunk more."""
        self._wanted.clear()

    def resume_reading(self) -> None:
        """Reads on."""
        self._wanted.set()

    def close(self) -> None:
        """Nothing to do: the thread ends with the process, and nobody takes what it reads."""

    def _run(self) -> None:
        while data := self._read():
            if not self._call(self._protocol.data_received, data):
                return
            self._wanted.wait()
        self._call(self._protocol.connection_lost, None)

    def _read(self) -> bytes:
        try:
            return os.read(self._fd, _CHUNK)
        except OSError:
            return b""


class WriterThread(asyncio.WriteTransport):
    """Writes to `fd` on a thread of its own, in order, with asyncio's flow control towards `protocol`."""

    def __init__(self, fd: int, protocol: asyncio.BaseProtocol) -> None:
        super().__init__()
        self._fd = fd
        self._protocol = protocol
        self._queue: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._waiting = 0
        self._call = _OnLoop()
        protocol.connection_made(self)
        threading.Thread(target=self._run, name="stdout", daemon=True).start()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Queues `data`."""
        self._waiting += len(data)
        if self._waiting > _HIGH_WATER:
            self._protocol.pause_writing()
        self._queue.put(bytes(data))

    def close(self) -> None:
        """Closes after what is queued."""
        self._queue.put(None)

    def abort(self) -> None:
        """Forgets the stream; a write that blocks ends with the process."""

    def _run(self) -> None:
        error: OSError | None = None
        while error is None and (data := self._queue.get()) is not None:
            error = self._write(data)
            self._call(self._written, len(data))
        self._call(self._protocol.connection_lost, error)

    def _write(self, data: bytes) -> OSError | None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError as error:
            return error
        return None

    def _written(self, count: int) -> None:
        self._waiting -= count
        if self._waiting <= _HIGH_WATER:
            with suppress(RuntimeError):
                self._protocol.resume_writing()
