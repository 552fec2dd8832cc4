"""The results of tools on the wire.

Some hosts show the model the text blocks, most show structuredContent instead, and on errors only the text; so each is
complete alone, and a plain answer has no structuredContent at all.
"""

from __future__ import annotations

import json
from typing import Any, ClassVar

from mcp.types import CallToolResult, TextContent
from pydantic import BaseModel, ConfigDict

from ollama_mcp.work.chat.result import MISSING, Answer

META = "ollama-mcp-server"
# What stands in the text too, for hosts that show the model nothing else.
_EXTRAS = ("thinking", "stats", "logprobs", "context")


class Data(BaseModel):
    """Base of the results of data tools: fields become structuredContent, `as_text` the text block."""

    model_config = ConfigDict(extra="forbid", defer_build=True)
    text_is_cut: ClassVar[bool] = True

    def as_text(self) -> str:
        """The same in words: a compact table or lines."""
        raise NotImplementedError


def answer_result(answer: Answer, limit: int) -> CallToolResult:
    """The wire form of an answer; text over `limit` characters is cut, and a note says so."""
    notes = list(answer.notes)
    text = answer.text if len(answer.text) <= limit else _cut(answer.text, limit, notes)
    lines = [text] if text or not answer.tool_calls else []
    lines += [f"call {call['name']} {json.dumps(call['arguments'], ensure_ascii=False)}" for call in answer.tool_calls]
    structured = _structured(answer, text, notes, limit) if answer.is_structured else None
    blocks = ["\n".join(lines)]
    if notes:
        blocks.append("\n".join(notes))
    extra = {key: structured[key] for key in _EXTRAS if key in structured} if structured else {}
    if extra:
        blocks.append(json.dumps(extra, ensure_ascii=False))
    meta = {f"{META}/usage": answer.usage} if answer.usage else None
    content = [TextContent(type="text", text=block) for block in blocks]
    return CallToolResult(content=list(content), structured_content=structured, _meta=meta)


def data_result(data: Data, limit: int) -> CallToolResult:
    """The wire form of a data tool's result."""
    notes: list[str] = []
    content = [TextContent(type="text", text=_cut(data.as_text(), limit, notes))]
    content += [TextContent(type="text", text=note) for note in notes]
    return CallToolResult(content=list(content), structured_content=data.model_dump(mode="json", exclude_none=True))


def _structured(answer: Answer, text: str, notes: list[str], limit: int) -> dict[str, Any]:
    """The whole answer as one object."""
    parts = {
        "tool_calls": answer.tool_calls or None,
        "thinking": None if answer.thinking is None else _cut(answer.thinking, limit, notes),
        "logprobs": answer.logprobs,
        "stats": answer.stats,
        "context": answer.context,
    }
    parts = {name: value for name, value in parts.items() if value is not None}
    head = {"text": text} if answer.value is MISSING else {"value": answer.value}
    lists = {"notes": notes, "sources": answer.sources}
    return head | parts | {name: items for name, items in lists.items() if items} | {"model": answer.model}


def _cut(text: str, limit: int, notes: list[str]) -> str:
    if len(text) <= limit:
        return text
    notes.append(
        f"Cut at {limit:,} of {len(text):,} characters. The rest needs a shorter answer (ask for one, or set "
        "options.num_predict) or a higher limits.answer_chars in the server's settings."
    )
    return text[:limit]
