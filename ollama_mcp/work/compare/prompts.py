"""The prompts of a comparison, read from a file: lines of .txt, rows of .jsonl, or a list in .json."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, cast

from ollama_mcp.access.wording import quoted
from ollama_mcp.errors import InvalidArgument

if TYPE_CHECKING:
    from ollama_mcp.work.context import CallContext
    from ollama_mcp.work.files import Document

MOST_PROMPTS = 50
_SUFFIXES = (".txt", ".jsonl", ".json")
_FORM = "Give texts, or objects with a text as 'prompt'."


async def read_prompts(call: CallContext, path: str) -> list[str]:
    """Read the prompts of a file, in its order.

    Args:
        call: The context of the call.
        path: A .txt file with a prompt on each line, a .jsonl file with a text or an object with `prompt` on each line,
            or a .json file with a list of those. Empty lines are passed over.

    Raises:
        InvalidArgument: It is no such file, holds no prompt, or more than `MOST_PROMPTS`.
        OllamaMCPError: It cannot be read.
    """
    from ollama_mcp.work.files import read_files

    documents = (await read_files(call.access, [path], call.settings)).documents
    if len(documents) != 1 or os.path.splitext(documents[0].path)[1].lower() not in _SUFFIXES:
        raise InvalidArgument(
            f"prompts_file is {quoted(path)}, but takes one file that ends in .txt, .jsonl or .json.",
            next_step="Give the path of such a file.",
        )
    prompts = _prompts(documents[0])
    if not prompts:
        raise InvalidArgument(f"{quoted(path)} holds no prompt.", next_step="Write one on each line.")
    if len(prompts) > MOST_PROMPTS:
        raise InvalidArgument(
            f"{quoted(path)} holds {len(prompts):,} prompts; ollama_compare takes {MOST_PROMPTS}.",
            next_step="Give some of its lines (path.txt:1-50); ollama_batch takes any number with one model.",
        )
    return prompts


def _prompts(document: Document) -> list[str]:
    suffix = os.path.splitext(document.path)[1].lower()
    if suffix == ".json":
        found = _parsed(document.text, f"{quoted(document.path)} is")
        if not isinstance(found, list):
            raise InvalidArgument(f"{quoted(document.path)} holds no list.", next_step=_FORM)
        items = [(f"Item {place}", item) for place, item in enumerate(cast("list[Any]", found), start=1)]
    else:
        lines = enumerate(document.text.split("\n"), start=document.first_line)
        written = [(f"Line {number}", line) for number, line in lines if line.strip()]
        if suffix == ".txt":
            return [line.strip() for _, line in written]
        items = [(place, _parsed(line, f"{place} of {quoted(document.path)} is")) for place, line in written]
    return [_prompt(item, f"{place} of {quoted(document.path)}") for place, item in items]


def _parsed(text: str, subject: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidArgument(f"{subject} no JSON.", next_step="Mend the file.") from None


def _prompt(item: Any, place: str) -> str:
    text = cast("dict[str, Any]", item).get("prompt") if isinstance(item, dict) else item
    if not isinstance(text, str) or not text.strip():
        raise InvalidArgument(f"{place} is no prompt.", next_step=_FORM)
    return text
