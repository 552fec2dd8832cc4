"""Answers without a limit of a model that was quick so far: they come as one object, and a long one keeps its text."""

from __future__ import annotations

import asyncio

import pytest
from mcp import Client

from ollama_mcp.simulator import Answer, Simulator
from tests.jobs.support import CHAT, JOB, MODEL, WORDS, job_of
from tests.support import connected, text, texts, until

ENOUGH = 8


def streamed(simulator: Simulator) -> list[bool]:
    """Of each chat, whether it asked for a stream."""
    return [seen.json.get("stream", True) for seen in simulator.requests if seen.path == "/api/chat"]


async def learnt(client: Client, simulator: Simulator) -> None:
    """Have the model answer until its answers are known to be quick, and forget the requests."""
    while all(streamed(simulator)):
        await client.call_tool("ollama_chat", CHAT)
    assert len(streamed(simulator)) > ENOUGH
    simulator.log.clear()


async def test_an_answer_comes_whole_after_eight_quick_ones(simulator: Simulator):
    async with connected(simulator.url) as client:
        await learnt(client, simulator)
        simulator.script(MODEL, Answer(text="Hello."))
        assert text(await client.call_tool("ollama_chat", CHAT)) == "Hello."
    assert streamed(simulator) == [False]


async def test_who_watches_gets_a_stream_and_so_does_another_model(simulator: Simulator):
    told: list[str | None] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        told.append(message)

    async with connected(simulator.url) as client:
        await learnt(client, simulator)
        await client.call_tool("ollama_chat", CHAT, progress_callback=hear)
        await client.call_tool("ollama_chat", {**CHAT, "model": "gemma3:4b"})
    assert streamed(simulator) == [True, True] and told


@pytest.fixture
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what takes half a second be long."""
    monkeypatch.setattr("ollama_mcp.work.chat.run.QUICK_ANSWER_SECONDS", 0.25)


@pytest.mark.usefixtures("short_patience")
async def test_one_that_is_long_after_all_is_closed_and_asked_for_in_a_stream(simulator: Simulator):
    gate = asyncio.Event()
    async with connected(simulator.url) as client:
        await learnt(client, simulator)
        simulator.script(MODEL, Answer(text="never read", hold=gate), Answer(text="At last."), Answer(text="Again."))
        assert text(await client.call_tool("ollama_chat", CHAT)) == "At last."
        # The model is free, and the next ones are streamed from the beginning.
        await until(lambda: len(simulator.disconnects) == 1)
        assert text(await client.call_tool("ollama_chat", CHAT)) == "Again."
        gate.set()
    assert streamed(simulator) == [False, True, True]


@pytest.mark.usefixtures("short_patience")
async def test_the_words_of_one_that_is_long_after_all_are_there_while_it_goes_on(simulator: Simulator):
    gate = asyncio.Event()
    async with connected(simulator.url) as client:
        await learnt(client, simulator)
        simulator.script(MODEL, Answer(text="", hold=gate), Answer(text=WORDS, hold=gate, hold_after=2))
        job = job_of(await client.call_tool("ollama_chat", {**CHAT, "background": True}))
        async with asyncio.timeout(30):
            while "two" not in text(await client.call_tool(JOB, {})):
                pass
        await client.call_tool(JOB, {"action": "cancel", "id": job})
        await until(lambda: len(simulator.disconnects) == 2)
        assert texts(await client.call_tool(JOB, {"action": "result", "id": job}))[0] == "One two "
        gate.set()
