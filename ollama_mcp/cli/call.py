"""`ollama-mcp-server call TOOL name=value ...`: one tool call from the shell."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from typing import Any

from mcp.types import CallToolResult, TextContent

from ollama_mcp.cli.settings import cloud_key, json_or_text, load
from ollama_mcp.errors import InvalidArgument
from ollama_mcp.server.app import OllamaServer


def run(options: argparse.Namespace) -> int:
    """Call the tool; text blocks go to stdout, an error's to stderr, with exit code 1."""
    loaded = load(options)
    server = OllamaServer(loaded.settings, api_key=cloud_key(), allowed=loaded.config_file)
    result = asyncio.run(_call(server, options))
    out = sys.stderr if result.is_error else sys.stdout
    for block in result.content:
        if isinstance(block, TextContent):
            print(block.text, file=out)
    return 1 if result.is_error else 0


async def _call(server: OllamaServer, options: argparse.Namespace) -> CallToolResult:
    try:
        return await server.call_tool(options.tool, _arguments(options.arguments))
    finally:
        await server.aclose()


def _arguments(pairs: list[str]) -> dict[str, Any]:
    if len(pairs) == 1 and pairs[0].lstrip().startswith("{"):
        try:
            return json.loads(pairs[0])
        except ValueError as error:
            raise InvalidArgument(f"The arguments are no JSON: {error}.") from None
    arguments: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise InvalidArgument(f"{pair!r} is no NAME=VALUE.")
        arguments[name] = json_or_text(text)
    return arguments
