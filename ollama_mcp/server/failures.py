"""Where an error becomes the result that an agent reads: kind, message, next step, with what the host can add."""

from __future__ import annotations

import difflib
import logging
import re
from typing import TYPE_CHECKING, cast

from mcp.types import CallToolResult, TextContent

from ollama_mcp.errors import ApiError, InternalError, ModelNotFound, OllamaMCPError, Unsupported
from ollama_mcp.formats.escaping import escape
from ollama_mcp.formats.model_names import parse_name, same_model
from ollama_mcp.server.results import META, Data
from ollama_mcp.work.chat.result import Answer

if TYPE_CHECKING:
    from collections.abc import Collection

    from ollama_mcp.api import ModelSummary
    from ollama_mcp.hosts import HostPool

log = logging.getLogger(__name__)

MAX_CHARS = 400
# With a next step that is long by itself, as a command by an absolute path is.
MIN_MESSAGE_CHARS = 200
_CAPABILITY_OF_OPERATION = {
    "chat": "completion",
    "generate": "completion",
    "embeddings": "embedding",
    "embed": "embedding",
}
# Only words that name a capability: others ("does not support this yet") are about something else.
_UNSUPPORTED = re.compile(
    r"does not support (chat|generate|embeddings?|embed|completion|tools|thinking|vision|insert|audio|decision)\b"
)
# Not the part of a path, such as the folder of a checkout.
_TOOL_NAME = re.compile(r"(?<![\w./\\-])ollama_[a-z_]+(?![\w/\\-])")


def failure_result(error: OllamaMCPError) -> CallToolResult:
    """The error result: a text that is complete by itself, the unchanged partial answer, and the kind in `_meta`."""
    content = [TextContent(type="text", text=failure_text(error))]
    if error.partial:
        content.append(TextContent(type="text", text=error.partial))
    meta = {f"{META}/error": {"kind": error.kind, "complete": False}}
    return CallToolResult(content=list(content), is_error=True, _meta=meta)


def failure_text(error: OllamaMCPError) -> str:
    """`[kind] What failed and why. What to do next.`, in about 400 characters.

    The next step is kept whole, since half a command is none. The message is cut in its middle: its end has the reason.
    """
    # Both may name what a host or a file said.
    head, tail = (escape(text, 2 * MAX_CHARS) for text in (f"[{error.kind}] {error.message}", error.next_step))
    room = MAX_CHARS - len(tail) - 1 if tail else MAX_CHARS
    return f"{_cut_middle(head, max(room, MIN_MESSAGE_CHARS))} {tail}".strip()


def _cut_middle(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    end = limit // 2
    return f"{text[: limit - end - 1]}…{text[-end:]}"


def internal_error(error: Exception, tool: str) -> OllamaMCPError:
    """A fault of this server as an error without details. The log has the traceback."""
    log.error("%s failed unexpectedly", tool, exc_info=error)
    return InternalError(
        f"{tool} failed inside this server ({type(error).__name__}).",
        next_step="Try once more; if it fails again, report it with the server's stderr log.",
    )


async def with_suggestions(
    error: OllamaMCPError, hosts: HostPool, tools: Collection[str], hidden: Collection[str]
) -> OllamaMCPError:
    """The error with a next step from what is installed: the closest names, or models with the capability.

    Args:
        error: The error; its next step is replaced.
        hosts: The Ollama hosts.
        tools: Names of the offered tools.
        hidden: Names of the tools that the settings leave out; no sentence that names one is kept.
    """
    # A pull fails because the registry has no such model: what is installed is no help there.
    if isinstance(error, ModelNotFound) and error.model and "pull" not in error.endpoint:
        hosts.invalidate_missing(error.model)
        error.next_step = _not_found_remedy(error.model, await hosts.installed(), tools)
    elif isinstance(error, Unsupported):
        match = _UNSUPPORTED.search(error.detail)
        if match is not None:
            others = [one for one in await hosts.installed() if not same_model(one.name, error.model or "")]
            error.next_step = _capable_models_remedy(_CAPABILITY_OF_OPERATION.get(match[1], match[1]), others)
    elif isinstance(error, ApiError) and not error.next_step and "ollama_status" in tools:
        error.next_step = "ollama_status shows the state of the host."
    error.next_step = without_tools(error.next_step, hidden)
    return error


def _not_found_remedy(model: str, installed: list[ModelSummary], tools: Collection[str]) -> str:
    close = closest_names(model, [summary.name for summary in installed])
    parts = [f"Closest: {', '.join(repr(name) for name in close)}."] if close else []
    if not installed:
        parts.append("No model is installed.")
    elif "ollama_list_models" in tools:
        parts.append("Call ollama_list_models to see all.")
    if "ollama_pull_model" in tools:
        parts.append(f"ollama_pull_model(model={model!r}) downloads it, if the user agrees.")
    return " ".join(parts)


def closest_names(name: str, known: list[str], most: int = 3) -> list[str]:
    """The known names that are nearest to a misspelt one, at most `most`."""
    try:
        wanted = parse_name(name)
    except OllamaMCPError:
        return []
    stem = wanted.model.lower()
    by_stem = [other for other in known if other.lower().partition(":")[0].rpartition("/")[2] == stem]
    # Almost every name has the default tag, which would make any two of them similar.
    bare = {other.lower().removesuffix(":latest"): other for other in reversed(known)}
    near = difflib.get_close_matches(wanted.short.lower().removesuffix(":latest"), list(bare), n=most, cutoff=0.5)
    stems = {other.lower().partition(":")[0]: other for other in reversed(known)}
    near_stems = [stems[found] for found in difflib.get_close_matches(stem, list(stems), n=most, cutoff=0.6)]
    return list(dict.fromkeys([*by_stem, *(bare[found] for found in near), *near_stems]))[:most]


def _capable_models_remedy(capability: str, others: list[ModelSummary]) -> str:
    """The next step after a model was refused; it is none of the `others`."""
    able = [summary.name for summary in others if capability in (summary.capabilities or [])]
    if able:
        return f"Installed with {capability!r}: {', '.join(able[:5])}."
    if all(summary.capabilities for summary in others):
        return f"No other installed model has {capability!r}: ollama_pull_model downloads one, if the user agrees."
    return f"ollama_list_models(capability={capability!r}) lists installed models that have it."


def without_tools(text: str, hidden: Collection[str]) -> str:
    """Drop sentences that name a tool which is not offered: an agent would try to call it."""
    if not any(name in hidden for name in _TOOL_NAME.findall(text)):
        return text
    parts = re.split(r"(?<=[.;]) ", text)
    return " ".join(part for part in parts if not any(name in hidden for name in _TOOL_NAME.findall(part)))


def clean_notes(result: object, hidden: Collection[str]) -> None:
    """Take advice to call tools that are not offered out of a result's notes."""
    for name in ("note", "notes"):
        said: object = getattr(result, name, None) if isinstance(result, Answer | Data) else None
        if isinstance(said, str):
            setattr(result, name, without_tools(said, hidden) or None)
        elif isinstance(said, list):
            kept = [text for note in cast("list[str]", said) if (text := without_tools(note, hidden))]
            # Where none is left, the field is what it is without notes.
            is_absent = not kept and isinstance(result, Data) and type(result).model_fields[name].default is None
            setattr(result, name, None if is_absent else kept)
