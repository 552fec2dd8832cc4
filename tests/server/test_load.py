"""Many calls at once: every answer goes to its own call, and the host is not asked once for each of them."""

from __future__ import annotations

import asyncio

import pytest
from mcp import Client
from mcp.types import CallToolResult

from bench.load import load
from ollama_mcp.simulator import Answer, Simulator
from tests.support import connected, text, until

IN_FLIGHT = 50


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_no_call_of_many_at_once_is_lost_or_gets_the_answer_of_another(transport: str) -> None:
    outcome = await load(transport, in_flight=IN_FLIGHT, seconds=0.5)
    assert len(outcome.added) == IN_FLIGHT
    assert (outcome.failures, outcome.mixed_up, outcome.silent) == ({}, 0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_of_many_calls_only_answers_that_had_begun_are_lost_with_one_host_of_three(transport: str) -> None:
    outcome = await load(transport, in_flight=IN_FLIGHT, hosts=3, seconds=2.0)
    assert len(outcome.added) + outcome.failures["interrupted"] == IN_FLIGHT
    assert outcome.mixed_up == 0 and set(outcome.failures) <= {"interrupted"}


async def test_calls_that_wait_at_once_share_the_question_whether_their_model_is_loaded() -> None:
    reports: list[str] = []

    async def report(progress: float, total: float | None, message: str | None) -> None:
        reports.append(message or "")

    def call(client: Client, number: int) -> asyncio.Task[CallToolResult]:
        arguments = {"model": "llama3.2:3b", "prompt": f"Say {number}"}
        return asyncio.create_task(client.call_tool("ollama_generate", arguments, progress_callback=report))

    async with Simulator(num_parallel=IN_FLIGHT) as simulator, connected(simulator.url) as client:
        simulator.script("*", *[Answer("so", hold="go") for _ in range(IN_FLIGHT)])
        calls = [call(client, number) for number in range(IN_FLIGHT)]
        await until(lambda: sum("reads the prompt" in each or "waiting for" in each for each in reports) >= IN_FLIGHT)
        simulator.release("go")
        assert {text(result) for result in await asyncio.gather(*calls)} == {"so"}
        asked = [request.path for request in simulator.requests].count("/api/ps")
        assert 1 <= asked <= IN_FLIGHT / 2
