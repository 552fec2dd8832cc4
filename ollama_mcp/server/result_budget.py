"""One budget for a whole result, in bytes of its JSON, over the text blocks and structuredContent together.

Hosts cut what is long, each in its own way: some keep the beginning, some drop the later blocks. So in a long result
what is small (notes, receipts, a job's id) stands before what is large, and what does not fit is left out here, where
the agent can be told how to get it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from mcp.types import CallToolResult, ContentBlock, TextContent

from ollama_mcp.server.results import META

# A result up to this size passes every known host whole: its blocks stay in their usual order.
SHORT_BYTES = 7_500
# Kept free for the braces around the parts, and for the note about what was cut, once in each channel.
_FRAME_BYTES = 200
_NOTE_BYTES = 200
_LEAST_BYTES = 200
# Of these a part would be wrong: a call with half of its arguments, a context of another conversation.
_WHOLE_ONLY = ("tool_calls", "context")
# Vectors are asked for by programs, which need all of them.
_UNLIMITED = ("vectors", "embedding")
_DEEPEST = 50
_USAGE = frozenset((f"{META}/usage",))


def fit_result(result: CallToolResult, limit: int | None, keep: Callable[[], str]) -> CallToolResult:
    """A result within a budget; the essential before the bulky where it is long.

    Args:
        result: The whole result; it is not changed.
        limit: Most bytes of JSON; None where the client has no limit.
        keep: Keeps the whole result and returns the id under which ollama_job gives it, or "" where it cannot.
    """
    if limit is None or _is_surely_short(result, limit):
        return result
    blocks = [block.text for block in result.content if isinstance(block, TextContent)]
    whole = cast("dict[str, Any]", result.structured_content or {})
    structured = {key: item for key, item in whole.items() if key not in _UNLIMITED}
    room = limit - _FRAME_BYTES - json_bytes(result.meta, limit)
    size = json_bytes([blocks, structured], limit)
    if size > room:
        room = max(room - _NOTE_BYTES * (2 if structured else 1), _LEAST_BYTES)
        blocks, structured = _cut(blocks, structured, room, _Cut(limit, keep()))
    elif size <= SHORT_BYTES:
        return result if len(result.content) < 2 else _with_parts(result, blocks, structured)
    # The text of an error stands first in any case.
    lead = 1 if result.is_error else 0
    blocks = [*blocks[:lead], *sorted(blocks[lead:], key=len)]
    return _with_parts(result, blocks, _small_first(structured))


def _is_surely_short(result: CallToolResult, limit: int) -> bool:
    """Whether a result is one short text, as most are: a character takes at most six bytes of JSON, its usage 200."""
    if result.structured_content is not None or len(result.content) != 1:
        return False
    (block,) = result.content
    most = min(SHORT_BYTES, limit - 2 * _FRAME_BYTES)
    return isinstance(block, TextContent) and 6 * len(block.text) < most and _USAGE.issuperset(result.meta or ())


def text_piece(result: CallToolResult, job_id: str, offset: int, limit: int | None) -> CallToolResult | None:
    """A part of a kept result's text, from `offset` on; None where it ends before that.

    After the text comes what structuredContent held, as JSON: hosts show either, and it may have more.
    """
    text, structured = _texts(result), result.structured_content
    # No piece has words of both: where the text ends, an agent has usually read enough.
    start = 0
    if offset >= len(text) and structured is not None:
        start, text, structured = len(text) + 1, json.dumps(structured, ensure_ascii=False, default=str), None
    piece = text[max(offset - start, 0) :]
    if not piece:
        return None
    if limit is not None:
        piece = cut_text(piece, max(limit - _FRAME_BYTES - _NOTE_BYTES, _LEAST_BYTES))
    stop = max(offset, start) + len(piece)
    end = start + len(text)
    note = f"Characters {offset:,} to {stop:,} of {end:,}."
    if stop < end or structured is not None:
        gives = "goes on" if stop < end else "gives the same as JSON"
        note += f" ollama_job(action='result', id='{job_id}', offset={stop}) {gives}."
    return CallToolResult(content=[TextContent(type="text", text=part) for part in (f"{note}\n", piece)])


def json_bytes(value: object, most: int) -> int:
    """The bytes of a value's JSON; counting ends soon after `most`, however large the value is."""
    total = 0
    waiting: list[object] = [value]
    while waiting and total <= most:
        found: Any = waiting.pop()
        match found:
            case str():
                # Every character takes at least a byte.
                total += len(json.dumps(found[: most + 1], ensure_ascii=False).encode("utf-8", "surrogatepass")) + 1
            case dict():
                members = cast("dict[str, object]", found)
                total += 2 + len(members)
                waiting += [*members.keys(), *members.values()]
            case list():
                total += 2
                waiting += cast("list[object]", found)
            case _:
                total += len(json.dumps(found, default=str)) + 1
    return total


