"""The text that passes through an agent when twenty files are summarized: with `files`, and by reading and pasting.

Run `python -m bench.files [FILE ...]`; without names, twenty modules of this project. The real server reads the files,
and the simulator is the model. The characters of calls and results are counted, all of which the agent's model has to
read or write; tokens are estimated.
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
PROMPT = "Summarize this file in three sentences."
ROW = "{:<34} {:>12} {:>12} {:>10}"


def select_files(names: list[str]) -> list[Path]:
    """The named files, or the twenty largest modules of the package."""
    if names:
        return [Path(name).resolve() for name in names]
    return sorted((ROOT / "ollama_mcp").rglob("*.py"), key=lambda file: file.stat().st_size)[-COUNT:]


def agent_text(arguments: dict[str, Any], result: CallToolResult) -> str:
    """The text of one call that the agent's model writes and reads."""
    words = [block.text for block in result.content if isinstance(block, TextContent)]
    return json.dumps(arguments, ensure_ascii=False) + "\n".join(words)


async def by_files(client: Client, files: list[Path]) -> list[str]:
    """Summarize each file without reading it."""
    passed: list[str] = []
    for file in files:
        arguments: dict[str, Any] = {"prompt": PROMPT, "files": [str(file)], "model": MODEL}
        passed.append(agent_text(arguments, await client.call_tool("ollama_chat", arguments)))
    return passed


async def by_pasting(client: Client, files: list[Path]) -> list[str]:
    """Read each file as an agent does, then repeat it in a prompt."""
    passed: list[str] = []
    for file in files:
        content = file.read_text(encoding="utf-8")
        arguments: dict[str, Any] = {"prompt": f"{PROMPT}\n\n{content}", "model": MODEL}
        passed += [content, agent_text(arguments, await client.call_tool("ollama_chat", arguments))]
    return passed


async def main(names: list[str]) -> None:
    """Print the table."""
    files = select_files(names)
    folders = sorted({str(file.parent) for file in files})
    async with Simulator(version="latest") as simulator:
        settings = {"host": simulator.url, "read": {"text_folders": folders}, "store": {"path": ":memory:"}}
        async with Client(OllamaServer(Settings.model_validate(settings))) as client:
            simulator.script(MODEL, *(Answer(text=SUMMARY) for _ in range(2 * len(files))))
            methods = {"files": await by_files(client, files), "reading and pasting": await by_pasting(client, files)}
    size = sum(file.stat().st_size for file in files)
    print(f"{len(files)} files, {size:,} bytes\n\n" + ROW.format("method", "characters", "tokens, ~", "share"))
    total = sum(map(len, methods["reading and pasting"]))
    for name, passed in methods.items():
        count = sum(map(len, passed))
        print(ROW.format(name, f"{count:,}", f"{sum(map(estimate_tokens, passed)):,}", f"{count / total:.1%}"))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
