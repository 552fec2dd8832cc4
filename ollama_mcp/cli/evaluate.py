"""`ollama-mcp-server evaluate`: which installed model is good enough on labelled examples, from the shell."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from typing import Any

from mcp.types import CallToolResult, TextContent

from ollama_mcp.cli.ask import named_file, read_schema, with_folders
from ollama_mcp.cli.options import cloud_key, load_from_options
from ollama_mcp.cli.progress_line import ProgressLine
from ollama_mcp.errors import InvalidArgument
from ollama_mcp.server.app import OllamaServer


def evaluate(options: argparse.Namespace) -> int:
    """Evaluate by the same call as a host's, and print the verdict and the tables; returns 1 where it failed.

    Raises:
        InvalidArgument: The options do not fit together.
    """
    loaded = load_from_options(options)
    examples = named_file(options.examples)
    server = OllamaServer(with_folders(loaded.settings, [examples]), api_key=cloud_key(), allowed=loaded.config_file)
    result = asyncio.run(_call(server, _arguments(options, examples)))
    if options.json and not result.is_error:
        print(json.dumps(result.structured_content, ensure_ascii=False, indent=2))
        return 0
    text = "\n".join(block.text for block in result.content if isinstance(block, TextContent))
    print(text.partition("\n")[0] if options.quiet else text, file=sys.stderr if result.is_error else sys.stdout)
    return 1 if result.is_error else 0


def _arguments(options: argparse.Namespace, examples: str) -> dict[str, Any]:
    """The arguments of ollama_evaluate; those that were not given are left out.

    Raises:
        InvalidArgument: There are labels for no question.
    """
    labels = _split(options.labels)
    if labels and not options.question:
        raise InvalidArgument("--labels needs --question.", next_step='Such as --question "Which team?".')
    question = {"question": options.question, **({"labels": labels} if labels else {})}
    given = {
        "examples": examples,
        "models": _split(options.models),
        "prompt": options.prompt,
        "questions": [question] if options.question else [],
        "system": options.system,
        "format": read_schema(options.schema) if options.schema else None,
        "metric": options.metric,
        "judge": options.judge,
        "goal": options.goal,
        "confidence": options.confidence,
        "profile": options.profile,
        "show_failures": options.show_failures,
    }
    return {name: value for name, value in given.items() if value}


async def _call(server: OllamaServer, arguments: dict[str, Any]) -> CallToolResult:
    line = ProgressLine()
    try:
        return await server.call_tool("ollama_evaluate", arguments, report=line.show if line.visible else None)
    finally:
        line.clear()
        await server.aclose()


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
