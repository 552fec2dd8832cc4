"""The rows of a table (.csv, .tsv, .jsonl), numbered as ollama_batch numbers them."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import NamedTuple

from ollama_mcp.formats.delimited import delimiter_of
from ollama_mcp.work.files.documents import Document

_CSV_SUFFIXES = (".csv", ".tsv")
_JSONL_SUFFIXES = (".jsonl", ".ndjson")


class TableRow(NamedTuple):
    """One row, as it stands in the file.

    Attributes:
        number: Counted from 1 without the header; 0 where only a range of the file's lines was read.
        first_line: Its first line.
        last_line: Its last line; cells of a CSV file may hold line breaks.
        text: Its text.
    """

    number: int
    first_line: int
    last_line: int
    text: str


def table_rows(document: Document) -> list[TableRow]:
    """The rows of a document; empty where it is not a table, or cannot be read as one."""
    name = document.path.lower()
    if document.kind != "text":
        return []
    lines = document.text.split("\n")
    if name.endswith(_CSV_SUFFIXES):
        try:
            extents = list(_csv_extents(lines))
        except csv.Error:
            return []
        # The first row names the columns.
        return _numbered(document, lines, extents[1:] if document.first_line == 1 else extents)
    # Some programs write one JSON array into such a file: then its lines are not rows.
    if name.endswith(_JSONL_SUFFIXES) and not document.text.lstrip().startswith("["):
        return _numbered(document, lines, [(at, at + 1) for at, line in enumerate(lines) if line.strip()])
    return []


def table_header(document: Document) -> str:
    """The names of the columns on one line; "" where the document is no CSV file, or a range without them."""
    if document.first_line != 1 or not document.path.lower().endswith(_CSV_SUFFIXES):
        return ""
    lines = document.text.split("\n", 20)[:20]
    try:
        header = next(csv.reader((f"{line}\n" for line in lines), delimiter=delimiter_of(lines[0])), list[str]())
    except csv.Error:
        return ""
    return ", ".join(" ".join(name.split()) for name in header if name.strip())


def _csv_extents(lines: list[str]) -> Iterator[tuple[int, int]]:
    """Where each row begins and ends, as indexes of lines; blank lines are skipped."""
    reader = csv.reader((f"{line}\n" for line in lines), delimiter=delimiter_of(lines[0]))
    begin = 0
    for cells in reader:
        if cells:
            yield begin, reader.line_num
        begin = reader.line_num


def _numbered(document: Document, lines: list[str], extents: list[tuple[int, int]]) -> list[TableRow]:
    counted = document.first_line == 1
    return [
        TableRow(
            number if counted else 0,
            document.first_line + begin,
            document.first_line + end - 1,
            "\n".join(lines[begin:end]),
        )
        for number, (begin, end) in enumerate(extents, start=1)
    ]
