"""The dial of the simulator: models that are right as often as they should be, and as sure as they are right."""

from __future__ import annotations

import math
from typing import Any

import httpx
import pytest

from ollama_mcp.simulator import Simulator

MODEL = "llama3.2:1b"
LETTERS = "Which team?\nA. billing: money\nB. tech: bugs\nAnswer with the letter of the best option."


async def ask(client: httpx.AsyncClient, prompt: str, **more: Any) -> dict[str, Any]:
    body = {"model": MODEL, "messages": [{"role": "user", "content": prompt}], "stream": False, **more}
    response = await client.post("/api/chat", json=body)
    response.raise_for_status()
    return response.json()


@pytest.mark.parametrize("accuracy", [0.6, 0.8, 0.95])
async def test_a_letter_is_right_as_often_as_the_dial_says_and_as_sure_as_it_is_right(accuracy: float) -> None:
    async with Simulator(models=[MODEL]) as simulator, httpx.AsyncClient(base_url=simulator.url) as client:
        simulator.set_accuracy(MODEL, accuracy)
        right, sure = 0, 0.0
        for number in range(300):
            asked = f"Row {number} [[{('billing', 'tech')[number % 2]}]]\n{LETTERS}"
            answer = await ask(client, asked, logprobs=True, top_logprobs=5)
            right += answer["message"]["content"] == "AB"[number % 2]
            sure += math.exp(answer["logprobs"][0]["logprob"])
    # Three standard deviations of a share of 300.
    assert abs(right / 300 - accuracy) < 3 * math.sqrt(accuracy * (1 - accuracy) / 300)
    assert abs(sure / 300 - 0.97 * accuracy) < 0.05


async def test_words_and_objects_are_right_or_something_else() -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}, "year": {"type": "integer"}}}
    async with Simulator(models=[MODEL]) as simulator, httpx.AsyncClient(base_url=simulator.url) as client:
        simulator.set_accuracy(MODEL, 1.0)
        assert (await ask(client, "Say [[blue]]"))["message"]["content"] == "blue"
        told = await ask(client, '[[{"city": "Rome", "year": 1960}]]', format=schema)
        assert told["message"]["content"] == '{"city": "Rome", "year": 1960}'
        simulator.set_accuracy(MODEL, 0.0)
        assert (await ask(client, "Say [[blue]]"))["message"]["content"] == "something else"
        told = await ask(client, '[[{"city": "Rome", "year": 1960}]]', format=schema)
        assert told["message"]["content"] == '{"city": "something else", "year": 1960}'


async def test_the_dial_is_set_by_another_process_and_refuses_what_it_does_not_know() -> None:
    async with Simulator(models=[MODEL]) as simulator, httpx.AsyncClient(base_url=simulator.url) as client:
        response = await client.post("/_simulator/settings", json={"accuracy": {MODEL: 1.0}})
        assert response.status_code == 204
        assert (await ask(client, "Say [[blue]]"))["message"]["content"] == "blue"
        response = await client.post("/_simulator/settings", json={"accuracy": {"nothing": 1.0}})
        assert response.status_code == 400
        # Without a dial the brackets mean nothing.
        simulator.set_accuracy(MODEL, None)
        assert (await ask(client, "Say [[blue]]"))["message"]["content"] != "blue"
