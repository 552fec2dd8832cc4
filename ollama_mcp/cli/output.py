"""How commands print: results on stdout, tables drawn on a terminal and plain in a pipe, all else on stderr."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

from mcp.types import CallToolResult, TextContent

from ollama_mcp.cli.advice import in_shell
from ollama_mcp.errors import OllamaMCPError
from ollama_mcp.server.formatting import format_table
from ollama_mcp.server.results import META

_CELL = " | "
_KIND = re.compile(r"\[[a-z_]+\]")
_NUMBER = re.compile(r"(?:-?[\d.,]+(?: ?(?:%|[kMGT]?B))?)?")
_SPACE, _NOWHERE = re.compile(" "), re.compile(r"(?!)")
# Columns between two of a table.
_GAP = 2


class Output:
    """What the options `--json`, `--no-color` and `--quiet` ask of a command.

    Args:
        options: The options; those that a command does not take count as not given.
        spare: Columns that a table on a narrow terminal can do without, the first to go first.

    Attributes:
        is_json: Whether stdout gets JSON.
        is_quiet: Whether stderr gets errors only.
        is_coloured: Whether a terminal is shown colours.
    """

    def __init__(self, options: argparse.Namespace, spare: Sequence[str] = ()) -> None:
        self._spare = spare
        self.is_json: bool = getattr(options, "json", False)
        self.is_quiet: bool = getattr(options, "quiet", False)
        plain = getattr(options, "no_color", False) or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
        self.is_coloured = not plain

    def text(self, text: str) -> None:
        """Print a text in which tables are those of `format_table`; a terminal is shown them drawn."""
        if not sys.stdout.isatty():
            print(text)
            return
        for rows in _parts(text):
            if len(rows) > 1:
                self._draw(rows)
            else:
                print(_CELL.join(rows[0]))

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Print a table."""
        self.text(format_table(columns, rows))

    def json(self, value: Any) -> None:
        """Print a value as JSON."""
        print(json.dumps(value, ensure_ascii=False, indent=2))

    def error(self, text: str) -> None:
        """Print an error to stderr."""
        shown, kind = for_terminal(text, sys.stderr.isatty()), _KIND.match(text)
        if kind and self.is_coloured and sys.stderr.isatty():
            shown = f"\x1b[31m{kind[0]}\x1b[0m{shown[kind.end() :]}"
        print(shown, file=sys.stderr)

    def note(self, text: str) -> None:
        """Print something beside the result to stderr, unless only the result is wanted."""
        if not self.is_quiet:
            print(for_terminal(text, sys.stderr.isatty()), file=sys.stderr)

    def result(self, result: CallToolResult, as_json: Callable[[CallToolResult], Any] | None = None) -> int:
        """Print what a tool returned: its first text on stdout, the others there too unless only that is wanted.

        Args:
            result: It.
            as_json: Makes what `--json` prints of one that is no error; `json_of` by default.

        Returns:
            The exit code: 1 for an error.
        """
        texts = texts_of(result)
        if self.is_json:
            self.json(error_json(result) if result.is_error else (as_json or json_of)(result))
        elif result.is_error:
            # stdout is for the answer alone, so that it can be piped on.
            for text in texts:
                self.error(text)
        else:
            for text in texts[:1] if self.is_quiet else texts:
                # The words of a model are no table of ours.
                if result.structured_content is None:
                    print(for_terminal(text, sys.stdout.isatty()))
                else:
                    self.text(text)
        return 1 if result.is_error else 0

    def _draw(self, rows: list[list[str]]) -> None:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        console = Console(no_color=not self.is_coloured, highlight=False)
        for name in self._spare:
            if name in rows[0] and _width(rows, _NOWHERE) > console.width:
                place = rows[0].index(name)
                rows = [row[:place] + row[place + 1 :] for row in rows]
        head, *body = rows
        if _width(rows, _SPACE) > console.width:
            # A table whose words are cut says less than its rows one below the other.
            for row in body:
                console.print(Text(row[0], "bold"))
                for name, cell in zip(head[1:], row[1:], strict=True):
                    if cell:
                        console.print(Text.assemble("  ", (f"{name}: ", "cyan"), cell))
            return
        table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold cyan")
        for name, *cells in zip(*rows, strict=True):
            is_number = all(_NUMBER.fullmatch(cell) for cell in cells)
            table.add_column(
                Text(name),
                overflow="fold",
                no_wrap=not any(" " in cell for cell in cells) or is_number,
                justify="right" if is_number else "left",
            )
        for row in body:
            table.add_row(*map(Text, row))
        console.print(table)


def _width(rows: list[list[str]], breaks: re.Pattern[str]) -> int:
    """Columns of a terminal that a table takes whose cells are broken at these places only."""
    from rich.cells import cell_len

    widest = [
        max(cell_len(part) for cell in column for part in breaks.split(cell)) for column in zip(*rows, strict=True)
    ]
    return sum(widest) + _GAP * (len(widest) - 1)


def _parts(text: str) -> list[list[list[str]]]:
    """The text in parts: a table as its rows of cells, any other line as one row of one."""
    parts: list[list[list[str]]] = []
    for line in for_terminal(text, True).split("\n"):
        cells = line.split(_CELL) if not line.startswith(" ") else [line]
        if parts and len(cells) > 1 and len(parts[-1][0]) == len(cells):
            parts[-1].append(cells)
        else:
            parts.append([cells])
    return parts


def for_terminal(text: str, is_terminal: bool) -> str:
    """The text without what could move the cursor of a terminal; a pipe gets it as it is."""
    if not is_terminal:
        return text
    return "".join(one for one in text if one in "\n\t" or unicodedata.category(one) != "Cc")


def texts_of(result: CallToolResult) -> list[str]:
    """The texts of a result."""
    return [block.text for block in result.content if isinstance(block, TextContent)]


def kind_of(result: CallToolResult) -> str:
    """The kind of error that a result is; "" where it is none."""
    if not result.is_error:
        return ""
    return (result.meta or {}).get(f"{META}/error", {}).get("kind", "internal")


def json_of(result: CallToolResult) -> Any:
    """The data of a result for a program; of an answer in words, the answer with its notes."""
    if result.structured_content is not None:
        return result.structured_content
    return {"answer": "\n".join(texts_of(result)[:1]), "notes": [text.strip() for text in texts_of(result)[1:]]}


def error_json(result: CallToolResult) -> dict[str, Any]:
    """An error for a program, with what was written before it."""
    message, *partial = texts_of(result)
    return {"error": {"kind": kind_of(result), "message": message}, "partial": "".join(partial)}


def wrong_use(error: OllamaMCPError, arguments: Sequence[str]) -> None:
    """Print the error of a command that has not begun: to stderr, or as JSON where that was asked for."""
    message = in_shell(str(error))
    if "--json" in arguments:
        print(json.dumps({"error": {"kind": error.kind, "message": message}, "partial": ""}, indent=2))
    else:
        print(f"ollama-mcp-server: {message}", file=sys.stderr)
