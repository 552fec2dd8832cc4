"""What runs in a document's own process: bytes come on standard input, text goes to standard output."""

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

from ollama_mcp.media.documents.words import LABELS, Converter, Enough, Unusable

MEMORY = 1_000_000_000
_HOMES = {"pdf": "pdf_text", "docx": "docx_text", "html": "html_text", "notebook": "notebook_text"}


def main(kind: str, seconds: float, most: int) -> None:
    """Convert one document.

    The answer is a line of JSON, with `notes`, or `missing`, or `why` and `step`, and after it the text in UTF-8.

    Args:
        kind: A key of `LABELS`.
        seconds: After so many, what has been read is the answer.
        most: Characters of text, likewise.
    """
    _limit(seconds)
    with os.fdopen(0, "rb", closefd=False) as source:
        data = source.read()
    head, text = convert(kind, data, seconds, most)
    if sys.platform != "win32":
        # From here on an alarm would only cost what there is.
        signal.setitimer(signal.ITIMER_REAL, 0)
    with os.fdopen(1, "wb", closefd=False) as answer:
        # Strict UTF-8 has no lone surrogates, which PDFs may hold.
        answer.write(json.dumps(head).encode() + b"\n" + text.encode("utf-8", "replace"))


def convert(kind: str, data: bytes, seconds: float, most: int) -> tuple[dict[str, Any], str]:
    """Return what `main` writes."""
    notes: list[str] = []
    pieces: list[str] = []
    try:
        module = import_module(f"ollama_mcp.media.documents.{kind}")
        converter: Converter = getattr(module, _HOMES[kind])
        _collect(converter(data, notes), pieces, time.monotonic() + seconds, most)
    except ImportError:
        return {"missing": True}, ""
    except Unusable as error:
        return {"why": error.why, "step": error.step}, ""
    except Enough as reason:
        if not pieces:
            return {"why": str(reason), "step": "Give a smaller document, or its text."}, ""
        notes.append(f"the rest is left out: {reason}")
        pieces.append(f"\n[the rest of this document is left out: {reason}]\n")
    except (MemoryError, RecursionError):
        step = "Convert it to plain text and give that."
        return {"why": f"it is a {LABELS[kind]} file that takes more memory than it may", "step": step}, ""
    except Exception as error:
        # What a parser's bug or a broken file raises is anything; its text may quote the file.
        why = f"it is a damaged {LABELS[kind]} file, or one that is not understood ({type(error).__name__})"
        return {"why": why, "step": "Save it anew, or give its text."}, ""
    return {"notes": notes}, "".join(pieces)


def _collect(found: Iterator[str], pieces: list[str], deadline: float, most: int) -> None:
    size = 0
    for piece in found:
        size += len(piece)
        if size > most:
            raise Enough(f"it has more than {most / 1e6:g} million characters (setting limits.file_bytes)")
        pieces.append(piece)
        if time.monotonic() > deadline:
            raise Enough("it took too long")


def _limit(seconds: float) -> None:
    def stop(number: int, frame: object) -> None:
        raise Enough("it took too long")

    if sys.platform == "win32":  # pragma: no cover - Windows
        return
    import resource

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    cpu = int(seconds) + 5
    # A system may have none of these, or lower ones already.
    for name, limit in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CPU, cpu), (resource.RLIMIT_CORE, 0)):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(name, (limit, limit))
