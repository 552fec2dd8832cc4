"""`ollama-mcp-server ask`: asks a local model by the same call as a host's, and prints while it writes."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from mcp.types import CallToolResult

from ollama_mcp.cli.calling import call, named, piped_in
from ollama_mcp.cli.output import Output, for_terminal, texts_of
from ollama_mcp.cli.progress_line import ProgressLine
from ollama_mcp.cli.work import json_or_file
from ollama_mcp.errors import InvalidArgument
from ollama_mcp.work.progress import Progress


def ask(options: argparse.Namespace) -> int:
    """Ask. The answer goes to stdout, notes and errors to stderr; returns 1 where the model gave none.

    Raises:
        InvalidArgument: There is nothing to ask, or the schema is none.
    """
    output = Output(options)
    with piped_in() as piped:
        prompt, files = " ".join(options.prompt), [named(file) for file in options.file]
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
            is_word = options.schema == "json"
            arguments["format"] = options.schema if is_word else json_or_file("--schema", options.schema)
        answer = _Answer(output, streams=not (options.json or options.schema))
        result = call(options, "ollama_chat", arguments, files=files, report=answer.progress)
        answer.line.clear()
    if not options.json:
        answer.finish(result)
        return 1 if result.is_error else 0
    return output.result(result, _as_json)


class _Answer:
    """An answer on its way to stdout.

    Args:
        output: Where it goes.
        streams: Whether it is printed while it is written.
    """

    def __init__(self, output: Output, *, streams: bool) -> None:
        self._output = output
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
        elif self.line.visible and not self._printed and not self._output.is_quiet:
            await self.line.show(done, total, text)

    def finish(self, result: CallToolResult) -> None:
        """Print what is not printed yet: the rest of the answer; notes and errors on stderr."""
        blocks = texts_of(result)
        if result.is_error:
            if self._printed:
                print(flush=True)
            self._output.error(blocks[0])
            return
        whole = blocks[0].removesuffix("\n")
        if not whole.startswith(self._printed.rstrip()):
            # The server has set it right, so that what was printed is not the answer.
            print("\n", flush=True)
            self._printed = ""
        self._print(whole)
        print(flush=True)
        for note in blocks[1:]:
            self._output.note(note.strip())

    def _print(self, written: str) -> None:
        print(for_terminal(written[len(self._printed) :], sys.stdout.isatty()), end="", flush=True)
        self._printed = written


def _as_json(result: CallToolResult) -> dict[str, Any]:
    """The answer for a program, with its notes."""
    blocks = texts_of(result)
    found: dict[str, Any] = {"answer": blocks[0].removesuffix("\n"), "notes": [note.strip() for note in blocks[1:]]}
    if result.structured_content is not None:
        found["data"] = result.structured_content
    return found
