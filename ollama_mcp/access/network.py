"""Network access restricted to the public internet: name lookup, address check and connection.

`GuardedNetwork` is the httpcore backend under every fetch. It resolves a host, checks every address of it, and connects
to one of the addresses that it checked.
"""

from __future__ import annotations

import asyncio
import queue
import socket
import threading
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

import httpcore

Resolver = Callable[[str, int], Awaitable[list[str]]]
"""Returns the addresses of a host, given its name and the port."""

MAX_ATTEMPTS = 4
LOOKUP_THREADS = 4
LOOKUP_TIMEOUT = 5.0
# Threads whose lookup hangs beyond the limit are replaced, up to this many.
MAX_ABANDONED = 64

# A table of our own, since `ipaddress.is_global` is not strict enough: on Python 3.11 it is true of multicast, and of
# loopback addresses in their 6to4 and NAT64 forms, and its table differs between patch releases. Source of the ranges:
# the IANA special-purpose address registries (RFC 6890, RFC 8190).
_NON_PUBLIC_V4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
        # The host of a virtual machine on Azure: a public address that leads to an internal service.
        "168.63.129.16/32",
    )
)
_GLOBAL_V6 = IPv6Network("2000::/3")
_NON_PUBLIC_V6 = tuple(IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
_NAT64 = IPv6Network("64:ff9b::/96")


def is_public(address: str) -> bool:
    """Return whether a literal address is part of the public internet; False for what is not an address."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv4Address):
        return _is_public_v4(parsed)
    return _is_public_v6(parsed)


def _is_public_v4(address: IPv4Address) -> bool:
    return not any(address in network for network in _NON_PUBLIC_V4)


def _is_public_v6(address: IPv6Address) -> bool:
    # A scope id names one of this machine's interfaces.
    if address.scope_id is not None:
        return False
    if address.ipv4_mapped is not None:
        return _is_public_v4(address.ipv4_mapped)
    if address in _NAT64:
        # On networks without IPv4, DNS64 gives every IPv4 site this form (RFC 6052): the embedded address counts.
        return _is_public_v4(IPv4Address(int(address) & 0xFFFF_FFFF))
    return address in _GLOBAL_V6 and not any(address in network for network in _NON_PUBLIC_V6)


def is_own_address(address: str) -> bool:
    """Return whether a literal address belongs to one of this machine's interfaces; sends nothing.

    On a machine with a public address, that address reaches every service that listens on all interfaces, such as its
    own Ollama.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # Only an address of this machine can be bound, be it the first of an interface or a further one. Where the system
    # is set to bind foreign addresses too, one that is nobody's (RFC 5737) shows it.
    if _can_bind(family, address):
        return not _can_bind(socket.AF_INET, "192.0.2.1") or _is_routed_to_itself(family, address)
    return _is_routed_to_itself(family, address)


def _can_bind(family: socket.AddressFamily, address: str) -> bool:
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


def _is_routed_to_itself(family: socket.AddressFamily, address: str) -> bool:
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            # Connecting a UDP socket only chooses a route. If source and target are equal, the target is this machine.
            probe.connect((address, 9))
            return probe.getsockname()[0] == address
    except OSError:
        return False


# Lookups run in daemon threads of our own. In the event loop's default pool a hostile name server that answers slowly
# would occupy every thread and starve all other work; and a lookup that hangs must not delay the end of the process.
_Lookup = tuple[str, int, asyncio.AbstractEventLoop, "asyncio.Future[list[str]]"]
_lookups: queue.SimpleQueue[_Lookup] = queue.SimpleQueue()
_threads: list[threading.Thread] = []
# The thread that is at each lookup, and those whose lookup nobody waits for any more.
_running: dict[asyncio.Future[list[str]], threading.Thread] = {}
_abandoned: set[threading.Thread] = set()
_threads_lock = threading.Lock()


async def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host without duplicates, in the order of the system's resolver.

    The list is empty for an unknown host, for an invalid name, and for a lookup that takes longer than 5 s: a caller
    that could tell these apart could map the names of the internal network.
    """
    _start_threads()
    loop = asyncio.get_running_loop()
    future: asyncio.Future[list[str]] = loop.create_future()
    _lookups.put((host, port, loop, future))
    try:
        async with asyncio.timeout(LOOKUP_TIMEOUT):
            return await future
    except TimeoutError:
        return []
    finally:
        if future.cancelled():
            _abandon(future)


def _start_threads() -> None:
    with _threads_lock:
        while len(_threads) < LOOKUP_THREADS:
            thread = threading.Thread(target=_serve_lookups, name="resolve", daemon=True)
            thread.start()
            _threads.append(thread)


def _abandon(future: asyncio.Future[list[str]]) -> None:
    """Replace the thread of a lookup that nobody waits for: it may hang for minutes, and others wait for a thread."""
    with _threads_lock:
        thread = _running.get(future)
        if thread is None or len(_abandoned) >= MAX_ABANDONED:
            return
        _abandoned.add(thread)
        _threads.remove(thread)
    _start_threads()


def _serve_lookups() -> None:
    thread = threading.current_thread()
    while thread not in _abandoned:
        _serve_lookup(thread)
    with _threads_lock:
        _abandoned.discard(thread)


def _serve_lookup(thread: threading.Thread) -> None:
    host, port, loop, future = _lookups.get()
    with _threads_lock:
        # The caller may have given up, or its loop have ended, while the lookup was queued.
        if future.cancelled() or loop.is_closed():
            return
        _running[future] = thread
    addresses = _look_up(host, port)
    with _threads_lock:
        del _running[future]
    with suppress(RuntimeError):
        # The loop may have been closed during the lookup.
        loop.call_soon_threadsafe(_deliver, future, addresses)


def _look_up(host: str, port: int) -> list[str]:
    try:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return list(dict.fromkeys(str(answer[4][0]) for answer in answers))


def _deliver(future: asyncio.Future[list[str]], addresses: list[str]) -> None:
    if not future.done():
        future.set_result(addresses)


class HostNotPublic(httpcore.ConnectError):
    """The host is unknown, or one of its addresses is not public; no connection was made."""


class OwnedConnections(httpcore.AsyncNetworkBackend):
    """Connects, and closes at the end whatever is still open.

    httpcore forgets a connection that is cancelled during its TLS handshake.

    Args:
        backend: Connects.
        opened: Closes the connections when it is left.
    """

    def __init__(self, backend: httpcore.AsyncNetworkBackend, opened: AsyncExitStack) -> None:
        self._backend = backend
        self._opened = opened

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the base class names it
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect as the backend does."""
        stream = await self._backend.connect_tcp(host, port, timeout, local_address, socket_options)
        self._opened.push_async_callback(stream.aclose)
        return stream


class GuardedNetwork(httpcore.AsyncNetworkBackend):
    """Connects to public addresses only, and only to an address that was checked.

    A check before the request fails against a name that changes its address in between (DNS rebinding). Here one lookup
    serves both. The pool starts TLS afterwards with the name in the URL, so certificate and SNI are those of the name.

    Args:
        resolver: Returns all addresses of a host; a single one that is not public rejects the host.
        backend: Connects to a literal address.
        is_own: Tells whether an address belongs to this machine.
    """

    def __init__(
        self,
        resolver: Resolver,
        backend: httpcore.AsyncNetworkBackend,
        is_own: Callable[[str], bool] = is_own_address,
    ) -> None:
        self._resolver = resolver
        self._backend = backend
        self._is_own = is_own

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the base class names it
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to a host whose addresses are all public, trying at most four of them in order."""
        addresses = await self._resolver(host, port)
        if not addresses or not all(is_public(address) and not self._is_own(address) for address in addresses):
            raise HostNotPublic
        failure: Exception = HostNotPublic()
        for address in addresses[:MAX_ATTEMPTS]:
            try:
                return await self._backend.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 - the base class names it
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Refuse: no URL names a socket file."""
        raise HostNotPublic

    async def sleep(self, seconds: float) -> None:
        """Sleep between the pool's retries."""
        await asyncio.sleep(seconds)
