"""Checks on the way to an Ollama: its address, name, port, the server behind it, and who else reaches it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ollama_mcp.cli.doctor.check import Check
from ollama_mcp.errors import OllamaMCPError
from ollama_mcp.hosts.vulnerabilities import version_warnings
from ollama_mcp.server.transports.origin import is_loopback

if TYPE_CHECKING:
    from ollama_mcp.hosts import HostPool

_CONNECT_SECONDS = 5.0


async def check_host(host: HostPool, *, label: str = "") -> AsyncGenerator[Check]:
    """Check the way to a host, step by step; the first that is broken is the last.

    Args:
        host: The host.
        label: What the names of the checks begin with where there are several hosts.
    """
    parts = urlsplit(host.url)
    name, port = parts.hostname or "", parts.port or 0
    try:
        found = await asyncio.get_running_loop().getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except OSError as error:
        fix = f"Correct the name {name!r} in OLLAMA_HOST or the setting host, or use the number of the address."
        yield Check(f"{label}dns", f"{name} has no address: {error.strerror or error}", "broken", fix)
        return
    addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
    yield Check(f"{label}dns", f"{name} is {', '.join(addresses)}")
    try:
        await _connect(name, port)
    except (OSError, TimeoutError) as error:
        why = "no answer" if isinstance(error, TimeoutError) else error.strerror or str(error)
        yield Check(f"{label}tcp", f"{name}:{port} takes no connection: {why}", "broken", _start_it(host.url))
        return
    yield Check(f"{label}tcp", f"{name}:{port} takes connections")
    try:
        await host.client().ping()
        version = await host.client().current_version()
    except OllamaMCPError as error:
        fix = error.next_step or "Set OLLAMA_HOST to the address of an Ollama."
        yield Check(f"{label}ollama", error.message, "broken", fix)
        return
    yield Check(f"{label}ollama", f"Ollama answers at {host.url}")
    warnings = version_warnings(version)
    if warnings:
        fix = "Update Ollama: https://ollama.com/download"
        yield Check(f"{label}version", f"Ollama {version}: {' '.join(warnings)}", "warning", fix)
    else:
        yield Check(f"{label}version", f"Ollama {version}, no published vulnerability is known here")
    yield await _check_exposure(host.url, port, label)


async def _check_exposure(url: str, port: int, label: str) -> Check:
    name = f"{label}exposure"
    if not is_loopback(urlsplit(url).hostname or ""):
        return Check(name, "not on this machine's loopback; whoever reaches that address can use it")
    reachable = await listening(own_addresses(), port)
    if not reachable:
        return Check(name, "only this machine reaches it")
    return Check(
        name,
        f"it listens on {', '.join(reachable)} too: the network reaches it, and Ollama asks for no password",
        "warning",
        "Unset OLLAMA_HOST where Ollama is started, or set it to 127.0.0.1 there, unless others are to use it.",
    )


def own_addresses() -> list[str]:
    """The addresses by which this machine reaches other networks; no packet is sent to find them."""
    found: list[str] = []
    # Addresses of documentation, which only choose a route.
    for family, target in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((target, 9))
            found.append(str(probe.getsockname()[0]))
    return found


async def listening(addresses: Iterable[str], port: int) -> list[str]:
    """Those of the addresses where something takes connections on the port."""
    found: list[str] = []
    for address in addresses:
        with suppress(OSError, TimeoutError):
            await _connect(address, port)
            found.append(address)
    return found


async def _connect(host: str, port: int) -> None:
    async with asyncio.timeout(_CONNECT_SECONDS):
        _, writer = await asyncio.open_connection(host, port)
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


def _start_it(url: str) -> str:
    if is_loopback(urlsplit(url).hostname or ""):
        return "Start Ollama (its application, or `ollama serve`), or install it: https://ollama.com/download"
    return "Start Ollama there with OLLAMA_HOST=0.0.0.0, and let its firewall pass this port."
