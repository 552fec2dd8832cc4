"""Names to addresses, in threads of our own and with a time limit.

The event loop's default pool would do, but a hostile name server that answers slowly would fill it and starve all
other work there. These threads are daemons: a lookup that hangs does not hold up the end of the process either.
"""

from __future__ import annotations

import asyncio
import queue
import socket
import threading
from collections.abc import Awaitable, Callable

Resolve = Callable[[str, int], Awaitable[list[str]]]
Lookup = tuple[str, int, asyncio.AbstractEventLoop, "asyncio.Future[list[str]]"]

THREADS = 4
TIME_LIMIT = 5.0

_lookups: queue.SimpleQueue[Lookup] = queue.SimpleQueue()
_threads: list[threading.Thread] = []
_starting = threading.Lock()


async def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host, each once, in the resolver's order.

    An unknown host, a name that cannot be a host's, and a lookup that takes longer than 5 s give an empty list: the
    caller must not be able to tell these apart, or it could map names of the internal network.
    """
    _start_threads()
    loop = asyncio.get_running_loop()
    future: asyncio.Future[list[str]] = loop.create_future()
    _lookups.put((host, port, loop, future))
    try:
        async with asyncio.timeout(TIME_LIMIT):
            return await future
    except TimeoutError:
        return []


def _start_threads() -> None:
    with _starting:
        while len(_threads) < THREADS:
            thread = threading.Thread(target=_serve, name=f"resolve-{len(_threads)}", daemon=True)
            thread.start()
            _threads.append(thread)


def _serve() -> None:
    while True:
        host, port, loop, future = _lookups.get()
        # Whoever asked has given up while the lookup stood in the queue, or its loop has ended.
        if future.cancelled() or loop.is_closed():
            continue
        addresses = _addresses_of(host, port)
        try:
            loop.call_soon_threadsafe(_deliver, future, addresses)
        except RuntimeError:
            continue


def _addresses_of(host: str, port: int) -> list[str]:
    try:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return list(dict.fromkeys(str(answer[4][0]) for answer in answers))


def _deliver(future: asyncio.Future[list[str]], addresses: list[str]) -> None:
    if not future.done():
        future.set_result(addresses)
