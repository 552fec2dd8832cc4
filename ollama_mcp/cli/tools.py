"""`ollama-mcp-server tools` lists the offered tools, with their cost or as JSON; `call` calls one of them."""

from __future__ import annotations

import argparse
import asyncio
import difflib
import json
import sys
from typing import Any

from mcp.types import CallToolResult, TextContent, Tool

from ollama_mcp._command import command
from ollama_mcp.cli.options import cloud_key, json_or_text, load_from_options
from ollama_mcp.cli.progress_line import ProgressLine
from ollama_mcp.errors import Declined, InvalidArgument, NeedsConfirmation
from ollama_mcp.server.app import OllamaServer
from ollama_mcp.server.bound_tool import BACKGROUND
from ollama_mcp.server.confirmation import ACTIONS
from ollama_mcp.server.failures import failure_result
from ollama_mcp.server.results import META
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
        print(json.dumps([wire_definition(tool) for tool in tools], indent=2))
        return 0
    for tool in tools:
        cost = f"{tool_list_tokens(tool):6d}  " if options.tokens else ""
        print(f"{cost}{tool.name:24}  {tool.title}")
    if options.tokens:
        print(f"{sum(map(tool_list_tokens, tools)):6d}  in all (bytes / 4 of name, description and input schema)")
    return 0


def call_tool(options: argparse.Namespace) -> int:
    """Call one tool. Text blocks go to stdout, those of an error to stderr, with exit code 1.

    On a terminal, progress is shown on stderr, and what needs the user's yes is asked. --help describes the tool.
    """
    if getattr(options, "help", False):
        return _describe(options)
    loaded = load_from_options(options)
    settings = loaded.settings
    if _is_terminal() and settings.policy.push == "ask":
        # The terminal is the form that asks the user.
        settings = settings.model_copy(update={"policy": settings.policy.model_copy(update={"push": "confirm"})})
    server = OllamaServer(settings, api_key=cloud_key(), allowed=loaded.config_file)
    server.tools_listed_by = f"`{command('tools')}`"
    result = asyncio.run(_call(server, options))
    if options.json and not result.is_error and result.structured_content is not None:
        print(json.dumps(result.structured_content, ensure_ascii=False, indent=2))
        return 0
    # stdout is for the answer alone, so that it can be piped on.
    stream = sys.stderr if result.is_error else sys.stdout
    for block in result.content:
        if isinstance(block, TextContent):
            print(block.text, file=stream)
    return 1 if result.is_error else 0


def models(options: argparse.Namespace) -> int:
    """List, show, download or delete models, by the tools for that; see `call_tool`."""
    options.tool = _TOOL_OF_ACTION[options.action]
    if bool(options.model) is (options.action == "list"):
        raise InvalidArgument(f"models {options.action} takes {'no' if options.model else 'the name of a'} model.")
    options.arguments = [json.dumps({"model": options.model})] if options.model else []
    return call_tool(options)


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


async def _call(server: OllamaServer, options: argparse.Namespace) -> CallToolResult:
    arguments = _parse_arguments(options.arguments)
    if arguments.pop(BACKGROUND, None):
        # A job would end with this process.
        print(f"{BACKGROUND} is ignored: this command waits for the result.", file=sys.stderr)
    line = ProgressLine()
    report = line.show if line.visible else None
    try:
        result = await server.call_tool(options.tool, arguments, report=report)
        line.clear()
        if not _needs_confirmation(result):
            return result
        consequence = _consequence(result)
        if not _is_terminal():
            # Each command is a process of its own, so that no later one could confirm this call.
            action = next((action for action in ACTIONS if f"_{action}_" in options.tool), "overwrite")
            return failure_result(
                NeedsConfirmation(
                    consequence,
                    next_step=f"Run this on a terminal, which asks, or add --set policy.{action}=allow.",
                )
            )
        if not _ask(consequence):
            return failure_result(Declined("Nothing was done."))
        return await server.call_tool(options.tool, {**arguments, "confirm": True}, report=report)
    finally:
        line.clear()
        await server.aclose()


def _is_terminal() -> bool:
    """Whether a user can be asked: the question goes to stderr, since stdout may be piped on."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def _needs_confirmation(result: CallToolResult) -> bool:
    return bool(result.is_error) and (result.meta or {}).get(f"{META}/error", {}).get("kind") == NeedsConfirmation.kind


def _consequence(result: CallToolResult) -> str:
    """What would happen, without the advice to an agent that follows it."""
    text = "".join(block.text for block in result.content if isinstance(block, TextContent))
    return text.removeprefix(f"[{NeedsConfirmation.kind}] ").partition(" If the user agrees,")[0]


def _ask(consequence: str) -> bool:
    print(f"{consequence}\nGo on? [y/N] ", end="", file=sys.stderr, flush=True)
    # Blocks the event loop, which has nothing else to do, so that Ctrl-C ends the command.
    return sys.stdin.readline().strip().lower() in ("y", "yes")


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
