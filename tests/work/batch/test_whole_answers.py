"""Answers that come as one object: which ones do, and what becomes of those that break, are late or are cancelled."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from ollama_mcp.simulator import Answer, Fault, Simulator
from tests.support import connected, data, error, text, until
from tests.work.batch.batching import Bench, batching

MODEL = "llama3.2:3b"
CHAT: dict[str, Any] = {"model": MODEL, "prompt": "Hi"}
FEW: dict[str, Any] = {"num_predict": 40}
ROWS = [f"text {n}" for n in range(12)]


def streamed(simulator: Simulator) -> list[bool]:
    """Of each chat, whether it asked for a stream."""
    return [seen.json.get("stream", True) for seen in simulator.requests if seen.path == "/api/chat"]


async def warmed(client: Client, simulator: Simulator, **more: Any) -> None:
    """Load the model, and have it answer once."""
    await client.call_tool("ollama_chat", {**CHAT, **more})
    simulator.log.clear()


async def test_a_short_answer_comes_whole_once_the_pace_is_known(simulator: Simulator):
    async with connected(simulator.url) as client:
        for options in (FEW, FEW, {}, {"num_predict": -1}, {"num_predict": 900_000}):
            await client.call_tool("ollama_chat", {**CHAT, "options": options})
        slow = Answer(text="ok", first_delay=0.2, tokens=1)
        simulator.script(MODEL, slow)
        await client.call_tool("ollama_chat", CHAT)
        await client.call_tool("ollama_chat", {**CHAT, "options": FEW})
    # Not the first, before which nothing was learnt; not one without an end; not one that takes long.
    assert streamed(simulator) == [True, False, True, True, True, True, True]


async def test_a_whole_answer_has_the_same_result_as_a_streamed_one(simulator: Simulator):
    calls = {"name": "get_weather", "arguments": {"city": "Paris"}}
    answer = Answer(text="One two.", thinking="hm", tool_calls=[calls], tokens=3)
    tool = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
    given = {"model": "qwen3:4b", "prompt": "Hi", "include": ["thinking", "logprobs"], "options": FEW, "tools": [tool]}
    async with connected(simulator.url) as client:
        simulator.script("qwen3:4b", answer, answer)
        results = [data(await client.call_tool("ollama_chat", given)) for _ in range(2)]
    assert streamed(simulator) == [True, False]
    first, second = results
    for result in results:
        # Ids are random.
        assert result["tool_calls"][0].pop("id", "")
    assert first == second and first["thinking"] == "hm"


async def test_rows_with_an_end_come_whole_and_others_do_not(bench: Bench):
    await warmed(bench.client, bench.simulator)
    await bench.report(ROWS, options=FEW)
    assert streamed(bench.simulator) == [False] * 12
    bench.simulator.log.clear()
    await bench.report(ROWS)
    assert streamed(bench.simulator) == [True] * 12


async def test_questions_come_whole_by_letters(simulator: Simulator):
    question = {"name": "good", "question": "Is it good?"}
    async with connected(simulator.url) as client:
        await warmed(client, simulator)
        await client.call_tool("ollama_decide", {"model": MODEL, "questions": [question], "texts": ROWS})
    assert set(streamed(simulator)) == {False}


@pytest.mark.parametrize(
    ("fault", "kind", "said"),
    [
        (Fault("cut"), "interrupted", "broke in the middle"),
        (Fault("reset"), "interrupted", "broke in the middle"),
        (Fault("status", status=200, text="the model is confused"), "server_error", "the model is confused"),
        (Fault("status", status=500, text="an error was encountered while running the model"), "server_error", "died"),
    ],
    ids=["half a body", "reset", "200 with an error", "500"],
)
async def test_a_whole_answer_that_breaks_is_that_error(simulator: Simulator, fault: Fault, kind: str, said: str):
    async with connected(simulator.url) as client:
        await warmed(client, simulator)
        fault.path = "/api/chat"
        simulator.faults.add(fault)
        assert said in error(await client.call_tool("ollama_chat", {**CHAT, "options": FEW}), kind)
    assert streamed(simulator) == [False]


async def test_half_a_body_costs_a_row_a_second_attempt_and_nothing_else(bench: Bench):
    await warmed(bench.client, bench.simulator)
    bench.simulator.faults.add(Fault("cut", path="/api/chat", nth=3))
    report = await bench.report(ROWS, options=FEW, output="out.jsonl")
    assert (report["done"], report["failed"]) == (12, 0)
    assert [row["row"] for row in bench.rows()] == list(range(1, 13))
    assert len(streamed(bench.simulator)) == 13


async def test_a_row_that_takes_an_hour_is_given_up_and_then_asked_in_a_stream(simulator: Simulator, tmp_path: Path):
    # The limit of silence is that of the whole answer.
    async with batching(simulator, tmp_path, timeouts={"idle": 1.0}, work={"parallel": 1}) as bench:
        await warmed(bench.client, simulator)
        quick, gate = Answer(text="ok", tokens=1_000), asyncio.Event()
        simulator.script(MODEL, *[quick] * 9, Answer(text="late", hold=gate), *[quick] * 3)
        report = await bench.report(ROWS, options={"num_predict": 4}, output="out.jsonl")
        gate.set()
    assert (report["done"], report["failed"]) == (12, 0)
    assert [row["row"] for row in bench.rows()] == list(range(1, 13))
    late = [seen.json for seen in simulator.requests if seen.path == "/api/chat" and b"Say it: text 9" in seen.body]
    assert [body.get("stream", True) for body in late] == [False, True]
    assert len(simulator.disconnects) == 1 and len(streamed(simulator)) == 13


async def test_a_cancelled_batch_closes_its_whole_answers(bench: Bench):
    await warmed(bench.client, bench.simulator)
    gate = asyncio.Event()
    bench.simulator.script(MODEL, *[Answer(text="ok", hold=gate)] * 12)
    begun = await bench.batch(ROWS, options=FEW, output="out.jsonl", background=True)
    job = (begun.meta or {})["ollama-mcp-server/job"]["id"]
    await until(lambda: len(streamed(bench.simulator)) == 4)
    await bench.client.call_tool("ollama_job", {"action": "cancel", "id": job})
    await until(lambda: len(bench.simulator.disconnects) == 4)
    gate.set()
    assert streamed(bench.simulator) == [False] * 4
    # Nothing was done twice, and nothing is lost.
    bench.simulator.scripts.clear()
    report = await bench.report(ROWS, options=FEW, output="out.jsonl")
    assert (report["done"], report["failed"]) == (12, 0)


async def test_the_first_token_of_a_compared_answer_is_told_by_the_engines_own_figures(simulator: Simulator):
    models = [MODEL, "gemma3:4b"]
    async with connected(simulator.url, defaults={"options": FEW}) as client:
        for model in models:
            await client.call_tool("ollama_chat", {**CHAT, "model": model, "options": {}})
        simulator.log.clear()
        result = await client.call_tool("ollama_compare", {"models": models, "prompt": "Hi"})
    assert set(streamed(simulator)) == {False} and text(result)
    assert all(model["first_token_seconds"] >= 0 for model in data(result)["models"])
