"""Converts one document in a child process: starts it, feeds it, waits for it, ends it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import threading
from typing import Any, NamedTuple

from ollama_mcp._command import how_to_install
from ollama_mcp.access.quoting import quoted
from ollama_mcp.errors import InvalidArgument
from ollama_mcp.media.documents import EXTRA, LABELS
from ollama_mcp.media.limiter import shared_limiter

TIME_LIMIT = 60.0
# After its own alarm the child still writes what it has read.
_GRACE_SECONDS = 2.0
# The server's own sys.path is passed: a child started afresh may not find the package in the same way.
_BOOTSTRAP = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from ollama_mcp.media.documents.child import main; "
)
_SECRET_NAME = re.compile("key|token|secret|passw|credential|auth", re.IGNORECASE)


class ConvertedDocument(NamedTuple):
    """The text of a document, and notes for the receipt."""

    text: str
    notes: tuple[str, ...]


class MissingExtra(InvalidArgument):
    """The libraries of the extra `docs` are not installed."""


async def convert_document(
    data: bytes, kind: str, *, name: str, max_characters: int, seconds: float = TIME_LIMIT
) -> ConvertedDocument:
    """Return the text of a document, converted in a child process, at most two at a time.

    Args:
        data: The whole file; of HTML the text in UTF-8.
        kind: "pdf", "docx", "html" or "notebook".
        name: What errors call the file.
        max_characters: Maximum length of the text; if it is cut there or by the time limit, the notes say so.
        seconds: Time limit of the process.

    Raises:
        MissingExtra: The extra `docs` is needed and not installed.
        InvalidArgument: It has no text that can be read; the message says why.
    """
    process = _ChildProcess(data, kind, max_characters, seconds)
    try:
        answer = await shared_limiter().run(process.run)
    except asyncio.CancelledError:
        process.stop()
        raise
    head, text = _parse_answer(answer, kind, name, seconds)
    if "missing" in head:
        raise MissingExtra(
            f"{quoted(name)} is not read: {LABELS[kind]} files need libraries that are not installed.",
            next_step=how_to_install(EXTRA),
        )
    if "reason" in head:
        raise InvalidArgument(f"{quoted(name)} is not read: {head['reason']}.", next_step=head["next_step"])
    return ConvertedDocument(text, tuple(head["notes"]))


def _parse_answer(answer: bytes | None, kind: str, name: str, seconds: float) -> tuple[dict[str, Any], str]:
    if answer is None:
        raise _not_converted(name, f"reading it took longer than {seconds:g} s")
    head, line_end, text = answer.partition(b"\n")
    if not line_end:
        raise _not_converted(name, f"the {LABELS[kind]} parser crashed or ran out of memory")
    return json.loads(head), text.decode("utf-8")


def _not_converted(name: str, reason: str) -> InvalidArgument:
    return InvalidArgument(f"{quoted(name)} is not read: {reason}.", next_step="Convert it to plain text first.")


class _ChildProcess:
    """One child process; `run` is called in a thread and `stop` from any."""

    def __init__(self, data: bytes, kind: str, max_characters: int, seconds: float) -> None:
        self._data, self._seconds = data, seconds
        self._code = f"{_BOOTSTRAP}main({kind!r}, {seconds!r}, {max_characters!r})"
        self._lock = threading.Lock()
        self._is_ended = False
        self._process: subprocess.Popen[bytes] | None = None

    def run(self) -> bytes | None:
        """Return what the process wrote, or None if it was stopped."""
        with self._lock:
            if self._is_ended:
                return None
            self._process = process = subprocess.Popen(
                [sys.executable, "-I", "-c", self._code, json.dumps(sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                # The files are untrusted and the parsers large: secrets are kept out of their reach.
                env={name: value for name, value in os.environ.items() if not _SECRET_NAME.search(name)},
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        with process:
            try:
                return process.communicate(self._data, timeout=self._seconds + _GRACE_SECONDS)[0]
            except subprocess.TimeoutExpired:
                process.kill()
                return None

    def stop(self) -> None:
        """Stop the process, or keep it from starting."""
        with self._lock:
            self._is_ended = True
            if self._process is not None:
                self._process.kill()
