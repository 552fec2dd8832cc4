"""The network backend under every fetch: it judges the addresses it is about to connect to, at that moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import httpcore

from ollama_mcp.access.addresses import is_own_address, is_public
from ollama_mcp.access.resolver import Resolve

ATTEMPTS = 4


class Blocked(httpcore.ConnectError):
    """The host is unknown, or one of its addresses is not public: nothing was connected."""


class GuardedNetwork(httpcore.AsyncNetworkBackend):
    """Connects to public addresses only, and to the very address that was judged.

    A check before the request loses to a name that changes its answer in between (DNS rebinding). Here one lookup
    serves both; TLS is started by the pool afterwards with the name of the URL, so certificate and SNI are the name's.

    Args:
        resolve: Gives all addresses of a host; one that is not public refuses them all.
        dial: Backend that makes the connection to a literal address.
        is_own: Tells whether an address is one of this machine's.
    """

    def __init__(
        self, resolve: Resolve, dial: httpcore.AsyncNetworkBackend, is_own: Callable[[str], bool] = is_own_address
    ) -> None:
        self._resolve = resolve
        self._dial = dial
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
        addresses = await self._resolve(host, port)
        if not addresses or not all(is_public(address) and not self._is_own(address) for address in addresses):
            raise Blocked
        failure: Exception = Blocked()
        for address in addresses[:ATTEMPTS]:
            try:
                return await self._dial.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 - the base class names it
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Refuse: no URL leads to a socket file."""
        raise Blocked

    async def sleep(self, seconds: float) -> None:
        """Wait, for the pool's retries."""
        await asyncio.sleep(seconds)
