"""What most servers of this kind get wrong, a test for each."""

import asyncio

from ollama_mcp.simulator import Answer, Simulator
from ollama_mcp.simulator.scheduler import Latency
from tests.support import connected, error, text, texts, until

MODEL = "llama3.2:3b"
CHAT = {"model": MODEL, "prompt": "Hi"}


async def test_an_answer_is_the_words_and_not_raw_json(simulator: Simulator):
    simulator.script(MODEL, Answer(text="Hello."))
    async with connected(simulator.url) as client:
        result = await client.call_tool("ollama_generate", CHAT)
    assert text(result) == "Hello."


async def test_a_missing_model_is_an_error_with_a_next_step(simulator: Simulator):
    async with connected(simulator.url) as client:
        said = error(await client.call_tool("ollama_generate", {**CHAT, "model": "missing"}), "model_not_found")
    assert "'missing'" in said and "ollama_pull_model" in said


async def test_thinking_that_used_up_the_budget_is_explained(simulator: Simulator):
    simulator.script("qwen3:4b", Answer(thinking="and so on", done_reason="length"))
    async with connected(simulator.url) as client:
        result = await client.call_tool("ollama_generate", {"model": "qwen3:4b", "prompt": "x"})
    assert "on thinking" in error(result, "no_answer")
    assert texts(result)[1] == "and so on"


async def test_four_calls_run_side_by_side():
    async with Simulator(num_parallel=4) as simulator, connected(simulator.url) as client:
        gate = asyncio.Event()
        simulator.script(MODEL, *(Answer(text="done", hold=gate) for _ in range(4)))
        calls = [asyncio.create_task(client.call_tool("ollama_chat", CHAT)) for _ in range(4)]
        await until(lambda: len(simulator.in_flight) == 4)
        gate.set()
        assert [text(result) for result in await asyncio.gather(*calls)] == ["done"] * 4


async def test_other_requests_are_answered_while_a_model_works(simulator: Simulator):
    gate = asyncio.Event()
    simulator.script(MODEL, Answer(text="done", hold=gate))
    async with connected(simulator.url) as client:
        call = asyncio.create_task(client.call_tool("ollama_chat", CHAT))
        await until(lambda: simulator.in_flight)
        await asyncio.wait_for(client.list_tools(cache_mode="refresh"), 30)
        assert not call.done()
        gate.set()
        assert text(await call) == "done"


async def test_equal_prompts_are_asked_anew_each_time(simulator: Simulator):
    async with connected(simulator.url) as client:
        await client.call_tool("ollama_chat", CHAT)
        await client.call_tool("ollama_chat", CHAT)
    assert [seen.path for seen in simulator.requests].count("/api/chat") == 2


async def test_the_request_closes_within_a_tenth_of_a_second_of_the_cancel():
    async with Simulator(latency=Latency(token=0.02)) as simulator, connected(simulator.url) as client:
        simulator.script(MODEL, Answer(text=["word "] * 500))
        call = asyncio.create_task(client.call_tool("ollama_chat", CHAT))
        await until(lambda: simulator.in_flight)
        loop = asyncio.get_running_loop()
        began = loop.time()
        call.cancel()
        await until(lambda: simulator.disconnects)
        # A tenth of a second is what is promised; a busy test machine gets some more.
        assert loop.time() - began < 0.5
