"""How hosts ask models, and how models answer: the streamed APIs of Anthropic, OpenAI (two) and Gemini."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

Json = dict[str, Any]


@dataclass(frozen=True)
class Use:
    """A model's decision to call a tool.

    Args:
        tool: Its name, as the server knows it (hosts put something before it), or that of a tool of the host.
        arguments: What it is called with.
    """

    tool: str
    arguments: Json = field(default_factory=dict[str, Any])


class Dialect(Protocol):
    """One API, in which a request holds the whole conversation."""

    def tools(self, request: Json) -> list[str]:
        """Names of the tools that are offered to the model."""
        ...

    def turns(self, request: Json) -> int:
        """How often the model has spoken."""
        ...

    def results(self, request: Json) -> list[str]:
        """What the model is given of each tool's result, oldest first; what is not text is JSON."""
        ...

    def answer(self, request: Json, say: str | Use) -> bytes:
        """The stream of an answer: words, or the call of a tool by the name that the request offers."""
        ...


class Anthropic:
    """Messages."""

    def tools(self, request: Json) -> list[str]:
        return [tool["name"] for tool in request.get("tools", [])]

    def turns(self, request: Json) -> int:
        return sum(message["role"] == "assistant" for message in request["messages"])

    def results(self, request: Json) -> list[str]:
        blocks = [
            block
            for message in request["messages"]
            if isinstance(message["content"], list)
            for block in message["content"]
        ]
        return [_text(block.get("content", "")) for block in blocks if block["type"] == "tool_result"]

    def answer(self, request: Json, say: str | Use) -> bytes:
        usage = {"input_tokens": 10, "output_tokens": 1}
        begun: Json = {
            "id": _id("msg"),
            "type": "message",
            "role": "assistant",
            "model": request["model"],
            "content": [],
        }
        block: Json
        if isinstance(say, str):
            stop, block = "end_turn", {"type": "text", "text": ""}
            delta = {"type": "text_delta", "text": say}
        else:
            stop = "tool_use"
            block = {"type": "tool_use", "id": _id("toolu"), "name": say.tool, "input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(say.arguments)}
        ended = {"stop_reason": stop, "stop_sequence": None}
        return _named_events([
            {"type": "message_start", "message": {**begun, "stop_reason": None, "stop_sequence": None, "usage": usage}},
            {"type": "content_block_start", "index": 0, "content_block": block},
            {"type": "content_block_delta", "index": 0, "delta": delta},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": ended, "usage": {"output_tokens": 10}},
            {"type": "message_stop"},
        ])  # fmt: skip


class Responses:
    """OpenAI's responses; a namespace of tools is a prefix, with a dot."""

    def tools(self, request: Json) -> list[str]:
        return list(self._tools(request))

    def _tools(self, request: Json) -> Iterator[str]:
        for tool in request.get("tools", []):
            if tool["type"] == "namespace":
                yield from (f"{tool['name']}.{inner['name']}" for inner in tool["tools"])
            elif "name" in tool:
                yield tool["name"]

    def turns(self, request: Json) -> int:
        return sum(item["type"] == "function_call" or item.get("role") == "assistant" for item in request["input"])

    def results(self, request: Json) -> list[str]:
        return [_text(item["output"]) for item in request["input"] if item["type"] == "function_call_output"]

    def answer(self, request: Json, say: str | Use) -> bytes:
        item: Json
        if isinstance(say, str):
            content: list[Json] = [{"type": "output_text", "text": say, "annotations": []}]
            item = {"type": "message", "id": _id("msg"), "role": "assistant", "content": content}
        else:
            space, _, name = say.tool.rpartition(".")
            item = {"type": "function_call", "id": _id("fc"), "call_id": _id("call"), "name": name}
            item |= {"arguments": json.dumps(say.arguments), **({"namespace": space} if space else {})}
        item["status"] = "completed"
        usage = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
        response = {"id": _id("resp"), "object": "response", "model": request["model"], "output": [item]}
        return _named_events([
            {"type": "response.created", "response": {**response, "status": "in_progress", "output": []}},
            {"type": "response.output_item.done", "output_index": 0, "item": item},
            {"type": "response.completed", "response": {**response, "status": "completed", "usage": usage}},
        ])  # fmt: skip


class Completions:
    """OpenAI's chat completions."""

    def tools(self, request: Json) -> list[str]:
        return [tool["function"]["name"] for tool in request.get("tools", [])]

    def turns(self, request: Json) -> int:
        return sum(message["role"] == "assistant" for message in request["messages"])

    def results(self, request: Json) -> list[str]:
        return [_text(message["content"]) for message in request["messages"] if message["role"] == "tool"]

    def answer(self, request: Json, say: str | Use) -> bytes:
        delta: Json = {"role": "assistant"}
        if isinstance(say, str):
            stop, delta["content"] = "stop", say
        else:
            function = {"name": say.tool, "arguments": json.dumps(say.arguments)}
            stop, delta["tool_calls"] = (
                "tool_calls",
                [{"index": 0, "id": _id("call"), "type": "function", "function": function}],
            )
        chunk = {"id": _id("chatcmpl"), "object": "chat.completion.chunk", "created": 1, "model": request["model"]}
        choices: list[Json] = [{"delta": delta, "finish_reason": None}, {"delta": {}, "finish_reason": stop}]
        return _events([{**chunk, "choices": [{"index": 0, **choice}]} for choice in choices]) + b"data: [DONE]\n\n"


class Gemini:
    """Gemini's generateContent."""

    def tools(self, request: Json) -> list[str]:
        return [each["name"] for tool in request.get("tools", []) for each in tool.get("functionDeclarations", [])]

    def turns(self, request: Json) -> int:
        return sum(content["role"] == "model" for content in request["contents"])

    def results(self, request: Json) -> list[str]:
        parts = [part for content in request["contents"] for part in content["parts"]]
        return [_text(part["functionResponse"]["response"]) for part in parts if "functionResponse" in part]

    def answer(self, request: Json, say: str | Use) -> bytes:
        part: Json = (
            {"text": say} if isinstance(say, str) else {"functionCall": {"name": say.tool, "args": say.arguments}}
        )
        usage = {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15}
        candidate = {"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0}
        return _events([{"candidates": [candidate], "usageMetadata": usage, "modelVersion": "scripted"}])


def dialect_of(path: str) -> Dialect | None:
    """The dialect of a request; None where it asks for no answer of a model."""
    if path.endswith("/messages"):
        return Anthropic()
    if path.endswith("/responses"):
        return Responses()
    if path.endswith("/chat/completions"):
        return Completions()
    return Gemini() if path.endswith(":streamGenerateContent") else None


def _text(content: Any) -> str:
    """The words of a content: a text, or blocks with a text each."""
    if isinstance(content, str):
        return content
    blocks = cast("list[Json]", content)
    if isinstance(content, list) and all("text" in block for block in blocks):
        return "\n".join(block["text"] for block in blocks)
    return json.dumps(content, ensure_ascii=False)


def _id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(10)}"


def _events(events: list[Json]) -> bytes:
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)


def _named_events(events: list[Json]) -> bytes:
    """Events whose name stands before them too."""
    return b"".join(f"event: {event['type']}\n".encode() + _events([event]) for event in events)
