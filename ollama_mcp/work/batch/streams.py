"""Text files as lines and rows, in flat memory: one open file for the whole run, read again from its beginning.

The open file is what is judged and read, so another file of the same name never mixes in; a change of the file itself
is seen by its size and time.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

from ollama_mcp.access.wording import quoted
from ollama_mcp.errors import DiskError, InvalidArgument
from ollama_mcp.media.texts import check_text, decode_text, marked_encoding
from ollama_mcp.work.batch.rows import MOST_LEVELS, InputChanged, Row, is_too_deep

if TYPE_CHECKING:
    from ollama_mcp.access import OpenedFile

_SAMPLE = 65_536
_PIECE = 1 << 20
_DELIMITERS = (",", ";", "\t", "|")
_NUL = "it has NUL characters"


class FileLines:
    """A text file, row by row: its lines.

    Args:
        file: The open file; closed by `close`.
        longest: Most characters of a line.

    Raises:
        InvalidArgument: It is empty, or no text.
    """

    is_table = False
    from_files = True
    notes: Sequence[str] = ()

    def __init__(self, file: OpenedFile, longest: int) -> None:
        self._file, self._longest = file, longest
        self._layers: tuple[io.TextIOBase | io.BufferedIOBase, ...] = ()
        self._state = self._now()
        self.shown = quoted(file.path, 60)
        self._encoding, self._start = _encoding(file.stream, file.path)
        self._too_long = f"it is longer than {longest:,} characters (setting limits.prompt_bytes)"
        self.columns: Sequence[str] = ("text",)

    @property
    def identity(self) -> str:
        """See `Source`."""
        size, changed, *_ = self._state
        return f"{self._file.path}\n{size}\n{changed}"

    def rows(self) -> Iterator[Row]:
        """See `Source`; blank lines are no rows."""
        number = 0
        for line, text in enumerate(self.lines(), start=1):
            if text.strip():
                number += 1
                yield self._row(number, line, text.rstrip("\r\n"))

    def lines(self) -> Iterator[str]:
        """The lines with their ends as they are; of one that is too long, a little more than is taken."""
        self._let_go()
        self._file.stream.seek(self._start)
        buffered = io.BufferedReader(self._file.stream, _PIECE)
        wrapper = io.TextIOWrapper(buffered, self._encoding, errors="replace", newline="")
        self._layers = layers = (wrapper, buffered)
        try:
            while line := wrapper.readline(self._longest + 3):
                yield line
                while line and line[-1] not in "\r\n":
                    line = wrapper.readline(self._longest)
        except OSError as error:
            raise DiskError(f"{self.shown} could not be read: {error.strerror or type(error).__name__}.") from error
        finally:
            if self._layers is layers:
                self._let_go()

    def _let_go(self) -> None:
        """End an iteration that was left early: whenever its layers went, they would move the place in the file."""
        for layer in self._layers:
            # Closing it would close the file, which is read again.
            layer.detach()
        self._layers = ()

    def check(self) -> None:
        """See `Source`."""
        if self._now() != self._state:
            raise InputChanged(
                f"{self.shown} changed while it was read; rows of the old and the new content are not mixed.",
                next_step="The same call starts anew, with what it holds then.",
            )

    def close(self) -> None:
        """See `Source`."""
        self._let_go()
        self._file.stream.close()

    def _row(self, number: int, line: int, text: str) -> Row:
        place = {"line": line}
        if wrong := self._wrong(text):
            return Row(number, place, wrong=wrong)
        return Row(number, place, {"text": text})

    def _wrong(self, text: str) -> str:
        if len(text) > self._longest:
            return self._too_long
        return _NUL if "\0" in text else ""

    def _now(self) -> tuple[int, int, int]:
        status = os.fstat(self._file.stream.fileno())
        return status.st_size, status.st_mtime_ns, status.st_ino


class JsonLines(FileLines):
    """The rows of a .jsonl file: objects, whose members are columns, or any other values, which are texts."""

    is_table = True

    def __init__(self, file: OpenedFile, longest: int) -> None:
        super().__init__(file, longest)
        first = next((row for row in self.rows() if not row.wrong), None)
        self.columns = tuple(first.columns) if first is not None else ()

    def _row(self, number: int, line: int, text: str) -> Row:
        place = {"line": line}
        if wrong := self._wrong(text):
            return Row(number, place, wrong=wrong)
        try:
            value: Any = json.loads(text)
        except (ValueError, RecursionError):
            return Row(number, place, wrong="it is no JSON")
        # Counted first: nearly all rows need no closer look.
        if text.count("[") + text.count("{") > MOST_LEVELS and is_too_deep(value):
            return Row(number, place, wrong=f"it is nested deeper than {MOST_LEVELS} levels")
        if isinstance(value, dict):
            return Row(number, place, cast("dict[str, Any]", value))
        return Row(number, place, {"text": value if isinstance(value, str) else text})


class Table(FileLines):
    """The rows of a .csv file under its first row, which names the columns.

    Commas, semicolons, tabs and bars part cells, whichever the first row has most of; cells may hold quotes and line
    breaks (RFC 4180).

    Raises:
        InvalidArgument: It has no row of names, or two columns of one name.
    """

    is_table = True

    def __init__(self, file: OpenedFile, longest: int) -> None:
        super().__init__(file, longest)
        # Of the whole process, so it is only ever raised.
        if csv.field_size_limit() < longest:
            csv.field_size_limit(longest)
        head = next(self.lines(), "")
        self._delimiter = max(_DELIMITERS, key=head.count)
        self.columns = self._names()

    def rows(self) -> Iterator[Row]:
        """See `Source`; blank lines are no rows."""
        reader = self._reader()
        next(reader)
        number = 0
        while True:
            line = reader.line_num + 1
            try:
                cells: list[str] = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                number += 1
                yield Row(number, {"line": line}, wrong=f"it is no row of a CSV file ({error})")
                continue
            if cells:
                number += 1
                yield self._of(number, line, cells)

    def _of(self, number: int, line: int, cells: list[str]) -> Row:
        place = {"line": line}
        if len(cells) != len(self.columns):
            return Row(number, place, wrong=f"it has {len(cells)} cells, the first row has {len(self.columns)}")
        wrong = next((wrong for cell in cells if (wrong := self._wrong(cell))), "")
        return Row(number, place, {} if wrong else dict(zip(self.columns, cells, strict=True)), wrong)

    def _reader(self) -> Any:
        return csv.reader(_Whole(self.lines(), self._longest), delimiter=self._delimiter, strict=True)

    def _names(self) -> tuple[str, ...]:
        try:
            names = [str(name).strip() for name in next(self._reader(), ())]
        except csv.Error as error:
            raise InvalidArgument(
                f"{self.shown} is no CSV file: its first row cannot be read ({error}).",
                next_step="The first row names the columns.",
            ) from None
        twice = next((name for name in names if names.count(name) > 1 or not name), None)
        if twice is not None or not names:
            why = f"has two columns {quoted(twice, 40)}" if twice else "has a column without a name"
            raise InvalidArgument(
                f"{self.shown} {why} in its first row.", next_step="Name each column once in the first row."
            )
        return tuple(names)


class _Whole:
    """Lines, of which one that was cut is an error: its cells would not show it. The next lines can still be had."""

    def __init__(self, lines: Iterator[str], longest: int) -> None:
        self._lines, self._longest = lines, longest

    def __iter__(self) -> _Whole:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        if len(line) > self._longest + 2:
            raise csv.Error(f"a line is longer than {self._longest:,} characters")
        return line


def _encoding(stream: io.FileIO, path: str) -> tuple[str, int]:
    """The encoding of an open file and the length of its mark; all of it is looked at for UTF-8."""
    stream.seek(0)
    head = stream.read(_SAMPLE) or b""
    if not head.strip(b" \t\r\n\x0b\x0c\xef\xbb\xbf"):
        raise InvalidArgument(f"{quoted(path)} is empty.", next_step="Give a file with at least one row.")
    encoding, start = marked_encoding(head)
    if encoding:
        return encoding, start
    check_text(head, name=path)
    if b"\0" in head and (encoding := _sixteen_bits(head, path)):
        return encoding, 0
    wrong = _first_not_utf8(stream)
    if wrong is None:
        return "utf-8", 0
    stream.seek(max(0, wrong - _SAMPLE // 2))
    sample = (stream.read(_SAMPLE) or b"").replace(b"\0", b"")
    return decode_text(sample, name=path).encoding, 0


def _sixteen_bits(head: bytes, path: str) -> str:
    try:
        encoding = decode_text(head, name=path).encoding
    except InvalidArgument:
        # A few NUL bytes: the rows that have them are marked.
        return ""
    return encoding if encoding.startswith("utf-16") else ""


def _first_not_utf8(stream: io.FileIO) -> int | None:
    """Where the first byte is that is no UTF-8; None where there is none."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    stream.seek(0)
    read = 0
    while piece := stream.read(_PIECE):
        held = len(decoder.getstate()[0])
        try:
            decoder.decode(piece)
        except UnicodeDecodeError as error:
            return read - held + error.start
        read += len(piece)
    return None
