"""`ollama-mcp-server` in a process that tells what it holds.

SIGUSR1 writes one line to stderr, `counts {"tasks": ..., "threads": ..., "files": ...}`; connections to hosts that are
idle, and kept for the next request, do not count, since how many there are is chance. SIGUSR2 moves the wall clock
by as many seconds as CLOCK_JUMP says, as a jump of the system's clock or a sleep of the machine does; the monotonic
clock stays.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import ssl
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from weakref import WeakSet

from ollama_mcp.api import transport
from ollama_mcp.api.transport import FreeListTransport
from ollama_mcp.cli import main

_transports: WeakSet[FreeListTransport] = WeakSet()
_make = FreeListTransport.__init__


def _make_and_remember(self: FreeListTransport, create_tls_context: Callable[[], Awaitable[ssl.SSLContext]]) -> None:
    _make(self, create_tls_context)
    _transports.add(self)


def _count(*_: object) -> None:
    # Pools of threads keep their threads for the next work: their number is bounded, not zero.
    pools = ("asyncio_", "uvloop_", "AnyIO worker", "store_")
    threads = [thread for thread in threading.enumerate() if not thread.name.startswith(pools)]
    counts = {
        "tasks": len(asyncio.all_tasks()),
        "threads": len(threads),
        "files": len(os.listdir("/proc/self/fd")) - sum(one.idle_count for one in _transports),
    }
    sys.stderr.write(f"counts {json.dumps(counts)}\n")
    sys.stderr.flush()


def _jump(*_: object) -> None:
    real = time.time
    jump = float(os.environ["CLOCK_JUMP"])
    time.time = lambda: real() + jump


if __name__ == "__main__":
    FreeListTransport.__init__ = _make_and_remember
    # A busy machine leaves a connection idle for long enough that a request whose connection ends is sent again.
    transport.__dict__["_SURELY_ALIVE_SECONDS"] = 60.0
    signal.signal(signal.SIGUSR1, _count)
    signal.signal(signal.SIGUSR2, _jump)
    sys.exit(main())
