"""What the two processes say to each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator

INSTALL = "pip install 'ollama-mcp-server[docs]'"
LABELS = {"pdf": "PDF", "docx": "DOCX", "html": "HTML", "notebook": "notebook"}

# Yields the text in pieces, in order; what is to be said of it goes into the list.
Converter = Callable[[bytes, list[str]], Iterator[str]]


class Unusable(Exception):
    """A document has no text to give.

    Args:
        why: Why, as the rest of a sentence that begins with the file's name.
        step: What to do now.
    """

    def __init__(self, why: str, step: str) -> None:
        super().__init__(why)
        self.why, self.step = why, step


class Enough(BaseException):
    """The limit of time or size is reached; not an Exception, so that no library's handler swallows it."""


def numbers(found: list[int]) -> str:
    """Return numbers as ranges, such as "1-3, 7"; the sequence ascends."""
    ranges: list[list[int]] = []
    for number in found:
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    shown = [str(first) if first == last else f"{first}-{last}" for first, last in ranges]
    return ", ".join(shown[:10]) + (f" and {len(shown) - 10} more places" if len(shown) > 10 else "")
