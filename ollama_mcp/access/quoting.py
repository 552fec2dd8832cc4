"""How values of a call are quoted in errors and receipts: short and on one line."""

from __future__ import annotations

import shlex

MAX_QUOTED_CHARS = 100


def quoted(text: str, limit: int = MAX_QUOTED_CHARS) -> str:
    """Return `repr` of a text cut in the middle to at most `limit` characters; control characters come out escaped."""
    return repr(shortened(text, limit))


def shortened(text: str, limit: int = MAX_QUOTED_CHARS) -> str:
    """Return a text cut in the middle to at most `limit` characters; most of it is the end, which tells paths apart."""
    if len(text) <= limit:
        return text
    head = limit // 3
    return f"{text[:head]}...{text[len(text) - (limit - head - 3) :]}"


def allow_command(folder: str) -> str:
    """Return the command that allows reading a folder, with FOLDER in place of a path too long to show."""
    argument = shlex.quote(folder) if len(folder) <= MAX_QUOTED_CHARS and folder.isprintable() else "FOLDER"
    return f"`ollama-mcp-server allow {argument}`"
