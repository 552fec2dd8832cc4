"""Line ranges of text: parsed from `path:10-80`, merged, and sliced out of a stream or file of any size."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from threading import Event

from ollama_mcp.access import OpenedFile
from ollama_mcp.access.quoting import quoted
from ollama_mcp.errors import DiskError, InvalidArgument
from ollama_mcp.media import NotText
from ollama_mcp.media.text import bom_encoding, check_text

_LINE_BREAK = b"\n"
# The digits are bounded: `int` raises ValueError for more than 4,300 of them.
_SUFFIX = re.compile(r"(?P<path>.+):(?P<first>\d{1,15})(?P<dash>-(?P<last>\d{1,15})?)?", re.DOTALL)
_CHUNK_BYTES = 1 << 20
# Enough to tell the kind of a file, and for its byte order mark.
_HEAD_BYTES = 65_536


@dataclass(frozen=True, slots=True, order=True)
class LineRange:
    """Lines `first` to `last`, counted from 1, both included; `last` None is the end of the file."""

    first: int
    last: int | None = None

    def __str__(self) -> str:
        if self.last is None:
            return f"{self.first}-"
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


WHOLE_FILE = LineRange(1)


@dataclass(frozen=True, slots=True)
class LineSlice:
    """The bytes of one range: which range was requested, and the last line that really exists in it."""

    range: LineRange
    last: int
    data: bytes


@dataclass(frozen=True, slots=True)
class SlicedLines:
    """Slices in the order of their ranges.

    Args:
        slices: Fewer than the ranges if the text ends before the later ones begin.
        total_lines: Lines of the whole text; None if reading stopped before its end.
    """

    slices: list[LineSlice]
    total_lines: int | None


def split_line_range(spec: str) -> tuple[str, LineRange] | None:
    """Return path and range of `path:10-80`, `path:10` or `path:10-`; None if the spec has no such suffix.

    Raises:
        InvalidArgument: The range starts at 0 or runs backwards.
    """
    match = _SUFFIX.fullmatch(spec)
    if match is None:
        return None
    first = int(match["first"])
    last = int(match["last"]) if match["last"] else None if match["dash"] else first
    if not first or (last is not None and last < first):
        raise InvalidArgument(
            f"{spec[match.end('path') + 1 :]!r} is not a line range.",
            next_step="Count from 1 and give the lower line first: path:10-80.",
        )
    return match["path"], LineRange(first, last)


def merge_ranges(ranges: Iterable[LineRange]) -> list[LineRange]:
    """Return the same lines as sorted ranges that neither overlap nor touch."""
    merged: list[LineRange] = []
    for range_ in sorted(ranges, key=lambda range_: range_.first):
        previous = merged[-1] if merged else None
        if previous is None or (previous.last is not None and previous.last + 1 < range_.first):
            merged.append(range_)
        elif previous.last is not None:
            last = None if range_.last is None else max(previous.last, range_.last)
            merged[-1] = LineRange(previous.first, last)
    return merged


def slice_lines(chunks: Iterable[bytes], ranges: Sequence[LineRange], *, max_bytes: int) -> SlicedLines:
    r"""Slice line ranges out of a text that comes in chunks; chunks after the last range are not requested.

    Args:
        chunks: The text, with "\n" as its only line break; a line may span chunks.
        ranges: As `merge_ranges` returns them.
        max_bytes: Limit for all slices together.

    Raises:
        InvalidArgument: The slices are larger than `max_bytes`.
    """
    slicer = _Slicer(ranges, max_bytes)
    for chunk in chunks:
        if slicer.feed(chunk):
            return SlicedLines(slicer.slices, None)
    return slicer.finish()


class _Slicer:
    """Counts lines chunk by chunk, and keeps the bytes that lie in a range."""

    def __init__(self, ranges: Sequence[LineRange], max_bytes: int) -> None:
        self._ranges = ranges
        self._max_bytes = self._bytes_left = max_bytes
        # The line that the next byte belongs to.
        self._line = 1
        self._ends_mid_line = False
        self._pieces: list[bytes] = []
        self.slices: list[LineSlice] = []

    def feed(self, chunk: bytes) -> bool:
        """Process the next chunk; return whether all ranges are complete."""
        position = 0
        while position < len(chunk):
            range_ = self._ranges[len(self.slices)]
            is_inside = self._line >= range_.first
            # Where the state changes next: at the range's first line, or at the line after its last.
            target = range_.first if not is_inside else None if range_.last is None else range_.last + 1
            end = self._advance(chunk, position, target)
            if is_inside:
                self._keep(chunk[position:end])
            position = end
            if is_inside and self._line == target:
                self._complete(range_, range_.last or 0)
                if len(self.slices) == len(self._ranges):
                    return True
        if chunk:
            self._ends_mid_line = chunk[-1:] != _LINE_BREAK
        return False

    def finish(self) -> SlicedLines:
        """Return all slices at the end of the text; a range that reaches beyond it ends there."""
        total = self._line - (0 if self._ends_mid_line else 1)
        range_ = self._ranges[len(self.slices)]
        # An empty text has no line 1, yet the whole of it exists.
        if range_.first <= total or (not total and range_ == WHOLE_FILE):
            self._complete(range_, total)
        return SlicedLines(self.slices, total)

    def _advance(self, chunk: bytes, position: int, target: int | None) -> int:
        """Move to the start of line `target`, or to the end of the chunk if it begins later; return the offset."""
        breaks = chunk.count(_LINE_BREAK, position)
        # Counting is done in C: lines before a far range cost no loop in Python.
        if target is None or self._line + breaks < target:
            self._line += breaks
            return len(chunk)
        while self._line < target:
            position = chunk.index(_LINE_BREAK, position) + 1
            self._line += 1
        return position

    def _keep(self, piece: bytes) -> None:
        self._bytes_left -= len(piece)
        if self._bytes_left < 0:
            raise InvalidArgument(
                f"The requested lines are larger than {self._max_bytes / 1e6:g} MB together "
                "(setting limits.file_bytes).",
                next_step="Give fewer lines.",
            )
        self._pieces.append(piece)

    def _complete(self, range_: LineRange, last: int) -> None:
        self.slices.append(LineSlice(range_, last, b"".join(self._pieces)))
        self._pieces.clear()


def slice_file(
    file: OpenedFile, ranges: Sequence[LineRange], *, max_bytes: int, stopped: Event
) -> tuple[SlicedLines, str]:
    """Slice line ranges out of an open file without reading it whole; blocking, call it in a thread.

    Args:
        file: An open file of text.
        ranges: As `merge_ranges` returns them.
        max_bytes: Limit for all slices together.
        stopped: Set when nobody waits any more: a thread cannot be cancelled.

    Returns:
        The slices, and the encoding of the file's byte order mark or "". With a mark the slices are in UTF-8, else
        in the encoding of the file.

    Raises:
        InvalidArgument: The file is not text, or the slices are larger than `max_bytes`.
        DiskError: Reading failed.
    """
    encoding, start = bom_encoding(read_head(file))
    return slice_lines(_chunks(file, encoding, start, stopped), ranges, max_bytes=max_bytes), encoding


def read_head(file: OpenedFile) -> bytes:
    """Return the first 64 kB of an open file, and rewind it.

    Raises:
        DiskError: Reading failed.
    """
    try:
        file.stream.seek(0)
        head = file.stream.read(_HEAD_BYTES)
        file.stream.seek(0)
    except OSError as error:
        raise _disk_error(file, error) from error
    return head


def _chunks(file: OpenedFile, encoding: str, start: int, stopped: Event) -> Iterator[bytes]:
    """The file with LF as the only line break; UTF-16 and UTF-32, where LF is not one byte, come as UTF-8."""
    decoder = codecs.getincrementaldecoder(encoding)("replace") if encoding not in ("", "utf-8") else None
    held = b""
    try:
        file.stream.seek(start)
        while (data := file.stream.read(_CHUNK_BYTES)) and not stopped.is_set():
            if decoder is not None:
                data = decoder.decode(data).encode("utf-8", "replace")
            elif b"\0" in data:
                # The same errors as for a small file: what the first bytes show it to be, else the NUL bytes.
                check_text(read_head(file), name=file.requested)
                raise NotText(
                    f"{quoted(file.requested)} is not read: it has NUL bytes, so it is not text.",
                    next_step="Give a text file.",
                )
            data = held + data
            # A CR at the end of a chunk is held back: the next byte decides whether it is half of a CRLF.
            held = b"\r" if data.endswith(b"\r") else b""
            yield data[: len(data) - len(held)].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    except OSError as error:
        raise _disk_error(file, error) from error
    if held:
        yield b"\n"


def _disk_error(file: OpenedFile, error: OSError) -> DiskError:
    return DiskError(f"{quoted(file.requested)} could not be read: {error.strerror}.", next_step="Check the disk.")
