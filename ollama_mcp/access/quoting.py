"""How values of a call are quoted in errors and receipts: short and on one line."""

from __future__ import annotations

import shlex

from ollama_mcp._command import command

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


def allow_command(folder: str, config: str = "") -> str:
    """Return the command that allows reading a folder, with FOLDER in place of a path too long to show.

    Args:
        folder: The folder.
        config: The config file that the server was started with, if any: only there it reads what was allowed.
    """
    argument = shlex.quote(folder) if len(folder) <= MAX_QUOTED_CHARS and folder.isprintable() else "FOLDER"
    option = f"--config {shlex.quote(config)} " if config else ""
    return f"`{command(f'allow {option}{argument}')}`"