def rough_bytes(result: CallToolResult) -> int:
    """The rough size of a result. Of a list of numbers only the length counts: vectors have thousands."""
    return _rough_bytes([block.text for block in result.content if isinstance(block, TextContent)]) + _rough_bytes(
        result.structured_content
    )


def _rough_bytes(value: object) -> int:
    match value:
        case str():
            return len(value)
        case dict():
            return sum(_rough_bytes(item) for item in cast("dict[str, object]", value).values())
        case list():
            items = cast("list[object]", value)
            return 8 * len(items) if items and isinstance(items[0], float) else sum(map(_rough_bytes, items))
        case _:
            return 8


def fit_json_text(value: dict[str, Any], most: int, note: str) -> str:
    """An object as JSON text within `most` bytes of JSON, in which its quotes are escaped; `note` says that it is cut.

    A text of a resource is a string in the JSON of the response.
    """
    text = json.dumps(value, ensure_ascii=False)
    if json_bytes(text, most) <= most:
        return text
    room, size = most, most
    while size >= most:
        room = room * most // size - 1
        text = json.dumps({"cut": note, **fit_value(value, max(room - len(note), 2))}, ensure_ascii=False)
        size = json_bytes(text, 4 * most)
    return text


def cut_text(text: str, most: int) -> str:
    """The longest beginning of a text that takes at most `most` bytes of JSON."""
    if json_bytes(text, most) <= most:
        return text
    low, high = 0, min(len(text), max(most, 0))
    while low < high:
        middle = (low + high + 1) // 2
        if json_bytes(text[:middle], most) <= most:
            low = middle
        else:
            high = middle - 1
    return text[:low]


def fit_value(value: Any, most: int, depth: int = 0) -> Any:
    """A JSON value of the same shape within `most` bytes: long texts and lists end early, large members share."""
    if json_bytes(value, most) <= most:
        return value
    match value:
        case str():
            return cut_text(value, most)
        case list():
            return _fit_list(cast("list[Any]", value), most - 2, depth)
        case dict() if depth < _DEEPEST:
            members: dict[str, Any] = {}
            room = most - 2
            for name, member in cast("dict[str, Any]", value).items():
                if (room := room - json_bytes(name, most) - 1) < 0:
                    break
                members[name] = member
            shares = _shares_of(list(members.values()), room)
            return {
                name: fit_value(member, share, depth + 1)
                for (name, member), share in zip(members.items(), shares, strict=True)
            }
        case dict():
            return {}
        case _:
            return value


def _fit_list(items: list[Any], room: int, depth: int) -> list[Any]:
    """The first items, whole; of a single one that is too large, a part."""
    kept: list[Any] = []
    for item in items:
        if (size := json_bytes(item, room)) > room:
            break
        kept.append(item)
        room -= size
    return kept or ([fit_value(items[0], room, depth + 1)] if depth < _DEEPEST else [])


@dataclass(frozen=True, slots=True)
class _Cut:
    """Why a result is cut, and the id of the job that has all of it, or ""."""

    limit: int
    job_id: str

    def note(self, what: str, offset: int) -> str:
        """What was cut, and how to get it."""
        if self.job_id:
            return f"{what} ollama_job(action='result', id='{self.job_id}', offset={offset}) returns the rest."
        return f"{what} Ask for a shorter answer, or raise limits.answer_chars ({self.limit:,} bytes here)."


