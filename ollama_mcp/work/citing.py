"""Quotes that a model gives as proof, looked up in what it read."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from ollama_mcp.work.answers import MISSING, Answer

if TYPE_CHECKING:
    from ollama_mcp.work.readings import Document

Found = Literal["found", "elsewhere", "not found", "too short"]

INSTRUCTION = (
    "Back every statement with a quote from the files: copied word by word, with the path and the line number where it "
    "begins. Quote only what stands there; give no quotes where the files say nothing."
)
# Fewer letters than these stand in most texts by chance.
_SHORTEST = 8
# Models count lines roughly: so far off, a quote is still where it was said to be.
_NEAR = 3
_SAME = str.maketrans(
    dict.fromkeys("\u201c\u201d\u201e\u00ab\u00bb", '"')
    | dict.fromkeys("\u2018\u2019", "'")
    | dict.fromkeys("\u2013\u2014", "-")
)
_GAP = re.compile(r"\s*(?:\[\s*)?(?:\.{3,}|…)(?:\s*\])?\s*")
_QUOTE = {
    "type": "object",
    "properties": {"quote": {"type": "string"}, "path": {"type": "string"}, "line": {"type": "integer"}},
    "required": ["quote", "path", "line"],
}


@dataclass(frozen=True, slots=True)
class Citation:
    """A quote, where the model says that it stands, and whether it does.

    Args:
        quote: The words.
        path: The file that the model names.
        line: The line that it names.
        found: Whether they stand there, elsewhere, or nowhere in what was read.
        at: Where they really stand, as "path:line"; "" where nowhere.
    """

    quote: str
    path: str
    line: int
    found: Found
    at: str = ""

    def as_json(self) -> dict[str, Any]:
        """For structuredContent."""
        shown: dict[str, Any] = {"quote": self.quote, "path": self.path, "line": self.line, "found": self.found}
        return shown | {"at": self.at} if self.at else shown

    def as_line(self) -> str:
        """For the notes; the words shortened."""
        words = self.quote if len(self.quote) <= 80 else f"{self.quote[:79]}…"
        where = {
            "found": f"found at {self.at}",
            "elsewhere": f"found at {self.at}, not at {self.path}:{self.line}",
            "not found": "NOT FOUND in what was read",
            "too short": "too short to tell",
        }
        return f'quote {where[self.found]}: "{words}"'


def schema_of(answer: dict[str, Any] | str | None) -> dict[str, Any]:
    """The format that makes a model give its quotes beside its answer.

    Args:
        answer: The format that the caller asked for, if any.
    """
    inner: dict[str, Any] = {"type": "string"} if answer is None else dict(answer) if isinstance(answer, dict) else {}
    # References count from the root of a schema.
    shared = {name: inner.pop(name) for name in ("$defs", "definitions") if name in inner}
    return shared | {
        "type": "object",
        "properties": {"answer": inner, "quotes": {"type": "array", "items": _QUOTE}},
        "required": ["answer", "quotes"],
    }


def cited(answer: Answer, documents: Sequence[Document], *, typed: bool) -> Answer:
    """The answer without its quotes, and the quotes checked.

    Args:
        answer: An answer in the form of `schema_of`.
        documents: What the model read.
        typed: Whether the caller asked for a format of its own.
    """
    value = cast("dict[str, Any]", answer.value)
    own = value["answer"]
    checked = check(cast("list[dict[str, Any]]", value["quotes"]), documents)
    answer.value = own if typed else MISSING
    answer.text = json.dumps(own, ensure_ascii=False) if typed else str(own)
    return with_citations(answer, checked)


def with_citations(answer: Answer, checked: Sequence[Citation]) -> Answer:
    """The answer with its checked quotes in notes and sources."""
    answer.sources = [citation.as_json() for citation in checked]
    lines = [citation.as_line() for citation in checked] or ["The model gave no quotes: nothing backs this answer."]
    answer.notes = [*answer.notes, *lines]
    return answer


def check(quotes: Sequence[dict[str, Any]], documents: Sequence[Document]) -> list[Citation]:
    """Look each quote up in what was read; differences of white space, case and typography do not count.

    Args:
        quotes: Objects with quote, path and line.
        documents: What was read.
    """
    pages = [_Page(document) for document in documents]
    return [_looked_up(str(given["quote"]), str(given["path"]), int(given["line"]), pages) for given in quotes]


class _Page:
    """A document in the form that quotes are looked up in."""

    def __init__(self, document: Document) -> None:
        self.path = document.path
        self._first = document.first_line
        self._starts: list[int] = []
        parts: list[str] = []
        size = 0
        for line in document.text.split("\n"):
            plain = _plain(line)
            self._starts.append(size)
            if plain:
                parts.append(plain)
                size += len(plain) + 1
        self._text = " ".join(parts)

    def lines_of(self, pieces: Sequence[str]) -> list[int]:
        """The lines where the pieces begin, one after the other; a few of them where there are many."""
        lines: list[int] = []
        at = -1
        while len(lines) < 50 and (at := self._text.find(pieces[0], at + 1)) >= 0:
            if not self._goes_on(at + len(pieces[0]), pieces[1:]):
                # What does not follow here follows nowhere below; to look on would take the square of the text.
                break
            lines.append(self._first + bisect_right(self._starts, at) - 1)
        return lines

    def _goes_on(self, at: int, pieces: Sequence[str]) -> bool:
        for piece in pieces:
            found = self._text.find(piece, at)
            if found < 0:
                return False
            at = found + len(piece)
        return True


def _looked_up(quote: str, path: str, line: int, pages: Sequence[_Page]) -> Citation:
    pieces = [plain for piece in _GAP.split(quote) if (plain := _plain(piece).strip("\"' "))]
    if sum(map(len, pieces)) < _SHORTEST:
        return Citation(quote, path, line, "too short")
    named = [page for page in pages if _is_named(page.path, path)]
    for page in named:
        near = [found for found in page.lines_of(pieces) if abs(found - line) <= _NEAR]
        if near:
            return Citation(quote, path, line, "found", f"{page.path}:{near[0]}")
    for page in [*named, *(page for page in pages if page not in named)]:
        if lines := page.lines_of(pieces):
            return Citation(quote, path, line, "elsewhere", f"{page.path}:{lines[0]}")
    return Citation(quote, path, line, "not found")


def _is_named(path: str, given: str) -> bool:
    """Whether a model means this file: it often leaves the folders out."""
    return path == given or path.replace("\\", "/").endswith("/" + given.replace("\\", "/").lstrip("./"))


def _plain(text: str) -> str:
    return " ".join(text.translate(_SAME).casefold().split())
