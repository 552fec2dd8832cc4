"""Takes the process's stdin and stdout for the protocol alone."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from functools import cache

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.server.transports.lines import LineReader
from ollama_mcp.server.transports.threads import ReaderThread, WriterThread
from ollama_mcp.server.transports.writer import Writer

_FLUSH_SECONDS = 0.25


@asynccontextmanager
async def open_stdio(on_lost: Callable[[], None]) -> AsyncGenerator[tuple[LineReader, Writer]]:
    """The wire: lines that come in and a writer that answers.

    It calls `claim_stdio` if nobody has.

    Args:
        on_lost: Called when the client no longer reads.

    Raises:
        InvalidArgument: stdin or stdout is closed.
    """
    fd_in, fd_out, watchable = claim_stdio()
    reader, writer = LineReader(), Writer(on_lost)
    if watchable:
        await _watch(fd_in, fd_out, reader, writer)
    else:
        ReaderThread(fd_in, reader)
        WriterThread(fd_out, writer)
    try:
        yield reader, writer
    finally:
        reader.close()
        await writer.close(_FLUSH_SECONDS)


@cache
def claim_stdio() -> tuple[int, int, bool]:
    """Keeps stdin and stdout for the protocol; a server calls it before it loads anything that might print.

    From here to the end of the process fd 0 is the null device and fd 1 is stderr, so what a library prints, also
    from its buffers at exit, or a child process writes, never reaches the client. A second call changes nothing.

    Returns:
        Descriptors of the real stdin and stdout, and whether an event loop can watch them.

    Raises:
        InvalidArgument: stdin or stdout is closed.
    """
    _require_open()
    watchable = _watchable()
    wire = _duplicate(0), _duplicate(1), watchable
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null if sys.__stderr__ is None else 2, 1)
    os.close(null)
    _rebind_windows_handles()
    return wire


def release_stdio() -> None:
    """Undoes `claim_stdio`, for the SDK's own transport, which claims them itself."""
    if claim_stdio.cache_info().currsize:
        fd_in, fd_out, _ = claim_stdio()
        os.dup2(fd_in, 0)
        os.dup2(fd_out, 1)


async def _watch(fd_in: int, fd_out: int, reader: LineReader, writer: Writer) -> None:
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: reader, os.fdopen(fd_in, "rb", buffering=0))
    await loop.connect_write_pipe(lambda: writer, os.fdopen(fd_out, "wb", buffering=0))


def _require_open() -> None:
    # Python's own record of what was closed at its start: by now such a number may be anything, even the event loop.
    if sys.__stdin__ is None or sys.__stdout__ is None:
        raise InvalidArgument(
            "stdin or stdout is closed, so no MCP client can talk to this server over stdio.",
            next_step="Let an MCP host start it, or serve over HTTP with --transport http.",
        )


def _watchable() -> bool:
    # Terminals and files are left alone: making them non-blocking would change them for the shell too, or fails.
    # One socket for both directions (socat, inetd) would look closed to asyncio's write pipe as soon as data comes.
    if sys.platform == "win32":
        return False
    one, other = os.fstat(0), os.fstat(1)
    same = (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
    return not same and all(stat.S_ISFIFO(fd.st_mode) or stat.S_ISSOCK(fd.st_mode) for fd in (one, other))


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
