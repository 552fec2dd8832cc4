"""The results of tools on the wire.

Some hosts show the model the text blocks, most show structuredContent instead, and on errors only the text; so each is
complete alone, and a plain answer has no structuredContent at all. They are whole here; `result_budget` cuts them.
"""

from __future__ import annotations

import json
from typing import Any

from mcp.types import CallToolResult, TextContent
from pydantic import BaseModel, ConfigDict

from ollama_mcp.work.chat.result import MISSING, Answer

META = "ollama-mcp-server"
# What stands in the text too, for hosts that show the model nothing else.
_EXTRAS = ("thinking", "stats", "logprobs", "context")


class Data(BaseModel):
    """Base of the results of data tools: fields become structuredContent, `as_text` the text block."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    def as_text(self) -> str:
        """The same in words: a compact table or lines."""
        raise NotImplementedError


def answer_result(answer: Answer) -> CallToolResult:
    """The wire form of an answer."""
    notes = list(answer.notes)
    lines = [answer.text] if answer.text or not answer.tool_calls else []
    lines += [f"call {call['name']} {json.dumps(call['arguments'], ensure_ascii=False)}" for call in answer.tool_calls]
    structured = _structured(answer, notes) if answer.is_structured else None
    blocks = ["\n".join(lines)]
    if notes:
        blocks.append("\n".join(notes))
    extra = {key: structured[key] for key in _EXTRAS if key in structured} if structured else {}
    if extra:
        blocks.append(json.dumps(extra, ensure_ascii=False))
    meta = {f"{META}/usage": answer.usage} if answer.usage else None
    content = [TextContent(type="text", text=block) for block in blocks]
    return CallToolResult(content=list(content), structured_content=structured, _meta=meta)


def data_result(data: Data) -> CallToolResult:
    """The wire form of a data tool's result."""
    content = [TextContent(type="text", text=data.as_text())]
    return CallToolResult(content=list(content), structured_content=data.model_dump(mode="json", exclude_none=True))


def _structured(answer: Answer, notes: list[str]) -> dict[str, Any]:
    """The whole answer as one object."""
    parts = {
        "tool_calls": answer.tool_calls or None,
        "thinking": answer.thinking,
        "logprobs": answer.logprobs,
        "stats": answer.stats,
        "context": answer.context,
    }
    parts = {name: value for name, value in parts.items() if value is not None}
    head = {"text": answer.text} if answer.value is MISSING else {"value": answer.value}
    lists = {"notes": notes, "sources": answer.sources}
    return head | parts | {name: items for name, items in lists.items() if items} | {"model": answer.model}
