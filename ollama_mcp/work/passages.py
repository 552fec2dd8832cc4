"""A long text in passages that begin and end where its author made a break."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

from ollama_mcp.work.readings import Document

# After the end of a sentence: white space, or nothing where the script writes none.
_SENTENCE = re.compile(r"[.!?\u2026][\"')\]\u201d\u2019]*\s|[\u3002\uff01\uff1f]")
_SPACE = re.compile(r"\s")
# Joiners and variation selectors (Unicode, chapter 23), which belong to the character before them.
_JOINING = frozenset("\u200c\u200d\ufe0e\ufe0f")
_LONGEST_CLUSTER = 32


class Passage(NamedTuple):
    """A piece of a document; the lines are those of its first and last character."""

    path: str
    first_line: int
    last_line: int
    text: str


def split(document: Document, *, chars: int, overlap: int = 0) -> Iterator[Passage]:
    """Yield the passages of a document in order; without overlap they put together are its text.

    Each ends, if its second half has such a place, behind a paragraph, else a line, a sentence, a word; else it is cut
    anywhere but within a character with its accents. The time is linear in the text, lines of any length included.

    Args:
        document: What to split; an empty one has no passages.
        chars: Most characters of a passage.
        overlap: Most characters that a passage repeats of the one before, at most half of `chars`; whole lines, or
            words, as far as there are any in them.

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
        following = end if end == len(text) else _restart(text, end, overlap)
        line += text.count("\n", start, following)
        start = following


def _end(text: str, start: int, chars: int, overlap: int) -> int:
    """Where the passage that begins at `start` ends: behind the best break in its second half."""
    limit = start + chars
    if limit >= len(text):
        return len(text)
    # Past the overlap too, or the next passage would begin no later than this one.
    lowest = start + max((chars + 1) // 2, overlap + 1)
    for mark in ("\n\n", "\n"):
        found = text.rfind(mark, max(start, lowest - len(mark)), limit)
        if found >= 0 and found + len(mark) >= lowest:
            return found + len(mark)
    for pattern in (_SENTENCE, _SPACE):
        found = max((match.end() for match in pattern.finditer(text, lowest - 1, limit)), default=-1)
        if found >= lowest:
            return found
    return _between_characters(text, limit, lowest)


def _between_characters(text: str, at: int, lowest: int) -> int:
    """The nearest place before `at` that does not part a character from its marks; `at` if there is none near."""
    for place in range(at, max(lowest, at - _LONGEST_CLUSTER) - 1, -1):
        if not _continues(text[place]) and text[place - 1] != "\u200d":
            return place
    return at


def _continues(char: str) -> bool:
    return char in _JOINING or unicodedata.combining(char) > 0 or "\U0001f3fb" <= char <= "\U0001f3ff"


def _restart(text: str, end: int, overlap: int) -> int:
    """Where the passage after one that ended at `end` begins: at a line, a word or a character within the overlap."""
    if not overlap:
        return end
    lowest = end - overlap
    line = text.find("\n", lowest - 1, end - 1)
    if line >= 0:
        return line + 1
    word = _SPACE.search(text, lowest - 1, end - 1)
    if word is not None:
        return word.end()
    return next((place for place in range(lowest, end) if not _continues(text[place])), lowest)
