"""What the tests of cascades share: messages whose topic is known, and the call that sorts them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from mcp.types import CallToolResult

from tests.work.batch.batching import Bench

SMALL, LARGE = "llama3.2:1b", "llama3.2:3b"
TOPICS = ("billing", "delivery", "praise")
QUESTION = {"question": "What is it about?", "name": "topic", "labels": list(TOPICS)}


def message(number: int) -> str:
    """A message; `topic` tells what it is about."""
    return f"Message {number} is about {topic(number)}"


def topic(number: int) -> str:
    """What a message is about."""
    return TOPICS[number * 7 % len(TOPICS)]


def table(numbers: Sequence[int], *, labelled: bool = False) -> str:
    """Messages as a .csv file, with their right answers or without."""
    head = "text,expected\n" if labelled else "text\n"
    return head + "".join(f"{message(number)}{f',{topic(number)}' if labelled else ''}\n" for number in numbers)


async def cascade(bench: Bench, given: object, **more: Any) -> CallToolResult:
    """Sort messages by two models."""
    arguments = {"input": given, "questions": [QUESTION], "cascade": [SMALL, LARGE], **more}
    return await bench.client.call_tool("ollama_batch", arguments)


def asked(bench: Bench, model: str) -> list[str]:
    """The prompts that a model was given."""
    bodies = [json.loads(seen.body) for seen in bench.simulator.requests if seen.path == "/api/chat"]
    return [body["messages"][-1]["content"] for body in bodies if body["model"] == model]
