"""Prompt templates: `{text}` and `{column}` are filled in, `{{` and `}}` are braces."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import count
from typing import Any

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.formats.text import escape
from ollama_mcp.work.batch.rows import Row

TEXT = "text"
_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")
# What no column is called: a piece of JSON or code that the prompt shows, which stays as it is.
_NO_NAME = re.compile(r"[\"':\n]|^\s*$")
_DOUBLED = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_CLOSED = re.compile(r"</input(?:-([0-9]+))?>")
_MOST_NAMED = 12


class Template:
    """A prompt with places for the input.

    A template without a place gets the input behind it, between tags that the input cannot close.

    Args:
        text: The template.
        columns: What it may name.
        bare: Whether a place is required, since the text is not a prompt but the input itself.

    Raises:
        InvalidArgument: It names a column that is not there, or no place where one is required or in doubled braces.
    """

    def __init__(self, text: str, columns: Sequence[str], *, bare: bool = False) -> None:
        known = {*columns, TEXT}
        self._pieces: list[tuple[str, str]] = []
        end = 0
        for match in _PIECE.finditer(text):
            self._literal(text[end : match.start()])
            end = match.end()
            name = match[1]
            if name is None:
                self._literal(match[0][0])
            elif name in known:
                self._pieces.append(("", name))
            elif _NO_NAME.search(name):
                self._literal(match[0])
            else:
                raise _missing(name, columns)
        self._literal(text[end:])
        self.has_place = any(name for _, name in self._pieces)
        if not self.has_place and (doubled := _DOUBLED.search(text)) and doubled[1] in known:
            # Other template languages write it so; the model would be given the braces in every row.
            raise InvalidArgument(
                f"prompt names no place for the input; {doubled[0]!r} is text in braces here.",
                next_step=f"Write {{{doubled[1]}}} for the column.",
            )
        if bare and text and not self.has_place:
            raise InvalidArgument(
                "prompt names no place for the input.",
                next_step="With questions and embed it says what is judged, such as '{text}'; or leave it out.",
            )

    def fill(self, row: Row, *, append: bool = True) -> str:
        """The prompt for a row.

        Args:
            row: The row.
            append: Whether the input goes behind a template without a place; an image goes beside it.

        Raises:
            InvalidArgument: The row lacks a column.
        """
        if not self.has_place:
            words = "".join(literal for literal, _ in self._pieces)
            return f"{words}\n\n{block(row.text)}".lstrip() if append else words
        return "".join(literal or _value(row, name) for literal, name in self._pieces)

    def _literal(self, text: str) -> None:
        if text:
            self._pieces.append((text, ""))


def block(text: str) -> str:
    """A text between tags that do not occur in it; looked for once, however many it has."""
    taken = {number or "1" for number in _CLOSED.findall(text)}
    number = next(number for number in count(1) if str(number) not in taken)
    tag = "input" if number == 1 else f"input-{number}"
    return f"<{tag}>\n{text}\n</{tag}>"


def _value(row: Row, name: str) -> str:
    if name == TEXT:
        return row.text
    if name not in row.columns:
        raise InvalidArgument(f"The row has no {escape(name, 60)!r}, which the prompt names.")
    value: Any = row.columns[name]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _missing(name: str, columns: Sequence[str]) -> InvalidArgument:
    shown = ", ".join("{" + escape(column, 40) + "}" for column in columns[:_MOST_NAMED])
    more = f" and {len(columns) - _MOST_NAMED} more" if len(columns) > _MOST_NAMED else ""
    return InvalidArgument(
        f"prompt names {{{escape(name, 60)}}}, which the input does not have.",
        next_step=f"It has: {shown or '{text}'}{more}. Write {{{{ and }}}} for braces.",
    )
