"""A request on its way to a model, and the shape of the objects that answer it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ollama_mcp.simulator.encoding import Object, timestamp
from ollama_mcp.simulator.mind import Ask


@dataclass
class Turn:
    """A request on its way to a model: what is asked, and how the answer is to look."""

    kind: Literal["generate", "chat"]
    named: str
    ask: Ask
    stream: bool
    keep_alive: float | None
    logprobs: bool
    top_logprobs: int
    shift: bool = True
    context: bool = False
    carried: Sequence[int] = ()

    def body(self, content: str, thinking: str = "", calls: Sequence[Object] = ()) -> Object:
        """The fields that hold the text."""
        if self.kind == "generate":
            fields: Object = {"response": content}
            if thinking:
                fields["thinking"] = thinking
            return fields
        message: Object = {"role": "assistant", "content": content}
        if thinking:
            message["thinking"] = thinking
        if calls:
            message["tool_calls"] = list(calls)
        return {"message": message}

    def line(self, body: Object, **fields: Any) -> Object:
        """A line of a stream, or the whole answer."""
        return {"model": self.named, "created_at": timestamp(), **body, "done": False, **fields}
