"""Helpers for the tests of the simulator."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx

CHAT = "llama3.2:3b"
THINKER = "qwen3:4b"
VISION = "gemma3:4b"
EMBEDDER = "nomic-embed-text"

WEATHER_TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
                "days": {"type": "integer", "minimum": 1, "maximum": 7},
            },
            "required": ["city"],
        },
    },
}


def user(text: str) -> list[dict[str, Any]]:
    """A conversation of one message."""
    return [{"role": "user", "content": text}]


async def lines(client: httpx.AsyncClient, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    """Send a request and return the lines of the stream."""
    answer = await client.post(path, json=body)
    return [json.loads(line) for line in answer.text.splitlines() if line]


async def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait until a condition is true."""
    for _ in range(int(seconds / 0.005)):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("the condition did not become true in time")
