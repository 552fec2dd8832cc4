"""A client whose own callback fails."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from mcp import Client

from ollama_mcp.simulator import Answer, Simulator
from tests.faults.rig import ANSWER, MODEL, WORDS
from tests.support import connected, served, text


@asynccontextmanager
async def client_of(transport: str, url: str) -> AsyncGenerator[Client]:
    if transport == "http":
        async with served(url) as address, Client(address) as client:
            yield client
    else:
        async with connected(url) as client:
            yield client


@pytest.mark.parametrize("transport", ["memory", "http"])
async def test_a_callback_that_fails_at_the_client_does_not_sink_the_call(simulator: Simulator, transport: str) -> None:
    asked: list[float] = []

    async def fail(progress: float, total: float | None, message: str | None) -> None:
        asked.append(progress)
        raise RuntimeError("the client's own fault")

    simulator.script(MODEL, Answer(text=WORDS))
    async with client_of(transport, simulator.url) as client:
        result = await client.call_tool("ollama_generate", {"model": MODEL, "prompt": "Hi"}, progress_callback=fail)
    assert text(result) == ANSWER
    assert asked
