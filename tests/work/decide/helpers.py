"""What tests of decisions share: questions, scripted letters, what was asked."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from mcp import Client
from mcp.types import CallToolResult
from PIL import Image

from ollama_mcp.simulator import Answer, Simulator

MODEL = "llama3.2:3b"
VISION_MODEL = "gemma3:4b"
TOPIC = {
    "name": "topic",
    "type": "choice",
    "question": "Which team should read this?",
    "labels": ["billing: invoice, payment, refund", "support: crash, error, bug"],
}
URGENT = {"name": "urgent", "type": "yes_no", "question": "Is it urgent?"}
ANGER = {"name": "anger", "type": "score", "question": "How angry?", "levels": ["calm", "annoyed", "furious"]}
REFUND = "The customer wants a refund of the last invoice."
# One request after the other, so that scripted answers meet their questions.
SEQUENTIAL = {"parallel": 1}


def letter(**chances: float) -> Answer:
    """An answer that is a letter, with the probabilities of the letters."""
    return Answer(text=[max(chances, key=lambda one: chances[one])], chances=[chances])


def image(colour: str = "red") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(buffer, "PNG")
    return buffer.getvalue()


def folders(folder: Path) -> dict[str, list[str]]:
    return {"text_folders": [str(folder)], "image_folders": [str(folder)]}


async def decide(client: Client, questions: Any, **more: Any) -> CallToolResult:
    return await client.call_tool("ollama_decide", {"questions": questions, "model": MODEL, **more})


def chats(simulator: Simulator) -> list[dict[str, Any]]:
    return [seen.json for seen in simulator.requests if seen.path == "/api/chat"]


def asked(simulator: Simulator) -> list[dict[str, Any]]:
    return [seen.json for seen in simulator.requests if seen.path == "/v1/systemone"]
