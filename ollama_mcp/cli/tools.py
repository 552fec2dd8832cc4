"""`ollama-mcp-server tools` lists the offered tools, with their cost or as JSON; `call` calls one of them."""

from __future__ import annotations

import argparse
import asyncio
import difflib
import json
from typing import Any

from mcp.types import Tool

from ollama_mcp._command import command
from ollama_mcp.cli.calling import call
from ollama_mcp.cli.options import cloud_key, json_or_text, load_from_options
from ollama_mcp.cli.output import Output
from ollama_mcp.errors import InvalidArgument
from ollama_mcp.server.app import OllamaServer
from ollama_mcp.server.bound_tool import BACKGROUND
from ollama_mcp.settings.model import OLD_TOOL_NAMES

_TOOL_OF_ACTION = {
    "list": "ollama_list_models",
    "show": "ollama_show_model",
    "pull": "ollama_pull_model",
    "rm": "ollama_delete_model",
}


def list_tools(options: argparse.Namespace) -> int:
    """Print the offered tools: as names with titles, with their cost, or as their wire definitions."""
    server = OllamaServer(load_from_options(options).settings, api_key=cloud_key())
    tools = asyncio.run(server.list_tools())
    if options.json:
        Output(options).json([wire_definition(tool) for tool in tools])
        return 0
    for tool in tools:
        cost = f"{tool_list_tokens(tool):6d}  " if options.tokens else ""
        print(f"{cost}{tool.name:24}  {tool.title}")
    if options.tokens:
        print(f"{sum(map(tool_list_tokens, tools)):6d}  in all (bytes / 4 of name, description and input schema)")
    return 0


def call_tool(options: argparse.Namespace) -> int:
    """Call one tool and print its result; --help describes the tool. See `calling.call`."""
    if getattr(options, "help", False):
        return _describe(options)
    arguments, output = _parse_arguments(options.arguments), Output(options)
    if arguments.pop(BACKGROUND, None):
        # A job would end with this process.
        output.note(f"{BACKGROUND} is ignored: this command waits for the result.")
    return output.result(call(options, options.tool, arguments))


def models(options: argparse.Namespace) -> int:
    """List, show, download or delete models, by the tools for that."""
    if bool(options.model) is (options.action == "list"):
        raise InvalidArgument(f"models {options.action} takes {'no' if options.model else 'the name of a'} model.")
    arguments = {"model": options.model} if options.model else {}
    spare = ("digest", "modified", "quantization")
    return Output(options, spare).result(call(options, _TOOL_OF_ACTION[options.action], arguments))


def _describe(options: argparse.Namespace) -> int:
    """Print a tool's description and its arguments, from the schema that hosts get."""
    server = OllamaServer(load_from_options(options).settings, api_key=cloud_key())
    tools = {tool.name: tool for tool in asyncio.run(server.list_tools())}
    name = str(options.tool)
    tool = tools.get(OLD_TOOL_NAMES.get(name, name))
    if tool is None:
        close = difflib.get_close_matches(options.tool, list(tools), n=1)
        hint = f"Did you mean {close[0]!r}?" if close else f"`{command('tools')}` lists them."
        raise InvalidArgument(f"There is no tool {options.tool!r}.", next_step=hint)
    print(f"{tool.name}: {tool.title}\n\n{tool.description}\n\nArguments, as NAME=VALUE:")
    for name, schema in tool.input_schema.get("properties", {}).items():
        needed = " (required)" if name in tool.input_schema.get("required", ()) else ""
        print(f"  {name:14} {_kind(schema):20} {schema.get('description', '')}{needed}".rstrip())
    return 0


def _kind(schema: dict[str, Any]) -> str:
    """The kind of value that a schema takes, in a word or two."""
    if "enum" in schema:
        return "|".join(map(str, schema["enum"]))
    if "anyOf" in schema:
        return "|".join(dict.fromkeys(map(_kind, schema["anyOf"])))
    return str(schema.get("type", "JSON"))


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
