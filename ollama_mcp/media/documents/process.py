"""The process that one document is converted in: started, fed, waited for, ended."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import threading
from typing import Any, NamedTuple

from ollama_mcp.access.wording import quoted
from ollama_mcp.errors import InvalidArgument
from ollama_mcp.media.documents.words import INSTALL, LABELS
from ollama_mcp.media.gate import gate

SECONDS = 60.0
# For what a process does after its own alarm: writing what it has.
_GRACE = 2.0
# With the server's own list of module folders, since how the package was found is not always repeatable.
_START = "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from ollama_mcp.media.documents.child import main; "
_SECRET = re.compile("key|token|secret|passw|credential|auth", re.IGNORECASE)


class Converted(NamedTuple):
    """The text of a document, and what is to be said of it."""

    text: str
    notes: tuple[str, ...]


class MissingExtra(InvalidArgument):
    """The libraries of the extra `docs` are not installed."""


async def convert(data: bytes, kind: str, *, name: str, most: int, seconds: float = SECONDS) -> Converted:
    """Return the text of a document, converted in a process of its own, two at a time.

    Args:
        data: The whole file; of HTML the text in UTF-8.
        kind: "pdf", "docx", "html" or "notebook".
        name: What errors call the file.
        most: Most characters of text; where there are more, or the time runs out, the notes say so.
        seconds: Time that the process has.

    Raises:
        MissingExtra: The extra `docs` is needed and not installed.
        InvalidArgument: It has no text to give; the message says why.
    """
    process = _Process(data, kind, most, seconds)
    try:
        answer = await gate().run(process.run)
    except asyncio.CancelledError:
        process.end()
        raise
    head, text = _parsed(answer, kind, name, seconds)
    if "missing" in head:
        raise MissingExtra(
            f"{quoted(name)} is not read: {LABELS[kind]} files need libraries that are not installed.",
            next_step=f"The user can run: {INSTALL}",
        )
    if "why" in head:
        raise InvalidArgument(f"{quoted(name)} is not read: {head['why']}.", next_step=head["step"])
    return Converted(text, tuple(head["notes"]))


def _parsed(answer: bytes | None, kind: str, name: str, seconds: float) -> tuple[dict[str, Any], str]:
    if answer is None:
        why = f"reading it took longer than {seconds:g} s"
        raise InvalidArgument(f"{quoted(name)} is not read: {why}.", next_step="Convert it to plain text first.")
    head, line_end, text = answer.partition(b"\n")
    if not line_end:
        why = f"its {LABELS[kind]} parser crashed on it, or ran out of memory"
        raise InvalidArgument(f"{quoted(name)} is not read: {why}.", next_step="Convert it to plain text first.")
    return json.loads(head), text.decode("utf-8")


class _Process:
    """One run; `run` is called in a thread and `end` from anywhere."""

    def __init__(self, data: bytes, kind: str, most: int, seconds: float) -> None:
        self._data, self._seconds = data, seconds
        self._code = f"{_START}main({kind!r}, {seconds!r}, {most!r})"
        self._lock = threading.Lock()
        self._is_ended = False
        self._process: subprocess.Popen[bytes] | None = None

    def run(self) -> bytes | None:
        """Return what the process wrote, or None if it had to be stopped."""
        with self._lock:
            if self._is_ended:
                return None
            self._process = process = subprocess.Popen(
                [sys.executable, "-I", "-c", self._code, json.dumps(sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                # The files are of strangers, the parsers large: nothing secret is within their reach.
                env={name: value for name, value in os.environ.items() if not _SECRET.search(name)},
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        with process:
            try:
                return process.communicate(self._data, timeout=self._seconds + _GRACE)[0]
            except subprocess.TimeoutExpired:
                process.kill()
                return None

    def end(self) -> None:
        """Stop the process, or keep it from starting."""
        with self._lock:
            self._is_ended = True
            if self._process is not None:
                self._process.kill()
