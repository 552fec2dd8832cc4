"""Which addresses are public, lookups that are bounded in time, and connections to what was checked."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
from typing import Any

import pytest

from ollama_mcp.access import network
from ollama_mcp.access.network import GuardedNetwork, HostNotPublic, is_own_address, is_public, resolve
from tests.access.fake_network import NOT_PUBLIC, PUBLIC, Detour, Names, Site
from tests.support import until


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_addresses_of_special_use_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", PUBLIC, "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"],
)
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(address)


async def test_a_literal_address_resolves_to_itself_once() -> None:
    assert await resolve("127.0.0.1", 80) == ["127.0.0.1"]


@pytest.mark.parametrize("host", ["name.invalid", "a" * 300, "x..y", "\udc80.test"])
async def test_what_is_no_host_gives_no_address_instead_of_an_exception(host: str) -> None:
    assert await resolve(host, 80) == []


async def test_a_name_server_that_never_answers_costs_the_time_limit_and_no_thread_of_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    release = threading.Event()
    real = socket.getaddrinfo

    def hanging(host: str, *arguments: Any, **options: Any) -> Any:
        if host == "slow.test":
            release.wait(30)
        return real("127.0.0.1" if host == "slow.test" else host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", hanging)
    monkeypatch.setattr(network, "LOOKUP_TIMEOUT", 0.1)
    try:
        lookups = [resolve("slow.test", 80) for _ in range(network.LOOKUP_THREADS + 2)]
        assert await asyncio.gather(*lookups) == [[]] * len(lookups)
        assert await asyncio.to_thread(lambda: "free") == "free"
        # While all of them still hang, others are answered.
        monkeypatch.setattr(network, "LOOKUP_TIMEOUT", 20.0)
        assert await resolve("127.0.0.1", 80) == ["127.0.0.1"]
    finally:
        release.set()
    assert await resolve("127.0.0.1", 80) == ["127.0.0.1"]
    await until(lambda: sum(thread.name == "resolve" for thread in threading.enumerate()) == network.LOOKUP_THREADS)


async def test_a_name_server_that_never_answers_gets_a_bounded_number_of_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    release = threading.Event()

    def hanging(*_: object, **__: object) -> list[object]:
        release.wait(30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hanging)
    monkeypatch.setattr(network, "LOOKUP_TIMEOUT", 0.05)
    monkeypatch.setattr(network, "MAX_ABANDONED", 3)
    try:
        await asyncio.gather(*(resolve("slow.test", 80) for _ in range(8)))
        await asyncio.gather(*(resolve("slow.test", 80) for _ in range(8)))
        threads = [thread for thread in threading.enumerate() if thread.name == "resolve"]
        assert len(threads) == network.LOOKUP_THREADS + 3
    finally:
        release.set()
    await until(lambda: sum(thread.name == "resolve" for thread in threading.enumerate()) == network.LOOKUP_THREADS)


async def test_the_machines_own_address_is_refused_even_where_it_is_public(site: Site) -> None:
    guard = GuardedNetwork(
        Names({"me.test": [[PUBLIC]]}), Detour({PUBLIC: site}), is_own=lambda address: address == PUBLIC
    )
    with pytest.raises(HostNotPublic):
        await guard.connect_tcp("me.test", 80)
    assert site.connections == 0
    assert is_own_address("127.0.0.1")
    assert not is_own_address("203.0.113.77")
    assert not is_own_address("8.8.8.8")
    assert not is_own_address("no address")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8")
def test_a_further_address_of_an_interface_is_the_machines_own() -> None:
    # The route to it leaves from the interface's first address.
    assert is_own_address("127.0.0.2")


async def test_socket_files_are_never_connected(site: Site) -> None:
    guard = GuardedNetwork(Names({}), Detour({PUBLIC: site}))
    with pytest.raises(HostNotPublic):
        await guard.connect_unix_socket("/run/docker.sock")
    await guard.sleep(0)
