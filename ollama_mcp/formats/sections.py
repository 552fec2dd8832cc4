"""The sections of a text: Markdown by headings, code by definitions, PDF by pages, notebooks by cells.

Sections follow one another without a gap: put together they are the text. All of it is read line by line and by rules
that take linear time, since the files are untrusted and no parser's memory is bounded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ollama_mcp.formats.definitions import CODE_SUFFIXES, definitions

_MARKDOWN_SUFFIXES = (".md", ".markdown", ".mdx", ".qmd", ".rmd")
_UNDERLINED_SUFFIXES = (".rst", ".rest")
# What the converters of PDF files and notebooks write before each page and cell.
_PAGE = re.compile(r"\[(page \d+) of \d+(?:: no text)?\]")
_CELL = re.compile(r"\[(cell \d+): \w+\]")
_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(\S.*?)|)(?:[ \t]+#+)?[ \t]*")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_MARKDOWN_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*")
_ANY_UNDERLINE = re.compile(r"([=\-~^\"'`#*+:.])\1{2,}[ \t]*")
# What begins a line of a list, a quote, a table or a comment, above which no underline makes a title.
_NO_TITLE = ("-", "*", "+", ">", "|", "<", "#", "=", "`", " ", "\t")
# Longer lines are no titles; it also bounds what a pattern looks at.
_MAX_TITLE_LINE = 300
_MAX_TITLE = 80
MAX_HEADING = 200


class Section(NamedTuple):
    """A part of a text.

    Attributes:
        start: Offset of its first character, at the beginning of a line.
        end: Offset after its last.
        path: The titles it stands under, the outermost first; empty before the first title.
        joiner: What stands between them where they are shown.
    """

    start: int
    end: int
    path: tuple[str, ...]
    joiner: str = " > "

    @property
    def heading(self) -> str:
        """The titles as one line; the outermost go where it would be too long."""
        path = [title if len(title) <= _MAX_TITLE else f"{title[: _MAX_TITLE - 1]}…" for title in self.path]
        while len(path) > 1 and sum(map(len, path)) + len(self.joiner) * len(path) > MAX_HEADING:
            del path[0]
        return self.joiner.join(path)


def sections(text: str, kind: str, name: str) -> list[Section]:
    """The sections of a text, in order; one without a title where its format has none. An empty text has none.

    Args:
        text: With "\\n" as its only line break.
        kind: "text", "pdf", "docx", "html" or "notebook": what it was read from.
        name: The name of its file, whose ending tells what the text is.
    """
    if not text:
        return []
    name = name.lower()
    if kind == "pdf":
        return _marked(text, _PAGE)
    if kind == "notebook":
        return _marked(text, _CELL)
    # The converters of these write headings as Markdown does.
    if kind in ("docx", "html") or name.endswith(_MARKDOWN_SUFFIXES):
        return _titled(text, _markdown_titles)
    if name.endswith(_UNDERLINED_SUFFIXES):
        return _titled(text, _underlined_titles)
    if kind == "text" and name.endswith(CODE_SUFFIXES):
        return _contiguous(text, [(start, path, ".") for start, path in definitions(text)])
    return [Section(0, len(text), ())]


def lines_of(text: str) -> Iterator[tuple[int, str]]:
    """Offset and beginning of each line, without its line break; what no title or definition reaches is left out."""
    start = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        yield start, text[start : min(end, start + _MAX_TITLE_LINE + 1)]
        start = end + 1


def _marked(text: str, mark: re.Pattern[str]) -> list[Section]:
    """Sections that begin with a line of their own."""
    marks = ((start, mark.fullmatch(line)) for start, line in lines_of(text))
    return _contiguous(text, [(start, (found[1],), "") for start, found in marks if found])


def _titled(text: str, titles: Callable[[str], Iterator[tuple[int, int, str]]]) -> list[Section]:
    path: list[tuple[int, str]] = []
    starts: list[tuple[int, tuple[str, ...], str]] = []
    for start, level, title in titles(text):
        while path and path[-1][0] >= level:
            path.pop()
        path.append((level, title))
        starts.append((start, tuple(title for _, title in path if title), " > "))
    return _contiguous(text, starts)


def _contiguous(text: str, starts: list[tuple[int, tuple[str, ...], str]]) -> list[Section]:
    """Sections from where each begins, and what stands before the first."""
    if not starts or starts[0][0] > 0:
        starts = [(0, (), ""), *starts]
    ends = [start for start, *_ in starts[1:]] + [len(text)]
    return [Section(start, end, path, joiner) for (start, path, joiner), end in zip(starts, ends, strict=True)]


def _markdown_titles(text: str) -> Iterator[tuple[int, int, str]]:
    """Offset, level and text of each heading of a Markdown text (CommonMark 0.31, 4.2 and 4.3)."""
    fence = ""
    # The line before, where it may be the text of an underlined heading.
    before: tuple[int, str] | None = None
    after_blank = True
    lines = _without_front_matter(text)
    for start, line in lines:
        opening = _FENCE.match(line)
        if fence:
            closes = opening is not None and opening[1].startswith(fence) and not line[opening.end() :].strip()
            fence = "" if closes else fence
            before, after_blank = None, False
            continue
        if opening is not None:
            fence, before = opening[1], None
            continue
        short = len(line) <= _MAX_TITLE_LINE
        if short and line.lstrip(" ").startswith("#") and (atx := _ATX.fullmatch(line)):
            yield start, len(atx[1]), (atx[2] or "").strip("# \t") if atx[2] else ""
            before, after_blank = None, True
            continue
        if before is not None and short and (underline := _MARKDOWN_UNDERLINE.fullmatch(line)):
            yield before[0], 1 if underline[1][0] == "=" else 2, before[1].strip()
            before, after_blank = None, True
            continue
        blank = not line.strip()
        before = (start, line) if after_blank and short and not blank and not line.startswith(_NO_TITLE) else None
        after_blank = blank


def _without_front_matter(text: str) -> Iterator[tuple[int, str]]:
    """The lines of a text after its YAML front matter, between two lines of dashes."""
    skipping = text.startswith("---\n") and "\n---\n" in text[4:]
    for number, (start, line) in enumerate(lines_of(text)):
        if skipping:
            skipping = not number or line != "---"
            continue
        yield start, line


def _underlined_titles(text: str) -> Iterator[tuple[int, int, str]]:
    """Offset, level and text of each title of a reStructuredText: the order of the underlines tells the level."""
    levels: list[str] = []
    before: tuple[int, str] | None = None
    for start, line in lines_of(text):
        if before is not None and (underline := _ANY_UNDERLINE.fullmatch(line)):
            title = before[1].strip()
            if len(line.rstrip()) >= len(title):
                if underline[1] not in levels:
                    levels.append(underline[1])
                yield before[0], levels.index(underline[1]), title
                before = None
                continue
        usable = line.strip() and len(line) <= _MAX_TITLE_LINE and not line.startswith((" ", "\t"))
        before = (start, line) if usable and _ANY_UNDERLINE.fullmatch(line) is None else None
