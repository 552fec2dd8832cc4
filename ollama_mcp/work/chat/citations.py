"""Citations: quotes that a model gives as evidence, requested by a schema and looked up in the files it read."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from ollama_mcp.formats.comparison import comparable
from ollama_mcp.work.chat.result import MISSING, Answer

if TYPE_CHECKING:
    from ollama_mcp.work.files.documents import Document

QuoteStatus = Literal["found", "elsewhere", "not found", "too short"]

INSTRUCTION = (
    "Back every statement with a quote from the files: copied word by word, with the path and the line number where it "
    "begins. Give at most ten short quotes, and only of what stands there; none where the files say nothing."
)
# Room for ten quotes with their paths and lines, as JSON.
QUOTE_TOKENS = 1_024
# Shorter quotes occur in most texts by chance.
_MIN_CHARS = 8
# Models miscount lines: a quote so many lines off still counts as found where it was said to be.
_LINE_TOLERANCE = 3
# A hyphen in a word may be one of the word or of the line's end, and models copy it either way.
_HYPHEN_IN_WORD = re.compile(r"(?<=[^\W\d_])- ?(?=[^\W\d_])")
# What a model leaves out of a quote: "...", "…" or "[...]".
_ELLIPSIS = re.compile(r"\s*(?:\[\s*)?(?:\.{3,}|…)(?:\s*\])?\s*")
_QUOTE_SCHEMA = {
    "type": "object",
    "properties": {"quote": {"type": "string"}, "path": {"type": "string"}, "line": {"type": "integer"}},
    "required": ["quote", "path", "line"],
}


@dataclass(frozen=True, slots=True)
class Citation:
    """A quote, where the model says that it is, and where it really is.

    Args:
        quote: The quoted text.
        path: The file that the model names.
        line: The line that the model names.
        found: Whether it is there, elsewhere, or nowhere in what was read.
        at: Where it really is, as "path:line", or "".
    """

    quote: str
    path: str
    line: int
    found: QuoteStatus
    at: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return it as an object for structuredContent."""
        shown: dict[str, Any] = {"quote": self.quote, "path": self.path, "line": self.line, "found": self.found}
        return shown | {"at": self.at} if self.at else shown

    def as_line(self) -> str:
        """Return it as a line for the notes, with the quote shortened."""
        shown = self.quote if len(self.quote) <= 80 else f"{self.quote[:79]}…"
        status = {
            "found": f"found at {self.at}",
            "elsewhere": f"found at {self.at}, not at {self.path}:{self.line}",
            "not found": "NOT FOUND in what was read",
            "too short": "too short to check",
        }
        return f'quote {status[self.found]}: "{shown}"'


def quote_schema(answer: dict[str, Any] | str | None) -> dict[str, Any]:
    """Return the schema that makes a model return quotes beside its answer.

    Args:
        answer: The format that the caller requested, or None.
    """
    inner: dict[str, Any] = {"type": "string"} if answer is None else dict(answer) if isinstance(answer, dict) else {}
    # References ("#/$defs/...") are resolved from the root, where the caller's schema no longer is.
    shared = {name: inner.pop(name) for name in ("$defs", "definitions") if name in inner}
    return shared | {
        "type": "object",
        "properties": {"answer": inner, "quotes": {"type": "array", "items": _QUOTE_SCHEMA}},
        "required": ["answer", "quotes"],
    }


def check_answer(answer: Answer, documents: Sequence[Document], *, typed: bool) -> Answer:
    """Separate an answer from its quotes, check them, and attach them as citations.

    Args:
        answer: An answer whose value has the form of `quote_schema`; it is modified.
        documents: What the model read.
        typed: Whether the caller requested a format of its own.
    """
    value = cast("dict[str, Any]", answer.value)
    own = value["answer"]
    checked = check_quotes(cast("list[dict[str, Any]]", value["quotes"]), documents)
    answer.value = own if typed else MISSING
    answer.text = json.dumps(own, ensure_ascii=False) if typed else str(own)
    return with_citations(answer, checked)


