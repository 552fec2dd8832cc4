"""Calls of tools from the shell: by the same server as a host's, with the user at the terminal to ask."""

from __future__ import annotations

import argparse
import asyncio
import glob
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mcp.types import CallToolResult, TextContent

from ollama_mcp.cli.advice import in_shell
from ollama_mcp.cli.options import cloud_key, load_from_options
from ollama_mcp.cli.output import Output, kind_of, texts_of
from ollama_mcp.cli.progress_line import ProgressLine
from ollama_mcp.errors import Declined, InvalidArgument, NeedsConfirmation
from ollama_mcp.server.app import OllamaServer
from ollama_mcp.server.confirmation import ACTIONS
from ollama_mcp.server.failures import failure_result
from ollama_mcp.settings import Settings
from ollama_mcp.work.progress import Progress, Send

_MAX_PIPED = 50_000_000
_LINES = re.compile(r":\d+(?:-\d+)?$")


def call(
    options: argparse.Namespace,
    tool: str,
    arguments: dict[str, Any],
    *,
    files: Iterable[str] = (),
    output: str = "",
    report: Send | Progress | None = None,
) -> CallToolResult:
    """Call a tool. On a terminal, progress is shown on stderr, and what needs the user's yes is asked.

    Args:
        options: The options of the command.
        tool: Its name.
        arguments: Its arguments.
        files: Files that the user has named: naming them allows reading their folders.
        output: The file that the user has named for results, or "".
        report: Gets the progress instead of the terminal.

    Returns:
        The result; what it says to do next is a command.
    """
    loaded = load_from_options(options)
    settings = _with_folders(loaded.settings, files, output)
    if _is_terminal() and settings.policy.push == "ask":
        # The terminal is the form that asks the user.
        settings = settings.model_copy(update={"policy": settings.policy.model_copy(update={"push": "confirm"})})
    server = OllamaServer(settings, api_key=cloud_key(), allowed=loaded.config_file)
    line = ProgressLine()
    if report is None and line.visible and not Output(options).is_quiet:
        report = line.show
    return _advised(asyncio.run(_call(server, tool, arguments, line, report)))


async def _call(
    server: OllamaServer, tool: str, arguments: dict[str, Any], line: ProgressLine, report: Send | Progress | None
) -> CallToolResult:
    try:
        result = await server.call_tool(tool, arguments, report=report)
        line.clear()
        if kind_of(result) != NeedsConfirmation.kind:
            return result
        consequence = _consequence(result)
        if not _is_terminal():
            # Each command is a process of its own, so that no later one could confirm this call.
            action = next((action for action in ACTIONS if f"_{action}_" in tool), "overwrite")
            return failure_result(
                NeedsConfirmation(
                    consequence,
                    next_step=f"Run this on a terminal, which asks, or add --set policy.{action}=allow.",
                )
            )
        if not _ask(consequence):
            return failure_result(Declined("Nothing was done."))
        return await server.call_tool(tool, {**arguments, "confirm": True}, report=report)
    finally:
        line.clear()
        await server.aclose()


def _is_terminal() -> bool:
    """Whether a user can be asked: the question goes to stderr, since stdout may be piped on."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def _consequence(result: CallToolResult) -> str:
    """What would happen, without the advice to an agent that follows it."""
    text = "".join(texts_of(result))
    return text.removeprefix(f"[{NeedsConfirmation.kind}] ").partition(" If the user agrees,")[0]


def _ask(consequence: str) -> bool:
    print(f"{consequence}\nGo on? [y/N] ", end="", file=sys.stderr, flush=True)
    # Blocks the event loop, which has nothing else to do, so that Ctrl-C ends the command.
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _advised(result: CallToolResult) -> CallToolResult:
    """The result with commands in the place of the tools that its error or its notes name."""
    data = dict(result.structured_content or {})
    notes: list[str] = [data["note"]] if isinstance(data.get("note"), str) else data.get("notes") or []
    content: list[Any] = []
    for number, block in enumerate(result.content):
        if isinstance(block, TextContent):
            text = block.text
            # Of an error the first text is ours, of an answer all but the first, of data what its notes say.
            if (number == 0) is bool(result.is_error) and result.structured_content is None:
                text = in_shell(text)
            for note in notes:
                text = text.replace(note, in_shell(note))
            block = block.model_copy(update={"text": text})
        content.append(block)
    if "notes" in data:
        data["notes"] = [in_shell(note) for note in notes]
    elif notes:
        data["note"] = in_shell(notes[0])
    structured = result.structured_content and data
    return result.model_copy(update={"content": content, "structured_content": structured})


def named(path: str) -> str:
    """A file or pattern as it was named; by its absolute path where it is there: servers trust no working folder."""
    return os.path.abspath(os.path.expanduser(path)) if _exists(path) else path


def _exists(path: str) -> bool:
    path = _without_lines(os.path.expanduser(path))
    return os.path.exists(path) or any(glob.iglob(path, recursive=True))


def _with_folders(settings: Settings, files: Iterable[str], output: str) -> Settings:
    """The settings with the folders of the files that the user has just named.

    Raises:
        InvalidArgument: There is no folder for the output.
    """
    folders = list(dict.fromkeys(map(_folder, filter(_exists, files))))
    read, write = settings.read, settings.write
    if folders:
        kinds = {name: [*getattr(read, name), *folders] for name in ("text_folders", "image_folders")}
        read = read.model_copy(update=kinds)
    if output:
        folder = os.path.dirname(os.path.abspath(output))
        if not os.path.isdir(folder):
            raise InvalidArgument(
                f"There is no folder {folder!r} for the output.", next_step=f"Run `mkdir -p {shlex.quote(folder)}`."
            )
        write = write.model_copy(update={"folders": [*write.folders, folder]})
    return settings.model_copy(update={"read": read, "write": write})


def _without_lines(path: str) -> str:
    """A place such as a.py:10-80 without its lines."""
    return path if os.path.exists(path) else _LINES.sub("", path)


def _folder(path: str) -> str:
    """The folder that a file or the files of a pattern are in."""
    path = _without_lines(path)
    while glob.has_magic(path) and not os.path.exists(path):
        path = os.path.dirname(path)
    return path if os.path.isdir(path) else os.path.dirname(path)


@contextmanager
def piped_in(name: str = "stdin", *, jsonl: str = "", wanted: bool = True) -> Generator[Path | None]:
    """A file with what is piped in, which is gone at the end; None where nothing is.

    Args:
        name: The name of the file.
        jsonl: Its name where what is piped in begins as JSON objects do.
        wanted: Whether anything is read: what is piped in may never end.

    Raises:
        InvalidArgument: It is more than a model could read.
    """
    if not wanted or sys.stdin is None or sys.stdin.isatty():
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
    with tempfile.TemporaryDirectory(prefix="ollama-mcp-") as folder:
        file = Path(os.path.realpath(folder)) / (jsonl if jsonl and content.lstrip().startswith(b"{") else name)
        file.write_bytes(content)
        yield file
