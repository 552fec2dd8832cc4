"""The readable text of an HTML page: headings, lists and tables, without scripts and styles."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

_DROPPED = frozenset({"script", "style", "template", "noscript", "svg", "math", "iframe", "object", "head", "select"})
_BLOCKS = frozenset(
    (
        *("address", "article", "aside", "blockquote", "body", "caption", "dd", "details", "dialog", "div", "dl", "dt"),
        *("fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr"),
        *("legend", "li", "main", "menu", "nav", "ol", "p", "pre", "section", "summary", "table", "tbody", "td"),
        *("tfoot", "th", "thead", "tr", "ul"),
    )
)
_FOLLOWED_BY_BLANK_LINE = frozenset({"blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "ol", "p", "pre", "table", "ul"})
_LISTS = frozenset({"ul", "ol", "menu"})
_SPACES = re.compile(r"[ \t\n\r\f]+")


def html_text(data: bytes, notes: list[str]) -> Iterator[str]:
    """Yield the text of a UTF-8 page, line by line: `#` before headings, `-` before items, `|` around cells."""
    del notes
    from selectolax.lexbor import LexborHTMLParser

    page = LexborHTMLParser(data.decode("utf-8", "replace"))
    title = page.css_first("head > title")
    if title is not None and (text := _SPACES.sub(" ", title.text()).strip()):
        yield f"{text}\n\n"
    if page.body is not None:
        yield from _TextWriter().lines(page.body)


class _TextWriter:
    """The state of a walk over a page: the line being written, and the lists and tables it is in."""

    def __init__(self) -> None:
        # What the next line starts with: the mark of a heading or a list item.
        self._prefix = ""
        self._line: list[str] = []
        self._after_blank_line = True
        self._preformatted = 0
        self._row_depth = 0
        # Rows of layout tables, by the address of the node.
        self._layout_rows: set[int] = set()
        # The lists around the current place: the next number, None for lists without numbers.
        self._lists: list[int | None] = []

    def lines(self, top: LexborNode) -> Iterator[str]:
        """Yield the lines below a node; without recursion, since the nesting of a page has no limit."""
        node: LexborNode | None = top
        while node is not None:
            yield from self._enter(node)
            below = None if node.tag in _DROPPED else node.child
            while below is None and node is not None:
                yield from self._leave(node)
                if node.mem_id == top.mem_id:
                    return
                below, node = node.next, node.parent
            node = below

    def _enter(self, node: LexborNode) -> Iterator[str]:
        tag = node.tag or ""
        if tag == "-text":
            self._line.append(node.text_content or "")
        elif tag == "br" and self._preformatted:
            self._line.append("\n")
        elif tag in ("td", "th") and self._row_depth == 1:
            # Only cells of the outermost row: a table in a cell is written as text of that cell.
            self._line.append(" | " if self._line else "| ")
        elif tag in _BLOCKS or tag == "br":
            yield from self._end_line(tag, outermost=not self._lists)
            self._start_block(tag, node)

    def _start_block(self, tag: str, node: LexborNode) -> None:
        if tag == "tr":
            # A table with a table inside serves layout: its rows are not rows of text.
            if not self._row_depth and node.css_first("table") is not None:
                self._layout_rows.add(node.mem_id)
            else:
                self._row_depth += 1
        elif tag in _LISTS:
            self._lists.append(1 if tag == "ol" else None)
        elif tag == "li" and not self._row_depth:
            self._prefix = self._item_prefix()
        elif tag == "pre" and not self._row_depth:
            self._preformatted += 1
        elif tag[0] == "h" and tag[1:].isdigit() and not self._row_depth:
            self._prefix = "#" * int(tag[1]) + " "

    def _leave(self, node: LexborNode) -> Iterator[str]:
        tag = node.tag or ""
        if tag == "tr" and node.mem_id in self._layout_rows:
            self._layout_rows.discard(node.mem_id)
        elif tag == "tr":
            if self._row_depth == 1 and self._line:
                self._line.append(" |")
            self._row_depth -= 1
        if tag in _BLOCKS:
            yield from self._end_line(tag, outermost=len(self._lists) == (tag in _LISTS))
        if tag in _LISTS:
            self._lists.pop()
        elif tag == "pre" and not self._row_depth:
            self._preformatted -= 1
        elif tag == "li":
            self._prefix = ""

    def _item_prefix(self) -> str:
        number = self._lists[-1] if self._lists else None
        if number is not None:
            self._lists[-1] = number + 1
        return "  " * max(0, len(self._lists) - 1) + ("- " if number is None else f"{number}. ")

    def _end_line(self, tag: str, *, outermost: bool) -> Iterator[str]:
        """End the line at the edge of a block; in a table row it goes on, and in a list no blank line follows."""
        if self._row_depth:
            self._line.append(" ")
            return
        text = "".join(self._line)
        self._line.clear()
        text = text.strip("\n") if self._preformatted else _SPACES.sub(" ", text).strip()
        if text.strip():
            yield f"{self._prefix}{text.rstrip()}\n"
            self._prefix = ""
            self._after_blank_line = False
        if tag in _FOLLOWED_BY_BLANK_LINE and outermost and not self._after_blank_line and not self._prefix:
            yield "\n"
            self._after_blank_line = True
