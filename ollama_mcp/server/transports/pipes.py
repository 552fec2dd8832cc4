"""Takes the process's stdin and stdout for the protocol alone, and opens them as asyncio transports.

`stdio_server` of the SDK (mcp 2.3.0) claims both only when it starts to serve, after everything is imported that might
print; it reads on a thread that keeps SIGINT from ending the process; and it fails where stdin or stdout is closed, or
where both are one socket. Obsolete when the SDK can claim them earlier and these tests pass with
`MCPServer.run_stdio_async`: `test_a_terminal_serves_and_control_c_ends_it`,
`test_a_client_that_no_longer_reads_ends_it_without_a_traceback`, `test_one_socket_for_both_directions_serves`,
`test_a_closed_stdin_or_stdout_is_one_clear_error`.
"""

from __future__ import annotations

import asyncio
import os
import queue
import stat
import sys
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from functools import cache
from typing import Any

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.server.transports.lines import LineReader, LineWriter

_FLUSH_SECONDS = 0.25
_CHUNK_BYTES = 64 * 1024
_HIGH_WATER_BYTES = 64 * 1024


@asynccontextmanager
async def open_stdio(
    on_lost: Callable[[], None], received: bytes = b""
) -> AsyncGenerator[tuple[LineReader, LineWriter]]:
    """The process's stdin and stdout as a reader and a writer of lines.

    It calls `claim_stdio` if nobody has.

    Args:
        on_lost: Called when the client no longer reads.
        received: What somebody has read of stdin already.

    Raises:
        InvalidArgument: stdin or stdout is closed.
    """
    stdin, stdout, is_watchable = claim_stdio()
    reader, writer = LineReader(), LineWriter(on_lost)
    reader.data_received(received)
    if is_watchable:
        # No thread hop per message: half the latency of the SDK's transport.
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: reader, os.fdopen(stdin, "rb", buffering=0))
        await loop.connect_write_pipe(lambda: writer, os.fdopen(stdout, "wb", buffering=0))
    else:
        ReaderThread(stdin, reader)
        WriterThread(stdout, writer)
    try:
        yield reader, writer
    finally:
        reader.close()
        await writer.close(_FLUSH_SECONDS)


@cache
def claim_stdio() -> tuple[int, int, bool]:
    """Keep stdin and stdout for the protocol. A server calls it before it loads anything that might print.

    From here to the end of the process descriptor 0 is the null device and descriptor 1 is stderr. What a library
    prints, also from its buffers at exit, or a child process writes, never reaches the client. A second call changes
    nothing.

    Returns:
        Descriptors of the real stdin and stdout, and whether an event loop can watch them.

    Raises:
        InvalidArgument: stdin or stdout is closed.
    """
    _require_open()
    is_watchable = _is_watchable()
    claimed = _duplicate(0), _duplicate(1), is_watchable
    # Children and careless libraries find an empty stdin, and stderr in place of stdout.
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null if sys.__stderr__ is None else 2, 1)
    os.close(null)
    _rebind_windows_handles()
    return claimed


def release_stdio() -> None:
    """Undo `claim_stdio`, for the SDK's own transport, which claims stdin and stdout itself."""
    if claim_stdio.cache_info().currsize:
        stdin, stdout, _ = claim_stdio()
        os.dup2(stdin, 0)
        os.dup2(stdout, 1)


def _require_open() -> None:
    # Python's own record of what was closed at its start: by now such a number may be anything, even the event loop.
    if sys.__stdin__ is None or sys.__stdout__ is None:
        raise InvalidArgument(
            "stdin or stdout is closed, so no MCP client can talk to this server over stdio.",
            next_step="Let an MCP host start it, or serve over HTTP with --transport http.",
        )


def _is_watchable() -> bool:
    # Terminals and files are left alone: making them non-blocking would change them for the shell too, or fails.
    # One socket for both directions (socat, inetd) would look closed to asyncio's write pipe as soon as data comes.
    if sys.platform == "win32":
        return False
    stdin, stdout = os.fstat(0), os.fstat(1)
    is_same = (stdin.st_dev, stdin.st_ino) == (stdout.st_dev, stdout.st_ino)
    return not is_same and all(stat.S_ISFIFO(fd.st_mode) or stat.S_ISSOCK(fd.st_mode) for fd in (stdin, stdout))


def _duplicate(fd: int) -> int:
    if sys.platform == "win32":
        return os.dup(fd)
    import fcntl

    # Not below 3: with stderr closed, a plain dup would become fd 2 and catch everybody's error messages.
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)


def _rebind_windows_handles() -> None:
    # Children on Windows inherit the standard handles, not the descriptors.
    if sys.platform == "win32":
        from mcp.os.win32.utilities import rebind_std_handle_to_fd

        for fd in (0, 1):
            with suppress(OSError):
                rebind_std_handle_to_fd(fd)


# Descriptors that an event loop can't watch (files, terminals, everything on Windows) are read and written by threads.
# They are daemons: a read that never returns must not keep the process alive.


class _CallOnLoop:
    """Calls functions on the event loop from a thread; False once the loop has closed."""

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
        self._may_read = threading.Event()
        self._may_read.set()
        self._call = _CallOnLoop()
        protocol.connection_made(self)
        threading.Thread(target=self._run, name="stdin", daemon=True).start()

    def pause_reading(self) -> None:
        """Read at most one chunk more."""
        self._may_read.clear()

    def resume_reading(self) -> None:
        """Read on."""
        self._may_read.set()

    def close(self) -> None:
        """Do nothing: the thread ends with the process, and nobody takes what it reads."""

    def _run(self) -> None:
        while data := self._read():
            if not self._call(self._protocol.data_received, data):
                return
            self._may_read.wait()
        self._call(self._protocol.connection_lost, None)

    def _read(self) -> bytes:
        try:
            return os.read(self._fd, _CHUNK_BYTES)
        except OSError:
            return b""


class WriterThread(asyncio.WriteTransport):
    """Writes to `fd` on a thread of its own, in order, with asyncio's flow control towards `protocol`."""

    def __init__(self, fd: int, protocol: asyncio.BaseProtocol) -> None:
        super().__init__()
        self._fd = fd
        self._protocol = protocol
        self._queue: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._queued_bytes = 0
        self._call = _CallOnLoop()
        protocol.connection_made(self)
        threading.Thread(target=self._run, name="stdout", daemon=True).start()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Queue `data`."""
        self._queued_bytes += len(data)
        if self._queued_bytes > _HIGH_WATER_BYTES:
            self._protocol.pause_writing()
        self._queue.put(bytes(data))

    def close(self) -> None:
        """Close after what is queued."""
        self._queue.put(None)

    def abort(self) -> None:
        """Do nothing: a write that blocks ends with the process."""

    def _run(self) -> None:
        error: OSError | None = None
        while error is None and (data := self._queue.get()) is not None:
            error = self._write(data)
            self._call(self._on_written, len(data))
        self._call(self._protocol.connection_lost, error)

    def _write(self, data: bytes) -> OSError | None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError as error:
            return error
        return None

    def _on_written(self, count: int) -> None:
        self._queued_bytes -= count
        if self._queued_bytes <= _HIGH_WATER_BYTES:
            with suppress(RuntimeError):
                self._protocol.resume_writing()
