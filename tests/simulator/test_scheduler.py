from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from ollama_mcp.simulator import Answer, Latency, Simulator
from tests.simulator.helpers import CHAT, EMBEDDER, THINKER, VISION, until


def _ask(model: str, **fields: Any) -> dict[str, Any]:
    return {"model": model, "prompt": "x", "stream": False, **fields}


async def _loaded(client: httpx.AsyncClient) -> list[str]:
    return [model["name"] for model in (await client.get("/api/ps")).json()["models"]]


async def test_an_empty_prompt_loads_and_keep_alive_zero_unloads(client: httpx.AsyncClient) -> None:
    loaded = await client.post("/api/generate", json={"model": CHAT})
    assert (loaded.json()["done_reason"], await _loaded(client)) == ("load", [CHAT])
    unloaded = await client.post("/api/generate", json={"model": CHAT, "keep_alive": 0})
    assert (unloaded.json()["done_reason"], await _loaded(client)) == ("unload", [])


async def test_a_model_is_unloaded_when_its_keep_alive_ends(client: httpx.AsyncClient) -> None:
    await client.post("/api/generate", json=_ask(CHAT, keep_alive="50ms"))
    for _ in range(200):
        if not await _loaded(client):
            return
        await asyncio.sleep(0.01)
    pytest.fail("it stayed")


async def test_a_negative_keep_alive_is_forever(client: httpx.AsyncClient) -> None:
    await client.post("/api/generate", json=_ask(CHAT, keep_alive=-1))
    assert (await client.get("/api/ps")).json()["models"][0]["expires_at"].startswith("2319")


async def test_keep_alive_zero_with_a_prompt_unloads_after_the_answer(client: httpx.AsyncClient) -> None:
    assert (await client.post("/api/generate", json=_ask(CHAT, keep_alive=0))).json()["done_reason"] == "stop"
    assert await _loaded(client) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("5", 'time: missing unit in duration "5"'),
        ("soon", 'time: invalid duration "soon"'),
        (True, "Unsupported type: 'bool'"),
    ],
)
async def test_an_invalid_keep_alive_is_rejected_with_gos_error(
    client: httpx.AsyncClient, value: Any, text: str
) -> None:
    answer = await client.post("/api/generate", json=_ask(CHAT, keep_alive=value))
    assert (answer.status_code, answer.json()["error"]) == (400, text)


async def test_another_context_length_reloads_the_model(simulator: Simulator, client: httpx.AsyncClient) -> None:
    for options in ({}, {}, {"num_ctx": 8192}, {"num_ctx": 8192, "temperature": 0}):
        await client.post("/api/generate", json=_ask(CHAT, options=options))
    assert simulator.machine.scheduler.loads == 2
    assert (await client.get("/api/ps")).json()["models"][0]["context_length"] == 8192


async def test_a_fourth_model_evicts_one(client: httpx.AsyncClient) -> None:
    for model in (CHAT, THINKER, VISION):
        await client.post("/api/generate", json=_ask(model, keep_alive="10m" if model == CHAT else "5m"))
    await client.post("/api/embed", json={"model": EMBEDDER, "input": "x"})
    assert set(await _loaded(client)) == {CHAT, VISION, "nomic-embed-text:latest"}


async def test_one_model_serves_one_request_at_a_time(simulator: Simulator, client: httpx.AsyncClient) -> None:
    simulator.script(CHAT, Answer("one", hold="go"), Answer("two"))
    first = asyncio.create_task(client.post("/api/generate", json=_ask(CHAT)))
    await until(lambda: len(simulator.in_flight) == 1)
    second = asyncio.create_task(client.post("/api/generate", json=_ask(CHAT)))
    await until(lambda: len(simulator.in_flight) == 2)
    assert not second.done()
    simulator.release("go")
    assert ((await first).json()["response"], (await second).json()["response"]) == ("one", "two")


async def test_two_slots_serve_two_requests_at_a_time() -> None:
    async with Simulator(num_parallel=2) as simulator, httpx.AsyncClient(base_url=simulator.url) as client:
        simulator.script(CHAT, Answer("one", hold="go"), Answer("two"))
        first = asyncio.create_task(client.post("/api/generate", json=_ask(CHAT)))
        await until(lambda: len(simulator.in_flight) == 1)
        assert (await client.post("/api/generate", json=_ask(CHAT))).json()["response"] == "two"
        assert not first.done()
        simulator.release("go")
        await first


async def test_a_full_queue_of_loads_is_busy() -> None:
    latency = Latency(load=30)
    async with (
        Simulator(latency=latency, max_queue=1) as simulator,
        httpx.AsyncClient(base_url=simulator.url) as client,
    ):
        waiting = asyncio.create_task(client.post("/api/generate", json=_ask(CHAT)))
        await until(lambda: len(simulator.in_flight) == 1)
        answer = await client.post("/api/generate", json=_ask(THINKER))
        assert answer.status_code == 503
        assert answer.json()["error"] == "server busy, please try again.  maximum pending requests exceeded"
        waiting.cancel()
        await until(lambda: len(simulator.disconnects) == 1)
        assert simulator.disconnects[0].request.model == CHAT
        assert (await _loaded(client)) == []


async def test_a_reload_waits_until_the_old_runner_is_idle(simulator: Simulator, client: httpx.AsyncClient) -> None:
    simulator.script(CHAT, Answer("one", hold="go"), Answer("two"))
    first = asyncio.create_task(client.post("/api/generate", json=_ask(CHAT)))
    await until(lambda: len(simulator.in_flight) == 1)
    second = asyncio.create_task(client.post("/api/generate", json=_ask(CHAT, options={"num_ctx": 64})))
    await until(lambda: len(simulator.in_flight) == 2)
    assert simulator.machine.scheduler.loads == 1
    simulator.release("go")
    assert ((await first).json()["response"], (await second).json()["response"]) == ("one", "two")
    assert simulator.machine.scheduler.loads == 2


async def test_unloading_a_busy_model_waits_for_its_answer(simulator: Simulator, client: httpx.AsyncClient) -> None:
    simulator.script(CHAT, Answer("one", hold="go"))
    first = asyncio.create_task(client.post("/api/generate", json=_ask(CHAT)))
    await until(lambda: len(simulator.in_flight) == 1)
    await client.post("/api/generate", json={"model": CHAT, "keep_alive": 0})
    assert await _loaded(client) == [CHAT]
    simulator.release("go")
    await first
    assert await _loaded(client) == []


async def test_two_names_of_the_same_weights_share_a_runner(simulator: Simulator, client: httpx.AsyncClient) -> None:
    await client.post("/api/copy", json={"source": CHAT, "destination": "other"})
    for model in (CHAT, "other"):
        await client.post("/api/generate", json=_ask(model))
    assert simulator.machine.scheduler.loads == 1
    assert await _loaded(client) == [CHAT]


async def test_latency_delays_and_is_reported() -> None:
    latency = Latency(load=0.02, prompt=0.001, token=0.001, embed=0.01)
    async with Simulator(latency=latency) as simulator, httpx.AsyncClient(base_url=simulator.url) as client:
        answer = (await client.post("/api/generate", json=_ask(CHAT, options={"num_predict": 4}))).json()
        assert answer["load_duration"] >= 20_000_000
        assert answer["eval_duration"] >= 4_000_000
        embedded = (await client.post("/api/embed", json={"model": EMBEDDER, "input": ["a", "b"]})).json()
        assert embedded["total_duration"] >= 20_000_000
