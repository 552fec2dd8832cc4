"""Lookups of names: bounded in time, and never in the event loop's own threads."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest

from ollama_mcp.access import resolver
from ollama_mcp.access.resolver import resolve


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
    monkeypatch.setattr(resolver, "TIME_LIMIT", 0.1)
    try:
        lookups = [resolve("slow.test", 80) for _ in range(resolver.THREADS + 2)]
        assert await asyncio.gather(*lookups) == [[]] * len(lookups)
        assert await asyncio.to_thread(lambda: "free") == "free"
    finally:
        release.set()
    monkeypatch.setattr(resolver, "TIME_LIMIT", 30.0)
    assert await resolve("127.0.0.1", 80) == ["127.0.0.1"]
    names = [thread.name for thread in threading.enumerate() if thread.name.startswith("resolve-")]
    assert len(names) == resolver.THREADS
