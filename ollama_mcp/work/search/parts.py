"""The parts of a document that are searched: its sections or rows, each with its heading; short ones joined."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ollama_mcp.formats.sections import MAX_HEADING, Section, sections
from ollama_mcp.work.files.documents import Document
from ollama_mcp.work.search.table_rows import table_header, table_rows

# A section with fewer characters says too little alone; pages and cells stay what they are, for their number.
SHORT = 200
_NEVER_JOINED = ("pdf", "notebook")


class Part(NamedTuple):
    """A part of a document.

    Attributes:
        text: Its text.
        first_line: Its first line in the file.
        heading: The titles it stands under, the names of its definitions, or of a table the names of its columns.
        row: The number of the row of a table, else 0.
        last_line: The last line of that row, else 0.
    """

    text: str
    first_line: int
    heading: str = ""
    row: int = 0
    last_line: int = 0


def parts_of(document: Document, chars: int) -> Iterator[Part]:
    """Yield the parts of a document in order; put together they are its text, but for a table's header and blank lines.

    Args:
        document: What to take apart.
        chars: The most that short sections have together.
    """
    if rows := table_rows(document):
        header = table_header(document)[:MAX_HEADING]
        for row in rows:
            yield Part(row.text, row.first_line, header, row.number, row.last_line)
        return
    found = sections(document.text, document.kind, document.path)
    line, groups = document.first_line, _joined(found, chars)
    for group in [[one] for one in found] if document.kind in _NEVER_JOINED else groups:
        start, end = group[0].start, group[-1].end
        yield Part(document.text[start:end], line, _heading(group))
        line += document.text.count("\n", start, end)


def _joined(found: Sequence[Section], chars: int) -> Iterator[list[Section]]:
    """Short sections together with those that follow under the same title."""
    group: list[Section] = []
    for section in found:
        if group:
            size, first = section.end - group[0].start, group[0]
            parent = first.path if len(group) == 1 and len(section.path) > len(first.path) else first.path[:-1]
            related = section.path[: len(parent)] == parent
            if size > chars or not related or group[-1].end - first.start >= SHORT:
                yield group
                group = []
        group.append(section)
    if group:
        yield group


def _heading(group: Sequence[Section]) -> str:
    """The heading of the first section, and the titles of those that were joined to it."""
    first = group[0].heading
    others = dict.fromkeys(one.path[-1] for one in group[1:] if one.path and one.path[-1] not in group[0].path)
    return ", ".join(filter(None, (first, *others)))[:MAX_HEADING]
