from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from ollama_mcp.simulator import Answer, Simulator
from tests.simulator.helpers import CHAT, THINKER, lines, until, user

CALL: dict[str, Any] = {"model": CHAT, "messages": user("x")}


async def test_each_piece_of_an_answer_is_a_line(simulator: Simulator, client: httpx.AsyncClient) -> None:
    simulator.script(
        "chat", Answer(["Hel", "lo"], thinking=["H", "m"], done_reason="length", prompt_tokens=5, tokens=7)
    )
    got = await lines(client, "/api/chat", CALL)
    assert [line["message"].get("thinking") for line in got] == ["H", "m", None, None, None]
    assert [line["message"]["content"] for line in got] == ["", "", "Hel", "lo", ""]
    assert (got[-1]["done_reason"], got[-1]["prompt_eval_count"], got[-1]["eval_count"]) == ("length", 5, 7)


async def test_scripted_answers_are_used_in_order_before_simulated_ones(
    simulator: Simulator, client: httpx.AsyncClient
) -> None:
    simulator.script(CHAT, Answer("one"), Answer("two"))
    simulator.script("*", Answer("for anybody"))
    said = [
        (await client.post("/api/chat", json={**CALL, "stream": False})).json()["message"]["content"] for _ in range(4)
    ]
    assert said[:3] == ["one", "two", "for anybody"]
    assert said[3].startswith("This is a simulated")


async def test_a_model_can_spend_its_whole_budget_on_thinking(simulator: Simulator, client: httpx.AsyncClient) -> None:
    simulator.script("thinking", Answer(thinking="I wonder", done_reason="length"))
    body = {"model": THINKER, "messages": user("x"), "stream": False}
    answer = (await client.post("/api/chat", json=body)).json()
    assert (answer["message"], answer["done_reason"]) == (
        {"role": "assistant", "content": "", "thinking": "I wonder"},
        "length",
    )


async def test_counts_and_reasons_can_be_omitted(simulator: Simulator, client: httpx.AsyncClient) -> None:
    simulator.script(CHAT, Answer("x", done_reason="", prompt_tokens=0, tokens=0))
    last = (await lines(client, "/api/chat", CALL))[-1]
    assert not {"done_reason", "prompt_eval_count", "eval_count"} & set(last)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_runner_may_fail_before_the_first_piece(
    simulator: Simulator, client: httpx.AsyncClient, stream: bool
) -> None:
    simulator.script(CHAT, Answer(error="out of memory", status=507))
    answer = await client.post("/api/chat", json={**CALL, "stream": stream})
    assert (answer.status_code, answer.json()) == (507, {"error": "out of memory"})


async def test_a_runner_may_fail_between_pieces(simulator: Simulator, client: httpx.AsyncClient) -> None:
    simulator.script(CHAT, Answer(["a", "b"], error="out of memory"))
    assert (await lines(client, "/api/chat", CALL))[2:] == [{"error": "out of memory"}]


async def test_exact_lines_are_sent_as_they_are(simulator: Simulator, client: httpx.AsyncClient) -> None:
    wanted = ['{"strange": 1, "done": false}', "no json"]
    simulator.script(CHAT, Answer(lines=wanted), Answer(lines=wanted))
    for stream in (True, False):
        answer = await client.post("/api/chat", json={**CALL, "stream": stream})
        assert answer.text.splitlines() == wanted


async def test_an_answer_holds_until_it_is_released(simulator: Simulator, client: httpx.AsyncClient) -> None:
    event = asyncio.Event()
    simulator.script(CHAT, Answer(["a", "b", "c"], hold=event, hold_after=2, delay=0.001, first_delay=0.001))
    task = asyncio.create_task(lines(client, "/api/chat", CALL))
    await until(lambda: simulator.in_flight)
    assert not task.done()
    event.set()
    assert len(await task) == 4


async def test_clearing_the_scripts_releases_answers_that_hold(simulator: Simulator, client: httpx.AsyncClient) -> None:
    simulator.script(CHAT, Answer("a", hold="go"), Answer("never said"))
    task = asyncio.create_task(lines(client, "/api/chat", CALL))
    await until(lambda: simulator.in_flight)
    simulator.scripts.clear()
    assert (await task)[0]["message"]["content"] == "a"
    assert "never said" not in (await client.post("/api/chat", json={**CALL, "stream": False})).text


async def test_stopping_the_simulator_ends_answers_that_hold() -> None:
    async with httpx.AsyncClient() as client:
        async with Simulator() as simulator:
            simulator.script(CHAT, Answer("a", hold="go"))
            task = asyncio.create_task(client.post(f"{simulator.url}/api/chat", json=CALL))
            await until(lambda: simulator.in_flight)
        with pytest.raises(httpx.TransportError):
            await task
