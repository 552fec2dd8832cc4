"""The text of a Jupyter notebook (nbformat 3 and 4): cells and the text of their outputs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, cast

from ollama_mcp.media.documents import UnusableDocument

MAX_OUTPUT_CHARACTERS = 4_000
# Colours in tracebacks: ESC [ ... letter (ECMA-48).
_ANSI_COLOURS = re.compile("\x1b\\[[0-9;]*[A-Za-z]")


def notebook_text(data: bytes, notes: list[str]) -> Iterator[str]:
    """Yield each cell after a line `[cell N: code]`, its outputs after `[output]`.

    Raises:
        UnusableDocument: It is not a notebook.
    """
    try:
        book: Any = json.loads(data)
        cells: list[Any] = book["cells"] if "cells" in book else book["worksheets"][0]["cells"]
    except (ValueError, TypeError, LookupError, RecursionError):
        raise UnusableDocument(
            "it is damaged, or not a notebook", "Give it as .json to have it read as plain text."
        ) from None
    # Before nbformat 4 the cells were in worksheets, and a cell's source was called input.
    pictures = cut = 0
    for number, cell in enumerate(_dicts(cells), start=1):
        source = _join_lines(cell.get("source", cell.get("input", "")))
        yield f"[cell {number}: {cell.get('cell_type', 'raw')}]\n{source}\n"
        for output in _dicts(cell.get("outputs")):
            text = _output_text(output)
            pictures += _is_picture(output)
            cut += len(text) > MAX_OUTPUT_CHARACTERS
            if text:
                yield f"[output]\n{_shorten(text)}\n"
        yield "\n"
    notes += [f"pictures left out of outputs: {pictures}"] if pictures else []
    notes += [f"outputs cut to {MAX_OUTPUT_CHARACTERS} characters: {cut}"] if cut else []


def _dicts(value: Any) -> list[dict[str, Any]]:
    items = cast("list[Any]", value) if isinstance(value, list) else []
    return [cast("dict[str, Any]", item) for item in items if isinstance(item, dict)]


def _join_lines(value: Any) -> str:
    # nbformat stores a text as a string or as a list of lines.
    if isinstance(value, list):
        return "".join(line for line in cast("list[Any]", value) if isinstance(line, str)).rstrip("\n")
    return value.rstrip("\n") if isinstance(value, str) else ""


def _output_text(output: dict[str, Any]) -> str:
    data: Any = output.get("data")
    plain: Any = cast("dict[str, Any]", data).get("text/plain") if isinstance(data, dict) else None
    text = _join_lines(output.get("text")) or _join_lines(plain)
    if not text and isinstance(output.get("traceback"), list):
        text = "\n".join(line for line in cast("list[Any]", output["traceback"]) if isinstance(line, str))
    return _ANSI_COLOURS.sub("", text)


def _is_picture(output: dict[str, Any]) -> bool:
    data: Any = output.get("data")
    return isinstance(data, dict) and any(str(kind).startswith("image/") for kind in cast("dict[str, Any]", data))


def _shorten(text: str) -> str:
    if len(text) <= MAX_OUTPUT_CHARACTERS:
        return text
    half = MAX_OUTPUT_CHARACTERS // 2
    return f"{text[:half]}\n[{len(text) - 2 * half} characters of this output are left out]\n{text[-half:]}"
