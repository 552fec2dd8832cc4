"""docs/tools.md: every tool with its arguments, and an example with its result as the golden tests hold it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from mcp.types import Tool

from ollama_mcp.cli.tools import tool_list_tokens
from ollama_mcp.server.app import OllamaServer
from ollama_mcp.settings import Settings
from ollama_mcp.settings.model import TOOLSETS, ToolSettings
from tests.golden.test_golden import CALLS

ROOT = Path(__file__).resolve().parent.parent.parent
_RESULTS = ROOT / "tests/golden/results"
_MAX_LINES = 25
_HEAD = """# Tools

Every tool with all its arguments, made from the definitions that clients get. The examples ran on the built-in
simulator, so their calls and the form of their results are real and the models' words are not; `N` stands for a figure
that varies. What only a client sees, the typed result, has the same content.

`--toolsets`, `--tools`, `--exclude-tools` and `--read-only` select the tools. The toolsets inference, models, work and
system are on by default; web is if `OLLAMA_API_KEY` or the setting `web` is set. "After confirm" means that the user is
asked first (for create and copy: if the name is taken). Tokens are what the definition costs in the list of tools, its
bytes divided by 4. With several [hosts](hosts.md) each tool takes `host` too; `ollama-mcp-server call TOOL` runs one.
"""


def tools_page() -> str:
    """The page."""
    parts = [_HEAD, tool_table()]
    for toolset, tools in _by_toolset().items():
        parts.append(f"\n## Toolset {toolset}")
        parts += [_section(tool) for tool in tools]
    return "\n".join(parts).rstrip() + "\n"


def tool_links() -> str:
    """README's table: the tools of each toolset, linked."""
    rows = ["| toolset | tools |", "|---|---|"]
    for toolset, tools in _by_toolset().items():
        links = ", ".join(f"[{tool.name.removeprefix('ollama_')}](docs/tools.md#{tool.name})" for tool in tools)
        rows.append(f"| {toolset} | {links} |")
    return "\n".join(rows)


def tool_table() -> str:
    """The table of all tools."""
    specs = {name: tool.spec for name, tool in _server().bound_tools.items()}
    rows = ["| toolset | tool | what it is for | changes anything | tokens |", "|---|---|---|---|--:|"]
    for toolset, tools in _by_toolset().items():
        for tool in tools:
            hints = specs[tool.name].hints
            changes = "no" if hints.read_only else "after confirm" if hints.destructive else "yes"
            if "output" in tool.input_schema["properties"]:
                changes = "only its output"
            purpose = (tool.description or "").split(". ")[0].split(": ")[0].rstrip(".")
            cells = (toolset, f"`{tool.name}`", _cell(purpose), changes, str(tool_list_tokens(tool)))
            rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _server() -> OllamaServer:
    return OllamaServer(Settings(tools=ToolSettings(toolsets=["all"])))


def _by_toolset() -> dict[str, list[Tool]]:
    server = _server()
    found: dict[str, list[Tool]] = {name: [] for name in TOOLSETS}
    for tool in asyncio.run(server.list_tools()):
        found.setdefault(server.bound_tools[tool.name].spec.toolset, []).append(tool)
    return {name: tools for name, tools in found.items() if tools}


def _section(tool: Tool) -> str:
    rows = list(_arguments(tool.input_schema))
    table = (
        ["| argument | type | default | meaning |", "|---|---|---|---|", *rows] if rows else ["It has no arguments."]
    )
    return "\n".join([f"\n### {tool.name}\n\n{tool.description}\n", *table, "", *_example(tool.name)])


def _arguments(schema: dict[str, Any], within: str = "") -> Iterator[str]:
    for name, argument in cast("dict[str, dict[str, Any]]", schema.get("properties", {})).items():
        needed = name in schema.get("required", [])
        default = "needed" if needed else f"`{json.dumps(argument['default'])}`" if "default" in argument else ""
        yield f"| `{within}{name}` | {_type(argument)} | {default} | {_cell(argument.get('description', ''))} |"
        for inner in (argument, *argument.get("anyOf", ())):
            yield from _arguments(inner, f"{within}{name}.")
            yield from _arguments(inner.get("items", {}), f"{within}{name}[].")


def _type(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type(one) for one in schema["anyOf"]))
    kinds: str | list[str] = schema.get("type", "any")
    kind = kinds if isinstance(kinds, str) else " or ".join(kinds)
    return f"{kind} of {_type(schema['items'])}" if kind == "array" and "items" in schema else kind


def _example(name: str) -> list[str]:
    file = _RESULTS / f"{name}.json"
    if not file.exists():
        return []
    blocks = json.loads(file.read_text(encoding="utf-8"))["content"]
    lines = "\n".join(block["text"].rstrip() for block in blocks if block["type"] == "text").split("\n")
    cut = [*lines[:_MAX_LINES], "..."] if len(lines) > _MAX_LINES else lines
    call = [f"{name}({_words(CALLS[name])})", ""] if name in CALLS else []
    return ["```text", *call, *cut, "```"]


def _words(arguments: dict[str, Any]) -> str:
    words = ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in arguments.items())
    return words.replace(f"{_RESULTS.parent}/", "")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
