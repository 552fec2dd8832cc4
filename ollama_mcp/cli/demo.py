"""`ollama-mcp-server demo`: a real MCP client uses a real server process, on Ollama or on the built-in simulator."""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import os
import sys
import tempfile
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from ollama_mcp.cli.demo_steps import LETTERS, Demo
from ollama_mcp.cli.options import load_from_options, to_arguments
from ollama_mcp.errors import OllamaMCPError
from ollama_mcp.formats.host_url import normalize_host_url

if TYPE_CHECKING:
    from ollama_mcp.simulator import Simulator

SIMULATED_GENERATION = "latest"


def demo(options: argparse.Namespace) -> int:
    """Run the demo and return 0 when every step succeeded, else 1."""
    settings = load_from_options(options).settings
    console = Console()
    steps = _run(console, normalize_host_url(settings.host), to_arguments(options), simulator=options.simulator)
    return asyncio.run(steps)


async def _run(console: Console, url: str, arguments: list[str], *, simulator: bool) -> int:
    count = 0 if simulator else await _count_models(console, url)
    if count:
        console.print(
            f"[bold]Ollama answers at {url}[/] with {count} models; "
            "the demo uses them and asks before it changes anything."
        )
        return await _with_client(console, url, arguments, None)
    async with _simulator(console) as simulator_:
        return await _with_client(console, simulator_.url, arguments, simulator_)


async def _count_models(console: Console, url: str) -> int:
    """The number of installed models of the Ollama at `url`; 0 where none answers."""
    from ollama_mcp.api import ClientTimeouts, OllamaClient

    # A short timeout: where no Ollama answers, the simulator takes over.
    async with OllamaClient(url, timeouts=ClientTimeouts(connect=2.0)) as client:
        try:
            count = len(await client.tags())
        except OllamaMCPError as error:
            console.print(f"[yellow]No Ollama answers at {url}[/] ({error.kind}).")
            return 0
    if not count:
        console.print(f"[yellow]Ollama answers at {url}, but no model is installed.[/]")
    return count


@asynccontextmanager
async def _simulator(console: Console) -> AsyncGenerator[Simulator]:
    from ollama_mcp.simulator import Simulator
    from ollama_mcp.simulator.scheduler import Latency

    # Slow enough that progress can be seen, quick enough for a demo.
    pace = Latency(load=1.0, token=0.015, transfer=1e8)
    async with Simulator(version=SIMULATED_GENERATION, latency=pace) as simulator:
        console.print(
            f"[bold]The demo runs on the built-in simulator[/] at {simulator.url}: "
            "no model is used. The answers to the demo's questions are scripted; the rest of the text is synthetic."
        )
        yield simulator


async def _with_client(console: Console, url: str, arguments: list[str], simulator: Simulator | None) -> int:
    from mcp import Client, StdioServerParameters

    with _letters() as letters:
        server = StdioServerParameters(
            command=sys.executable,
            args=["-m", "ollama_mcp", "--no-cache", *arguments],
            env={
                **os.environ,
                "OLLAMA_HOST": url,
                "PYTHONPATH": import_path(),
                **demo_settings(letters, real=simulator is None),
            },
        )
        console.print(f"[dim]server: {sys.executable} -m ollama_mcp (stdio), OLLAMA_HOST={url}[/]\n")
        async with Client(server, mode="legacy") as client:
            asks = simulator is None and console.is_terminal
            failed = await Demo(console, client, letters, simulator, asks).run()
    if failed:
        console.print(f"[red]{failed} steps failed.[/]")
    else:
        console.print("[green]All steps succeeded.[/] Add the server to your host: see README.md.")
    return 1 if failed else 0


@contextmanager
def _letters() -> Generator[Path]:
    """A text file to ask about, in a temporary folder of its own; the letters also as a table and as single files."""
    with tempfile.TemporaryDirectory(prefix="ollama-mcp-demo-") as folder:
        letters = Path(folder) / "letters.txt"
        letters.write_text(LETTERS, encoding="utf-8")
        texts = LETTERS.strip().split("\n\n")
        for number, text in enumerate(texts, start=1):
            letters.with_name(f"letter-{number}.txt").write_text(text, encoding="utf-8")
        with letters.with_suffix(".csv").open("w", encoding="utf-8", newline="") as table:
            csv.writer(table).writerows([("text",), *((text,) for text in texts)])
        yield letters


def demo_settings(letters: Path, *, real: bool) -> dict[str, str]:
    """Environment of the demo's server: its files are in one folder; on the simulator it has a store of its own."""
    folders = json.dumps([str(letters.parent)])
    settings = {"OLLAMA_MCP_READ__TEXT_FOLDERS": folders, "OLLAMA_MCP_WRITE__FOLDERS": folders}
    # One request at a time, so that the scripted answers come in order.
    return settings if real else settings | {"OLLAMA_MCP_STORE__PATH": ":memory:", "OLLAMA_MCP_WORK__PARALLEL": "1"}


def import_path() -> str:
    """PYTHONPATH of the server process: first the folder that this package was imported from."""
    import ollama_mcp

    root = str(Path(ollama_mcp.__file__).resolve().parent.parent)
    rest = os.environ.get("PYTHONPATH", "")
    return f"{root}{os.pathsep}{rest}" if rest else root
