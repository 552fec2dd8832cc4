"""What passes through the agent when it has twenty files summarised: by `files`, and by reading and pasting them.

Run `python -m bench.files [FILE ...]`; without names, twenty modules of this project. The files are read by the real
server, the model is the built-in simulator. Counted are the characters of calls and results, all of which an agent's
model has to read or to write; tokens are estimated.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from mcp import Client
from mcp.types import CallToolResult, TextContent

from ollama_mcp.formats.tokens import estimate_tokens
from ollama_mcp.server.app import OllamaServer
from ollama_mcp.settings import Settings
from ollama_mcp.simulator import Answer, Simulator

ROOT = Path(__file__).parents[1]
MODEL = "llama3.2:3b"
COUNT = 20
SUMMARY = "This module reads one kind of input, checks it against its rules, and returns it with notes. " * 3
ASK = "Summarise this file in three sentences."
ROW = "{:<34} {:>12} {:>12} {:>10}"


def chosen(names: list[str]) -> list[Path]:
    """Return the files named, or the twenty largest modules of the core."""
    if names:
        return [Path(name).resolve() for name in names]
    return sorted((ROOT / "ollama_mcp").rglob("*.py"), key=lambda file: file.stat().st_size)[-COUNT:]


def seen(arguments: dict[str, Any], result: CallToolResult) -> str:
    """Return what the agent's model writes and reads of one call."""
    words = [block.text for block in result.content if isinstance(block, TextContent)]
    return json.dumps(arguments, ensure_ascii=False) + "\n".join(words)


async def by_files(client: Client, files: list[Path]) -> list[str]:
    """Have each file summarised without seeing it."""
    passed: list[str] = []
    for file in files:
        arguments: dict[str, Any] = {"prompt": ASK, "files": [str(file)], "model": MODEL}
        passed.append(seen(arguments, await client.call_tool("ollama_chat", arguments)))
    return passed


async def by_pasting(client: Client, files: list[Path]) -> list[str]:
    """Read each file as an agent does, then write it out again into a prompt."""
    passed: list[str] = []
    for file in files:
        content = file.read_text(encoding="utf-8")
        arguments: dict[str, Any] = {"prompt": f"{ASK}\n\n{content}", "model": MODEL}
        passed += [content, seen(arguments, await client.call_tool("ollama_chat", arguments))]
    return passed


async def main(names: list[str]) -> None:
    """Print the table."""
    files = chosen(names)
    folders = sorted({str(file.parent) for file in files})
    async with Simulator(version="latest") as simulator:
        settings = {"host": simulator.url, "read": {"text_folders": folders}, "store": {"path": ":memory:"}}
        async with Client(OllamaServer(Settings.model_validate(settings))) as client:
            simulator.script(MODEL, *(Answer(text=SUMMARY) for _ in range(2 * len(files))))
            ways = {"files": await by_files(client, files), "reading and pasting": await by_pasting(client, files)}
    size = sum(file.stat().st_size for file in files)
    print(f"{len(files)} files, {size:,} bytes\n\n" + ROW.format("way", "characters", "tokens, ~", "share"))
    whole = sum(map(len, ways["reading and pasting"]))
    for name, passed in ways.items():
        count = sum(map(len, passed))
        print(ROW.format(name, f"{count:,}", f"{sum(map(estimate_tokens, passed)):,}", f"{count / whole:.1%}"))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
