"""The text of a Jupyter notebook (nbformat 3 and 4): cells, and the text of their outputs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, cast

from ollama_mcp.media.documents.words import Unusable

MOST_OF_AN_OUTPUT = 4_000
# Colours in tracebacks: ESC [ ... letter (ECMA-48).
_COLOURS = re.compile("\x1b\\[[0-9;]*[A-Za-z]")


def notebook_text(data: bytes, notes: list[str]) -> Iterator[str]:
    """Yield each cell after a line `[cell N: code]`, its outputs after `[output]`.

    Raises:
        Unusable: It is no notebook.
    """
    try:
        book: Any = json.loads(data)
        cells: list[Any] = book["cells"] if "cells" in book else book["worksheets"][0]["cells"]
    except (ValueError, TypeError, LookupError, RecursionError):
        raise Unusable("it is a damaged notebook, or none", "Give it as .json to have it read as plain text.") from None
    pictures = cut = 0
    for number, cell in enumerate(_dicts(cells), start=1):
        source = _joined(cell.get("source", cell.get("input", "")))
        yield f"[cell {number}: {cell.get('cell_type', 'raw')}]\n{source}\n"
        for output in _dicts(cell.get("outputs")):
            text = _output(output)
            pictures += _is_picture(output)
            cut += len(text) > MOST_OF_AN_OUTPUT
            if text:
                yield f"[output]\n{_shortened(text)}\n"
        yield "\n"
    notes += [f"pictures left out of outputs: {pictures}"] if pictures else []
    notes += [f"outputs cut to {MOST_OF_AN_OUTPUT} characters: {cut}"] if cut else []


def _dicts(value: Any) -> list[dict[str, Any]]:
    items = cast("list[Any]", value) if isinstance(value, list) else []
    return [cast("dict[str, Any]", item) for item in items if isinstance(item, dict)]


def _joined(value: Any) -> str:
    """Text as nbformat has it: a string, or a list of lines."""
    if isinstance(value, list):
        return "".join(line for line in cast("list[Any]", value) if isinstance(line, str)).rstrip("\n")
    return value.rstrip("\n") if isinstance(value, str) else ""


def _output(output: dict[str, Any]) -> str:
    data: Any = output.get("data")
    plain: Any = cast("dict[str, Any]", data).get("text/plain") if isinstance(data, dict) else None
    text = _joined(output.get("text")) or _joined(plain)
    if not text and isinstance(output.get("traceback"), list):
        text = "\n".join(line for line in cast("list[Any]", output["traceback"]) if isinstance(line, str))
    return _COLOURS.sub("", text)


def _is_picture(output: dict[str, Any]) -> bool:
    data: Any = output.get("data")
    return isinstance(data, dict) and any(str(kind).startswith("image/") for kind in cast("dict[str, Any]", data))


def _shortened(text: str) -> str:
    if len(text) <= MOST_OF_AN_OUTPUT:
        return text
    half = MOST_OF_AN_OUTPUT // 2
    return f"{text[:half]}\n[{len(text) - 2 * half} characters of this output are left out]\n{text[-half:]}"
