"""A client that vanishes frees the work that it asked for."""

from __future__ import annotations

import asyncio

import pytest

from tests.transports.conftest import Serve
from tests.transports.wire import call, initialize, text_of


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("era", ["legacy", "modern"])
@pytest.mark.parametrize("stateless", [False, True])
async def test_a_vanished_client_frees_its_call(serve: Serve, era: str, streaming: bool, stateless: bool) -> None:
    async with serve(stateless=stateless) as served:
        peer = served.peer
        await peer.handshake()
        message = call(1, "streaming" if streaming else "slow", era=era)
        message["params"].setdefault("_meta", {})["progressToken"] = "p"
        writer = await peer.begin(message, era)
        await served.journal.until("started")
        writer.close()
        await served.journal.until("cancelled")
        assert text_of((await peer.post(call(2, "echo", era=era, text="next"), era)).messages[-1]) == "next"


async def test_a_vanished_sse_client_frees_its_calls(serve: Serve) -> None:
    async with serve("sse") as served:
        peer = served.peer
        reader, writer = await peer.open("GET /sse HTTP/1.1\nHost: localhost\n")
        while not (line := (await reader.readline()).decode()).startswith("data: "):
            pass
        peer.path = line.removeprefix("data: ").strip()
        for message in (initialize(), call(1, "slow"), call(2, "slow")):
            assert (await peer.post(message)).status == 202
        await served.journal.until("started", 2)
        writer.close()
        await served.journal.until("cancelled", 2)


async def test_a_call_that_ends_within_the_grace_is_not_cancelled(serve: Serve) -> None:
    async with serve(gone_seconds=30) as served:
        peer = served.peer
        await peer.handshake()
        writer = await peer.begin(call(1, "slow", seconds=0.5))
        await served.journal.until("started")
        writer.close()
        await served.journal.until("finished")


async def test_the_answer_of_one_request_does_not_count_as_the_leaving_of_its_client(serve: Serve) -> None:
    async with serve("sse", gone_seconds=0) as served:
        peer = served.peer
        reader, writer = await peer.open("GET /sse HTTP/1.1\nHost: localhost\n")
        while not (line := (await reader.readline()).decode()).startswith("data: "):
            pass
        peer.path = line.removeprefix("data: ").strip()
        for message in (initialize(), call(1, "slow", seconds=0.3)):
            assert (await peer.post(message)).status == 202
        await served.journal.until("finished")
        writer.close()


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_stopping_the_server_ends_calls_and_streams(serve: Serve, era: str) -> None:
    async with serve() as served:
        peer = served.peer
        await peer.handshake()
        answer = asyncio.create_task(peer.post(call(1, "slow", era=era), era))
        await served.journal.until("started")
        stream = f"GET /mcp HTTP/1.1\nHost: localhost\nAccept: text/event-stream\nMcp-Session-Id: {peer.session}\n"
        reader, writer = await peer.open(stream)
        await reader.readuntil(b"\r\n\r\n")
    assert served.journal.entries[-2:] == ["cancelled", "lifespan closed"]
    ended = await answer
    assert ended.status == (503 if era == "modern" else 200)
    assert (await reader.read()).endswith(b"0\r\n\r\n")
    writer.close()
