"""`ollama-mcp-server ask`: asks a local model by the same call as a host's, and prints while it writes."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import unicodedata
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mcp.types import CallToolResult, TextContent

from ollama_mcp.cli.options import cloud_key, load_from_options
from ollama_mcp.cli.progress_line import ProgressLine
from ollama_mcp.errors import InvalidArgument
from ollama_mcp.server.app import OllamaServer
from ollama_mcp.server.results import META
from ollama_mcp.settings import Settings
from ollama_mcp.work.progress import Progress

_MAX_PIPED = 50_000_000


def ask(options: argparse.Namespace) -> int:
    """Ask. The answer goes to stdout, notes and errors to stderr; returns 1 where the model gave none.

    Raises:
        InvalidArgument: There is nothing to ask, or the schema is none.
    """
    loaded = load_from_options(options)
    with _piped_in() as piped:
        prompt, files = " ".join(options.prompt), [named_file(file) for file in options.file]
        if piped is not None and prompt:
            files.append(str(piped))
        elif piped is not None:
            prompt = piped.read_text(encoding="utf-8", errors="replace")
        if not prompt.strip():
            raise InvalidArgument(
                "There is nothing to ask.", next_step='Give a prompt, as in: ask "Why is the sky blue?"'
            )
        arguments: dict[str, Any] = {"prompt": prompt, "files": files, "model": options.model, "system": options.system}
        if options.schema:
            arguments["format"] = read_schema(options.schema)
        server = OllamaServer(with_folders(loaded.settings, files), api_key=cloud_key(), allowed=loaded.config_file)
        answer = _Answer(streams=not (options.json or options.schema))
        result = asyncio.run(_call(server, arguments, answer))
    if options.json:
        print(json.dumps(_as_json(result), ensure_ascii=False, indent=2))
    else:
        answer.finish(result, quiet=options.quiet)
    return 1 if result.is_error else 0


async def _call(server: OllamaServer, arguments: dict[str, Any], answer: _Answer) -> CallToolResult:
    try:
        return await server.call_tool("ollama_chat", arguments, report=answer.progress)
    finally:
        answer.line.clear()
        await server.aclose()


class _Answer:
    """An answer on its way to stdout.

    Args:
        streams: Whether it is printed while it is written.
    """

    def __init__(self, *, streams: bool) -> None:
        self.line = ProgressLine()
        self.progress = Progress(self._report)
        self._streams = streams
        self._printed = ""

    async def _report(self, done: float, total: float | None, text: str) -> None:
        written = self.progress.text().lstrip()
        if self._streams and written:
            if not self._printed:
                self.line.clear()
            self._print(written)
        elif self.line.visible and not self._printed:
            await self.line.show(done, total, text)

    def finish(self, result: CallToolResult, *, quiet: bool) -> None:
        """Print what is not printed yet: the rest of the answer; notes and errors on stderr."""
        blocks = _texts(result)
        if result.is_error:
            if self._printed:
                print(flush=True)
            print(_plain(blocks[0]), file=sys.stderr)
            return
        whole = blocks[0].removesuffix("\n")
        if not whole.startswith(self._printed.rstrip()):
            # The server has set it right, so that what was printed is not the answer.
            print("\n", flush=True)
            self._printed = ""
        self._print(whole)
        print(flush=True)
        if not quiet:
            for note in blocks[1:]:
                print(_plain(note.strip()), file=sys.stderr)

    def _print(self, written: str) -> None:
        print(_plain(written[len(self._printed) :]), end="", flush=True)
        self._printed = written


def _plain(text: str) -> str:
    """The text without what could move the cursor of a terminal; a pipe gets it as it is."""
    if not sys.stdout.isatty():
        return text
    return "".join(one for one in text if one in "\n\t" or unicodedata.category(one) != "Cc")


def _texts(result: CallToolResult) -> list[str]:
    return [block.text for block in result.content if isinstance(block, TextContent)]


def _as_json(result: CallToolResult) -> dict[str, Any]:
    """The result for a program: the answer with its notes, or the error with what was written before it."""
    blocks = _texts(result)
    if result.is_error:
        kind = (result.meta or {}).get(f"{META}/error", {}).get("kind", "internal")
        return {"error": {"kind": kind, "message": blocks[0]}, "partial": "".join(blocks[1:])}
    found: dict[str, Any] = {"answer": blocks[0].removesuffix("\n"), "notes": [note.strip() for note in blocks[1:]]}
    if result.structured_content is not None:
        found["data"] = result.structured_content
    return found


@contextmanager
def _piped_in() -> Generator[Path | None]:
    """A file with what is piped in, which is gone at the end; None where nothing is.

    Raises:
        InvalidArgument: It is more than a model could read.
    """
    if sys.stdin is None or sys.stdin.isatty():
        yield None
        return
    content = sys.stdin.buffer.read(_MAX_PIPED + 1)
    if len(content) > _MAX_PIPED:
        raise InvalidArgument(
            f"More than {_MAX_PIPED:,} bytes are piped in.", next_step="Pipe in less, or name the file with -f."
        )
    if not content.strip():
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="ollama-mcp-ask-") as folder:
        file = Path(os.path.realpath(folder)) / "stdin"
        file.write_bytes(content)
        yield file


def named_file(file: str) -> str:
    """A file as it was named; by its absolute path where it is there, since servers do not trust any working folder."""
    return os.path.abspath(file) if os.path.exists(file) else file


def with_folders(settings: Settings, files: list[str]) -> Settings:
    """The settings with the folders of the files that the user has just named: naming them allows reading them."""
    named = [file if os.path.isdir(file) else os.path.dirname(file) for file in files if os.path.exists(file)]
    read = settings.read.model_copy(update={"text_folders": [*settings.read.text_folders, *dict.fromkeys(named)]})
    return settings.model_copy(update={"read": read})


def read_schema(text: str) -> Any:
    """The schema of `--schema`: JSON, the word json, or a file.

    Raises:
        InvalidArgument: Neither JSON nor a file with JSON.
    """
    if text == "json":
        return text
    try:
        return json.loads(text if text.lstrip().startswith("{") else Path(text).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InvalidArgument(f"--schema {text[:80]!r} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise InvalidArgument(f"--schema is not valid JSON: {error}.") from None
