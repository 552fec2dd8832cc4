"""The child process of one document: reads the file from standard input, writes its text to standard output."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from ollama_mcp.media.documents import LABELS, Converter, LimitReached, UnusableDocument

MAX_MEMORY = 1_000_000_000
_CONVERTERS = {"pdf": "pdf_text", "docx": "docx_text", "html": "html_text", "notebook": "notebook_text"}


def main(kind: str, seconds: float, max_characters: int) -> None:
    """Convert one document.

    The answer is a line of JSON with `notes`, or `missing`, or `reason` and `next_step`, then the text in UTF-8.

    Args:
        kind: A key of `LABELS`.
        seconds: Time limit; what has been read by then is the answer.
        max_characters: Maximum length of the text, likewise.
    """
    _set_limits(seconds)
    with os.fdopen(0, "rb", closefd=False) as source:
        data = source.read()
    head, text = convert(kind, data, seconds, max_characters)
    if sys.platform != "win32":
        # The text is complete: an alarm while it is written would lose it.
        signal.setitimer(signal.ITIMER_REAL, 0)
    with os.fdopen(1, "wb", closefd=False) as answer:
        # Lone surrogates, which PDFs may hold, cannot be encoded.
        answer.write(json.dumps(head).encode() + b"\n" + text.encode("utf-8", "replace"))


def convert(kind: str, data: bytes, seconds: float, max_characters: int) -> tuple[dict[str, Any], str]:
    """Return the head and the text that `main` writes."""
    notes: list[str] = []
    pieces: list[str] = []
    try:
        module = import_module(f"ollama_mcp.media.documents.{kind}")
        converter: Converter = getattr(module, _CONVERTERS[kind])
        _collect(converter(data, notes), pieces, time.monotonic() + seconds, max_characters)
    except ImportError:
        return {"missing": True}, ""
    except UnusableDocument as error:
        return {"reason": error.reason, "next_step": error.next_step}, ""
    except LimitReached as limit:
        if not pieces:
            return {"reason": str(limit), "next_step": "Give a smaller document, or its text."}, ""
        notes.append(f"the rest is left out: {limit}")
        pieces.append(f"\n[the rest of this document is left out: {limit}]\n")
    except (MemoryError, RecursionError):
        reason = f"it is a {LABELS[kind]} file that takes more memory than allowed"
        return {"reason": reason, "next_step": "Convert it to plain text and give that."}, ""
    except Exception as error:
        # Parsers raise nearly anything on broken files; the exception's text may quote the file.
        reason = f"it is a damaged {LABELS[kind]} file, or an unsupported one ({type(error).__name__})"
        return {"reason": reason, "next_step": "Save it again, or give its text."}, ""
    return {"notes": notes}, "".join(pieces)


def _collect(source: Iterator[str], pieces: list[str], deadline: float, max_characters: int) -> None:
    size = 0
    for piece in source:
        size += len(piece)
        if size > max_characters:
            raise LimitReached(
                f"it has more than {max_characters / 1e6:g} million characters (setting limits.file_bytes)"
            )
        pieces.append(piece)
        if time.monotonic() > deadline:
            raise LimitReached("it took too long")


def _set_limits(seconds: float) -> None:
    def stop(number: int, frame: object) -> None:
        raise LimitReached("it took too long")

    if sys.platform == "win32":  # pragma: no cover - Windows
        return
    import resource

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    cpu = int(seconds) + 5
    # The system may not support a limit, or have a lower one already.
    for name, limit in ((resource.RLIMIT_AS, MAX_MEMORY), (resource.RLIMIT_CPU, cpu), (resource.RLIMIT_CORE, 0)):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(name, (limit, limit))
