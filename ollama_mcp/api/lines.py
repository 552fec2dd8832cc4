"""Bytes of a stream into lines, however the network cut them, and a line into JSON."""

from __future__ import annotations

import json
import re
from typing import Any, cast

MAX_LINE = 16 * 2**20

_HALF = re.compile("[\ud800-\udfff]")
# How half a surrogate pair can come: escaped, or as bytes that the json module lets pass.
_MAYBE_HALVES = (b"\\ud", b"\\uD", b"\xed")


class LineTooLong(Exception):
    """A line exceeds MAX_LINE."""


class LineBuffer:
    """Collects bytes and gives whole lines; a line may come in any number of pieces.

    Only "\\n" ends a line, since JSON texts may hold U+2028 and the like; a "\\r" before it is white space to JSON.
    """

    def __init__(self, limit: int = MAX_LINE) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._held = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes and return the lines that they complete, blank ones left out.

        Raises:
            LineTooLong: The line in progress exceeds the limit; it is dropped.
        """
        if b"\n" not in data:
            self._hold(data)
            return []
        first, *others = data.split(b"\n")
        self._hold(first)
        lines = [self.rest(), *others[:-1]]
        self._hold(others[-1])
        return [line for line in lines if line and not line.isspace()]

    def rest(self) -> bytes:
        """Return what came after the last line end, and forget it."""
        line = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts.clear()
        self._held = 0
        return line

    def _hold(self, part: bytes) -> None:
        if not part:
            return
        self._held += len(part)
        if self._held > self._limit:
            self._parts.clear()
            self._held = 0
            raise LineTooLong
        self._parts.append(part)


def parse_line(line: bytes) -> Any:
    """The JSON of a line; half a surrogate pair, which no answer of ours could hold, becomes U+FFFD.

    Raises:
        ValueError: The line is no JSON, or is nested deeper than Python reads.
    """
    try:
        data = json.loads(line)
        return _mended(data) if any(mark in line for mark in _MAYBE_HALVES) else data
    except RecursionError:
        raise ValueError("nested too deep") from None


def _mended(value: Any) -> Any:
    if isinstance(value, str):
        return _HALF.sub("\ufffd", value)
    if isinstance(value, list):
        return [_mended(item) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {_mended(name): _mended(item) for name, item in cast("dict[str, Any]", value).items()}
    return value
