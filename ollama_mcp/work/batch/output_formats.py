"""Formats of the output file: JSON Lines, CSV, and NumPy arrays of vectors."""

from __future__ import annotations

import csv
import io
import json
import math
import struct
from collections.abc import Sequence
from typing import Any, Protocol, cast

from ollama_mcp.work.batch.rows import InputRow, Record, RowSource
from ollama_mcp.work.batch.spec import BatchSpec

_LINE = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
# A spreadsheet takes a cell that begins with one of these for a formula (OWASP, CSV injection).
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
# What a verdict has besides the answer, each in a column `QUESTION.MEMBER`.
_VERDICT_MEMBERS = ("probability", "confidence", "probabilities", "note")
_LOCATION_COLUMNS = ("row", "line", "path", "lines")


class OutputFormat(Protocol):
    """How rows are encoded."""

    @property
    def notes(self) -> list[str]:
        """What should be known about the content, once all rows are encoded."""
        ...

    def header(self) -> bytes:
        """The bytes before the first row."""
        ...

    def encode(self, row: InputRow, result: Record | bytes) -> bytes:
        """The bytes of one row, whose result is a record or a packed vector."""
        ...


class JsonlFormat:
    """A JSON object per line: `row`, its location, the columns of a table, then the result or the error."""

    def __init__(self, source: RowSource) -> None:
        self._keeps_columns = source.is_table
        self.notes: list[str] = []

    def header(self) -> bytes:
        """See `OutputFormat`."""
        return b""

    def encode(self, row: InputRow, result: Record | bytes) -> bytes:
        """See `OutputFormat`."""
        shown = as_object(row, result, columns=self._keeps_columns)
        try:
            line = _LINE.encode(shown).encode()
        except ValueError:
            # Half a surrogate pair, which has an escape in JSON but no bytes in UTF-8; or NaN, which JSON lacks.
            line = json.dumps(_finite(shown)).encode()
        if isinstance(result, bytes):
            line = b'%s, "embedding": [%s]}' % (line[:-1], _numbers(result))
        return line + b"\n"


class CsvFormat:
    """A CSV file (RFC 4180, UTF-8): the columns of a table unchanged, or the location of the row; then the result.

    The top-level properties of a schema have a column each; values below them are JSON. A question has columns for its
    answer and for what else the verdict says, with the probabilities of all options as JSON. A cell of the model that a
    spreadsheet would run as a formula gets an apostrophe before it, since the model may have read text that aims at
    that. Cells of the input stay as they were.
    """

    def __init__(self, source: RowSource, spec: BatchSpec) -> None:
        self._input_columns = list(source.columns) if source.is_table else ["row", *_location_columns(source)]
        self._is_table = source.is_table
        self._verdict_cells = _verdict_cells(spec)
        self._result_columns = [
            f"{name}.{member}" if member else name for name, member in self._verdict_cells
        ] or _property_columns(spec)
        self._escaped = 0

    @property
    def notes(self) -> list[str]:
        """See `OutputFormat`."""
        if not self._escaped:
            return []
        return [
            f"{self._escaped:,} cells that a spreadsheet would run as formulas begin with an apostrophe; .jsonl has "
            "them unchanged."
        ]

    def header(self) -> bytes:
        """See `OutputFormat`."""
        taken = set(self._input_columns)
        # A result column with the name of an input column is told apart by a prefix.
        names = [*(self._result_columns or ["output"]), "error"]
        return _csv_row([*self._input_columns, *(f"output.{name}" if name in taken else name for name in names)])

    def encode(self, row: InputRow, result: Record | bytes) -> bytes:
        """See `OutputFormat`."""
        record = cast("Record", result)
        location = {"row": row.number, **row.location}
        cells = [_cell((row.columns if self._is_table else location).get(name)) for name in self._input_columns]
        error = f"[{record.kind}] {record.message}" if record.kind else ""
        return _csv_row([*cells, *map(self._escape_formula, self._values(record.output)), error])

    def _values(self, output: Any) -> list[Any]:
        if self._verdict_cells:
            return [_verdict_value(output, name, member) for name, member in self._verdict_cells]
        return _property_values(output, self._result_columns) if self._result_columns else [output]

    def _escape_formula(self, value: Any) -> str:
        cell = _cell(value)
        if isinstance(value, str) and cell.startswith(_FORMULA_STARTS) and not _is_number(cell):
            self._escaped += 1
            return f"'{cell}"
        return cell


