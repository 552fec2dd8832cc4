"""How values of a call are quoted in errors and receipts: short, on one line, without secrets."""

from __future__ import annotations

import shlex

LONGEST = 100


def quoted(text: str, longest: int = LONGEST) -> str:
    """Return `repr` of a text, cut in the middle to about `longest` characters; control characters come out escaped."""
    return repr(shortened(text, longest))


def shortened(text: str, longest: int = LONGEST) -> str:
    """Return a text cut in the middle to at most `longest` characters: the end of a path says most."""
    if len(text) <= longest:
        return text
    head = longest // 3
    return f"{text[:head]}...{text[len(text) - (longest - head - 3) :]}"


def allow_command(folder: str) -> str:
    """Return the command line that lets a folder be read; a very long path stays a placeholder."""
    argument = shlex.quote(folder) if len(folder) <= LONGEST and folder.isprintable() else "FOLDER"
    return f"`ollama-mcp-server allow {argument}`"
