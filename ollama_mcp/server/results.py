"""The results of tools on the wire.

Some hosts show the model the text blocks, most show structuredContent instead, and on errors only the text; so each is
complete alone, and a plain answer has no structuredContent at all. They are whole here; `result_budget` cuts them.
"""

from __future__ import annotations

from typing import Any, cast

from mcp.types import CallToolResult, TextContent
from pydantic import BaseModel, ConfigDict

from ollama_mcp.formats.escaping import MAX_NOTE_LENGTH, escape, make_printable
from ollama_mcp.formats.json_text import json_line, replace_surrogates
from ollama_mcp.work.chat.result import MISSING, Answer

META = "ollama-mcp-server"
# Also part of the text, for hosts that show the model nothing else.
_EXTRAS = ("thinking", "stats", "logprobs", "context")


class Data(BaseModel):
    """Base of the results of data tools: fields become structuredContent, `as_text` the text block."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    def as_text(self) -> str:
        """The same in words: a compact table or lines."""
        raise NotImplementedError


def tool_result(returned: object) -> CallToolResult:
    """The wire form of what a tool's function returned."""
    match returned:
        case Answer():
            return _answer_result(returned)
        case Data():
            return _data_result(returned)
        case CallToolResult():
            return returned
        case _:
            return _answer_result(Answer(text=str(returned), model=""))


def _answer_result(answer: Answer) -> CallToolResult:
    """The wire form of an answer."""
    # A note may name what a host or a file said; its line is ours.
    notes = [escape(note, MAX_NOTE_LENGTH) for note in answer.notes]
    lines = [answer.text] if answer.text or not answer.tool_calls else []
    lines += [f"call {escape(call['name'])} {json_line(call['arguments'])}" for call in answer.tool_calls]
    structured = _structured(answer, notes) if answer.is_structured else None
    blocks = ["\n".join(lines)]
    if notes:
        blocks.append("\n".join(notes))
    extra = {key: structured[key] for key in _EXTRAS if key in structured} if structured else {}
    if extra:
        blocks.append(json_line(extra))
    meta = {f"{META}/usage": answer.usage} if answer.usage else None
    content = [TextContent(type="text", text=block) for block in blocks]
    return CallToolResult(content=list(content), structured_content=structured, _meta=meta)


def _data_result(data: Data) -> CallToolResult:
    """The wire form of a data tool's result."""
    content = [TextContent(type="text", text=make_printable(data.as_text()))]
    try:
        structured = data.model_dump(mode="json", exclude_none=True)
    except UnicodeEncodeError:
        # The name of a file may hold bytes that are no text.
        structured = data.model_dump(exclude_none=True)
    return CallToolResult(content=list(content), structured_content=_printable(structured))


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
    lists = {"notes": notes, "sources": replace_surrogates(answer.sources)}
    return head | parts | {name: items for name, items in lists.items() if items} | {"model": answer.model}


def _printable(value: Any) -> Any:
    """A JSON value without hidden characters: some hosts show it to the model in place of the text."""
    if isinstance(value, str):
        return make_printable(value)
    if isinstance(value, dict):
        return {_printable(name): _printable(item) for name, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        # Vectors are long, and numbers are most of them.
        items = cast("list[Any]", value)
        return [item if isinstance(item, float) else _printable(item) for item in items]
    return value
