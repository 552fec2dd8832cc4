"""`ollama-mcp-server demo`: a real MCP client uses a real server process, on Ollama or on the built-in simulator."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from rich.console import Console

from ollama_mcp.cli.demo_steps import LETTERS, Demo
from ollama_mcp.cli.settings import as_arguments, load
from ollama_mcp.errors import OllamaMCPError
from ollama_mcp.formats.host import base_url

SIMULATED_GENERATION = "latest"


def run(options: argparse.Namespace) -> int:
    """Show the server at work; 0 when every step did what it should."""
    settings = load(options).settings
    console = Console()
    demo = _demo(console, base_url(settings.host), as_arguments(options), simulator=options.simulator)
    return asyncio.run(demo)


async def _demo(console: Console, url: str, arguments: list[str], *, simulator: bool) -> int:
    found = 0 if simulator else await _installed(console, url)
    if found:
        console.print(
            f"[bold]Ollama answers at {url}[/] with {found} models; the demo uses them and changes nothing unasked."
        )
        return await _with_client(console, url, arguments, real=True)
    async with _simulated(console) as simulated:
        return await _with_client(console, simulated, arguments, real=False)


async def _installed(console: Console, url: str) -> int:
    """How many models an Ollama at the address has; 0 where none answers."""
    from ollama_mcp.api import OllamaClient, Timeouts

    async with OllamaClient(url, timeouts=Timeouts(connect=2.0)) as client:
        try:
            count = len(await client.tags())
        except OllamaMCPError as error:
            console.print(f"[yellow]No Ollama answers at {url}[/] ({error.kind}).")
            return 0
    if not count:
        console.print(f"[yellow]Ollama answers at {url}, but no model is installed.[/]")
    return count


@asynccontextmanager
async def _simulated(console: Console) -> AsyncGenerator[str]:
    from ollama_mcp.simulator import Simulator
    from ollama_mcp.simulator.runner import Latency

    # Slow enough that progress can be seen, quick enough for a demo.
    pace = Latency(load=1.0, token=0.015, transfer=1e8)
    async with Simulator(version=SIMULATED_GENERATION, latency=pace) as simulator:
        console.print(
            f"[bold]The demo runs on the built-in simulator[/] at {simulator.url}: "
            "no model is used, all text is synthetic."
        )
        yield simulator.url


async def _with_client(console: Console, url: str, arguments: list[str], *, real: bool) -> int:
    from mcp import Client, StdioServerParameters

    with _letters() as letters:
        server = StdioServerParameters(
            command=sys.executable,
            args=["-m", "ollama_mcp", *arguments],
            env={**os.environ, "OLLAMA_HOST": url, "PYTHONPATH": _import_path(), **_only_for_demo(letters, real=real)},
        )
        console.print(f"[dim]server: {sys.executable} -m ollama_mcp (stdio), OLLAMA_HOST={url}[/]\n")
        async with Client(server, mode="legacy") as client:
            failed = await Demo(console, client, letters, real=real, asks=real and console.is_terminal).run()
    if failed:
        console.print(f"[red]{failed} steps failed.[/]")
    else:
        console.print("[green]All steps did what they should.[/] Add the server to your host: see README.md.")
    return 1 if failed else 0


@contextmanager
def _letters() -> Generator[Path]:
    """A file to hand over, in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="ollama-mcp-demo-") as folder:
        letters = Path(folder) / "letters.txt"
        letters.write_text(LETTERS, encoding="utf-8")
        yield letters


def _only_for_demo(letters: Path, *, real: bool) -> dict[str, str]:
    """Settings of the demo's server: it may read the letters, and counts no simulated work among the user's."""
    settings = {"OLLAMA_MCP_READ__TEXT_FOLDERS": json.dumps([str(letters.parent)])}
    return settings if real else settings | {"OLLAMA_MCP_STORE__PATH": ":memory:"}


def _import_path() -> str:
    """The place this package was imported from, so that the server process finds the same one."""
    import ollama_mcp

    root = str(Path(ollama_mcp.__file__).resolve().parent.parent)
    rest = os.environ.get("PYTHONPATH", "")
    return f"{root}{os.pathsep}{rest}" if rest else root
