"""What every transport sets up in its process: the limit of open files, and a clean end on signals.

The SDK (mcp 2.3.0) has neither. Its stdio transport ignores SIGINT while stdin is open and skips the server's lifespan
on SIGTERM; over HTTP it leaves signals to uvicorn. Obsolete when `test_a_signal_ends_it_cleanly_even_when_repeated`
passes with `MCPServer.run_stdio_async`.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress

_OPEN_FILES = 65_536


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


@contextmanager
def stopping_on_signals(stop: Callable[[], None]) -> Generator[None]:
    """Call `stop` on the event loop at each SIGINT, SIGTERM, SIGHUP or SIGBREAK while the block runs.

    Outside the main thread, where Python allows no signal handlers, it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    # SIGHUP is missing on Windows, SIGBREAK everywhere else.
    names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
    signals = [getattr(signal, name) for name in names if hasattr(signal, name)]
    original = {number: signal.getsignal(number) for number in signals}
    for number in signals:
        try:
            loop.add_signal_handler(number, stop)
        except NotImplementedError:  # Windows' event loop has no signal handlers of its own
            signal.signal(number, lambda _number, _frame: loop.call_soon_threadsafe(stop))
    try:
        yield
    finally:
        for number, handler in original.items():
            signal.signal(number, handler)
