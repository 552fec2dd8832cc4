"""The forms of an output file: a line of JSON, a row of CSV or a row of numbers for each row of the input."""

from __future__ import annotations

import csv
import io
import json
import math
import struct
from collections.abc import Sequence
from typing import Any, Protocol, cast

from ollama_mcp.work.batch.order import Order
from ollama_mcp.work.batch.rows import Record, Row, Source

# What a spreadsheet takes for a formula where a cell begins with it (OWASP, CSV injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_CONFIDENCE = ".confidence"
_PLACE = ("row", "line", "path", "lines")


class Layout(Protocol):
    """How rows are written."""

    @property
    def notes(self) -> list[str]:
        """What was done to the content."""
        ...

    def head(self) -> bytes:
        """What stands before the first row."""
        ...

    def row(self, row: Row, result: Record | bytes) -> bytes:
        """One row: a record, or the numbers of a vector."""
        ...


class Jsonl:
    """A JSON object a line: `row`, where it comes from, the columns of a table, then the result or the error."""

    def __init__(self, source: Source) -> None:
        self._keeps_columns = source.is_table
        self.notes: list[str] = []

    def head(self) -> bytes:
        """See `Layout`."""
        return b""

    def row(self, row: Row, result: Record | bytes) -> bytes:
        """See `Layout`."""
        shown = as_object(row, result, columns=self._keeps_columns)
        try:
            return json.dumps(shown, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        except ValueError:
            # Half a surrogate pair, which JSON can spell and UTF-8 cannot; or NaN, for which JSON has only null.
            return json.dumps(_finite(shown)).encode() + b"\n"


class Csv:
    """A CSV file (RFC 4180, UTF-8): the columns of a table as they were, or where the row comes from; then the result.

    The members of a schema's object have a column each, one level deep; what lies deeper is JSON. A cell of the model
    that a spreadsheet would run as a formula gets an apostrophe before it: the model read what others wrote. Cells of
    the input stay as they were.
    """

    def __init__(self, source: Source, order: Order) -> None:
        self._first = list(source.columns) if source.is_table else ["row", *_places(source)]
        self._is_table = source.is_table
        self._members = _result_columns(order)
        self._split = _verdicts if order.questions else _members
        self._guarded = 0

    @property
    def notes(self) -> list[str]:
        """See `Layout`."""
        if not self._guarded:
            return []
        return [
            f"{self._guarded:,} cells that a spreadsheet would run as formulas begin with an apostrophe; .jsonl has "
            "them as they are."
        ]

    def head(self) -> bytes:
        """See `Layout`."""
        taken = set(self._first)
        names = [*(self._members or ["output"]), "error"]
        return _csv_row([*self._first, *(f"output.{name}" if name in taken else name for name in names)])

    def row(self, row: Row, result: Record | bytes) -> bytes:
        """See `Layout`."""
        record = cast("Record", result)
        place = {"row": row.number, **row.place}
        first = [_cell((row.columns if self._is_table else place).get(name)) for name in self._first]
        error = f"[{record.kind}] {record.message}" if record.kind else ""
        values = self._split(record.output, self._members) if self._members else [record.output]
        return _csv_row([*first, *map(self._guard, values), error])

    def _guard(self, value: Any) -> str:
        cell = _cell(value)
        if isinstance(value, str) and cell.startswith(_FORMULA) and not _is_number(cell):
            self._guarded += 1
            return f"'{cell}"
        return cell


class Npy:
    """An array of NumPy's format 1.0: a row of 32-bit floats for each row of the input, NaN where there is none.

    Args:
        rows: Number of rows.
        dimensions: Numbers of a row.
    """

    def __init__(self, rows: int, dimensions: int) -> None:
        self._rows, self._dimensions = rows, dimensions
        self._empty = 0

    @property
    def notes(self) -> list[str]:
        """See `Layout`."""
        shape = f"Its array is {self._rows:,} x {self._dimensions:,}, in the order of the input; files by their paths."
        return [shape, *([f"{self._empty:,} rows of the array are NaN: those that failed."] if self._empty else [])]

    def head(self) -> bytes:
        """See `Layout`; the format is described in NumPy's `numpy.lib.format`."""
        shape = f"({self._rows}, {self._dimensions})"
        text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
        # Magic, version, length and text together are a multiple of 64 bytes, so that the numbers are aligned.
        padding = -(10 + len(text) + 1) % 64
        header = f"{text}{' ' * padding}\n".encode("latin-1")
        return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header

    def row(self, row: Row, result: Record | bytes) -> bytes:
        """See `Layout`."""
        if isinstance(result, bytes) and len(result) == 4 * self._dimensions:
            return result
        self._empty += 1
        return struct.pack(f"<{self._dimensions}f", *[math.nan] * self._dimensions)


def numbers(vector: bytes) -> tuple[float, ...]:
    """The numbers of a vector as it is kept."""
    return struct.unpack(f"<{len(vector) // 4}f", vector)


def as_object(row: Row, result: Record | bytes, *, columns: bool) -> dict[str, Any]:
    """A row and what came of it, as JSON has it."""
    shown: dict[str, Any] = {"row": row.number, **row.place}
    if columns and row.columns:
        shown["input"] = row.columns
    if isinstance(result, bytes):
        return shown | {"embedding": [float(f"{number:.8g}") for number in numbers(result)]}
    if result.kind:
        return shown | {"error": {"kind": result.kind, "message": result.message}}
    return shown | {"output": result.output} | ({"notes": list(result.notes)} if result.notes else {})


def _places(source: Source) -> Sequence[str]:
    first = next(source.rows(), None)
    return [name for name in _PLACE if first is not None and name in first.place]


def _result_columns(order: Order) -> list[str]:
    """The columns of a result; "output" where it is one value."""
    if order.questions:
        return [f"{question.name}{suffix}" for question in order.questions for suffix in ("", _CONFIDENCE)]
    properties: object = order.format.get("properties") if isinstance(order.format, dict) else None
    return list(cast("dict[str, Any]", properties)) if isinstance(properties, dict) and properties else []


def _verdicts(output: Any, names: Sequence[str]) -> list[Any]:
    """Answer and confidence of each question."""
    members = cast("dict[str, dict[str, Any]]", output) if isinstance(output, dict) else {}
    return [
        members.get(name.removesuffix(_CONFIDENCE), {}).get("confidence" if name.endswith(_CONFIDENCE) else "answer")
        for name in names
    ]


def _members(output: Any, names: Sequence[str]) -> list[Any]:
    members = cast("dict[str, Any]", output) if isinstance(output, dict) else {}
    return [members.get(name) for name in names]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _csv_row(cells: Sequence[str]) -> bytes:
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator="\r\n").writerow(cells)
    return stream.getvalue().encode(errors="replace")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(member) for name, member in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_finite(member) for member in cast("list[Any]", value)]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
