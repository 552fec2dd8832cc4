"""One SSE connection: each request by its own protocol version, each id once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from tests.transports.conftest import Serve
from tests.transports.wire import INITIALIZED, HttpPeer, Message, call, initialize, modern, text_of


class SsePeer:
    """A client's event stream, and the address that it posts to."""

    def __init__(self, peer: HttpPeer, reader: asyncio.StreamReader) -> None:
        self._peer = peer
        self._reader = reader

    async def send(self, *messages: Message) -> None:
        """Posts messages one after another."""
        for message in messages:
            assert (await self._peer.post(message)).status == 202

    async def data(self) -> str:
        """The data of the next event."""
        async with asyncio.timeout(30):
            while not (line := (await self._reader.readline()).decode()).startswith("data: "):
                pass
        return line.removeprefix("data: ").strip()

    async def receive(self) -> Message:
        """The next message."""
        return json.loads(await self.data())


@asynccontextmanager
async def connected(peer: HttpPeer) -> AsyncGenerator[SsePeer]:
    reader, writer = await peer.open("GET /sse HTTP/1.1\nHost: localhost\n")
    client = SsePeer(peer, reader)
    peer.path = await client.data()
    try:
        yield client
    finally:
        writer.close()


async def test_a_host_may_probe_with_discover_and_then_initialize_over_sse(serve: Serve) -> None:
    async with serve("sse") as served, connected(served.peer) as client:
        await client.send(modern("probe", "server/discover"))
        assert "result" in await client.receive()
        await client.send(initialize())
        assert (await client.receive())["result"]["protocolVersion"] == "2025-11-25"
        await client.send(INITIALIZED, call(1, "echo", text="legacy"))
        assert text_of(await client.receive()) == "legacy"
        await client.send(call(2, "echo", era="modern", text="modern"))
        assert text_of(await client.receive()) == "modern"


async def test_a_request_id_in_flight_is_refused_over_sse_and_the_first_answered(serve: Serve) -> None:
    async with serve("sse") as served, connected(served.peer) as client:
        await client.send(initialize(), INITIALIZED)
        await client.receive()
        await client.send(call("twin", "slow", seconds=0.3, text="first"), call("twin", "echo", text="second"))
        refused = await client.receive()
        assert refused["id"] is None
        assert "in flight" in refused["error"]["message"]
        answer = await client.receive()
        assert (answer["id"], text_of(answer)) == ("twin", "first")
