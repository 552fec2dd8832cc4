"""A small internet on loopback: sites that serve bytes, a resolver, and a network that leads public addresses there."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import httpcore

Handler = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]

PUBLIC = "93.184.216.34"
OTHER_PUBLIC = "93.184.216.35"
NOT_PUBLIC = [
    *("127.0.0.1", "127.9.9.9", "0.0.0.0", "0.1.2.3", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
    *("100.64.0.1", "100.100.100.200", "169.254.169.254", "168.63.129.16", "192.0.0.1", "192.0.2.1", "192.88.99.1"),
    *("198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:169.254.169.254", "::127.0.0.1", "::ffff:0:7f00:1"),
    *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2001::1", "2001:db8::1", "3fff::1"),
    *("fc00::1", "fd12::1", "fe80::1", "fe80::1%eth0", "2606:4700::1%eth0", "fec0::1", "ff02::1", "4000::1", "5f00::1"),
    *("", "public.test", "1.2.3", "0x7f000001"),
]


def answer(body: bytes = b"ok", *, status: str = "200 OK", headers: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


def redirect(location: str, headers: str = "") -> bytes:
    return answer(b"", status="302 Found", headers=f"Location: {location}\r\n{headers}")


@dataclass
class Site:
    """A listener that counts its connections and keeps the heads of requests; `pages` maps targets to raw answers."""

    pages: dict[str, bytes | Handler] = field(default_factory=dict[str, bytes | Handler])
    connections: int = 0
    heads: list[str] = field(default_factory=list[str])
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head.decode("latin-1"))
            page = self.pages.get(head.split(b" ")[1].decode("latin-1"), answer(b"", status="404 Not Found"))
            if isinstance(page, bytes):
                writer.write(page)
                await writer.drain()
            else:
                await page(head, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def listening(
    pages: dict[str, bytes | Handler] | None = None, tls: ssl.SSLContext | None = None
) -> AsyncGenerator[Site]:
    site = Site(pages or {})
    server = await asyncio.start_server(site.serve, "127.0.0.1", 0, ssl=tls)
    site.port = server.sockets[0].getsockname()[1]
    try:
        yield site
    finally:
        server.close()


@dataclass
class Names:
    """A resolver: each host has one list of addresses per lookup, the last of which stays."""

    answers: dict[str, list[list[str]]]

    async def __call__(self, host: str, port: int) -> list[str]:
        lookups = self.answers.get(host, [[]])
        return lookups.pop(0) if len(lookups) > 1 else lookups[0]


@dataclass
class Detour(httpcore.AsyncNetworkBackend):
    """Connects to a site on loopback instead of the address that is dialled; keeps what was dialled and opened."""

    sites: dict[str, Site]
    dialled: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    sockets: list[socket.socket] = field(default_factory=list[socket.socket])

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the base class names it
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        self.dialled.append((host, port))
        if host not in self.sites:
            raise httpcore.ConnectError("refused")
        system = cast("httpcore.AsyncNetworkBackend", httpcore.AnyIOBackend())
        stream = await system.connect_tcp("127.0.0.1", self.sites[host].port, timeout)
        self.sockets.append(stream.get_extra_info("socket"))
        return stream