def with_citations(answer: Answer, checked: Sequence[Citation]) -> Answer:
    """Attach citations to an answer: as lines in its notes and objects in its sources."""
    answer.sources = [citation.as_json() for citation in checked]
    lines = [citation.as_line() for citation in checked] or ["The model gave no quotes: nothing backs this answer."]
    answer.notes = [*answer.notes, *lines]
    return answer


def check_quotes(quotes: Sequence[dict[str, Any]], documents: Sequence[Document]) -> list[Citation]:
    """Look up quotes in what was read; differences in white space, case and typography are ignored.

    Args:
        quotes: Objects with quote, path and line.
        documents: What the model read.
    """
    texts = [_NormalisedText(document) for document in documents]
    return [_look_up(str(given["quote"]), str(given["path"]), int(given["line"]), texts) for given in quotes]


class _NormalisedText:
    """A document as one normalised line, with the offset at which each of its lines starts."""

    def __init__(self, document: Document) -> None:
        self.path = document.path
        self._first = document.first_line
        self._starts: list[int] = []
        parts: list[str] = []
        size, previous = 0, ""
        for line in document.text.split("\n"):
            # Without its blanks, a soft hyphen at the end of the line would be dropped like one within it.
            line = f"{line[:-1]}-" if line.endswith("\u00ad") else line
            plain = _normalise(line)
            if _HYPHEN_IN_WORD.search(f"{previous[-2:]} {plain[:1]}"):
                # The word goes on in this line.
                parts[-1] = parts[-1][:-2]
                size -= 2
            self._starts.append(size)
            if plain:
                parts.append(f"{plain} ")
                size += len(plain) + 1
            previous = plain
        self._text = "".join(parts)

    def lines_of(self, pieces: Sequence[str]) -> list[int]:
        """The lines where the pieces, one after another, begin; the first 50 of them."""
        lines: list[int] = []
        offset = -1
        while len(lines) < 50 and (offset := self._text.find(pieces[0], offset + 1)) >= 0:
            if not self._follow(offset + len(pieces[0]), pieces[1:]):
                # What does not follow here follows nowhere below; searching on would be quadratic.
                break
            lines.append(self._first + bisect_right(self._starts, offset) - 1)
        return lines

    def _follow(self, offset: int, pieces: Sequence[str]) -> bool:
        for piece in pieces:
            found = self._text.find(piece, offset)
            if found < 0:
                return False
            offset = found + len(piece)
        return True


def _look_up(quote: str, path: str, line: int, texts: Sequence[_NormalisedText]) -> Citation:
    pieces = [plain for piece in _ELLIPSIS.split(quote) if (plain := _normalise(piece).strip("' "))]
    if sum(map(len, pieces)) < _MIN_CHARS:
        return Citation(quote, path, line, "too short")
    named = [text for text in texts if _is_named(text.path, path)]
    for text in named:
        near = [found for found in text.lines_of(pieces) if abs(found - line) <= _LINE_TOLERANCE]
        if near:
            return Citation(quote, path, line, "found", f"{text.path}:{near[0]}")
    for text in [*named, *(text for text in texts if text not in named)]:
        if lines := text.lines_of(pieces):
            return Citation(quote, path, line, "elsewhere", f"{text.path}:{lines[0]}")
    return Citation(quote, path, line, "not found")


def _is_named(path: str, given: str) -> bool:
    """Whether a model means this file: models often omit the folders."""
    path, given = comparable(path), comparable(given)
    return path == given or path.replace("\\", "/").endswith("/" + given.replace("\\", "/").lstrip("./"))


def _normalise(text: str) -> str:
    # Models also change case, and the quotation marks that JSON would have to escape.
    return _HYPHEN_IN_WORD.sub("", comparable(text).replace('"', "'").casefold())
