"""The results of tools on the wire.

Some hosts show the model the text blocks, most show structuredContent instead, and on errors only the text; so each is
complete alone, and a plain answer has no structuredContent at all.
"""

from __future__ import annotations

from typing import Any, ClassVar, cast

from mcp.types import CallToolResult, TextContent
from pydantic import BaseModel, ConfigDict

from ollama_mcp.formats.escaping import MAX_NOTE_LENGTH, escape, make_printable
from ollama_mcp.formats.json_text import json_line, replace_surrogates
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
    # A note may name what a host or a file said; its line is ours.
    notes = [escape(note, MAX_NOTE_LENGTH) for note in answer.notes]
    text = answer.text if len(answer.text) <= limit else _cut(answer.text, limit, notes)
    lines = [text] if text or not answer.tool_calls else []
    lines += [f"call {escape(call['name'])} {json_line(call['arguments'])}" for call in answer.tool_calls]
    structured = _structured(answer, text, notes, limit) if answer.is_structured else None
    blocks = ["\n".join(lines)]
    if notes:
        blocks.append("\n".join(notes))
    extra = {key: structured[key] for key in _EXTRAS if key in structured} if structured else {}
    if extra:
        blocks.append(json_line(extra))
    meta = {f"{META}/usage": answer.usage} if answer.usage else None
    content = [TextContent(type="text", text=block) for block in blocks]
    return CallToolResult(content=list(content), structured_content=structured, _meta=meta)


def data_result(data: Data, limit: int) -> CallToolResult:
    """The wire form of a data tool's result."""
    notes: list[str] = []
    content = [TextContent(type="text", text=_cut(make_printable(data.as_text()), limit, notes))]
    content += [TextContent(type="text", text=note) for note in notes]
    try:
        structured = data.model_dump(mode="json", exclude_none=True)
    except UnicodeEncodeError:
        # The name of a file may hold bytes that are no text.
        structured = data.model_dump(exclude_none=True)
    return CallToolResult(content=list(content), structured_content=_printable(structured))


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


def _cut(text: str, limit: int, notes: list[str]) -> str:
    if len(text) <= limit:
        return text
    notes.append(
        f"Cut at {limit:,} of {len(text):,} characters. The rest needs a shorter answer (ask for one, or set "
        "options.num_predict) or a higher limits.answer_chars in the server's settings."
    )
    return text[:limit]