class NpyFormat:
    """A two-dimensional array in NumPy's format 1.0: a row of 32-bit floats per row of the input, NaN where it failed.

    Args:
        rows: Number of rows.
        dimensions: Numbers in a row.
    """

    def __init__(self, rows: int, dimensions: int) -> None:
        self._rows, self._dimensions = rows, dimensions
        self._failed = 0

    @property
    def notes(self) -> list[str]:
        """See `OutputFormat`."""
        shape = f"Its array is {self._rows:,} x {self._dimensions:,}, in the order of the input; files by their paths."
        return [shape, *([f"{self._failed:,} rows of the array are NaN: those that failed."] if self._failed else [])]

    def header(self) -> bytes:
        """See `OutputFormat`; the format is described in NumPy's `numpy.lib.format`."""
        shape = f"({self._rows}, {self._dimensions})"
        text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
        # The format wants the data aligned: magic, version, length and text are a multiple of 64 bytes together.
        padding = -(10 + len(text) + 1) % 64
        header = f"{text}{' ' * padding}\n".encode("latin-1")
        return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header

    def encode(self, row: InputRow, result: Record | bytes) -> bytes:
        """See `OutputFormat`."""
        if isinstance(result, bytes) and len(result) == 4 * self._dimensions:
            return result
        self._failed += 1
        return struct.pack(f"<{self._dimensions}f", *[math.nan] * self._dimensions)


def _numbers(vector: bytes) -> bytes:
    """The numbers of a packed vector, as JSON writes them."""
    count = len(vector) // 4
    # Eight digits are as many as a 32-bit float holds; Python would write up to seventeen.
    return (", ".join(["%.8g"] * count) % struct.unpack(f"<{count}f", vector)).encode()


def as_object(row: InputRow, result: Record | bytes, *, columns: bool) -> dict[str, Any]:
    """A row and its result as a JSON object; without the numbers of a vector."""
    shown: dict[str, Any] = {"row": row.number, **row.location}
    if columns and row.columns:
        shown["input"] = row.columns
    if isinstance(result, bytes):
        return shown
    if result.kind:
        return shown | {"error": {"kind": result.kind, "message": result.message}}
    return shown | {"output": result.output} | ({"notes": list(result.notes)} if result.notes else {})


def _location_columns(source: RowSource) -> Sequence[str]:
    first = next(source.rows(), None)
    return [name for name in _LOCATION_COLUMNS if first is not None and name in first.location]


def _property_columns(spec: BatchSpec) -> list[str]:
    """The columns of a result; none where it is one value."""
    properties: object = spec.format.get("properties") if isinstance(spec.format, dict) else None
    return list(cast("dict[str, Any]", properties)) if isinstance(properties, dict) and properties else []


def _verdict_cells(spec: BatchSpec) -> list[tuple[str, str]]:
    """Question and member of each column of verdicts, "" for the answer."""
    cells: list[tuple[str, str]] = []
    for question in spec.questions:
        score = ("score",) if question.type == "score" else ()
        model = ("model",) if spec.cascade else ()
        cells += [(question.name, member) for member in ("", *score, *_VERDICT_MEMBERS, *model)]
    return cells


def _verdict_value(output: Any, name: str, member: str) -> Any:
    verdicts = cast("dict[str, dict[str, Any]]", output) if isinstance(output, dict) else {}
    verdict = verdicts.get(name, {})
    if member == "probability":
        return verdict.get("probabilities", {}).get(verdict["answer"]) if verdict else None
    return verdict.get(member or "answer")


def _property_values(output: Any, names: Sequence[str]) -> list[Any]:
    members = cast("dict[str, Any]", output) if isinstance(output, dict) else {}
    return [members.get(name) for name in names]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _csv_row(cells: Sequence[str]) -> bytes:
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator="\r\n").writerow(cells)
    # Half a surrogate pair, which a .jsonl input can bring, has no bytes in UTF-8.
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
