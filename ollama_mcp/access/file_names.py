"""Which names a file of results may have: such as every system takes for an ordinary file."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ollama_mcp.access.spelling import has_control_characters, is_device_name
from ollama_mcp.access.wording import quoted
from ollama_mcp.errors import InvalidArgument

SUFFIXES = frozenset({".json", ".jsonl", ".csv", ".npy", ".md", ".txt"})
_LONGEST_NAME = 255


def check_name(text: str, suffixes: Sequence[str]) -> None:
    """Refuse a path of results by its text.

    Args:
        text: The path as the call gave it.
        suffixes: Endings that it may have; those among `SUFFIXES` count.

    Raises:
        InvalidArgument: Its ending is another, or a part of it is too long, has control characters or is the name of a
            device or a hidden stream of Windows.
    """
    if has_control_characters(text):
        raise InvalidArgument(f"The path {quoted(text)} has control characters.", next_step="Give an ordinary name.")
    parts = text.strip().replace("\\", "/").split("/")
    if any(len(os.fsencode(part)) > _LONGEST_NAME for part in parts):
        raise InvalidArgument(
            f"A name in {quoted(text)} is longer than {_LONGEST_NAME} bytes.", next_step="Give a shorter one."
        )
    # On every system: a path of results may be used on another.
    if ":" in parts[-1] or any(is_device_name(part) for part in parts):
        raise InvalidArgument(
            f"{quoted(text)} is a device or a hidden stream on Windows.", next_step="Give a name without ':'."
        )
    endings = [suffix for suffix in suffixes if suffix in SUFFIXES]
    if os.path.splitext(parts[-1])[1].lower() not in endings:
        raise InvalidArgument(
            f"{quoted(text)} is no name for these results: it must end in {' or '.join(endings)}.",
            next_step="Give a path with such an ending.",
        )
