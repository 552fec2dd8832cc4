"""What every transport sets up in its process: the limit of open files, and a clean end on signals.

The SDK (mcp 2.3.0) has neither. Its stdio transport ignores SIGINT while stdin is open and skips the server's lifespan
on SIGTERM; over HTTP it leaves signals to uvicorn. Obsolete when `test_a_signal_ends_it_cleanly_even_when_repeated`
passes with `MCPServer.run_stdio_async`.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any

_OPEN_FILES = 65_536
_WARNING_SECONDS = 60.0
_BLOCKED_SECONDS = 1.0
_log = logging.getLogger("ollama_mcp.http")


def raise_open_files() -> None:
    """Raise the soft limit of open files as far as the hard limit allows, at most to 65,536.

    A call holds one connection to Ollama, and over HTTP another one to its client. The usual limit of 1,024 would end
    in refused connections at a few hundred calls.
    """
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):  # macOS allows less than its hard limit says
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def limit_accept_errors() -> None:
    """Warn once a minute, in one line, while the running loop can accept no connection for lack of open files.

    asyncio tries the whole backlog again each second, and logs a traceback for each attempt: thousands of lines.
    """
    warned_at = -math.inf

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        nonlocal warned_at
        message = str(context.get("message", ""))
        if "_start_serving" in message:
            return  # one of those attempts, after the listener was closed
        if "out of system resource" not in message:
            loop.default_exception_handler(context)
        elif loop.time() - warned_at >= _WARNING_SECONDS:
            warned_at = loop.time()
            _log.warning("no connection can be accepted, since too many files are open; raise the limit (ulimit -n)")

    asyncio.get_running_loop().set_exception_handler(handle)


class ForcedEnd:
    """Ends the process some time after its stop has begun, whatever hangs until then.

    A call that swallows its cancellation, a thread that does not return and a blocked event loop each keep a process
    alive: the thread even after its event loop is closed.

    Args:
        seconds: The time; None never ends it, for a program that goes on when its server has stopped.
    """

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds

    def begin(self) -> None:
        """Count from the first call on."""
        if self._seconds is not None:
            timer = threading.Timer(self._seconds, self._end, (self._seconds,))
            timer.daemon = True
            timer.start()
            self._seconds = None

    def _end(self, seconds: float) -> None:
        with suppress(OSError, ValueError, AttributeError):  # stderr may be closed, or None
            sys.stderr.write(f"ollama-mcp-server: ended by force, since something did not stop within {seconds:g} s\n")
            sys.stderr.flush()
        os._exit(1)


def end_with_stdin(fd: int, forced: ForcedEnd) -> None:
    """Begin the forced end when the client has closed stdin and the event loop, which would end by that, does not turn.

    Args:
        fd: A pipe or a socket.
        forced: The forced end.
    """
    import select

    if not hasattr(select, "poll"):  # Windows
        return
    loop = asyncio.get_running_loop()
    poll = select.poll()
    # Nothing but its end: a sleeping thread until then.
    poll.register(fd, 0)

    def watch() -> None:
        turned = threading.Event()
        with suppress(OSError, RuntimeError):  # The loop has closed.
            poll.poll()
            loop.call_soon_threadsafe(turned.set)
            if not turned.wait(_BLOCKED_SECONDS):
                forced.begin()

    threading.Thread(target=watch, name="stdin_end", daemon=True).start()


@contextmanager
def stopping_on_signals(stop: Callable[[], None], forced: ForcedEnd) -> Generator[None]:
    """Call `stop` on the event loop at each SIGINT, SIGTERM, SIGHUP or SIGBREAK while the block runs.

    The first one begins the forced end. Outside the main thread, where Python allows no signal handlers, this does
    nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()

    # Not the handlers of the event loop: they would never run while it is blocked.
    def handle(*_: object) -> None:
        forced.begin()
        loop.call_soon_threadsafe(stop)

    # SIGHUP is missing on Windows, SIGBREAK everywhere else.
    names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
    original = {
        number: signal.signal(number, handle) for name in names if (number := getattr(signal, name, None)) is not None
    }
    try:
        with _woken_by_signals(loop):
            yield
    finally:
        for number, handler in original.items():
            signal.signal(number, handler)


@contextmanager
def _woken_by_signals(loop: asyncio.AbstractEventLoop) -> Generator[None]:
    """Have the loop turn at each signal: one that comes just before it waits would be heard with its next event only.

    uvloop, and asyncio's loop on Windows, see to that themselves.
    """
    known = signal.set_wakeup_fd(-1)
    if known != -1:
        signal.set_wakeup_fd(known, warn_on_full_buffer=False)
        yield
        return
    reader, writer = socket.socketpair()
    with reader, writer:
        reader.setblocking(False)
        writer.setblocking(False)
        loop.add_reader(reader, reader.recv, 64)
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(-1)
            loop.remove_reader(reader)
