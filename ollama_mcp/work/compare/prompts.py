"""Prompts of a comparison, read from a file: lines of .txt, rows of .jsonl, or a list in .json."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, cast

from ollama_mcp.access.quoting import quoted
from ollama_mcp.errors import InvalidArgument

if TYPE_CHECKING:
    from ollama_mcp.work.call_context import CallContext
    from ollama_mcp.work.files import Document

MAX_PROMPTS = 50
_SUFFIXES = (".txt", ".jsonl", ".json")
_EXPECTED = "Give texts, or objects with a text as 'prompt'."


async def read_prompts(call: CallContext, path: str) -> list[str]:
    """Read the prompts of a file, in its order.

    Args:
        call: The context of the call.
        path: A .txt file with a prompt on each line, a .jsonl file with a text or an object with `prompt` on each line,
            or a .json file with a list of those. Empty lines are skipped.

    Raises:
        InvalidArgument: It is not such a file, or holds no prompt or more than `MAX_PROMPTS`.
        OllamaMCPError: It cannot be read.
    """
    from ollama_mcp.work.files import read_files

    documents = (await read_files(call.access, [path], call.settings)).documents
    if len(documents) != 1 or os.path.splitext(documents[0].path)[1].lower() not in _SUFFIXES:
        raise InvalidArgument(
            f"prompts_file is {quoted(path)}, but must be one file that ends in .txt, .jsonl or .json.",
            next_step="Give the path of such a file.",
        )
    prompts = _parse(documents[0])
    if not prompts:
        raise InvalidArgument(f"{quoted(path)} holds no prompt.", next_step="Write one on each line.")
    if len(prompts) > MAX_PROMPTS:
        raise InvalidArgument(
            f"{quoted(path)} holds {len(prompts):,} prompts; ollama_compare takes {MAX_PROMPTS}.",
            next_step="Give some of its lines (path.txt:1-50); ollama_batch takes any number with one model.",
        )
    return prompts


def _parse(document: Document) -> list[str]:
    suffix = os.path.splitext(document.path)[1].lower()
    if suffix == ".json":
        items = _load_json(document.text, quoted(document.path))
        if not isinstance(items, list):
            raise InvalidArgument(f"{quoted(document.path)} does not hold a list.", next_step=_EXPECTED)
        labelled = [(f"Item {number}", item) for number, item in enumerate(cast("list[Any]", items), start=1)]
    else:
        # Not `splitlines`, which also splits at U+2028 and others that may be part of a prompt.
        lines = enumerate(document.text.split("\n"), start=document.first_line)
        numbered = [(f"Line {number}", line) for number, line in lines if line.strip()]
        if suffix == ".txt":
            return [line.strip() for _, line in numbered]
        labelled = [(place, _load_json(line, f"{place} of {quoted(document.path)}")) for place, line in numbered]
    return [_prompt(item, f"{place} of {quoted(document.path)}") for place, item in labelled]


def _load_json(text: str, place: str) -> Any:
    # Errors name the place and quote nothing: the agent has not read the file.
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidArgument(f"{place} is not valid JSON.", next_step="Correct the file.") from None


def _prompt(item: Any, place: str) -> str:
    text = cast("dict[str, Any]", item).get("prompt") if isinstance(item, dict) else item
    if not isinstance(text, str) or not text.strip():
        raise InvalidArgument(f"{place} is not a prompt.", next_step=_EXPECTED)
    return text
