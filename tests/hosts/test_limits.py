"""The queue of a host: bounds, order, classes, progress and cancelling, with one host and with several."""

from __future__ import annotations

import asyncio

from mcp.types import CallToolResult

from ollama_mcp.simulator import Answer, Simulator
from tests.hosts.several import MODEL, several
from tests.support import connected, data, error, text, until

HELD = Answer("held", hold="go")


def _chats(simulator: Simulator) -> int:
    return sum(request.path == "/api/chat" for request in simulator.requests)


async def test_a_full_queue_is_busy_and_says_how_many_wait(simulator: Simulator):
    simulator.script(MODEL, *[HELD] * 4)
    async with connected(simulator.url, limits={"in_flight": 2, "waiting": 2}) as client:
        chat = {"model": MODEL, "prompt": "Hi"}
        calls = [asyncio.create_task(client.call_tool("ollama_chat", chat)) for _ in range(4)]
        await until(lambda: len(simulator.in_flight) == 2)
        refused = await client.call_tool("ollama_chat", chat)
        while not refused.is_error:
            refused = await client.call_tool("ollama_chat", chat)
        assert "2 calls wait for llama3.2:3b on local already" in error(refused, "busy")
        assert "limits.waiting" in error(refused, "busy")
        assert _chats(simulator) == 2
        # Another model has a queue of its own.
        assert text(await client.call_tool("ollama_chat", {"model": "qwen3:4b", "prompt": "Hi"}))
        simulator.release("go")
        assert not any(result.is_error for result in await asyncio.gather(*calls))


async def test_waiting_calls_are_sent_in_their_order_and_say_their_place(simulator: Simulator):
    simulator.script(MODEL, HELD)
    said: dict[int, list[str]] = {number: [] for number in range(4)}
    async with connected(simulator.url, limits={"in_flight": 1}) as client:

        async def ask(number: int) -> CallToolResult:
            async def note(progress: float, total: float | None, message: str | None) -> None:
                said[number].append(message or "")

            chat = {"model": MODEL, "prompt": f"number {number}"}
            return await client.call_tool("ollama_chat", chat, progress_callback=note)

        calls: list[asyncio.Task[CallToolResult]] = []
        for number in range(4):
            calls.append(asyncio.create_task(ask(number)))
            place = f"{number} call{'s' * (number != 1)} before this one"
            if number:
                await until(lambda number=number, place=place: any(place in words for words in said[number]))
            else:
                await until(lambda: len(simulator.in_flight) == 1)
        simulator.release("go")
        await asyncio.gather(*calls)
    sent = [request.json["messages"][0]["content"] for request in simulator.requests if request.path == "/api/chat"]
    assert sent == [f"number {number}" for number in range(4)]


async def test_a_waiting_call_leaves_at_once_when_it_is_cancelled(simulator: Simulator):
    simulator.script(MODEL, HELD, Answer("next"))
    async with connected(simulator.url, limits={"in_flight": 1, "waiting": 1}) as client:
        chat = {"model": MODEL, "prompt": "Hi"}
        first = asyncio.create_task(client.call_tool("ollama_chat", chat))
        await until(lambda: len(simulator.in_flight) == 1)
        said: list[str] = []

        async def note(progress: float, total: float | None, message: str | None) -> None:
            said.append(message or "")

        waiting = asyncio.create_task(client.call_tool("ollama_chat", chat, progress_callback=note))
        await until(lambda: any("before this one" in words for words in said))
        waiting.cancel()
        # Its place is free for another call, while the first still runs.
        said.clear()
        third = asyncio.create_task(client.call_tool("ollama_chat", chat, progress_callback=note))
        await until(lambda: any("1 call before this one" in words for words in said))
        simulator.release("go")
        assert text(await first) == "held" and text(await third) == "next"
        assert _chats(simulator) == 2


async def test_a_call_goes_before_the_rows_of_a_batch():
    rows = [f"row {number}" for number in range(12)]
    async with (
        Simulator(version="latest", num_parallel=8) as simulator,
        connected(simulator.url, limits={"in_flight": 4}) as client,
    ):
        simulator.script(MODEL, *(Answer("row", hold=f"row {number}") for number in range(4)), Answer("mine"))
        batch = asyncio.create_task(
            client.call_tool("ollama_batch", {"model": MODEL, "input": rows, "prompt": "Do {text}"})
        )
        await until(lambda: len(simulator.in_flight) == 4)
        said: list[str] = []

        async def note(progress: float, total: float | None, message: str | None) -> None:
            said.append(message or "")

        chat = {"model": MODEL, "prompt": "first"}
        call = asyncio.create_task(client.call_tool("ollama_chat", chat, progress_callback=note))
        await until(lambda: any("4 calls before this one" in words for words in said))
        # One row ends, and its place is the call's, although eight rows were there before it.
        simulator.release("row 0")
        assert text(await call) == "mine"
        for number in range(1, 4):
            simulator.release(f"row {number}")
        assert data(await batch)["done"] == 12


async def test_where_one_host_is_full_auto_uses_another():
    async with several(limits={"in_flight": 1, "waiting": 0}) as bench:
        for simulator in bench.hosts.values():
            simulator.script(MODEL, HELD)
        calls = [asyncio.create_task(bench.ask()) for _ in range(2)]
        await until(lambda: all(len(simulator.in_flight) == 1 for simulator in bench.hosts.values()))
        assert "0 calls wait" in error(await bench.ask(), "busy")
        for simulator in bench.hosts.values():
            simulator.release("go")
        assert not any(result.is_error for result in await asyncio.gather(*calls))


async def test_a_host_gets_no_more_at_once_than_its_limit_whatever_the_model(simulator: Simulator):
    hosts = {"gpu": {"url": simulator.url, "limits": {"requests": 1}}}
    simulator.script(MODEL, HELD)
    async with connected("", hosts=hosts) as client:
        first = asyncio.create_task(client.call_tool("ollama_chat", {"model": MODEL, "prompt": "Hi"}))
        await until(lambda: len(simulator.in_flight) == 1)
        said: list[str] = []

        async def note(progress: float, total: float | None, message: str | None) -> None:
            said.append(message or "")

        other = asyncio.create_task(
            client.call_tool("ollama_chat", {"model": "qwen3:4b", "prompt": "Hi"}, progress_callback=note)
        )
        await until(lambda: any("waiting for qwen3:4b on gpu" in words for words in said))
        assert _chats(simulator) == 1
        simulator.release("go")
        assert not (await other).is_error and not (await first).is_error
