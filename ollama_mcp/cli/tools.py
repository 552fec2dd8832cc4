"""`ollama-mcp-server tools` lists the offered tools, with their cost or as JSON; `call` calls one of them."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from typing import Any

from mcp.types import CallToolResult, TextContent, Tool

from ollama_mcp.cli.options import cloud_key, json_or_text, load_from_options
from ollama_mcp.errors import InvalidArgument
from ollama_mcp.server.app import OllamaServer


def list_tools(options: argparse.Namespace) -> int:
    """Print the offered tools: as names with titles, with their cost, or as their wire definitions."""
    server = OllamaServer(load_from_options(options).settings, api_key=cloud_key())
    tools = asyncio.run(server.list_tools())
    if options.json:
        print(json.dumps([wire_definition(tool) for tool in tools], indent=2))
        return 0
    for tool in tools:
        cost = f"{tool_list_tokens(tool):6d}  " if options.tokens else ""
        print(f"{cost}{tool.name:24}  {tool.title}")
    if options.tokens:
        print(f"{sum(map(tool_list_tokens, tools)):6d}  in all (bytes / 4 of name, description and input schema)")
    return 0


def call_tool(options: argparse.Namespace) -> int:
    """Call one tool. Text blocks go to stdout, those of an error to stderr, with exit code 1."""
    loaded = load_from_options(options)
    server = OllamaServer(loaded.settings, api_key=cloud_key(), allowed=loaded.config_file)
    result = asyncio.run(_call(server, options))
    # stdout is for the answer alone, so that it can be piped on.
    stream = sys.stderr if result.is_error else sys.stdout
    for block in result.content:
        if isinstance(block, TextContent):
            print(block.text, file=stream)
    return 1 if result.is_error else 0


async def _call(server: OllamaServer, options: argparse.Namespace) -> CallToolResult:
    try:
        return await server.call_tool(options.tool, _parse_arguments(options.arguments))
    finally:
        await server.aclose()


def _parse_arguments(pairs: list[str]) -> dict[str, Any]:
    # No argument name starts with a brace.
    if len(pairs) == 1 and pairs[0].lstrip().startswith("{"):
        try:
            return json.loads(pairs[0])
        except ValueError as error:
            raise InvalidArgument(f"The arguments are not valid JSON: {error}.") from None
    arguments: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise InvalidArgument(f"{pair!r} is not NAME=VALUE.")
        arguments[name] = json_or_text(text)
    return arguments


def wire_definition(tool: Tool) -> dict[str, object]:
    """A tool's definition as it goes over the wire."""
    return tool.model_dump(mode="json", by_alias=True, exclude_none=True)


def tool_list_tokens(tool: Tool) -> int:
    """What a tool costs in a tool list, estimated: bytes / 4 of name, description and input schema."""
    # 5 to 20 % more than a tokenizer counts for tool lists, so a limit on it is safe.
    text = f"{tool.name}{tool.description}{json.dumps(tool.input_schema, separators=(',', ':'))}"
    return round(len(text.encode()) / 4)