def _cut(blocks: list[str], structured: dict[str, Any], room: int, cut: _Cut) -> tuple[list[str], dict[str, Any]]:
    """Each part as large as its share of the room, and a note about it in each channel that is not whole."""
    for_blocks, for_structured = _shares_of([blocks, structured], room)
    kept = [cut_text(text, share) for text, share in zip(blocks, _shares_of(blocks, for_blocks), strict=True)]
    is_whole = json_bytes(structured, for_structured) <= for_structured
    words = structured.get("text", blocks[0])
    is_answer = "model" in structured and ("text" in structured or "value" in structured)
    if not is_whole:
        structured = _fit_structured(structured, for_structured, words)
        if is_answer and "text" in structured and len(structured["text"]) < len(words):
            # One place to go on from, whichever channel a host shows.
            kept[0] = structured["text"] = min(kept[0], structured["text"], key=len)
    all_text = sum(len(text) + 1 for text in blocks)
    note = cut.note("Cut: structuredContent is incomplete, this text is complete.", all_text)
    in_structured = cut.note("Cut: this is incomplete.", all_text)
    if (offset := _first_cut(blocks, kept, precise=not structured)) is not None:
        note = cut.note(f"Cut at {offset:,} of {all_text - 1:,} characters.", offset)
        in_structured = note if is_answer else in_structured
    if not is_whole:
        in_notes = is_answer or isinstance(structured.get("notes"), list)
        more = {"notes": [in_structured, *structured.get("notes", [])]} if in_notes else {"cut": in_structured}
        structured = structured | more
    return [*kept[:1], note, *filter(None, kept[1:])], structured


def _first_cut(blocks: list[str], kept: list[str], *, precise: bool) -> int | None:
    """Where in the whole text the first cut is, or the block begins that is cut in another way elsewhere."""
    start = 0
    for number, (text, part) in enumerate(zip(blocks, kept, strict=True)):
        if len(part) < len(text):
            return start + (len(part) if precise or number == 0 else 0)
        start += len(text) + 1
    return None


def _fit_structured(structured: dict[str, Any], most: int, words: str) -> dict[str, Any]:
    """structuredContent within `most` bytes. A value that does not fit becomes its text, which shows that it is cut."""
    fitted = cast("dict[str, Any]", fit_value(structured, most))
    if "value" in structured and json_bytes(structured["value"], most) > json_bytes(fitted.get("value"), most):
        structured = {"text": words} | {key: item for key, item in structured.items() if key != "value"}
        fitted = cast("dict[str, Any]", fit_value(structured, most))
    return {key: item for key, item in fitted.items() if key not in _WHOLE_ONLY or item == structured[key]}


def _shares_of(values: Sequence[object], room: int) -> list[int]:
    return _shares([json_bytes(value, max(room, 0)) for value in values], room)


def _shares(sizes: list[int], room: int) -> list[int]:
    """How the room is divided: what is small gets all that it needs, what is large shares the rest evenly."""
    shares = [0] * len(sizes)
    for done, number in enumerate(sorted(range(len(sizes)), key=sizes.__getitem__)):
        shares[number] = max(min(sizes[number], room // (len(sizes) - done)), 0)
        room -= shares[number]
    return shares


def _small_first(structured: dict[str, Any]) -> dict[str, Any]:
    return dict(sorted(structured.items(), key=lambda item: json_bytes(item[1], SHORT_BYTES)))


def _texts(result: CallToolResult) -> str:
    return "\n".join(block.text for block in result.content if isinstance(block, TextContent))


def _with_parts(result: CallToolResult, texts: list[str], structured: dict[str, Any]) -> CallToolResult:
    """The result with these texts, each but the last ended by a newline: some hosts join them with nothing between."""
    ended = [text if text.endswith("\n") else f"{text}\n" for text in texts[:-1]] + texts[-1:]
    content: list[ContentBlock] = [TextContent(type="text", text=text) for text in ended]
    content += [block for block in result.content if not isinstance(block, TextContent)]
    changed: dict[str, Any] = {"content": content}
    if result.structured_content is not None:
        unlimited = {key: item for key, item in result.structured_content.items() if key in _UNLIMITED}
        changed["structured_content"] = structured | unlimited
    return result.model_copy(update=changed)
