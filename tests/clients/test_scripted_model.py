"""The scripted model in the one dialect that no host of these tests speaks."""

from __future__ import annotations

import json
from typing import Any

import httpx

from tests.clients.dialects import Use
from tests.clients.scripted_model import Script, ScriptedModel


async def test_it_speaks_chat_completions() -> None:
    heard: list[str] = []

    def script() -> Script:
        heard.append((yield Use("ollama_chat", {"prompt": "Hi"})))
        yield "Done."

    tools: list[dict[str, Any]] = [{"type": "function", "function": {"name": "x_ollama_chat", "parameters": {}}}]
    asked: list[dict[str, Any]] = [{"role": "user", "content": "go"}]
    async with ScriptedModel(script()) as model, httpx.AsyncClient(base_url=model.url, trust_env=False) as client:

        async def delta() -> dict[str, Any]:
            request: dict[str, Any] = {"model": "any", "stream": True, "messages": asked, "tools": tools}
            first, answer = [await client.post("/v1/chat/completions", json=request) for _ in range(2)]
            assert len(first.text) == len(answer.text), "who asks again gets the same"
            *events, end = [line.removeprefix("data: ") for line in answer.text.splitlines() if line]
            assert end == "[DONE]"
            return json.loads(events[0])["choices"][0]["delta"]

        called = await delta()
        (call,) = called["tool_calls"]
        assert (call["function"]["name"], json.loads(call["function"]["arguments"])) == (
            "x_ollama_chat",
            {"prompt": "Hi"},
        )
        asked += [called, {"role": "tool", "tool_call_id": call["id"], "content": "An answer."}]
        assert (await delta())["content"] == "Done."
    assert heard == ["An answer."] == model.asked[-1].results
