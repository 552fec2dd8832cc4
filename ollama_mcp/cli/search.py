"""`ollama-mcp-server search`: the places of files that fit a query, as path:lines, with the words that were found."""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path
from typing import Any

from mcp.types import CallToolResult

from ollama_mcp.cli.calling import call, named, piped_in
from ollama_mcp.cli.output import Output, for_terminal
from ollama_mcp.errors import InvalidArgument

_PLACE = re.compile(r"(?P<path>.+?)(?P<lines>:\d+(?:-\d+)?)?")


def search(options: argparse.Namespace) -> int:
    """Search the files that are named, or what is piped in.

    Raises:
        InvalidArgument: There is nothing to search.
    """
    with piped_in("stdin.txt", wanted=not options.file) as piped:
        files = [named(one) for one in options.file] or ([str(piped)] if piped is not None else [])
        if not files:
            raise InvalidArgument("There is nothing to search.", next_step="Name files, folders or globs.")
        if options.words and options.meaning:
            raise InvalidArgument("--words and --meaning exclude each other; without both, both count.")
        arguments = {
            "query": options.query,
            "files": files,
            "k": options.most,
            "model": options.model,
            "mode": "words" if options.words else "meaning" if options.meaning else "auto",
            "rerank": options.rerank,
        }
        result, output = call(options, "ollama_search", arguments, files=files), Output(options)
    if output.is_json or result.is_error:
        return output.result(result)
    _show(result, output, str(piped))
    return 0


def _show(result: CallToolResult, output: Output, piped: str) -> None:
    found: dict[str, Any] = result.structured_content or {}
    is_terminal = sys.stdout.isatty()
    for row in found["rows"]:
        place = str(row.get("place", ""))
        about = [row[name] for name in ("section",) if row.get(name)]
        about += [f"{row['copies']} more with nearly the same text"] if row.get("copies") else []
        shown = for_terminal(_near(place.replace(piped, "stdin")), is_terminal)
        if is_terminal and output.is_coloured:
            shown = f"\x1b]8;;{_link(place)}\x1b\\\x1b[35m{shown}\x1b[0m\x1b]8;;\x1b\\"
        print(": ".join([shown, for_terminal("; ".join(about), is_terminal)]) if about else shown)
        for line in str(row.get("excerpt", "")).splitlines():
            text = for_terminal(line, is_terminal)
            print(f"  {_marked(text, row.get('matched', [])) if is_terminal and output.is_coloured else text}")
    if not found["rows"]:
        output.note("Nothing was found.")
    for note in found.get("notes", []):
        output.note(note)


def _near(place: str) -> str:
    """A place by the path from here, where it is below."""
    return place.removeprefix(f"{os.getcwd()}{os.sep}")


def _link(place: str) -> str:
    match = _PLACE.fullmatch(place)
    return Path(match["path"]).as_uri() if match and os.path.isabs(match["path"]) else ""


def _marked(text: str, words: list[str]) -> str:
    """The text with these words in bold red, as grep marks them."""
    if not words:
        return text
    pattern = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
    return re.sub(rf"(?<!\w)(?:{pattern})", lambda match: f"\x1b[1;31m{match[0]}\x1b[0m", text, flags=re.IGNORECASE)
