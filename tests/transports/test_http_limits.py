"""One client cannot take everything; another is served."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from tests.transports.conftest import Serve, Served
from tests.transports.wire import HttpPeer, call, initialize, modern, request

OTHER = "127.0.0.9"


@asynccontextmanager
async def held(writers: list[asyncio.StreamWriter]) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        for writer in writers:
            writer.close()


async def status_from(peer: HttpPeer, source: str) -> int:
    """Status of a harmless call from another address of this machine."""
    return (await peer.raw(*peer.head(modern(1, "server/discover"), "modern"), source=source)).status


async def test_unfinished_bodies(serve: Serve) -> None:
    async with serve(max_unfinished=20) as served:
        peer = served.peer
        head = "POST /mcp HTTP/1.1\nHost: localhost\nContent-Type: application/json\nContent-Length: 100\n"
        flood = [(await peer.open(head, b"{"))[1] for _ in range(20)]
        async with held(flood):
            refused = await peer.raw(head, b"{")
            while refused.status == 200:
                refused = await peer.raw(head, b"{")
            assert refused.status == 503
            assert await status_from(peer, OTHER) == 200
        assert await until_served(served)


async def test_sessions(serve: Serve) -> None:
    async with serve(max_sessions=5) as served:
        peer = served.peer
        for _ in range(5):
            await peer.handshake()
        assert (await peer.post(request(1, "ping"))).status == 200
        last, peer.session = peer.session, None
        assert (await peer.post(initialize())).status == 503
        assert (await peer.raw(*peer.head(initialize()), source=OTHER)).status == 200
        assert await status_from(peer, "127.0.0.1") == 200  # the modern era needs none
        head = f"DELETE /mcp HTTP/1.1\nHost: localhost\nMcp-Session-Id: {last}\n"
        assert (await peer.raw(head)).status == 200
        assert (await peer.post(initialize())).status == 200


async def test_a_session_that_is_idle_too_long_makes_room(serve: Serve) -> None:
    async with serve(max_sessions=1, session_seconds=0.2) as served:
        peer = served.peer
        await peer.handshake()
        first, peer.session = peer.session, None
        async with asyncio.timeout(30):
            while (await peer.post(initialize())).status == 503:
                pass
        peer.session = first
        assert (await peer.post(request(1, "ping"))).status == 404


async def test_a_refused_handshake_takes_no_room(serve: Serve) -> None:
    async with serve(max_sessions=1) as served:
        peer = served.peer
        for _ in range(3):
            assert (await peer.post(request(1, "tools/list"))).status == 400
        assert (await peer.post(initialize())).status == 200


async def test_event_streams(serve: Serve) -> None:
    async with serve("sse", max_streams=10) as served:
        peer = served.peer
        head = "GET /sse HTTP/1.1\nHost: localhost\n"
        flood: list[asyncio.StreamWriter] = []
        async with held(flood):
            for _ in range(10):
                reader, writer = await peer.open(head)
                flood.append(writer)
                await reader.readuntil(b"\r\n\r\n")
            assert (await peer.raw(head)).status == 503
            reader, writer = await peer.open(head, source=OTHER)
            flood.append(writer)
            assert b" 200 " in await reader.readline()
        async with asyncio.timeout(30):
            while True:  # room again once the streams are closed
                reader, writer = await peer.open(head)
                line = await reader.readline()
                writer.close()
                if b" 200 " in line:
                    break


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_calls_in_flight(serve: Serve, era: str) -> None:
    async with serve(max_calls=10) as served:
        peer = served.peer
        await peer.handshake()
        flood = [await peer.begin(call(number, "slow", era=era), era) for number in range(10)]
        async with held(flood):
            await served.journal.until("started", 10)
            assert (await peer.post(call(99, "echo", era=era, text="x"), era)).status == 429
            assert await status_from(peer, OTHER) == 200
        assert await until_served(served)


async def test_calls_in_flight_over_sse(serve: Serve) -> None:
    async with serve("sse", max_calls=3) as served:
        peer = served.peer
        reader, writer = await peer.open("GET /sse HTTP/1.1\nHost: localhost\n")
        while not (line := (await reader.readline()).decode()).startswith("data: "):
            pass
        peer.path = line.removeprefix("data: ").strip()
        for message in (initialize(), call(1, "slow"), call(2, "slow"), call(3, "slow")):
            assert (await peer.post(message)).status == 202
        await served.journal.until("started", 3)
        assert (await peer.post(call(4, "slow"))).status == 429
        writer.close()
        await served.journal.until("cancelled", 3)


async def until_served(served: Served) -> bool:
    """Whether a client at the usual address is served again, once the server has noticed who left."""
    async with asyncio.timeout(30):
        while (await served.peer.post(modern(1, "server/discover"), "modern")).status != 200:
            pass
    return True
