"""`ollama-mcp-server batch | decide | compare`: work on many inputs, by the same calls as a host's."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from ollama_mcp.cli.calling import call, named, piped_in
from ollama_mcp.cli.options import load_from_options
from ollama_mcp.cli.output import Output
from ollama_mcp.errors import InvalidArgument
from ollama_mcp.store import Store


def batch(options: argparse.Namespace) -> int:
    """Run a prompt, questions or an embedding over many inputs.

    Raises:
        InvalidArgument: There is no input, or the questions or the schema are none.
    """
    # The name tells how its rows are read.
    with piped_in("stdin.txt", jsonl="stdin.jsonl", wanted=not options.input) as piped:
        given = [named(one) for one in options.input] or ([str(piped)] if piped is not None else [])
        if not given:
            raise InvalidArgument("There is no input.", next_step="Name a file, a glob or texts, or pipe rows in.")
        arguments: dict[str, Any] = {
            "input": given,
            "prompt": options.prompt,
            "embed": options.embed,
            "limit": options.limit,
            "chunk_chars": options.chunk_chars,
            "model": options.model,
            "system": options.system,
            **_output(options),
        }
        if options.questions:
            found = json_or_file("--questions", options.questions)
            arguments["questions"] = found if isinstance(found, list) else [found]
        if options.schema:
            arguments["format"] = json_or_file("--schema", options.schema)
        try:
            return _show(options, "ollama_batch", arguments, files=given)
        except KeyboardInterrupt:
            # What was piped in is gone.
            if piped is None and Store.from_settings(load_from_options(options).settings).persistent:
                Output(options).note("The rows that are done are kept: the same command goes on with the rest.")
            raise


def decide(options: argparse.Namespace) -> int:
    """Answer one closed question about texts, files and images.

    Raises:
        InvalidArgument: There is nothing to decide about.
    """
    with piped_in("stdin.txt", wanted=not (options.texts or options.file or options.image)) as piped:
        files, images = [named(one) for one in options.file], [named(one) for one in options.image]
        if piped is not None:
            files.append(str(piped))
        if not (options.texts or files or images):
            raise InvalidArgument("There is nothing to judge.", next_step="Give texts, -f FILE, or pipe a text in.")
        question: dict[str, Any] = {"question": options.question}
        question |= {name: split(getattr(options, name)) for name in ("labels", "levels") if getattr(options, name)}
        arguments = {
            "questions": [question],
            "texts": options.texts,
            "files": files,
            "images": images,
            "model": options.model,
            "shuffle": options.shuffle,
        }
        return _show(options, "ollama_decide", arguments, files=[*files, *images])


def compare(options: argparse.Namespace) -> int:
    """Ask several models the same."""
    with piped_in(wanted=not (options.prompt or options.prompts)) as piped:
        prompt, images = " ".join(options.prompt), [named(one) for one in options.image]
        if piped is not None:
            prompt = piped.read_text(encoding="utf-8", errors="replace")
        arguments = {
            "models": options.model,
            "prompt": prompt,
            "prompts_file": named(options.prompts) if options.prompts else "",
            "images": images,
            "system": options.system,
            **_output(options),
        }
        return _show(options, "ollama_compare", arguments, files=[*images, named(options.prompts)])


def json_or_file(option: str, text: str) -> Any:
    """The value of an option that takes JSON or a file with JSON.

    Raises:
        InvalidArgument: It is neither.
    """
    try:
        return json.loads(text if text.lstrip().startswith(("{", "[")) else Path(text).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InvalidArgument(f"{option} {text[:80]!r} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise InvalidArgument(f"{option} is not valid JSON: {error}.") from None


def _show(options: argparse.Namespace, tool: str, arguments: dict[str, Any], files: list[str]) -> int:
    # What is left out is the tool's to choose.
    given = {name: value for name, value in arguments.items() if value not in (None, "", [], False)}
    return Output(options).result(call(options, tool, given, files=files, output=given.get("output", "")))


def _output(options: argparse.Namespace) -> dict[str, Any]:
    return {"output": os.path.abspath(options.output) if options.output else "", "overwrite": options.overwrite}


def split(text: str) -> list[str]:
    """The parts of a list with commas."""
    return [part.strip() for part in text.split(",") if part.strip()]
