"""Files whose lines or records are the rows of a batch: .txt, .jsonl and .csv, read in constant memory.

A file stays open for the whole batch and is read again from its beginning, so that another file put in its place is
never mixed in; a change of the file itself is seen by its size and time.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from ollama_mcp.access.quoting import quoted
from ollama_mcp.errors import DiskError, InvalidArgument
from ollama_mcp.formats.delimited import delimiter_of
from ollama_mcp.media.text import bom_encoding, check_text, decode_text
from ollama_mcp.work.batch.json_array import array_items
from ollama_mcp.work.batch.rows import MAX_JSON_DEPTH, InputChanged, InputRow, exceeds_max_depth

if TYPE_CHECKING:
    from ollama_mcp.access import OpenedFile

_SAMPLE_BYTES = 65_536
_BUFFER_BYTES = 1 << 20


class TextFileSource:
    """A text file whose lines are rows.

    Args:
        file: The open file; closed by `close`.
        max_chars: The longest line that is used, in characters.

    Raises:
        InvalidArgument: It is empty or not text.
    """

    is_table = False
    from_files = True
    notes: Sequence[str] = ()

    def __init__(self, file: OpenedFile, max_chars: int) -> None:
        self._file, self._max_chars = file, max_chars
        self._layers: tuple[io.TextIOBase | io.BufferedIOBase, ...] = ()
        self._opened_as = self._stat()
        self.label = quoted(file.path, 60)
        self._encoding, self._start = _detect_encoding(file.stream, file.path)
        self._too_long = f"it is longer than {max_chars:,} characters (setting limits.prompt_bytes)"
        self.columns: Sequence[str] = ("text",)

    @property
    def fingerprint(self) -> str:
        """See `RowSource`."""
        size, changed, *_ = self._opened_as
        return f"{self._file.path}\n{size}\n{changed}"

    def rows(self) -> Iterator[InputRow]:
        """See `RowSource`; blank lines are skipped."""
        number = 0
        for line, text in enumerate(self.lines(), start=1):
            if text.strip():
                number += 1
                yield self._row(number, line, text.rstrip("\r\n"))

    def each(self) -> Iterator[object]:
        """Something for each row, whose content is looked at only where that tells rows apart."""
        return (line for line in self.lines() if not line.isspace())

    def lines(self) -> Iterator[str]:
        """The lines with their line ends; one that is too long is cut just beyond the limit, so that it is seen."""
        with self._decoded() as wrapper:
            # Room for the line end, and for one character that shows that the line was cut.
            while line := wrapper.readline(self._max_chars + 3):
                yield line
                # The rest of a line that was cut.
                while line and line[-1] not in "\r\n":
                    line = wrapper.readline(self._max_chars)

    @contextmanager
    def _decoded(self) -> Generator[io.TextIOWrapper]:
        """The text from its beginning."""
        self._detach()
        self._file.stream.seek(self._start)
        buffered = io.BufferedReader(self._file.stream, _BUFFER_BYTES)
        # A damaged byte costs its character, not the batch; newline="" leaves the line ends to the CSV reader.
        wrapper = io.TextIOWrapper(buffered, self._encoding, errors="replace", newline="")
        self._layers = layers = (wrapper, buffered)
        try:
            yield wrapper
        except OSError as error:
            raise DiskError(f"{self.label} could not be read: {error.strerror or type(error).__name__}.") from error
        finally:
            if self._layers is layers:
                self._detach()

    def _detach(self) -> None:
        """End an iteration that was left early: its layers, once collected, would move the position in the file."""
        for layer in self._layers:
            # Closing a layer would close the file, which is read again.
            layer.detach()
        self._layers = ()

    def check_unchanged(self) -> None:
        """See `RowSource`."""
        if self._stat() != self._opened_as:
            raise InputChanged(
                f"{self.label} changed while it was read; rows of the old and the new content are not mixed.",
                next_step="The same call starts over with the new content.",
            )

    def close(self) -> None:
        """See `RowSource`."""
        self._detach()
        self._file.stream.close()

    def _row(self, number: int, line: int, text: str) -> InputRow:
        location = {"line": line}
        if problem := self._problem(text):
            return InputRow(number, location, problem=problem)
        return InputRow(number, location, {"text": text})

    def _problem(self, text: str) -> str:
        if len(text) > self._max_chars:
            return self._too_long
        return "it has NUL characters" if "\0" in text else ""

    def _stat(self) -> tuple[int, int, int]:
        status = os.fstat(self._file.stream.fileno())
        return status.st_size, status.st_mtime_ns, status.st_ino


class JsonlSource(TextFileSource):
    """A .jsonl file: the members of an object are the columns of a row; any other value is a text.

    Many programs write one JSON array into such a file: then its items are the rows.

    Raises:
        InvalidArgument: It begins as one JSON array, but is none.
    """

    is_table = True

    def __init__(self, file: OpenedFile, max_chars: int) -> None:
        super().__init__(file, max_chars)
        self._is_array = self._begins_as_array()
        if self._is_array:
            self.notes = (f"{self.label} is one JSON array; its items are the rows.",)
        # The first usable row names the columns; others may have more or fewer.
        first = next((row for row in self.rows() if not row.problem), None)
        self.columns = tuple(first.columns) if first is not None else ()

    def rows(self) -> Iterator[InputRow]:
        """See `RowSource`."""
        return self._items() if self._is_array else super().rows()

    def each(self) -> Iterator[object]:
        """See `TextFileSource`."""
        return self._items() if self._is_array else super().each()

    def _begins_as_array(self) -> bool:
        """Whether the first line is the beginning or the whole of an array that no other value follows."""
        lines = (line for line in self.lines() if line.strip())
        first = next(lines, "").lstrip()
        if not first.startswith("["):
            return False
        try:
            json.loads(first)
        except (ValueError, RecursionError):
            return True
        return next(lines, None) is None

    def _items(self) -> Iterator[InputRow]:
        with self._decoded() as wrapper:
            chunks = iter(lambda: wrapper.read(_BUFFER_BYTES), "")
            try:
                for number, text in enumerate(array_items(chunks, self._max_chars + 1), start=1):
                    yield self._record(number, {"item": number}, text)
            except ValueError as error:
                raise InvalidArgument(
                    f"{self.label} begins as one JSON array, but {error}.",
                    next_step="Write one JSON value on each line, or one complete array.",
                ) from None

    def _row(self, number: int, line: int, text: str) -> InputRow:
        return self._record(number, {"line": line}, text)

    def _record(self, number: int, location: dict[str, Any], text: str) -> InputRow:
        if problem := self._problem(text):
            return InputRow(number, location, problem=problem)
        try:
            value: Any = json.loads(text)
        except (ValueError, RecursionError):
            return InputRow(number, location, problem="it is not valid JSON")
        # Counting brackets is cheap, and spares nearly all rows the walk through their values.
        if text.count("[") + text.count("{") > MAX_JSON_DEPTH and exceeds_max_depth(value):
            return InputRow(number, location, problem=f"it is nested deeper than {MAX_JSON_DEPTH} levels")
        if isinstance(value, dict):
            return InputRow(number, location, cast("dict[str, Any]", value))
        return InputRow(number, location, {"text": value if isinstance(value, str) else text})


class CsvSource(TextFileSource):
    """A .csv or .tsv file whose first row names the columns.

    The delimiter is the one of comma, semicolon, tab and bar that the first row has most of; cells may hold quotes and
    line breaks (RFC 4180).

    Raises:
        InvalidArgument: The first row cannot be read, or names a column twice or not at all.
    """

    is_table = True

    def __init__(self, file: OpenedFile, max_chars: int) -> None:
        super().__init__(file, max_chars)
        # The limit belongs to the whole process: lowering it would break another batch.
        if csv.field_size_limit() < max_chars:
            csv.field_size_limit(max_chars)
        header = next(self.lines(), "")
        self._delimiter = delimiter_of(header)
        self.columns = self._column_names()

    def rows(self) -> Iterator[InputRow]:
        """See `RowSource`; blank lines are skipped."""
        reader = self._reader()
        next(reader)
        number = 0
        # Not a for loop, which would end with the first bad row.
        while True:
            line = reader.line_num + 1
            try:
                cells: list[str] = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                number += 1
                yield InputRow(number, {"line": line}, problem=f"it is not a valid CSV row ({error})")
                continue
            if cells:
                number += 1
                yield self._record(number, line, cells)

    def each(self) -> Iterator[object]:
        """See `TextFileSource`."""
        return self.rows()

    def _record(self, number: int, line: int, cells: list[str]) -> InputRow:
        location = {"line": line}
        if len(cells) != len(self.columns):
            return InputRow(
                number, location, problem=f"it has {len(cells)} cells, the first row has {len(self.columns)}"
            )
        problem = next((problem for cell in cells if (problem := self._problem(cell))), "")
        return InputRow(number, location, {} if problem else dict(zip(self.columns, cells, strict=True)), problem)

    def _reader(self) -> Any:
        return csv.reader(_UncutLines(self.lines(), self._max_chars), delimiter=self._delimiter, strict=True)

    def _column_names(self) -> tuple[str, ...]:
        try:
            names = [str(name).strip() for name in next(self._reader(), ())]
        except csv.Error as error:
            raise InvalidArgument(
                f"{self.label} is not a valid CSV file: its first row cannot be read ({error}).",
                next_step="The first row names the columns.",
            ) from None
        twice = next((name for name in names if names.count(name) > 1 or not name), None)
        if twice is not None or not names:
            why = f"has two columns {quoted(twice, 40)}" if twice else "has a column without a name"
            raise InvalidArgument(
                f"{self.label} {why} in its first row.", next_step="Name each column once in the first row."
            )
        return tuple(names)


class _UncutLines:
    """Lines for the CSV reader; one that was cut is an error, since its cells would not show it. The next go on."""

    def __init__(self, lines: Iterator[str], max_chars: int) -> None:
        self._lines, self._max_chars = lines, max_chars

    def __iter__(self) -> _UncutLines:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        if len(line) > self._max_chars + 2:
            raise csv.Error(f"a line is longer than {self._max_chars:,} characters")
        return line


def _detect_encoding(stream: io.FileIO, path: str) -> tuple[str, int]:
    """The encoding of an open file and the length of its byte order mark.

    The whole file is decoded once as UTF-8: a byte that is not may stand anywhere in it.
    """
    stream.seek(0)
    head = stream.read(_SAMPLE_BYTES) or b""
    if not head.strip(b" \t\r\n\x0b\x0c\xef\xbb\xbf"):
        raise InvalidArgument(f"{quoted(path)} is empty.", next_step="Give a file with at least one row.")
    encoding, start = bom_encoding(head)
    if encoding:
        return encoding, start
    check_text(head, name=path)
    if b"\0" in head and (encoding := _utf16_without_bom(head, path)):
        return encoding, 0
    offset = _first_not_utf8(stream)
    if offset is None:
        return "utf-8", 0
    # Legacy encodings are told apart by their letters beyond ASCII, of which the first ones are here.
    stream.seek(max(0, offset - _SAMPLE_BYTES // 2))
    sample = (stream.read(_SAMPLE_BYTES) or b"").replace(b"\0", b"")
    return decode_text(sample, name=path).encoding, 0


def _utf16_without_bom(head: bytes, path: str) -> str:
    try:
        encoding = decode_text(head, name=path).encoding
    except InvalidArgument:
        # Just a few NUL bytes: the rows that have them are marked.
        return ""
    return encoding if encoding.startswith("utf-16") else ""


def _first_not_utf8(stream: io.FileIO) -> int | None:
    """Offset of the first byte that is not valid UTF-8; None where all are."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    stream.seek(0)
    read = 0
    while chunk := stream.read(_BUFFER_BYTES):
        # The beginning of a character that the chunk before ended with; offsets of errors count it.
        held = len(decoder.getstate()[0])
        try:
            decoder.decode(chunk)
        except UnicodeDecodeError as error:
            return read - held + error.start
        read += len(chunk)
    return None
