"""Ranges of lines: what a call may write behind a path, and cutting them out of a text of any size."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ollama_mcp.errors import InvalidArgument

_BREAK = b"\n"
_ENDING = re.compile(r"(?P<path>.+):(?P<first>\d{1,15})(?P<dash>-(?P<last>\d{1,15})?)?", re.DOTALL)


@dataclass(frozen=True, slots=True, order=True)
class Range:
    """Lines `first` to `last`, counted from 1, both included; `last` None is the end of the file."""

    first: int
    last: int | None = None

    def __str__(self) -> str:
        if self.last is None:
            return f"{self.first}-"
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


WHOLE = Range(1)


@dataclass(frozen=True, slots=True)
class Part:
    """What was cut out: the range that was wanted, the last line that there really is, and the text in bytes."""

    range: Range
    last: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Cut:
    """Parts in the order of their ranges, fewer where the text ends before; its lines, if it was read to its end."""

    parts: list[Part]
    total: int | None


def split_range(spec: str) -> tuple[str, Range] | None:
    """Return path and range of `path:10-80`, `path:10` or `path:10-`; None where there is no such ending.

    Raises:
        InvalidArgument: The range counts from 0 or backwards.
    """
    found = _ENDING.fullmatch(spec)
    if found is None:
        return None
    first = int(found["first"])
    last = int(found["last"]) if found["last"] else None if found["dash"] else first
    if not first or (last is not None and last < first):
        raise InvalidArgument(
            f"The lines {spec[found.end('path') + 1 :]!r} are no range.",
            next_step="Count from 1 and give the lower line first: path:10-80.",
        )
    return found["path"], Range(first, last)


def united(ranges: Iterable[Range]) -> list[Range]:
    """Return the same lines as ranges in order that neither overlap nor touch."""
    result: list[Range] = []
    for range_ in sorted(ranges, key=lambda range_: range_.first):
        before = result[-1] if result else None
        if before is None or (before.last is not None and before.last + 1 < range_.first):
            result.append(range_)
        elif before.last is not None:
            last = None if range_.last is None else max(before.last, range_.last)
            result[-1] = Range(before.first, last)
    return result


def cut(chunks: Iterable[bytes], ranges: Sequence[Range], *, most: int) -> Cut:
    r"""Cut ranges of lines out of a text that comes in chunks, and read no further than the last of them.

    Args:
        chunks: The text, with "\n" as its only line break.
        ranges: In order, apart from each other.
        most: Most bytes of all parts together.

    Raises:
        InvalidArgument: They are more.
    """
    cutter = _Cutter(ranges, most)
    for chunk in chunks:
        if cutter.take(chunk):
            return Cut(cutter.parts, None)
    return cutter.rest()


class _Cutter:
    def __init__(self, ranges: Sequence[Range], most: int) -> None:
        self._ranges, self._left = ranges, most
        self._line = 1
        self._is_open = False
        self._pieces: list[bytes] = []
        self.parts: list[Part] = []

    def take(self, chunk: bytes) -> bool:
        """Go through the next piece of the text; tell whether nothing behind it is wanted."""
        at = 0
        while at < len(chunk):
            range_ = self._ranges[len(self.parts)]
            is_within = self._line >= range_.first
            goal = range_.first if not is_within else None if range_.last is None else range_.last + 1
            end = self._end(chunk, at, goal)
            if is_within:
                self._keep(chunk[at:end])
            at = end
            if is_within and self._line == goal:
                self._finish(range_, range_.last or 0)
                if len(self.parts) == len(self._ranges):
                    return True
        if chunk:
            self._is_open = chunk[-1:] != _BREAK
        return False

    def rest(self) -> Cut:
        """Return everything, once the text is at its end."""
        total = self._line - (0 if self._is_open else 1)
        range_ = self._ranges[len(self.parts)]
        if range_.first <= total or (not total and range_ == WHOLE):
            self._finish(range_, total)
        return Cut(self.parts, total)

    def _end(self, chunk: bytes, at: int, goal: int | None) -> int:
        """Where line `goal` begins in the chunk, or its end; counts the lines up to there."""
        found = chunk.count(_BREAK, at)
        if goal is None or self._line + found < goal:
            self._line += found
            return len(chunk)
        while self._line < goal:
            at = chunk.index(_BREAK, at) + 1
            self._line += 1
        return at

    def _keep(self, piece: bytes) -> None:
        self._left -= len(piece)
        if self._left < 0:
            raise InvalidArgument(
                "The lines are together larger than one file may be (setting limits.file_bytes).",
                next_step="Give fewer lines.",
            )
        self._pieces.append(piece)

    def _finish(self, range_: Range, last: int) -> None:
        self.parts.append(Part(range_, last, b"".join(self._pieces)))
        self._pieces.clear()
