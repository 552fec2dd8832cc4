"""The text of a Word document (Office Open XML, ISO/IEC 29500): paragraphs, headings, lists and tables."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from typing import Any

from ollama_mcp.media.documents import UnusableDocument

_MAX_UNPACKED_BYTES = 200_000_000
_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
# A drawing may be given twice, in a new and in an old markup; the old one would repeat its text.
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_BREAKS = {f"{_W}tab": "\t", f"{_W}br": "\n", f"{_W}cr": "\n", f"{_W}noBreakHyphen": "-"}
_WRAPPERS = frozenset({f"{_W}sdt", f"{_W}sdtContent", f"{_W}customXml", f"{_W}ins"})
_HEADING = re.compile(r"heading (\d)", re.IGNORECASE)


def docx_text(data: bytes, notes: list[str]) -> Iterator[str]:
    """Yield paragraphs and tables in their order; headers, footers, notes and comments are left out.

    Raises:
        UnusableDocument: It unpacks to more than 200 MB.
    """
    _check_size(data)
    from docx import Document

    # The XML is walked here: python-docx looks up the style of each paragraph again, which takes seconds for a book.
    document = Document(io.BytesIO(data))
    styles: dict[str, str] = {style.style_id: style.name or "" for style in document.styles}
    root: Any = document.element
    notes.append("without headers, footers, footnotes and comments")
    yield from _blocks(root.body, styles)


def _check_size(data: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        # The stated sizes may be wrong, but zipfile unpacks no more than they say.
        if sum(entry.file_size for entry in archive.infolist()) > _MAX_UNPACKED_BYTES:
            raise UnusableDocument(
                f"it unpacks to more than {_MAX_UNPACKED_BYTES // 1_000_000} MB",
                "Save it without its pictures as text.",
            )


def _blocks(parent: Any, styles: dict[str, str]) -> Iterator[str]:
    for child in parent:
        if child.tag == f"{_W}p":
            yield _paragraph(child, styles)
        elif child.tag == f"{_W}tbl":
            yield from _rows(child)
            yield "\n"
        elif child.tag in _WRAPPERS:
            yield from _blocks(child, styles)


def _paragraph(element: Any, styles: dict[str, str]) -> str:
    text = "".join(_runs(element)).strip("\n")
    if not text.strip():
        return "\n"
    style: Any = element.find(f"{_W}pPr/{_W}pStyle")
    name = styles.get(style.get(f"{_W}val"), "") if style is not None else ""
    if heading := _HEADING.match(name):
        return f"{'#' * int(heading[1])} {text}\n\n"
    if name == "Title":
        return f"# {text}\n\n"
    if name.startswith("List") or element.find(f"{_W}pPr/{_W}numPr") is not None:
        level: Any = element.find(f"{_W}pPr/{_W}numPr/{_W}ilvl")
        depth = level.get(f"{_W}val", "0") if level is not None else "0"
        return f"{'  ' * min(int(depth), 8) if depth.isdigit() else ''}- {text}\n"
    return f"{text}\n"


def _runs(element: Any) -> Iterator[str]:
    for child in element:
        if child.tag == f"{_W}t":
            yield child.text or ""
        elif child.tag in _BREAKS:
            yield _BREAKS[child.tag]
        elif child.tag != _FALLBACK:
            yield from _runs(child)
            if child.tag == f"{_W}p":
                # A paragraph inside a paragraph: a text box.
                yield "\n"


def _rows(table: Any) -> Iterator[str]:
    for row in table.iter(f"{_W}tr"):
        # `iter` also yields the rows of nested tables, so a cell's text is that of its own paragraphs only.
        cells = [" ".join("".join(_cell(cell)).split()) for cell in row.iterchildren(f"{_W}tc", f"{_W}sdt")]
        yield f"| {' | '.join(cells)} |\n"


def _cell(cell: Any) -> Iterator[str]:
    for child in cell:
        if child.tag == f"{_W}p":
            yield from _runs(child)
            yield " "
        elif child.tag != f"{_W}tbl":
            yield from _cell(child)
