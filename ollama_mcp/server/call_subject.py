"""What a call is about, in a few words, for a list of calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from ollama_mcp.formats.escaping import escape

SUBJECT_CHARS = 80
# The first that a call has is named.
_SUBJECTS = ("input", "query", "prompt", "messages", "questions", "files", "images", "path", "from", "texts", "models")


def subject_of(arguments: Mapping[str, Any]) -> str:
    """The subject of a call by its arguments: "mails/*.csv to labels.csv"; "" where only its model tells it."""
    subject = next((text for name in _SUBJECTS if (text := _words(arguments.get(name)))), "")
    output = arguments.get("output")
    into = f" to {escape(output, SUBJECT_CHARS // 2)}" if isinstance(output, str) and output else ""
    return escape(subject, SUBJECT_CHARS - len(into)) + into


def _words(value: object) -> str:
    """The text of a value; of several the first, and how many more there are."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list) and value:
        first, *rest = cast("list[object]", value)
        more = f" and {len(rest):,} more" if rest else ""
        return escape(_words(first), SUBJECT_CHARS - len(more)) + more
    if isinstance(value, dict):
        fields = cast("dict[str, object]", value)
        return next((words for name in ("question", "content", "text") if (words := _words(fields.get(name)))), "")
    return ""
