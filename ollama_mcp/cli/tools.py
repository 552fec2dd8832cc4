"""`ollama-mcp-server tools`: the offered tools, their wire definitions, their cost in a tool list."""

from __future__ import annotations

import argparse
import asyncio
import json

from mcp.types import Tool

from ollama_mcp.cli.settings import cloud_key, load
from ollama_mcp.server.app import OllamaServer


def run(options: argparse.Namespace) -> int:
    """Print the list."""
    server = OllamaServer(load(options).settings, api_key=cloud_key())
    tools = asyncio.run(server.list_tools())
    if options.json:
        print(json.dumps([wire(tool) for tool in tools], indent=2))
        return 0
    for tool in tools:
        cost = f"{tokens(tool):6d}  " if options.tokens else ""
        print(f"{cost}{tool.name:24}  {tool.title}")
    if options.tokens:
        print(f"{sum(map(tokens, tools)):6d}  in all (bytes / 4 of name, description and input schema)")
    return 0


def wire(tool: Tool) -> dict[str, object]:
    """A tool's definition as it goes over the wire."""
    return tool.model_dump(mode="json", by_alias=True, exclude_none=True)


def tokens(tool: Tool) -> int:
    """What a tool costs in a tool list, estimated: bytes / 4 of name, description and input schema."""
    text = f"{tool.name}{tool.description}{json.dumps(tool.input_schema, separators=(',', ':'))}"
    return round(len(text.encode()) / 4)
