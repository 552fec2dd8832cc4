"""Long text split into passages that begin and end at breaks of its own: paragraphs, lines, sentences, words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

from ollama_mcp.work.files.documents import Document

# White space after the end of a sentence, or nothing in scripts that write no spaces (Chinese, Japanese).
_SENTENCE = re.compile(r"[.!?\u2026][\"')\]\u201d\u2019]*\s|[\u3002\uff01\uff1f]")
_SPACE = re.compile(r"\s")
# Joiners and variation selectors (Unicode, chapter 23), which belong to the character before them.
_JOINING = frozenset("\u200c\u200d\ufe0e\ufe0f")
# A bound on how far back a cut moves: hostile text has marks without end.
_MAX_CLUSTER = 32


class Passage(NamedTuple):
    """A piece of a document, with the lines of its first and last character."""

    path: str
    first_line: int
    last_line: int
    text: str


def split_document(document: Document, *, chars: int, overlap: int = 0) -> Iterator[Passage]:
    """Yield the passages of a document in order; without overlap, joined they are its text.

    Each ends after the last paragraph break in its second half, else after a line, a sentence or a word; without any of
    these it is cut at `chars`, but not between a character and its accents. The time is linear in the length of the
    text, whatever the length of its lines.

    Args:
        document: What to split; an empty one has no passages.
        chars: Maximum characters of a passage.
        overlap: Maximum characters that a passage repeats of the one before, at most half of `chars`; it starts at a
            line or else at a word, if there is one within them.

    Raises:
        ValueError: `chars` is not positive, or `overlap` is negative or more than half of it.
    """
    if chars < 1 or not 0 <= overlap <= chars // 2:
        raise ValueError(f"passages of {chars} characters cannot overlap by {overlap}")
    text, start, line = document.text, 0, document.first_line
    while start < len(text):
        end = _end(text, start, chars, overlap)
        last = line + text.count("\n", start, end - 1)
        yield Passage(document.path, line, last, text[start:end])
        following = end if end == len(text) else _next_start(text, end, overlap)
        line += text.count("\n", start, following)
        start = following


def _end(text: str, start: int, chars: int, overlap: int) -> int:
    """Where the passage that begins at `start` ends: after the best break in its second half."""
    limit = start + chars
    if limit >= len(text):
        return len(text)
    # After the overlap too, or the next passage would begin no later than this one and the loop would not end.
    lowest = start + max((chars + 1) // 2, overlap + 1)
    for mark in ("\n\n", "\n"):
        found = text.rfind(mark, max(start, lowest - len(mark)), limit)
        if found >= 0 and found + len(mark) >= lowest:
            return found + len(mark)
    for pattern in (_SENTENCE, _SPACE):
        found = max((match.end() for match in pattern.finditer(text, lowest - 1, limit)), default=-1)
        if found >= lowest:
            return found
    return _character_boundary(text, limit, lowest)


def _character_boundary(text: str, at: int, lowest: int) -> int:
    """The nearest offset up to `at` that does not separate a character from its marks; `at` if none is near."""
    for offset in range(at, max(lowest, at - _MAX_CLUSTER) - 1, -1):
        # After a zero-width joiner the next emoji belongs to the same cluster (a family of several people).
        if not _continues_cluster(text[offset]) and text[offset - 1] != "\u200d":
            return offset
    return at


def _continues_cluster(char: str) -> bool:
    # The last range: modifiers of skin tone.
    return char in _JOINING or unicodedata.combining(char) > 0 or "\U0001f3fb" <= char <= "\U0001f3ff"


def _next_start(text: str, end: int, overlap: int) -> int:
    """Where the passage after one that ended at `end` begins: at a line, a word, or a character within the overlap."""
    if not overlap:
        return end
    lowest = end - overlap
    line = text.find("\n", lowest - 1, end - 1)
    if line >= 0:
        return line + 1
    word = _SPACE.search(text, lowest - 1, end - 1)
    if word is not None:
        return word.end()
    return next((offset for offset in range(lowest, end) if not _continues_cluster(text[offset])), lowest)
