"""The items of one JSON array that may be larger than the memory: found by brackets and quotes, not parsed."""

from __future__ import annotations

import re
from collections.abc import Iterator

# An escaped character is one token, so that its quote does not end the string.
_TOKEN = re.compile(r'\\.|["\[\]{},]', re.DOTALL)


def array_items(chunks: Iterator[str], max_chars: int) -> Iterator[str]:
    """The text of each item; a trailing comma is not an item.

    Args:
        chunks: The text of the array, perhaps with white space around it.
        max_chars: Longer items are cut to this, which their reader sees by the length.

    Raises:
        ValueError: It has no item, does not end, or something follows it; raised where that is met.
    """
    depth = count = 0
    item = ""
    is_complete = False
    for mark, text in _marked(chunks):
        if is_complete:
            if mark or text.strip():
                raise ValueError("something follows its end")
            continue
        depth += (mark in ("[", "{")) - (mark in ("]", "}"))
        if mark in ("[", "{") and depth == 1:
            continue
        # A comma of the array itself, or its end.
        is_complete = mark == "]" and depth == 0
        ends_item = is_complete or (mark == "," and depth == 1)
        item += (text if ends_item else text + mark)[: max_chars - len(item)]
        if ends_item:
            if item.strip() or mark == ",":
                count += 1
                yield item.strip()
            item = ""
    if not is_complete:
        raise ValueError(f"its end is missing after {count:,} items")
    if not count:
        raise ValueError("it has no items")


def _marked(chunks: Iterator[str]) -> Iterator[tuple[str, str]]:
    """Each bracket and comma outside of strings with the text before it; "" where there is only text."""
    in_string = False
    held = ""
    for chunk in chunks:
        text = held + chunk
        # A backslash at the end belongs to a character of the next chunk.
        held = "\\" if (len(text) - len(text.rstrip("\\"))) % 2 else ""
        text = text.removesuffix(held) if held else text
        start = 0
        for token in _TOKEN.finditer(text):
            if token[0] == '"':
                in_string = not in_string
            elif not in_string and len(token[0]) == 1:
                yield token[0], text[start : token.start()]
                start = token.end()
        yield "", text[start:]
