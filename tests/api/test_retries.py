"""When a request is sent to the same host again, and what limits that."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from ollama_mcp.api import ChatMessage, ChatRequest, GenerateRequest, OllamaClient
from ollama_mcp.api.requests import CreateRequest
from ollama_mcp.errors import ApiError, Busy, Interrupted
from ollama_mcp.simulator import Fault, Simulator
from tests.api.raw_server import Connection, RawRequest, generate_end, response, serving, stream

MODEL = "llama3.2:3b"
CHANGES: dict[str, Callable[[OllamaClient], Awaitable[object]]] = {
    "copy": lambda client: client.copy("a", "b"),
    "create": lambda client: client.create(CreateRequest(model="b", from_="a")).collect(),
    "delete": lambda client: client.delete("a"),
    "pull": lambda client: client.pull("a").collect(),
    "push": lambda client: client.push("a/b").collect(),
}


def _sent(simulator: Simulator, path: str) -> int:
    return sum(request.path == path for request in simulator.requests)


async def _chat(client: OllamaClient) -> str:
    request = ChatRequest(model=MODEL, messages=[ChatMessage(role="user", content="Hi")])
    return (await client.chat(request).collect()).text


@pytest.mark.slow
@pytest.mark.parametrize("fault", [Fault("unavailable", times=2), Fault("rate_limited", times=1, retry_after=1)])
async def test_a_host_that_has_no_room_is_asked_again(simulator: Simulator, fault: Fault):
    fault.path = "/api/chat"
    simulator.faults.add(fault)
    async with OllamaClient(simulator.url) as client:
        assert await _chat(client)
    assert _sent(simulator, "/api/chat") == fault.times + 1


@pytest.mark.slow
async def test_three_attempts_are_all(simulator: Simulator):
    simulator.faults.add(Fault("unavailable", path="/api/chat"))
    async with OllamaClient(simulator.url) as client:
        with pytest.raises(Busy):
            await _chat(client)
    assert _sent(simulator, "/api/chat") == 3


async def test_who_asks_to_wait_for_long_is_not_waited_for(simulator: Simulator):
    simulator.faults.add(Fault("rate_limited", path="/api/chat", retry_after=21))
    async with OllamaClient(simulator.url) as client:
        with pytest.raises(Busy) as caught:
            await _chat(client)
    assert caught.value.retry_after == 21 and _sent(simulator, "/api/chat") == 1


@pytest.mark.parametrize("status", [500, 400])
async def test_what_the_host_refused_is_not_repeated(simulator: Simulator, status: int):
    simulator.faults.add(Fault("status", path="/api/chat", status=status, text="out of memory"))
    async with OllamaClient(simulator.url) as client:
        with pytest.raises(ApiError):
            await _chat(client)
    assert _sent(simulator, "/api/chat") == 1


async def test_a_request_that_may_have_been_done_is_not_repeated(simulator: Simulator):
    simulator.faults.add(Fault("refuse", path="/api/chat"))
    async with OllamaClient(simulator.url) as client:
        with pytest.raises(Interrupted):
            await _chat(client)
    assert _sent(simulator, "/api/chat") == 1


async def test_repetitions_are_few_next_to_the_requests_of_two_minutes(simulator: Simulator):
    fault = Fault("refuse", path="/api/tags")
    simulator.faults.add(fault)
    async with OllamaClient(simulator.url) as client:
        for _ in range(20):
            with pytest.raises(Interrupted):
                await client.tags()
        # Three are always allowed, which is more than a tenth of these.
        assert fault.struck == 20 + 3
        for _ in range(80):
            with pytest.raises(Interrupted):
                await client.tags()
        assert 100 + 5 <= fault.struck <= 100 + 10
        # A host that works again is asked as usual.
        simulator.faults.clear()
        assert await client.tags()


@pytest.mark.parametrize("end", ["hang up", "reset"])
async def test_a_request_that_meets_the_end_of_an_idle_connection_is_sent_again(end: str) -> None:
    async def end_it(_: RawRequest, connection: Connection) -> None:
        connection.writer.close() if end == "hang up" else connection.writer.transport.abort()

    prompt = GenerateRequest(model="m", prompt="hi")
    async with (
        serving(stream(generate_end("one")), end_it, stream(generate_end("two"))) as server,
        OllamaClient(server.url) as client,
    ):
        assert (await client.generate(prompt).collect()).text == "one"
        # Longer than one that is in use all the time.
        await asyncio.sleep(0.05)
        assert (await client.generate(prompt).collect()).text == "two"
    assert (len(server.requests), len(server.connections)) == (3, 2)


@pytest.mark.parametrize("what", CHANGES)
async def test_what_changes_something_is_sent_once_and_never_over_an_idle_connection(what: str) -> None:
    async def answer(request: RawRequest, connection: Connection) -> None:
        if request.path.endswith(what):
            connection.writer.close()
        else:
            await response('{"version": "0.33.0"}')(request, connection)

    async with serving(answer) as server, OllamaClient(f"{server.url}/behind/a/proxy") as client:
        await client.current_version()
        await asyncio.sleep(0.05)
        with pytest.raises(Interrupted):
            await CHANGES[what](client)
    assert [request.path for request in server.requests if "version" not in request.path] == [
        f"/behind/a/proxy/api/{what}"
    ]
    assert len(server.connections) == 2


async def test_a_prompt_that_ends_every_connection_is_sent_twice_and_not_over_each_that_is_idle() -> None:
    all_there, waiting = asyncio.Event(), 0

    async def answer(request: RawRequest, connection: Connection) -> None:
        nonlocal waiting
        if b"deadly" in request.body:
            connection.writer.close()
            return
        waiting += 1
        if waiting == 4:
            all_there.set()
        await all_there.wait()
        await stream(generate_end("one"))(request, connection)

    async with serving(answer) as server, OllamaClient(server.url) as client:
        await asyncio.gather(*[client.generate(GenerateRequest(model="m", prompt="hi")).collect() for _ in range(4)])
        await asyncio.sleep(0.05)
        with pytest.raises(Interrupted):
            await client.generate(GenerateRequest(model="m", prompt="deadly")).collect()
    assert sum(b"deadly" in request.body for request in server.requests) == 2
