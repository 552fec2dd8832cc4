"""PDF, DOCX, HTML and notebooks to plain text, each file in a child process with limits of time and memory.

Parsers of untrusted files would hold the GIL for seconds, and a crafted file can make them take hours or all memory. A
process can be killed, and a crash there ends nothing else. This module has what parent and child share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

EXTRA = "docs"
LABELS = {"pdf": "PDF", "docx": "DOCX", "html": "HTML", "notebook": "notebook"}

# Takes the file and a list for notes; yields the text in pieces, in order.
Converter = Callable[[bytes, list[str]], Iterator[str]]


class UnusableDocument(Exception):
    """A document has no text that can be read.

    Args:
        reason: Why, as the rest of a sentence that begins with the file's name.
        next_step: What to do now.
    """

    def __init__(self, reason: str, next_step: str) -> None:
        super().__init__(reason)
        self.reason, self.next_step = reason, next_step


class LimitReached(BaseException):
    """A limit of time or size is reached; not an Exception, so that no library's `except Exception` swallows it."""
