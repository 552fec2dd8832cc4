"""Prompt templates: `{text}` and `{column}` are placeholders, `{{` and `}}` are braces."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import count
from typing import Any

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.formats.escaping import escape
from ollama_mcp.work.batch.rows import InputRow

TEXT = "text"
_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")
# No column has such a name: it is JSON or code that the prompt shows, and stays as it is.
_NOT_A_NAME = re.compile(r"[\"':\n]|^\s*$")
_DOUBLE_BRACES = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_CLOSING_TAG = re.compile(r"</input(?:-([0-9]+))?>")
_MAX_COLUMNS_SHOWN = 12


class Template:
    """A prompt with placeholders for the columns of a row.

    A template without a placeholder gets the input appended, between tags that the input cannot close.

    Args:
        text: The template.
        columns: What it may name.
        needs_placeholder: Whether the text is not a prompt but the input itself, so that without a placeholder all
            rows would be the same.

    Raises:
        InvalidArgument: It names an unknown column, or has no placeholder where one is needed or was meant.
    """

    def __init__(self, text: str, columns: Sequence[str], *, needs_placeholder: bool = False) -> None:
        known = {*columns, TEXT}
        # Each part is a literal text or the name of a column; the other is "".
        self._parts: list[tuple[str, str]] = []
        end = 0
        for match in _TOKEN.finditer(text):
            self._add_literal(text[end : match.start()])
            end = match.end()
            name = match[1]
            if name is None:
                self._add_literal(match[0][0])
            elif name in known:
                self._parts.append(("", name))
            elif _NOT_A_NAME.search(name):
                self._add_literal(match[0])
            else:
                raise _unknown_column(name, columns)
        self._add_literal(text[end:])
        self.has_placeholder = any(name for _, name in self._parts)
        if not self.has_placeholder and (double := _DOUBLE_BRACES.search(text)) and double[1] in known:
            # Other template languages write it so; the model would be given the braces in every row.
            raise InvalidArgument(
                f"prompt has no placeholder for the input; {double[0]!r} is text in braces here.",
                next_step=f"Write {{{double[1]}}} for the column.",
            )
        if needs_placeholder and text and not self.has_placeholder:
            raise InvalidArgument(
                "prompt has no placeholder for the input.",
                next_step="With questions and embed it says what is judged, such as '{text}'; or leave it out.",
            )

    def fill(self, row: InputRow, *, append: bool = True) -> str:
        """The prompt for a row.

        Args:
            row: The row.
            append: Whether a template without a placeholder gets the input appended; an image goes beside it.

        Raises:
            InvalidArgument: The row lacks a column.
        """
        if not self.has_placeholder:
            prompt = "".join(literal for literal, _ in self._parts)
            return f"{prompt}\n\n{in_tags(row.text)}".lstrip() if append else prompt
        return "".join(literal or _value(row, name) for literal, name in self._parts)

    def _add_literal(self, text: str) -> None:
        if text:
            self._parts.append((text, ""))


def in_tags(text: str) -> str:
    """A text between `<input>` tags, numbered where the text itself closes such a tag."""
    # One pass over the text: trying one number after another would be quadratic for a text full of tags.
    taken = {number or "1" for number in _CLOSING_TAG.findall(text)}
    number = next(number for number in count(1) if str(number) not in taken)
    tag = "input" if number == 1 else f"input-{number}"
    return f"<{tag}>\n{text}\n</{tag}>"


def _value(row: InputRow, name: str) -> str:
    if name == TEXT:
        return row.text
    if name not in row.columns:
        # Objects of a .jsonl file need not have the same members; the first one gave the columns.
        raise InvalidArgument(f"The row has no {escape(name, 60)!r}, which the prompt names.")
    value: Any = row.columns[name]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _unknown_column(name: str, columns: Sequence[str]) -> InvalidArgument:
    shown = ", ".join("{" + escape(column, 40) + "}" for column in columns[:_MAX_COLUMNS_SHOWN])
    more = f" and {len(columns) - _MAX_COLUMNS_SHOWN} more" if len(columns) > _MAX_COLUMNS_SHOWN else ""
    return InvalidArgument(
        f"prompt names {{{escape(name, 60)}}}, which the input does not have.",
        next_step=f"It has: {shown or '{text}'}{more}. Write {{{{ and }}}} for braces.",
    )
